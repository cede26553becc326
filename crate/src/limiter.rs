//! One limiter model, three roles: behind HTTP it is the emulator, in front of a client the throttle, and replayed
//! over a trace a hypothesis. A limiter is a pure state machine: time and cost go in, a [`Decision`] comes out.

mod anchored_window;
mod any;
mod exponential_decay;
mod fixed_window;
mod mechanism;
mod pool;
mod sliding_counter;
mod sliding_log;
mod stepped_bucket;
mod token_bucket;

pub use anchored_window::AnchoredWindow;
pub use any::AnyLimiter;
pub use exponential_decay::ExponentialDecay;
pub use fixed_window::FixedWindow;
pub use mechanism::{Mechanism, MechanismId};
pub use pool::{Admission, Pool, PoolDecision, RejectedCost};
pub use sliding_counter::SlidingCounter;
pub use sliding_log::SlidingLog;
pub use stepped_bucket::SteppedBucket;
pub use token_bucket::TokenBucket;

use std::fmt;

use crate::Timestamp;

/// Whether a request may pass. Throttled is a value, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request fits.
    Admitted,
    /// The request does not fit now.
    Throttled {
        /// The first instant at which it would fit if nothing else were charged; `None` if it never can, because
        /// the cost exceeds the limit.
        retry_at: Option<Timestamp>,
    },
}

impl Decision {
    /// Whether the request may pass.
    pub fn is_admitted(self) -> bool {
        self == Self::Admitted
    }

    fn retry(at: Timestamp) -> Self {
        Self::Throttled { retry_at: Some(at) }
    }

    const NEVER: Self = Self::Throttled { retry_at: None };
}

/// A rate limiter as a pure state machine.
///
/// Costs are whole tokens or requests. Times must not go backwards; an earlier time is treated as the latest one
/// seen. Asking and charging are separate, because a replayed hypothesis must follow what *was* admitted, not what
/// it would have admitted itself.
pub trait Limiter: fmt::Debug {
    /// Whether `cost` would be admitted at `now`. Changes nothing.
    fn check(&self, now: Timestamp, cost: u64) -> Decision;

    /// Counts `cost` at `now`, even where it does not fit.
    fn charge(&mut self, now: Timestamp, cost: u64);

    /// Gives back `amount` at `now` of a charge made at `charged_at`; without effect once that charge has lapsed.
    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64);

    /// The largest cost that would be admitted at `now`; negative after charges that did not fit.
    fn remaining(&self, now: Timestamp) -> f64;

    /// From when on a use of `cost` at once still matters at `now`: before, it has been forgotten by then. The epoch if that
    /// cannot be said.
    fn remembers_since(&self, _now: Timestamp, _cost: u64) -> Timestamp {
        Timestamp::EPOCH
    }

    /// Checks, and charges if the cost fits.
    fn admit(&mut self, now: Timestamp, cost: u64) -> Decision {
        let decision = self.check(now, cost);
        if decision.is_admitted() {
            self.charge(now, cost);
        }
        decision
    }
}

/// When a window ended that was never charged.
const NEVER_BEGAN: Timestamp = Timestamp::from_nanos(i64::MIN);

/// When the window ends that holds `now`, where windows of `window` nanoseconds start at `offset`.
///
/// Limiters remember the end instead of the window's index: a division is slow, and hypotheses ask millions of times.
fn window_end(now: Timestamp, window: i64, offset: i64) -> Timestamp {
    let index = (now.as_nanos() - offset).div_euclid(window);
    Timestamp::from_nanos((index + 1) * window + offset)
}

/// Seconds as nanoseconds; mechanisms are validated, so this is positive and in range.
fn nanos(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}
