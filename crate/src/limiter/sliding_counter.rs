use serde::{Deserialize, Serialize};

use super::{Decision, Limiter, NEVER_BEGAN, nanos, window_end};
use crate::Timestamp;

/// Counts per clock-aligned window and estimates the sliding sum as `previous x (1 - elapsed share) + current`.
///
/// Source of the formula: Cloudflare, "How we built rate limiting capable of scaling to millions of domains".
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SlidingCounter {
    limit: u64,
    window: i64,
    offset: i64,
    /// When the window ends that `current` counts.
    end: Timestamp,
    previous: u64,
    current: u64,
}

impl SlidingCounter {
    /// `limit` in about `window_s` seconds; counting windows start `offset_s` seconds after multiples of `window_s`.
    pub fn new(limit: u64, window_s: f64, offset_s: f64) -> Self {
        Self {
            limit,
            window: nanos(window_s),
            offset: nanos(offset_s),
            end: NEVER_BEGAN,
            previous: 0,
            current: 0,
        }
    }

    /// The end of the window that holds `now`, with the counts of the one before it and of itself.
    fn counts_at(&self, now: Timestamp) -> (Timestamp, u64, u64) {
        let next = self.end.plus_nanos(self.window);
        if now < self.end {
            (self.end, self.previous, self.current)
        } else if now < next {
            (next, self.current, 0)
        } else {
            (window_end(now, self.window, self.offset), 0, 0)
        }
    }

    /// The first instant of the window that ends at `end` at which `previous` has faded enough for `fixed` more.
    fn fits_from(&self, end: Timestamp, previous: u64, fixed: u64) -> Option<Timestamp> {
        let spare = i128::from(self.limit) - i128::from(fixed);
        if spare < 0 {
            return None;
        }
        let window = i128::from(self.window);
        let left = match i128::from(previous) {
            previous if previous <= spare => window,
            previous => spare * window / previous,
        };
        Some(end.minus_nanos(left as i64))
    }
}

impl Limiter for SlidingCounter {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        let (end, previous, current) = self.counts_at(now);
        match self.fits_from(end, previous, current.saturating_add(cost)) {
            Some(at) if at <= now => Decision::Admitted,
            Some(at) => Decision::retry(at),
            None => {
                Decision::Throttled { retry_at: self.fits_from(end.plus_nanos(self.window), current, cost) }
            }
        }
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        (self.end, self.previous, self.current) = self.counts_at(now);
        self.current = self.current.saturating_add(cost);
    }

    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64) {
        (self.end, self.previous, self.current) = self.counts_at(now);
        let start = self.end.minus_nanos(self.window);
        if (start..self.end).contains(&charged_at) {
            self.current = self.current.saturating_sub(amount);
        } else if (start.minus_nanos(self.window)..start).contains(&charged_at) {
            self.previous = self.previous.saturating_sub(amount);
        }
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        let (end, previous, current) = self.counts_at(now);
        let elapsed = now.as_nanos() - end.minus_nanos(self.window).as_nanos();
        let share = (elapsed as f64 / self.window as f64).clamp(0.0, 1.0);
        self.limit as f64 - current as f64 - previous as f64 * (1.0 - share)
    }

    /// What was used a window's length ago counts for as much as half of it, on average: earlier use is neglected.
    fn remembers_since(&self, now: Timestamp, _cost: u64) -> Timestamp {
        now.minus_nanos(self.window)
    }
}
