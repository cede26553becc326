use serde::{Deserialize, Serialize};

use super::{Decision, Limiter};
use crate::Timestamp;

/// A level this far below the cost still admits it: the rounding error of the level, far below one token.
pub(super) const ROUNDING: f64 = 1e-6;

/// Holds up to `capacity` and refills continuously. Starts full.
///
/// GCRA with the same burst and rate admits exactly the same requests; no probing can tell them apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenBucket {
    capacity: f64,
    refill_per_s: f64,
    level: f64,
    updated: Timestamp,
}

impl TokenBucket {
    /// Up to `capacity`, refilled at `refill_per_s` a second.
    pub fn new(capacity: u64, refill_per_s: f64) -> Self {
        let capacity = capacity as f64;
        Self { capacity, refill_per_s, level: capacity, updated: Timestamp::EPOCH }
    }
}

impl Limiter for TokenBucket {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        let missing = cost as f64 - self.remaining(now);
        if missing <= ROUNDING {
            Decision::Admitted
        } else if cost as f64 > self.capacity {
            Decision::NEVER
        } else {
            Decision::retry(now.max(self.updated).plus_seconds(missing / self.refill_per_s + 1e-9))
        }
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        self.level = self.remaining(now) - cost as f64;
        self.updated = self.updated.max(now);
    }

    fn refund(&mut self, now: Timestamp, _charged_at: Timestamp, amount: u64) {
        self.level = (self.remaining(now) + amount as f64).min(self.capacity);
        self.updated = self.updated.max(now);
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        let elapsed = (now - self.updated).as_secs_f64();
        (self.level + elapsed * self.refill_per_s).min(self.capacity)
    }

    fn remembers_since(&self, now: Timestamp, cost: u64) -> Timestamp {
        let full = self.remaining(now) >= self.capacity;
        if full { now.plus_seconds(-(cost as f64) / self.refill_per_s) } else { Timestamp::EPOCH }
    }
}
