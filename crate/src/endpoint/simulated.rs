use std::sync::Arc;

use serde_json::{Value, json};

use super::{RawResponse, Request, Response};
use crate::emulator::{
    Answered, Asked, Fault, Route, checked_max_tokens, converse_body, emulated_input_tokens, outcome,
    parse_converse,
};
use crate::{Emulator, Timestamp, Usage};

/// An [`Emulator`] in this process: no HTTP, and any clock, a virtual one included.
#[derive(Clone, Debug)]
pub struct Simulated {
    emulator: Arc<Emulator>,
}

/// Usage and whether the answer was cut off, or an error.
type Outcome = Result<(Usage, bool), Fault>;

impl Simulated {
    /// The Region that a trace names.
    pub(super) const REGION: &str = "local";

    pub(super) fn new(emulator: Arc<Emulator>) -> Self {
        Self { emulator }
    }

    pub(super) async fn send(&self, request: &Request) -> Response {
        let max_tokens = checked_max_tokens(Some(request.max_tokens.into()));
        let input_tokens = emulated_input_tokens(request.prompt.len());
        self.exchange(&request.model, max_tokens.map(|max_tokens| Asked { input_tokens, max_tokens })).await.0
    }

    pub(super) async fn send_json(&self, model: &str, body: &Value) -> RawResponse {
        let (response, outcome) = self.exchange(model, parse_converse(body.to_string().as_bytes())).await;
        let latency_ms = (response.finished - response.sent).as_millis() as u64;
        let body = match outcome {
            Ok((usage, cut_off)) => converse_body(&Answered { usage, cut_off, latency_ms }),
            Err(fault) => json!({ "message": fault.message }),
        };
        RawResponse { response, body: Some(body) }
    }

    /// Exchanges a request for `model`, unless it is malformed.
    async fn exchange(&self, model: &str, request: Result<Asked, Fault>) -> (Response, Outcome) {
        let sent = self.emulator.clock().now();
        let (request_id, outcome) = match request {
            Ok(asked) => {
                let route = Route { model, region: Self::REGION };
                let exchange = self.emulator.converse(route, asked).await;
                (exchange.request_id, outcome(exchange.answer, exchange.wording))
            }
            Err(fault) => (self.emulator.request_id(), Err(fault)),
        };
        let finished = self.emulator.clock().now();
        (response(&outcome, request_id, sent, finished), outcome)
    }
}

fn response(outcome: &Outcome, request_id: String, sent: Timestamp, finished: Timestamp) -> Response {
    let (status, usage, fault) = match outcome {
        Ok((usage, _)) => (200, Some(*usage), None),
        Err(Fault { status, error_type, message }) => {
            (*status, None, Some(((*error_type).to_owned(), message.clone())))
        }
    };
    let (error_type, error) = fault.unzip();
    Response { sent, finished, status: Some(status), error_type, error, request_id: Some(request_id), usage }
}
