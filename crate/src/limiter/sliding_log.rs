use std::collections::VecDeque;

use super::{Decision, Limiter, nanos};
use crate::Timestamp;

/// At most `limit` in every interval of one window's length: each charge counts for exactly that long.
#[derive(Clone, Debug)]
pub struct SlidingLog {
    limit: u64,
    window: i64,
    /// Charges that may still count, oldest first.
    entries: VecDeque<(Timestamp, u64)>,
    /// When the oldest one lapses: most questions need to know no more, and do not look at the entries.
    oldest_lapses: Timestamp,
    used: u64,
}

impl SlidingLog {
    /// `limit` in every interval of `window_s` seconds.
    pub fn new(limit: u64, window_s: f64) -> Self {
        let (window, oldest_lapses) = (nanos(window_s), Timestamp::from_nanos(i64::MAX));
        Self { limit, window, entries: VecDeque::with_capacity(16), oldest_lapses, used: 0 }
    }

    fn lapses(&self, charged_at: Timestamp) -> Timestamp {
        Timestamp::from_nanos(charged_at.as_nanos() + self.window)
    }

    fn used_at(&self, now: Timestamp) -> u64 {
        if now < self.oldest_lapses {
            return self.used;
        }
        let lapsed = self.entries.iter().take_while(|(at, _)| self.lapses(*at) <= now);
        self.used - lapsed.map(|(_, cost)| cost).sum::<u64>()
    }
}

impl Limiter for SlidingLog {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        let mut used = self.used_at(now);
        if used.saturating_add(cost) <= self.limit {
            return Decision::Admitted;
        }
        let live = self.entries.iter().filter(|(at, _)| self.lapses(*at) > now);
        for (at, charged) in live {
            used -= charged;
            if used.saturating_add(cost) <= self.limit {
                return Decision::retry(self.lapses(*at));
            }
        }
        Decision::NEVER
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        let now = self.entries.back().map_or(now, |(last, _)| now.max(*last));
        self.entries.push_back((now, cost));
        self.used = self.used.saturating_add(cost);
        while let Some((at, charged)) = self.entries.front().copied() {
            self.oldest_lapses = self.lapses(at);
            if self.oldest_lapses > now {
                break;
            }
            self.used -= charged;
            self.entries.pop_front();
        }
    }

    fn refund(&mut self, _now: Timestamp, charged_at: Timestamp, amount: u64) {
        let mut left = amount;
        let charges = self.entries.iter_mut().rev().skip_while(|(at, _)| *at > charged_at);
        for (_, charged) in charges.take_while(|(at, _)| *at == charged_at) {
            let returned = left.min(*charged);
            *charged -= returned;
            self.used -= returned;
            left -= returned;
        }
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        self.limit as f64 - self.used_at(now) as f64
    }

    fn remembers_since(&self, now: Timestamp) -> Timestamp {
        now.minus_nanos(self.window)
    }
}
