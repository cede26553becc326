use serde::{Deserialize, Serialize};

use super::caution::Caution;
use super::guard::Guard;
use crate::{Mechanism, Timestamp};

/// Of so many requests that a quota admitted beyond its half, one vouches for a request more under way at once.
const VOUCHING: u64 = 4;

/// One quota as far as it is trusted: guarded as what it is taken for, and more strictly once it has rejected a request.
///
/// A quota that is taken for a sliding log may be stricter: nobody may have measured it. Half of a log is safe for every
/// mechanism of its limit and period. So beyond half of it no more requests are under way than those before vouch for: if
/// they are rejected, it is few at once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trust {
    guard: Guard,
    /// How much of the quota is only used as far as there are requests that vouch for it.
    unproven: u64,
    in_flight: u64,
    /// Requests that were sent beyond half of the quota, and how many have been admitted since.
    beyond_half: u64,
    vouching: u64,
    /// Whether the request that it was last asked about is beyond half of the quota.
    is_beyond_half: bool,
    /// The largest cost so far.
    largest: u64,
    caution: Option<Caution>,
}

impl Trust {
    pub(super) fn new(guard: Guard) -> Self {
        let is_measured = !matches!(guard.mechanism(), Mechanism::SlidingLog { .. });
        Self {
            unproven: if is_measured { 0 } else { guard.ceiling() / 2 },
            guard,
            in_flight: 0,
            beyond_half: 0,
            vouching: 0,
            is_beyond_half: false,
            largest: 0,
            caution: None,
        }
    }

    /// The largest cost that can ever pass.
    pub(super) fn ceiling(&self) -> u64 {
        self.guard.ceiling()
    }

    /// What it admits in the long run, per second.
    pub(super) fn rate_per_s(&self) -> f64 {
        self.guard.mechanism().rate_per_s()
    }

    /// When `cost` may be worth another look: now if it is safe, `None` if only the end of another request helps.
    #[inline]
    pub(super) fn opens_at(&mut self, now: Timestamp, cost: u64) -> Option<Timestamp> {
        self.remember(now, cost);
        let mut opens_at = self.guard.opens_at(now, cost + self.unproven);
        self.is_beyond_half = opens_at != Some(now);
        if self.is_beyond_half && self.in_flight <= self.vouching / VOUCHING {
            opens_at = self.guard.opens_at(now, cost);
        }
        match &mut self.caution {
            Some(caution) => Some(opens_at?.max(caution.opens_at(now, cost)?)),
            None => opens_at,
        }
    }

    /// Whether there is plenty for `cost` of many requests: far from all that calls for care.
    pub(super) fn has_plenty(&mut self, now: Timestamp, cost: u64) -> bool {
        self.is_beyond_half = self.guard.opens_at(now, cost + self.unproven) != Some(now);
        !self.is_beyond_half && self.caution.is_none()
    }

    /// Holds `cost` of `requests` that are sent, of all that it was asked about the last.
    pub(super) fn hold(&mut self, requests: u64, cost: u64) {
        self.in_flight += requests;
        self.beyond_half += u64::from(self.is_beyond_half) * requests;
        self.each_guard(|guard| guard.hold(cost));
    }

    /// Holds `cost` no longer: the `requests` were not sent.
    pub(super) fn forget(&mut self, requests: u64, cost: u64) {
        self.in_flight -= requests;
        self.each_guard(|guard| guard.forget(cost));
    }

    /// The `requests` for which `held` is held ended at `now` and are charged `charged`; the rest comes back at `refunded`.
    #[inline]
    pub(super) fn end(
        &mut self,
        now: Timestamp,
        requests: u64,
        held: u64,
        charged: u64,
        refunded: Timestamp,
    ) {
        self.in_flight -= requests;
        self.each_guard(|guard| guard.end(now, held, charged, refunded));
    }

    /// What was used up to `at` is not known: all of it, as late as that.
    pub(super) fn use_up(&mut self, at: Timestamp) {
        self.each_guard(|guard| guard.use_up(at));
    }

    /// Lets nothing pass before `until`.
    pub(super) fn close(&mut self, until: Timestamp) {
        self.each_guard(|guard| guard.close(until));
    }

    /// So many requests were admitted.
    pub(super) fn admitted(&mut self, requests: u64) {
        self.vouching = self.beyond_half.min(self.vouching + requests);
    }

    /// A request that was sent at `sent` was rejected by this quota. Requests that were sent before this became known teach
    /// nothing more.
    pub(super) fn rejected(&mut self, now: Timestamp, sent: Timestamp) {
        match &self.caution {
            Some(caution) if sent < caution.since() => {}
            Some(caution) => self.caution = Some(caution.tightened(now, &self.guard, self.largest)),
            None => self.caution = Some(Caution::new(now, &self.guard)),
        }
        (self.beyond_half, self.vouching) = (0, 0);
    }

    /// Until when it is cautious, if it is.
    pub(super) fn cautious_until(&self) -> Option<Timestamp> {
        self.caution.as_ref().map(Caution::until)
    }

    fn remember(&mut self, now: Timestamp, cost: u64) {
        if self.cautious_until().is_some_and(|until| until <= now) {
            self.caution = None;
        }
        if cost > self.largest {
            self.largest = cost;
            if let Some(caution) = &mut self.caution {
                caution.widen(now, &self.guard, cost);
            }
        }
    }

    fn each_guard(&mut self, mut change: impl FnMut(&mut Guard)) {
        change(&mut self.guard);
        if let Some(caution) = &mut self.caution {
            caution.guards().iter_mut().for_each(change);
        }
    }
}
