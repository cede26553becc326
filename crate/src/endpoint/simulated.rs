use std::sync::Arc;

use super::{Request, Response};
use crate::Emulator;
use crate::emulator::{Asked, Fault, Route, checked_max_tokens, emulated_input_tokens, outcome};

/// An [`Emulator`] in this process: no HTTP, and any clock, a virtual one included.
#[derive(Clone, Debug)]
pub struct Simulated {
    emulator: Arc<Emulator>,
}

impl Simulated {
    /// The Region that a trace names.
    pub(super) const REGION: &str = "local";

    pub(super) fn new(emulator: Arc<Emulator>) -> Self {
        Self { emulator }
    }

    pub(super) async fn send(&self, request: &Request) -> Response {
        let clock = self.emulator.clock();
        let sent = clock.now();
        let (request_id, outcome) = match checked_max_tokens(Some(request.max_tokens.into())) {
            Ok(max_tokens) => {
                let input_tokens = emulated_input_tokens(request.prompt.len());
                let route = Route { model: &request.model, region: Self::REGION };
                let exchange = self.emulator.converse(route, Asked { input_tokens, max_tokens }).await;
                (exchange.request_id, outcome(exchange.answer, exchange.wording))
            }
            Err(fault) => (self.emulator.request_id(), Err(fault)),
        };
        let (status, usage, fault) = match outcome {
            Ok((usage, _)) => (200, Some(usage), None),
            Err(Fault { status, error_type, message }) => {
                (status, None, Some((error_type.to_owned(), message)))
            }
        };
        let (error_type, error) = fault.unzip();
        let request_id = Some(request_id);
        Response { sent, finished: clock.now(), status: Some(status), error_type, error, request_id, usage }
    }
}
