use serde::{Deserialize, Serialize};

use super::token_bucket::ROUNDING;
use super::{Decision, Limiter};
use crate::Timestamp;

/// What was used fades exponentially; a request fits if what is left of it and the request stay within `limit`.
///
/// The exponentially weighted sum that some rate limiters keep instead of a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExponentialDecay {
    limit: f64,
    time_constant_s: f64,
    used: f64,
    updated: Timestamp,
}

impl ExponentialDecay {
    /// At most `limit` in use, of which `1/e` is left after `time_constant_s`.
    pub fn new(limit: u64, time_constant_s: f64) -> Self {
        Self { limit: limit as f64, time_constant_s, used: 0.0, updated: Timestamp::EPOCH }
    }

    fn used_at(&self, now: Timestamp) -> f64 {
        let elapsed_s = now.max(self.updated).seconds_since(self.updated);
        self.used * (-elapsed_s / self.time_constant_s).exp()
    }

    fn change(&mut self, now: Timestamp, by: f64) {
        self.used = (self.used_at(now) + by).max(0.0);
        self.updated = self.updated.max(now);
    }
}

impl Limiter for ExponentialDecay {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        let (used, room) = (self.used_at(now), self.limit - cost as f64 + ROUNDING);
        if used <= room {
            Decision::Admitted
        } else if room < 0.0 {
            Decision::NEVER
        } else {
            let wait_s = self.time_constant_s * (used / room).ln();
            Decision::retry(now.max(self.updated).plus_seconds(wait_s * (1.0 + 1e-12) + 2e-9))
        }
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        self.change(now, cost as f64);
    }

    /// What has faded already is not given back.
    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64) {
        let faded = (now.max(charged_at).seconds_since(charged_at) / self.time_constant_s).exp();
        self.change(now, -(amount as f64) / faded);
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        self.limit - self.used_at(now)
    }

    /// Nothing is ever forgotten, but what was used a time constant ago counts for a third and is neglected.
    fn remembers_since(&self, now: Timestamp, _cost: u64) -> Timestamp {
        now.plus_seconds(-self.time_constant_s)
    }
}
