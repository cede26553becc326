use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bedrock_tpm::{emulated_input_tokens, reserved_tokens};
use serde::Deserialize;
use serde_json::json;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// Whether a request of so many tokens may pass; counts it if so.
type Admits = Box<dyn FnMut(u64) -> bool + Send>;

/// Serves Converse behind any rate limiter, until the runtime ends. Returns its URL.
///
/// A request costs its input and its `max_tokens`, and uses all of them: nothing is left to give back.
///
/// # Panics
/// If there is no free port.
pub async fn shaped(admits: impl FnMut(u64) -> bool + Send + 'static) -> String {
    let admits: Admits = Box::new(admits);
    let router =
        Router::new().route("/model/{id}/converse", post(converse)).with_state(Arc::new(Mutex::new(admits)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn converse(State(admits): State<Arc<Mutex<Admits>>>, Json(request): Json<Converse>) -> Response {
    let (input, output) = (request.input_tokens(), request.inference_config.max_tokens);
    let tokens = reserved_tokens(input, output);
    if (admits.lock().unwrap_or_else(PoisonError::into_inner))(tokens) {
        let answer = json!({
            "metrics": { "latencyMs": 1 },
            "output": { "message": { "role": "assistant", "content": [{ "text": "ok" }] } },
            "stopReason": "max_tokens",
            "usage": { "inputTokens": input, "outputTokens": output, "totalTokens": tokens },
        });
        Json(answer).into_response()
    } else {
        let fault = json!({ "message": "Too many tokens, please wait before trying again." });
        (StatusCode::TOO_MANY_REQUESTS, [(ERROR_TYPE, "ThrottlingException")], Json(fault)).into_response()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Converse {
    messages: Vec<Message>,
    inference_config: InferenceConfig,
}

#[derive(Deserialize)]
struct Message {
    content: Vec<Block>,
}

#[derive(Deserialize)]
struct Block {
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig {
    max_tokens: u64,
}

impl Converse {
    fn input_tokens(&self) -> u64 {
        let blocks = self.messages.iter().flat_map(|message| &message.content);
        emulated_input_tokens(blocks.map(|block| block.text.len()).sum())
    }
}
