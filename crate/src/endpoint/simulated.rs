use std::sync::Arc;

use serde_json::Value;

use super::{RawResponse, Request, Response};
use crate::emulator::{
    Fault, checked_max_tokens, converse_response, emulated_input_tokens, fault_response, outcome,
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
    pub(super) fn new(emulator: Arc<Emulator>) -> Self {
        Self { emulator }
    }

    pub(super) async fn send(&self, request: &Request) -> Response {
        let max_tokens = checked_max_tokens(Some(request.max_tokens.into()));
        let input_tokens = emulated_input_tokens(request.prompt.len());
        self.exchange(max_tokens.map(|max_tokens| (input_tokens, max_tokens))).await.0
    }

    pub(super) async fn send_json(&self, body: &Value) -> RawResponse {
        let (response, outcome) = self.exchange(parse_converse(body.to_string().as_bytes())).await;
        let latency_ms = (response.finished - response.sent).as_millis() as u64;
        let body = match outcome {
            Ok((usage, cut_off)) => converse_response(usage, cut_off, latency_ms),
            Err(fault) => fault_response(&fault),
        };
        RawResponse { response, body: Some(body) }
    }

    /// Exchanges a request of so many input tokens and `max_tokens`, unless it is malformed.
    async fn exchange(&self, request: Result<(u64, u64), Fault>) -> (Response, Outcome) {
        let sent = self.emulator.clock().now();
        let (request_id, outcome) = match request {
            Ok((input_tokens, max_tokens)) => {
                let exchange = self.emulator.converse(input_tokens, max_tokens).await;
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
