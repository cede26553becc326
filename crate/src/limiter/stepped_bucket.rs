use serde::{Deserialize, Serialize};

use super::token_bucket::ROUNDING;
use super::{Decision, Limiter, nanos, window_index, window_start};
use crate::Timestamp;

/// A token bucket that refills in ticks: nothing for `tick` seconds, then a tick's worth at once. Starts full.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SteppedBucket {
    capacity: f64,
    per_tick: f64,
    tick: i64,
    offset: i64,
    level: f64,
    ticked: i64,
}

impl SteppedBucket {
    /// Up to `capacity`, refilled by `refill_per_s x tick_s` at instants `offset_s` after multiples of `tick_s`.
    pub fn new(capacity: u64, refill_per_s: f64, tick_s: f64, offset_s: f64) -> Self {
        let capacity = capacity as f64;
        let (tick, offset) = (nanos(tick_s), nanos(offset_s));
        Self { capacity, per_tick: refill_per_s * tick_s, tick, offset, level: capacity, ticked: 0 }
    }

    fn tick_at(&self, now: Timestamp) -> i64 {
        window_index(now, self.tick, self.offset).max(self.ticked)
    }
}

impl Limiter for SteppedBucket {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        let missing = cost as f64 - self.remaining(now);
        if missing <= ROUNDING {
            Decision::Admitted
        } else if cost as f64 > self.capacity {
            Decision::NEVER
        } else {
            let ticks = ((missing - ROUNDING) / self.per_tick).ceil() as i64;
            Decision::retry(window_start(self.tick_at(now) + ticks, self.tick, self.offset))
        }
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        self.level = self.remaining(now) - cost as f64;
        self.ticked = self.tick_at(now);
    }

    fn refund(&mut self, now: Timestamp, _charged_at: Timestamp, amount: u64) {
        self.level = (self.remaining(now) + amount as f64).min(self.capacity);
        self.ticked = self.tick_at(now);
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        let ticks = (self.tick_at(now) - self.ticked) as f64;
        (self.level + ticks * self.per_tick).min(self.capacity)
    }

    fn remembers_since(&self, now: Timestamp) -> Timestamp {
        let full = self.remaining(now) >= self.capacity;
        if full { window_start(self.tick_at(now), self.tick, self.offset) } else { Timestamp::EPOCH }
    }
}
