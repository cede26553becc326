use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Decision, Limiter, nanos};
use crate::Timestamp;

/// At most `limit` in every interval of one window's length: each charge counts for exactly that long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SlidingLog {
    limit: u64,
    window: i64,
    /// When something was charged that may still count, oldest first, and all that had been charged by then: what was
    /// charged between two instants is one subtraction, and what lapses next a binary search.
    entries: VecDeque<(Timestamp, u64)>,
    /// All that had been charged before the entries.
    lapsed: u64,
}

impl SlidingLog {
    /// `limit` in every interval of `window_s` seconds.
    pub fn new(limit: u64, window_s: f64) -> Self {
        Self { limit, window: nanos(window_s), entries: VecDeque::with_capacity(32), lapsed: 0 }
    }

    fn lapses(&self, charged_at: Timestamp) -> Timestamp {
        Timestamp::from_nanos(charged_at.as_nanos() + self.window)
    }

    /// All that has ever been charged.
    fn total(&self) -> u64 {
        self.entries.back().map_or(self.lapsed, |(_, total)| *total)
    }

    /// All that had been charged before entry `index`.
    fn total_before(&self, index: usize) -> u64 {
        index.checked_sub(1).map_or(self.lapsed, |before| self.entries[before].1)
    }

    #[inline]
    fn used_at(&self, now: Timestamp) -> u64 {
        let has_lapsed = |(at, _): &(Timestamp, u64)| self.lapses(*at) <= now;
        let live = match self.entries.front() {
            Some(oldest) if has_lapsed(oldest) => self.entries.partition_point(has_lapsed),
            _ => 0,
        };
        self.total() - self.total_before(live)
    }
}

impl Limiter for SlidingLog {
    #[inline]
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        if self.used_at(now).saturating_add(cost) <= self.limit {
            return Decision::Admitted;
        }
        let total = self.total();
        let still_full =
            |(_, until_then): &(Timestamp, u64)| (total - until_then).saturating_add(cost) > self.limit;
        match self.entries.get(self.entries.partition_point(still_full)) {
            Some((at, _)) => Decision::retry(self.lapses(*at)),
            None => Decision::NEVER,
        }
    }

    #[inline]
    fn charge(&mut self, now: Timestamp, cost: u64) {
        let total = self.total().saturating_add(cost);
        while let Some((at, until_then)) = self.entries.front().copied()
            && self.lapses(at) <= now
        {
            self.lapsed = until_then;
            self.entries.pop_front();
        }
        match self.entries.back_mut() {
            Some((last, until_then)) if *last >= now => *until_then = total,
            _ => self.entries.push_back((now, total)),
        }
    }

    fn refund(&mut self, _now: Timestamp, charged_at: Timestamp, amount: u64) {
        let index = self.entries.partition_point(|(at, _)| *at < charged_at);
        if self.entries.get(index).is_some_and(|(at, _)| *at == charged_at) {
            let returned = amount.min(self.entries[index].1 - self.total_before(index));
            self.entries.range_mut(index..).for_each(|(_, until_then)| *until_then -= returned);
        }
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        self.limit as f64 - self.used_at(now) as f64
    }

    fn remembers_since(&self, now: Timestamp, _cost: u64) -> Timestamp {
        now.minus_nanos(self.window)
    }
}
