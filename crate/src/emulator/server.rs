use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::response::Response;
use tokio::runtime::Runtime;

use super::format::Format;
use super::reply::{rejected, streamed, whole};
use super::wire::{Answered, Asked, Fault, outcome};
use super::{Emulator, Exchange, Operation, Route};
use crate::{Error, Result};

/// The largest body that is read, in bytes: as Bedrock's.
const MAX_BODY: usize = 20_000_000;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Serves an [`Emulator`] over HTTP until it is dropped.
///
/// It runs on a thread of its own, so that a busy client does not delay it, and so that dropping it ends every
/// connection, half-open ones included. The emulator's clock must not be a virtual one: that one belongs to the
/// client's runtime.
#[derive(Debug)]
pub struct EmulatorServer {
    url: String,
    runtime: Option<Runtime>,
}

impl EmulatorServer {
    /// Serves on `127.0.0.1:port`; port 0 takes a free one.
    ///
    /// # Errors
    /// A setup error if the port is taken.
    pub fn on_loopback(emulator: Arc<Emulator>, port: u16) -> Result<Self> {
        Self::start(emulator, (Ipv4Addr::LOCALHOST, port).into())
    }

    /// Serves on `address`. Anyone who can reach it can use it: it checks no credentials.
    ///
    /// # Errors
    /// A setup error if the address cannot be listened on.
    pub fn start(emulator: Arc<Emulator>, address: SocketAddr) -> Result<Self> {
        let unable = |cause| {
            Error::setup(format!("cannot listen on {address}; choose another port, or 0 for a free one"))
                .because(cause)
        };
        let listener = TcpListener::bind(address).map_err(unable)?;
        listener.set_nonblocking(true).map_err(unable)?;
        let url = format!("http://{}", listener.local_addr().map_err(unable)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("bedrock-emulator")
            .enable_all()
            .build()
            .map_err(unable)?;
        let router = Router::new().fallback(handle).with_state(emulator);
        let listener = {
            let _guard = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(unable)?
        };
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, runtime: Some(runtime) })
    }

    /// Where it listens, such as `http://127.0.0.1:8080`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for EmulatorServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn handle(
    State(emulator): State<Arc<Emulator>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (request_id, mut response) = match accept(&method, uri.path(), body).await {
        Ok(accepted) => answer(&emulator, signed_for(&headers), accepted).await,
        Err(fault) => (emulator.request_id(), rejected(&fault)),
    };
    // The date is the emulator's, which may live on scaled time: clients correct their clocks by it.
    let date = emulator.clock().now().to_chrono().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (name, value) in [(header::DATE, date), (REQUEST_ID, request_id)] {
        response.headers_mut().extend(HeaderValue::try_from(value).map(|value| (name, value)));
    }
    response
}

/// The Region that a request was signed for; nothing if it was not signed. Source: AWS Signature Version 4, the credential
/// scope `KEY/DATE/REGION/SERVICE/aws4_request`.
fn signed_for(headers: &HeaderMap) -> &str {
    let signature = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let scope = signature.and_then(|text| text.split_once("Credential=")).map_or("", |(_, scope)| scope);
    scope.split('/').nth(2).unwrap_or_default()
}

/// A request that is well-formed.
struct Accepted {
    operation: Operation,
    model: String,
    format: Format,
    asked: Asked,
}

async fn answer(emulator: &Emulator, region: &str, accepted: Accepted) -> (String, Response) {
    let Accepted { operation, model, format, asked } = accepted;
    let (clock, arrived) = (emulator.clock(), emulator.clock().now());
    let admitted = emulator.admit(Route { model: &model, region }, asked).await;
    let (Exchange { request_id, answer, wording }, until_answer) = admitted;
    let (outcome, ends) = (outcome(answer, wording), clock.now() + until_answer);
    let latency_ms = (ends - arrived).as_millis() as u64;
    let outcome = outcome.map(|(usage, cut_off)| Answered { usage, cut_off, latency_ms });
    let response = match (operation, outcome) {
        (Operation::ConverseStream | Operation::InvokeModelWithResponseStream, Ok(answer)) => {
            streamed(format, &answer, clock, until_answer)
        }
        (_, outcome) => {
            clock.sleep_until(ends).await;
            outcome.map_or_else(|fault| rejected(&fault), |answer| whole(operation, format, &answer))
        }
    };
    (request_id, response)
}

async fn accept(method: &Method, path: &str, body: Body) -> std::result::Result<Accepted, Fault> {
    let (operation, model) = Operation::of(method, path)?;
    let body = to_bytes(body, MAX_BODY).await.map_err(|_| {
        let message = format!("The request body is incomplete, or longer than {MAX_BODY} bytes.");
        Fault::new(413, "RequestEntityTooLargeException", message)
    })?;
    let (format, asked) = Format::parse(operation, &body)?;
    Ok(Accepted { operation, model, format, asked })
}
