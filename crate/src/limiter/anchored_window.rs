use serde::{Deserialize, Serialize};

use super::{Decision, Limiter, nanos};
use crate::Timestamp;

/// At most `limit` in a window that starts with the first charge after the previous window has ended
/// ("relative minutes").
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnchoredWindow {
    limit: u64,
    window: i64,
    start: Option<Timestamp>,
    used: u64,
}

impl AnchoredWindow {
    /// `limit` in `window_s` seconds from first use.
    pub fn new(limit: u64, window_s: f64) -> Self {
        Self { limit, window: nanos(window_s), start: None, used: 0 }
    }

    fn end(&self) -> Option<Timestamp> {
        self.start.map(|start| Timestamp::from_nanos(start.as_nanos() + self.window))
    }

    fn is_open(&self, now: Timestamp) -> bool {
        self.end().is_some_and(|end| now < end)
    }

    fn used_at(&self, now: Timestamp) -> u64 {
        if self.is_open(now) { self.used } else { 0 }
    }
}

impl Limiter for AnchoredWindow {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        if self.used_at(now).saturating_add(cost) <= self.limit {
            Decision::Admitted
        } else if cost > self.limit {
            Decision::NEVER
        } else {
            Decision::Throttled { retry_at: self.end() }
        }
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        if self.is_open(now) {
            self.used = self.used.saturating_add(cost);
        } else {
            (self.start, self.used) = (Some(now), cost);
        }
    }

    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64) {
        if self.is_open(now) && self.start.is_some_and(|start| charged_at >= start) {
            self.used = self.used.saturating_sub(amount);
        }
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        self.limit as f64 - self.used_at(now) as f64
    }

    fn remembers_since(&self, now: Timestamp, _cost: u64) -> Timestamp {
        let longest = now.minus_nanos(self.window);
        match (self.start, self.end()) {
            (Some(start), _) if self.is_open(now) => start,
            (_, Some(end)) => end.max(longest),
            _ => longest,
        }
    }
}
