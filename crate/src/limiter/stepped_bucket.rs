use serde::{Deserialize, Serialize};

use super::token_bucket::ROUNDING;
use super::{Decision, Limiter, nanos};
use crate::Timestamp;

/// A token bucket that refills in ticks: nothing for `tick` seconds, then a tick's worth at once. Starts full.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SteppedBucket {
    capacity: f64,
    per_tick: f64,
    tick: i64,
    level: f64,
    /// When the next tick comes after the last change.
    next: Timestamp,
}

impl SteppedBucket {
    /// Up to `capacity`, refilled by `refill_per_s x tick_s` at instants `offset_s` after multiples of `tick_s`.
    pub fn new(capacity: u64, refill_per_s: f64, tick_s: f64, offset_s: f64) -> Self {
        let capacity = capacity as f64;
        let tick = nanos(tick_s);
        let next = Timestamp::from_nanos(nanos(offset_s) + tick);
        Self { capacity, per_tick: refill_per_s * tick_s, tick, level: capacity, next }
    }

    /// Ticks since the last change.
    fn ticks_until(&self, now: Timestamp) -> i64 {
        if now < self.next { 0 } else { 1 + (now.as_nanos() - self.next.as_nanos()) / self.tick }
    }

    /// When the next tick comes after `now`.
    fn next_after(&self, now: Timestamp) -> Timestamp {
        self.next.plus_nanos(self.ticks_until(now) * self.tick)
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
            Decision::retry(self.next_after(now).plus_nanos((ticks - 1) * self.tick))
        }
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        self.level = self.remaining(now) - cost as f64;
        self.next = self.next_after(now);
    }

    fn refund(&mut self, now: Timestamp, _charged_at: Timestamp, amount: u64) {
        self.level = (self.remaining(now) + amount as f64).min(self.capacity);
        self.next = self.next_after(now);
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        (self.level + self.ticks_until(now) as f64 * self.per_tick).min(self.capacity)
    }

    fn remembers_since(&self, now: Timestamp, cost: u64) -> Timestamp {
        let full = self.remaining(now) >= self.capacity;
        let ticks = (cost as f64 / self.per_tick).ceil().max(1.0) as i64;
        if full { self.next_after(now).minus_nanos(ticks * self.tick) } else { Timestamp::EPOCH }
    }
}
