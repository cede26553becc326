//! A Bedrock-compatible emulator: a [`Pool`](crate::Pool) of quotas behind Converse and InvokeModel, over HTTP or in-process.

mod background;
mod config;
mod format;
mod operation;
mod pools;
mod reply;
mod server;
mod service;
mod wire;

pub use config::{EmulatorConfig, Wording};
pub(crate) use format::converse_body;
pub use pools::Pools;
pub(crate) use pools::Route;
pub use server::EmulatorServer;
pub use service::{Answer, Latency, Service};
pub(crate) use wire::{Answered, Asked, Fault, checked_max_tokens, outcome, parse_converse};

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::operation::Operation;
use self::pools::Services;
use crate::{Clock, Limiter, QuotaKind, Result, Timestamp};

/// Output tokens that a request without `maxTokens` reserves, and the most that one may ask for.
pub const MODEL_MAX_TOKENS: u64 = 64_000;

/// Tokens that every request costs, whatever its text.
const TOKENS_PER_REQUEST: u64 = 7;

/// Input tokens of a request with `text_bytes` bytes of text: 7, and one for every 3.2 bytes, rounded up.
///
/// A toy, on purpose unlike the "4 characters a token" of folklore: clients must learn the ratio from `usage`.
pub fn emulated_input_tokens(text_bytes: usize) -> u64 {
    TOKENS_PER_REQUEST + (text_bytes as u64 * 10).div_ceil(32)
}

/// A [`Service`], or one for each model and Region, that lives on a clock and answers many requests at once.
#[derive(Debug)]
pub struct Emulator {
    services: Mutex<Services>,
    answers: Mutex<Answers>,
    clock: Clock,
}

/// How many requests got which answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Passed every quota.
    pub admitted: u64,
    /// Were rejected by a quota.
    pub throttled: u64,
    /// Failed for reasons of the service's own.
    pub unavailable: u64,
}

/// One answered request, as the transport passes it on.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) request_id: String,
    pub(crate) answer: Answer,
    pub(crate) wording: Wording,
}

impl Emulator {
    /// An emulator with nothing used yet.
    ///
    /// # Errors
    /// A usage error if `config` is out of range.
    pub fn new(config: EmulatorConfig, clock: Clock) -> Result<Self> {
        Ok(Self::of(Service::new(config)?, clock))
    }

    /// An emulator that enforces limiters of any kind, such as those of another library, instead of the quotas in
    /// `config`; see [`Service::enforcing`]. All models and Regions share them.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn enforcing(
        config: EmulatorConfig,
        limiters: Vec<(QuotaKind, Box<dyn Limiter + Send>)>,
        clock: Clock,
    ) -> Result<Self> {
        let config = EmulatorConfig { pools: Pools::One, ..config };
        Ok(Self::of(Service::enforcing(config, limiters)?, clock))
    }

    fn of(service: Service, clock: Clock) -> Self {
        Self { services: Mutex::new(Services::new(service)), answers: Mutex::default(), clock }
    }

    /// What it was made from: what it really enforces, unless that was given as limiters.
    pub fn config(&self) -> EmulatorConfig {
        self.services().shared().config().clone()
    }

    /// What it has answered so far.
    pub fn answers(&self) -> Answers {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock it lives on.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Counts an earlier request for `model` in `region` that was admitted at `at` and used `tokens` tokens, oldest first,
    /// so that a resumed run finds the quotas as it left them.
    pub fn charge(&self, model: &str, region: &str, at: Timestamp, tokens: u64) {
        self.services().of(Route { model, region }).charge(at, tokens);
    }

    /// Takes the time that Bedrock would take, and answers.
    pub(crate) async fn converse(&self, route: Route<'_>, asked: Asked) -> Exchange {
        let (exchange, until_answer) = self.admit(route, asked).await;
        self.clock.sleep(until_answer).await;
        exchange
    }

    /// Takes the time until the quotas decide. The answer is complete a while later, which is told beside it.
    async fn admit(&self, route: Route<'_>, asked: Asked) -> (Exchange, Duration) {
        let (request_id, latency, wording) = {
            let mut services = self.services();
            let service = services.of(route);
            (service.request_id(), service.latency(), service.config().wording)
        };
        self.clock.sleep(latency.until_admission).await;
        let Asked { input_tokens, max_tokens } = asked;
        let (now, until_answer) = (self.clock.now(), latency.until_answer);
        let answer = self.services().of(route).admit(now, until_answer, input_tokens, max_tokens);
        self.count(answer);
        (Exchange { request_id, answer, wording }, until_answer)
    }

    fn count(&self, answer: Answer) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Answer::Admitted { .. } => answers.admitted += 1,
            Answer::Throttled(_) => answers.throttled += 1,
            Answer::Unavailable => answers.unavailable += 1,
        }
    }

    pub(crate) fn request_id(&self) -> String {
        self.services().shared().request_id()
    }

    /// A request that panicked cannot have left the service half changed in a way that matters to the next one.
    fn services(&self) -> MutexGuard<'_, Services> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
