//! The throttle: the [`Limiter`](crate::Limiter)s of a client's quotas, in front of that client.

mod ended;
mod estimate;
mod gate;
mod guard;
mod known;
mod layer;
mod reservation;
mod sdk;
mod spread;

pub use ended::Ended;
pub use estimate::{RequestSize, TokenEstimator};
pub use gate::ThrottleStats;
pub use known::ThrottleSettings;
pub use layer::{ThrottleLayer, ThrottledService};
pub use reservation::Reservation;
pub use spread::Spread;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use self::gate::Gate;
use crate::{Clock, Result, Timestamp, Verdict};

/// Keeps a client under its quotas: each request waits until the service will surely admit it.
///
/// # What is safe
/// A client knows when it sends a request and when the answer is complete; the service admits it somewhere in between,
/// by a clock that may differ. So every charge is *guarded*: it is kept until the latest instant at which the service
/// may still count it. That a quota is not used by others, before or meanwhile, is assumed until a 429 shows otherwise.
///
/// # How much is lost
/// With no 429 and the admission uncertain by `d` seconds: nothing of a fixed window, nor of a bucket that holds what
/// is in flight; `d / (60 + d)` of a sliding log and of a window from first use; one of R equal requests of a sliding
/// counter.
///
/// # Who is next
/// First come, first served: a large request is not overtaken by small ones. Only the first in the queue waits for
/// time to pass, so a thousand waiting requests cost no more than their memory.
///
/// ```
/// use bedrock_tpm::{Clock, Throttle, ThrottleSettings, Timestamp, Usage};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> bedrock_tpm::Result<()> {
/// let settings = ThrottleSettings::stated(Some(4_000), Some(4));
/// let throttle = Throttle::new(settings, Clock::virtual_from(Timestamp::EPOCH))?;
///
/// let reservation = throttle.acquire(700, 300).await?; // 700 input tokens, max_tokens 300
/// // ... send the request; when its answer is complete:
/// reservation.settle(Usage { input_tokens: 712, output_tokens: 85, ..Usage::default() });
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Throttle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    gate: Mutex<Gate>,
    /// Whoever holds it is the first in the queue. Fair, and a waiter that goes away leaves the others in order.
    turn: tokio::sync::Mutex<()>,
    /// Told whenever a request has ended.
    ended: Notify,
    clock: Clock,
}

impl Throttle {
    /// A throttle for quotas of which nothing is used yet, on the client's clock.
    ///
    /// # Errors
    /// A usage error if `settings` are out of range.
    pub fn new(settings: ThrottleSettings, clock: Clock) -> Result<Self> {
        Ok(Self::of_gate(Gate::new(settings.quotas()?, &settings), clock))
    }

    /// A throttle that knows what `verdict` names, in place of what `settings` state for that quota. Its parameters are
    /// taken at those ends of their intervals that are safe. If it names no mechanism, the settings remain.
    ///
    /// # Errors
    /// A usage error if `settings` are out of range.
    pub fn from_verdict(verdict: &Verdict, settings: ThrottleSettings, clock: Clock) -> Result<Self> {
        Ok(Self::of_gate(Gate::new(known::quotas(verdict, &settings)?, &settings), clock))
    }

    fn of_gate(gate: Gate, clock: Clock) -> Self {
        let turn = tokio::sync::Mutex::default();
        Self { shared: Arc::new(Shared { gate: Mutex::new(gate), turn, ended: Notify::new(), clock }) }
    }

    /// Waits until a request of about `input_tokens` that may answer with up to `max_tokens` is safe under all quotas,
    /// and reserves what it needs. Send it at once: the reservation counts as sent from now on.
    ///
    /// Dropping the future takes nothing and leaves the queue in order.
    ///
    /// # Errors
    /// A usage error at once if the request can never pass, because it is larger than a quota.
    pub async fn acquire(&self, input_tokens: u64, max_tokens: u64) -> Result<Reservation> {
        let cost = self.shared.gate().cost(input_tokens, max_tokens)?;
        let _turn = self.shared.turn.lock().await;
        loop {
            let now = self.shared.clock.now();
            let opens_at = self.shared.gate().opens_at(now, cost);
            match opens_at {
                Some(at) if at <= now => {
                    self.shared.gate().reserve(cost);
                    return Ok(Reservation::new(self.shared.clone(), now, cost));
                }
                Some(at) => tokio::select! {
                    () = self.shared.clock.sleep_until(at) => {}
                    () = self.shared.ended.notified() => {}
                },
                None => self.shared.ended.notified().await,
            }
        }
    }

    /// Takes every quota for used up until `at`: for a client that starts again and does not know what it has sent.
    pub fn used_up_until(&self, at: Timestamp) {
        self.shared.gate().use_up(at);
    }

    /// The most tokens that one request can reserve, if there is a quota of tokens.
    pub fn largest_request(&self) -> Option<u64> {
        self.shared.gate().largest_request()
    }

    /// How long it takes, in seconds, until a quota has room for so many requests with so many tokens in all.
    pub fn seconds_for(&self, requests: u64, tokens: u64) -> f64 {
        self.shared.gate().seconds_for(requests, tokens)
    }

    /// What it has done so far, and whether a 429 has made it cautious.
    pub fn stats(&self) -> ThrottleStats {
        self.shared.gate().stats(self.shared.clock.now())
    }
}

impl Shared {
    /// What changes the gate cannot panic half way.
    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
