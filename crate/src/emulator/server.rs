use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use tokio::runtime::Runtime;

use super::wire::{Fault, converse_response, fault_response, outcome, parse_converse};
use super::{Emulator, Exchange};
use crate::{Error, Result};

/// The largest body that is read, in bytes: as Bedrock's.
const MAX_BODY: usize = 20_000_000;

/// Bedrock accepts model ids and ARNs up to this length.
const MAX_MODEL_ID: usize = 2_048;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const ERROR_NAMESPACE: &str = ":http://internal.amazon.com/coral/com.amazon.bedrock/";

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

async fn handle(State(emulator): State<Arc<Emulator>>, method: Method, uri: Uri, body: Body) -> Response {
    let arrived = emulator.clock().now();
    let (request_id, reply) = match accept(&method, uri.path(), body).await {
        Ok((input_tokens, max_tokens)) => {
            let Exchange { request_id, answer, wording } = emulator.converse(input_tokens, max_tokens).await;
            let latency_ms = (emulator.clock().now() - arrived).as_millis() as u64;
            let reply = outcome(answer, wording)
                .map(|(usage, cut_off)| converse_response(usage, cut_off, latency_ms));
            (request_id, reply)
        }
        Err(fault) => (emulator.request_id(), Err(fault)),
    };
    let (status, error_type, body) = match reply {
        Ok(body) => (StatusCode::OK, None, body),
        Err(fault) => {
            let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let error_type = format!("{}{ERROR_NAMESPACE}", fault.error_type);
            (status, Some([(ERROR_TYPE, error_type)]), fault_response(&fault))
        }
    };
    // The date is the emulator's, which may live on scaled time: clients correct their clocks by it.
    let date = emulator.clock().now().to_chrono().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let json = "application/json".to_owned();
    let headers = [(header::CONTENT_TYPE, json), (header::DATE, date), (REQUEST_ID, request_id)];
    (status, headers, error_type, body.to_string()).into_response()
}

/// Input tokens and output reservation of a request that is well-formed.
async fn accept(method: &Method, path: &str, body: Body) -> std::result::Result<(u64, u64), Fault> {
    check_route(method, path)?;
    let body = to_bytes(body, MAX_BODY).await.map_err(|_| {
        let message = format!("The request body is incomplete, or longer than {MAX_BODY} bytes.");
        Fault::new(413, "RequestEntityTooLargeException", message)
    })?;
    parse_converse(&body)
}

/// Model ids come percent-encoded (boto3, the SDKs) or as plain ARNs with slashes (curl), so a route pattern would
/// not do.
fn check_route(method: &Method, path: &str) -> std::result::Result<(), Fault> {
    let model = path.strip_prefix("/model/").and_then(|path| path.strip_suffix("/converse"));
    let Some(model) = model.filter(|_| method == Method::POST) else {
        let message = "The emulator serves POST /model/{modelId}/converse only.";
        return Err(Fault::new(404, "UnknownOperationException", message));
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte);
    let model: Vec<u8> = percent_decode_str(model).collect();
    if (1..=MAX_MODEL_ID).contains(&model.len()) && model.into_iter().all(allowed) {
        Ok(())
    } else {
        Err(Fault::validation("The provided model identifier is invalid."))
    }
}
