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
#[derive(Debug)]
pub(super) struct Trust {
    guard: Guard,
    in_flight: u64,
    /// Requests that were admitted when more than half of the quota was in use.
    vouching: u64,
    /// The largest cost so far.
    largest: u64,
    caution: Option<Caution>,
}

impl Trust {
    pub(super) fn new(guard: Guard) -> Self {
        Self { guard, in_flight: 0, vouching: 0, largest: 0, caution: None }
    }

    /// The largest cost that can ever pass.
    pub(super) fn ceiling(&self) -> u64 {
        self.guard.ceiling()
    }

    /// When `cost` may be worth another look: now if it is safe, `None` if only the end of another request helps.
    pub(super) fn opens_at(&mut self, now: Timestamp, cost: u64) -> Option<Timestamp> {
        self.remember(now, cost);
        let is_vouched_for = self.is_measured() || self.in_flight <= self.vouching / VOUCHING;
        let spared = if is_vouched_for { 0 } else { self.half() };
        let mut opens_at = self.guard.opens_at(now, cost + spared)?;
        for guard in self.caution.iter_mut().flat_map(Caution::guards) {
            opens_at = opens_at.max(guard.opens_at(now, cost)?);
        }
        Some(opens_at)
    }

    /// Holds `cost` of a request that is sent.
    pub(super) fn hold(&mut self, cost: u64) {
        self.in_flight += 1;
        self.guards().for_each(|guard| guard.hold(cost));
    }

    /// Holds `cost` no longer: the request was not sent.
    pub(super) fn forget(&mut self, cost: u64) {
        self.in_flight -= 1;
        self.guards().for_each(|guard| guard.forget(cost));
    }

    /// The request for which `held` is held ended at `now` and is charged `charged`; the rest comes back at `refunded`.
    pub(super) fn end(&mut self, now: Timestamp, held: u64, charged: u64, refunded: Timestamp) {
        self.in_flight -= 1;
        self.guards().for_each(|guard| guard.end(now, held, charged, refunded));
    }

    /// What was used up to `at` is not known: all of it, as late as that.
    pub(super) fn use_up(&mut self, at: Timestamp) {
        self.guards().for_each(|guard| guard.use_up(at));
    }

    /// A request was admitted.
    pub(super) fn admitted(&mut self, now: Timestamp) {
        if !self.is_measured() && self.guard.remaining(now) < self.half() as f64 {
            self.vouching += 1;
        }
    }

    /// A request that was sent at `sent` was rejected by this quota. Requests that were sent before this became known teach
    /// nothing more.
    pub(super) fn rejected(&mut self, now: Timestamp, sent: Timestamp) {
        match &self.caution {
            Some(caution) if sent < caution.since() => {}
            Some(caution) => self.caution = Some(caution.tightened(now, &self.guard, self.largest)),
            None => self.caution = Some(Caution::new(now, &self.guard)),
        }
        self.vouching = 0;
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

    fn guards(&mut self) -> impl Iterator<Item = &mut Guard> {
        std::iter::once(&mut self.guard).chain(self.caution.iter_mut().flat_map(Caution::guards))
    }

    fn is_measured(&self) -> bool {
        !matches!(self.guard.mechanism(), Mechanism::SlidingLog { .. })
    }

    fn half(&self) -> u64 {
        self.guard.ceiling() / 2
    }
}
