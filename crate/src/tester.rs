//! The instrument: paced requests that are watched, recorded and judged.

mod destination;
mod failing;
mod limits;
mod load;
mod padding;
mod results;
mod sending;
mod settings;
mod start;
mod summary;

pub use destination::OtherTarget;
pub(crate) use limits::{BURNDOWN_AT_WORST, LARGEST_REQUEST_TOKENS};
pub use settings::Settings;
pub use summary::{PhaseSummary, Summary};

use std::sync::{Arc, OnceLock};

use destination::Destination;
use failing::Failing;

use crate::{
    Accounting, Clock, Emulator, EmulatorServer, Error, Observation, Result, Timestamp, Trace, Verdict,
};

/// What the tester is doing, for callers that show progress.
#[derive(Clone, Debug)]
pub enum Event {
    /// A phase begins.
    Phase(String),
    /// Nothing is sent until `until`. Comes when a wait begins, and again every five real seconds.
    Waiting {
        /// The instant of the event.
        from: Timestamp,
        /// When it ends.
        until: Timestamp,
    },
    /// A request has ended and is in the trace.
    Observed(Box<Observation>),
}

/// The endpoint's name in the trace of a tester that brought its own emulator.
pub const EMBEDDED: &str = "emulator";

/// A wait for a second that has begun this recently is over, in seconds.
const LATENESS_S: f64 = crate::LATE_AFTER_S;

/// A wait is announced again after so many real seconds.
const STILL_WAITING_S: f64 = 5.0;

type Listener = Box<dyn FnMut(&Event) + Send>;

/// Sends requests of known size at known instants, records what becomes of them, and says what that shows.
///
/// Every observation is on disk before the next request leaves, so whatever happens, the trace is kept.
///
/// # Example
/// On the embedded emulator, a minute in a second:
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use bedrock_tpm::{BedrockTpmTester, EmulatorConfig, Mechanism, MechanismId, Settings};
///
/// let bucket = Mechanism::per_minute(MechanismId::TokenBucket, 8_000);
/// let emulator = EmulatorConfig { tokens: Some(bucket), ..Default::default() };
/// let settings = Settings { time_scale: 600, tpm: Some(8_000), ..Default::default() };
/// let mut tester = BedrockTpmTester::emulated(emulator, settings).await?;
///
/// tester.wait_until_second(35).await?;
/// tester.consume_tpm_quota(10_000, 1_000).await?;
/// let probe = tester.make_bedrock_request(500).await?;
/// tester.log_result("right after", &probe)?;
/// println!("{}", tester.summary());
/// # Ok::<(), bedrock_tpm::Error>(())
/// # }).unwrap();
/// ```
pub struct BedrockTpmTester {
    first: Destination,
    second: Option<Destination>,
    clock: Clock,
    settings: Settings,
    trace: Trace,
    /// What was found out about the mechanism while it was measured.
    found: Option<Verdict>,
    /// What the trace shows, until it grows.
    findings: OnceLock<(Verdict, Option<Accounting>)>,
    phase: String,
    scheduled: Option<Timestamp>,
    stop_at: Option<Timestamp>,
    /// The most that was spent so far.
    spent: u64,
    failing: Option<Failing>,
    listener: Option<Listener>,
    emulator: Option<(Arc<Emulator>, Option<EmulatorServer>)>,
}

impl BedrockTpmTester {
    /// Calls `listener` with everything that happens from now on.
    pub fn on_event(&mut self, listener: impl FnMut(&Event) + Send + 'static) {
        self.listener = Some(Box::new(listener));
    }

    /// From `at` on nothing is sent: a wait ends then, and calls end with an error. What was observed stays in the trace,
    /// and the same calls go on once there is more time. `None`: no limit.
    pub fn stop_at(&mut self, at: Option<Timestamp>) {
        self.stop_at = at;
    }

    /// Names the phase that the next requests belong to.
    pub fn begin_phase(&mut self, phase: &str) {
        self.phase = phase.to_owned();
        self.emit(&Event::Phase(phase.to_owned()));
    }

