use super::{Decision, Limiter, nanos, window_index, window_start};
use crate::Timestamp;

/// Counts per clock-aligned window and estimates the sliding sum as `previous x (1 - elapsed share) + current`.
///
/// Source of the formula: Cloudflare, "How we built rate limiting capable of scaling to millions of domains".
#[derive(Clone, Debug)]
pub struct SlidingCounter {
    limit: u64,
    window: i64,
    offset: i64,
    index: i64,
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
            index: i64::MIN,
            previous: 0,
            current: 0,
        }
    }

    /// The window that holds `now`, with the counts of the one before it and of itself.
    fn counts_at(&self, now: Timestamp) -> (i64, u64, u64) {
        let index = window_index(now, self.window, self.offset).max(self.index);
        match index.saturating_sub(self.index) {
            0 => (index, self.previous, self.current),
            1 => (index, self.current, 0),
            _ => (index, 0, 0),
        }
    }

    /// The first instant from the start of window `index` on at which `previous` has faded enough for `fixed` more.
    fn fits_from(&self, index: i64, previous: u64, fixed: u64) -> Option<Timestamp> {
        let spare = i128::from(self.limit) - i128::from(fixed);
        if spare < 0 {
            return None;
        }
        let window = i128::from(self.window);
        let faded = match i128::from(previous) {
            previous if previous <= spare => 0,
            previous => window - spare * window / previous,
        };
        let start = window_start(index, self.window, self.offset);
        Some(Timestamp::from_nanos(start.as_nanos() + faded as i64))
    }
}

impl Limiter for SlidingCounter {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        let (index, previous, current) = self.counts_at(now);
        match self.fits_from(index, previous, current.saturating_add(cost)) {
            Some(at) if at <= now => Decision::Admitted,
            Some(at) => Decision::retry(at),
            None => Decision::Throttled { retry_at: self.fits_from(index + 1, current, cost) },
        }
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        (self.index, self.previous, self.current) = self.counts_at(now);
        self.current = self.current.saturating_add(cost);
    }

    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64) {
        (self.index, self.previous, self.current) = self.counts_at(now);
        match self.index - window_index(charged_at, self.window, self.offset) {
            0 => self.current = self.current.saturating_sub(amount),
            1 => self.previous = self.previous.saturating_sub(amount),
            _ => {}
        }
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        let (index, previous, current) = self.counts_at(now);
        let elapsed = now.as_nanos() - window_start(index, self.window, self.offset).as_nanos();
        let share = (elapsed as f64 / self.window as f64).clamp(0.0, 1.0);
        self.limit as f64 - current as f64 - previous as f64 * (1.0 - share)
    }

    /// What was used a window's length ago counts for as much as half of it, on average: earlier use is neglected.
    fn remembers_since(&self, now: Timestamp) -> Timestamp {
        now.minus_nanos(self.window)
    }
}
