use serde::{Deserialize, Serialize};

use super::{Decision, Limiter, NEVER_BEGAN, nanos, window_end};
use crate::Timestamp;

/// At most `limit` in each window; windows follow each other, the first starting `offset` after the epoch.
///
/// With a 60 s window and no offset the quota resets on the clock minute ("absolute minutes").
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FixedWindow {
    limit: u64,
    window: i64,
    offset: i64,
    /// When the window ends that was charged last.
    end: Timestamp,
    used: u64,
}

impl FixedWindow {
    /// `limit` in each `window_s` seconds; windows start `offset_s` seconds after multiples of `window_s`.
    pub fn new(limit: u64, window_s: f64, offset_s: f64) -> Self {
        Self { limit, window: nanos(window_s), offset: nanos(offset_s), end: NEVER_BEGAN, used: 0 }
    }

    /// When the window ends that holds `now`.
    fn end_at(&self, now: Timestamp) -> Timestamp {
        if now < self.end { self.end } else { window_end(now, self.window, self.offset) }
    }

    fn used_at(&self, now: Timestamp) -> u64 {
        if now < self.end { self.used } else { 0 }
    }
}

impl Limiter for FixedWindow {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        if self.used_at(now).saturating_add(cost) <= self.limit {
            Decision::Admitted
        } else if cost > self.limit {
            Decision::NEVER
        } else {
            Decision::retry(self.end_at(now))
        }
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        self.used = self.used_at(now).saturating_add(cost);
        self.end = self.end_at(now);
    }

    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64) {
        if now < self.end && (self.end.minus_nanos(self.window)..self.end).contains(&charged_at) {
            self.used = self.used.saturating_sub(amount);
        }
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        self.limit as f64 - self.used_at(now) as f64
    }

    fn remembers_since(&self, now: Timestamp, _cost: u64) -> Timestamp {
        self.end_at(now).minus_nanos(self.window)
    }
}