    /// Waits until the clock reads `second` seconds past a full minute, 0 to 59; returns at once if it is that second
    /// now. The next request counts as scheduled for that instant.
    ///
    /// # Errors
    /// A usage error if `second` is out of range; a stopped error if the tester's time ends before.
    pub async fn wait_until_second(&mut self, second: u32) -> Result<Timestamp> {
        if second > 59 {
            return Err(Error::usage(format!("second {second} is out of range: use 0 to 59")));
        }
        let now = self.clock.now();
        let until = now.plus_seconds(-LATENESS_S).next_second(f64::from(second));
        self.wait_until(until).await;
        self.check_time().map(|()| until)
    }

    /// Waits until `until`, and schedules the next request for that instant; no longer than until the tester's time ends.
    pub async fn wait_until(&mut self, until: Timestamp) {
        let end = self.stop_at.map_or(until, |stop| stop.min(until));
        let step_s = STILL_WAITING_S * f64::from(self.clock.scale());
        loop {
            let from = self.clock.now();
            if from >= end {
                break;
            }
            self.emit(&Event::Waiting { from, until: end });
            self.clock.sleep_until(end.min(from.plus_seconds(step_s))).await;
        }
        self.scheduled = Some(until);
    }

    fn check_time(&self) -> Result<()> {
        match self.stop_at {
            Some(stop) if self.clock.now() >= stop => Err(Error::stopped(format!(
                "stopped at {} as asked; the trace is kept: give more time and go on",
                stop.clock_text()
            ))),
            _ => Ok(()),
        }
    }

    /// Sends requests of `chunk_tokens` tokens each, back to back, until `total_tokens` tokens were admitted or a
    /// request was throttled. Returns what was observed.
    ///
    /// # Errors
    /// A usage error if a number is zero, or a chunk is larger than the total or than the stated quota, which no
    /// waiting could ever admit; a setup error if the endpoint keeps failing; else as
    /// [`make_bedrock_request`](Self::make_bedrock_request).
    pub async fn consume_tpm_quota(
        &mut self,
        total_tokens: u64,
        chunk_tokens: u64,
    ) -> Result<Vec<Observation>> {
        if chunk_tokens == 0 || chunk_tokens > total_tokens {
            return Err(Error::usage(format!(
                "a chunk of {chunk_tokens} tokens does not fit a total of {total_tokens}: use 1 to {total_tokens}"
            )));
        }
        let mut observed: Vec<Observation> = Vec::new();
        let mut admitted = 0;
        while admitted < total_tokens {
            let observation = self.make_bedrock_request(chunk_tokens).await?;
            let outcome = observation.outcome();
            if outcome.is_admitted() {
                admitted += observation.reserved();
            }
            observed.push(observation);
            if outcome.is_throttled() {
                break;
            }
            self.give_up_on_failures()?;
        }
        Ok(observed)
    }

    /// Sends one request that reserves about `tokens` tokens, `max_tokens` included, and records what becomes of it.
    /// Being throttled is an outcome, not an error.
    ///
    /// # Errors
    /// A usage error if `tokens` is zero, more than the stated quota or more than 1,000,000; a budget error if the request might pass the
    /// token budget; a stopped error if the tester's time is over; an output error if the trace cannot be written.
    pub async fn make_bedrock_request(&mut self, tokens: u64) -> Result<Observation> {
        let max_tokens = self.settings.max_tokens;
        self.check_size(tokens)?;
        self.send(tokens.saturating_sub(u64::from(max_tokens)), max_tokens, 1, None).await
    }

    /// Sends one request of about `input_tokens` tokens that asks for `max_tokens` output tokens at most, and records what
    /// becomes of it. The token budget takes every output token for 15 tokens, the largest burndown that AWS documents.
    ///
    /// # Errors
    /// As [`make_bedrock_request`](Self::make_bedrock_request) for both together, and a usage error if `max_tokens` is
    /// zero.
    pub async fn make_request_with(&mut self, input_tokens: u64, max_tokens: u32) -> Result<Observation> {
        if max_tokens == 0 {
            return Err(Error::usage("no model answers in 0 tokens; use a max_tokens of 1 or more"));
        }
        self.check_size(input_tokens.saturating_add(max_tokens.into()))?;
        self.send(input_tokens, max_tokens, BURNDOWN_AT_WORST, None).await
    }

    fn emit(&mut self, event: &Event) {
        if let Some(listener) = &mut self.listener {
            listener(event);
        }
    }
}
