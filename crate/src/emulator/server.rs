use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::runtime::Runtime;

use super::wire::{Fault, converse_response, outcome, parse_converse};
use super::{Emulator, Exchange, Route};
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

async fn handle(
    State(emulator): State<Arc<Emulator>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let arrived = emulator.clock().now();
    let (request_id, reply) = match accept(&method, uri.path(), body).await {
        Ok((model, input_tokens, max_tokens)) => {
            let route = Route { model: &model, region: signed_for(&headers) };
            let exchange = emulator.converse(route, input_tokens, max_tokens).await;
            let Exchange { request_id, answer, wording } = exchange;
            let latency_ms = (emulator.clock().now() - arrived).as_millis() as u64;
            let reply = outcome(answer, wording)
                .map(|(usage, cut_off)| converse_response(usage, cut_off, latency_ms));
            (request_id, reply)
        }
        Err(fault) => (emulator.request_id(), Err(fault)),
    };
    let (status, error_type, body) = match reply {
        Ok(body) => (StatusCode::OK, None, body),
        Err(Fault { status, error_type, message }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (
                status,
                Some([(ERROR_TYPE, format!("{error_type}{ERROR_NAMESPACE}"))]),
                json!({ "message": message }),
            )
        }
    };
    // The date is the emulator's, which may live on scaled time: clients correct their clocks by it.
    let date = emulator.clock().now().to_chrono().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let json = "application/json".to_owned();
    let headers = [(header::CONTENT_TYPE, json), (header::DATE, date), (REQUEST_ID, request_id)];
    (status, headers, error_type, body.to_string()).into_response()
}

/// The Region that a request was signed for; nothing if it was not signed. Source: AWS Signature Version 4, the credential
/// scope `KEY/DATE/REGION/SERVICE/aws4_request`.
fn signed_for(headers: &HeaderMap) -> &str {
    let signature = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let scope = signature.and_then(|text| text.split_once("Credential=")).map_or("", |(_, scope)| scope);
    scope.split('/').nth(2).unwrap_or_default()
}

/// Model, input tokens and output reservation of a request that is well-formed.
async fn accept(method: &Method, path: &str, body: Body) -> std::result::Result<(String, u64, u64), Fault> {
    let model = model_of(method, path)?;
    let body = to_bytes(body, MAX_BODY).await.map_err(|_| {
        let message = format!("The request body is incomplete, or longer than {MAX_BODY} bytes.");
        Fault::new(413, "RequestEntityTooLargeException", message)
    })?;
    let (input_tokens, max_tokens) = parse_converse(&body)?;
    Ok((model, input_tokens, max_tokens))
}

/// Model ids come percent-encoded (boto3, the SDKs) or as plain ARNs with slashes (curl), so a route pattern would
/// not do.
fn model_of(method: &Method, path: &str) -> std::result::Result<String, Fault> {
    let model = path.strip_prefix("/model/").and_then(|path| path.strip_suffix("/converse"));
    let Some(model) = model.filter(|_| method == Method::POST) else {
        let message = "The emulator serves POST /model/{modelId}/converse only.";
        return Err(Fault::new(404, "UnknownOperationException", message));
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte);
    let model = percent_decode_str(model).decode_utf8().ok();
    model
        .filter(|model| (1..=MAX_MODEL_ID).contains(&model.len()) && model.bytes().all(allowed))
        .map(Into::into)
        .ok_or_else(|| Fault::validation("The provided model identifier is invalid."))
}
