use serde::{Deserialize, Serialize};

use super::{Decision, Limiter, nanos, window_index, window_start};
use crate::Timestamp;

/// At most `limit` in each window; windows follow each other, the first starting `offset` after the epoch.
///
/// With a 60 s window and no offset the quota resets on the clock minute ("absolute minutes").
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FixedWindow {
    limit: u64,
    window: i64,
    offset: i64,
    current: i64,
    used: u64,
}

impl FixedWindow {
    /// `limit` in each `window_s` seconds; windows start `offset_s` seconds after multiples of `window_s`.
    pub fn new(limit: u64, window_s: f64, offset_s: f64) -> Self {
        Self { limit, window: nanos(window_s), offset: nanos(offset_s), current: i64::MIN, used: 0 }
    }

    fn index(&self, now: Timestamp) -> i64 {
        window_index(now, self.window, self.offset).max(self.current)
    }

    fn used_at(&self, now: Timestamp) -> u64 {
        if self.index(now) == self.current { self.used } else { 0 }
    }
}

impl Limiter for FixedWindow {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        if self.used_at(now).saturating_add(cost) <= self.limit {
            Decision::Admitted
        } else if cost > self.limit {
            Decision::NEVER
        } else {
            Decision::retry(window_start(self.index(now) + 1, self.window, self.offset))
        }
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        self.used = self.used_at(now).saturating_add(cost);
        self.current = self.index(now);
    }

    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64) {
        let index = self.index(now);
        if index == self.current && window_index(charged_at, self.window, self.offset) == index {
            self.used = self.used.saturating_sub(amount);
        }
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        self.limit as f64 - self.used_at(now) as f64
    }

    fn remembers_since(&self, now: Timestamp) -> Timestamp {
        window_start(self.index(now), self.window, self.offset)
    }
}
