use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use crate::limiter::AnyLimiter;
use crate::{Decision, Limiter, Mechanism, Timestamp};

/// One quota as its client sees it: a limiter whose charges come as late as the service may have made them, and that is
/// read as early as the clock of the service may be.
///
/// From the moment a request is sent until it was surely admitted, its cost is *held*: it has to fit besides. Then it is
/// charged. That is safe for every mechanism for which, left alone, what remains never shrinks, and a later charge never
/// leaves more: of all requests that the service counts against one another, the one sent last has been checked against
/// all others.
///
/// A window from first use breaks the second condition: a later start is a later end, so what was sent shortly before
/// would be taken for the old window's. It is guarded as the sliding log of the same limit, which is never looser.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Guard {
    mechanism: Mechanism,
    ceiling: u64,
    limiter: AnyLimiter,
    /// How far the clock of the service may be off, in nanoseconds.
    clock_error: i64,
    /// The same where the reading of that clock matters, or else nothing.
    error: i64,
    held: u64,
    releases: BinaryHeap<Reverse<Release>>,
}

/// At this instant of the limiter's time, `held` is no longer held, and `charged` is charged instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Release {
    at: Timestamp,
    held: u64,
    charged: u64,
}

impl Guard {
    /// A quota of which nothing is used. `clock_error_s` is how far the service's clock may be off, in seconds.
    pub(super) fn new(mechanism: Mechanism, clock_error_s: f64) -> Self {
        let mechanism = match mechanism {
            Mechanism::AnchoredWindow { limit, window_s } => Mechanism::SlidingLog { limit, window_s },
            mechanism => mechanism,
        };
        Self::of(mechanism, Timestamp::EPOCH.plus_seconds(clock_error_s).as_nanos())
    }

    fn of(mechanism: Mechanism, clock_error: i64) -> Self {
        let is_relative =
            matches!(mechanism, Mechanism::SlidingLog { .. } | Mechanism::ExponentialDecay { .. });
        Self {
            mechanism,
            ceiling: mechanism.ceiling(),
            limiter: mechanism.limiter(),
            clock_error,
            error: if is_relative { 0 } else { clock_error },
            held: 0,
            releases: BinaryHeap::new(),
        }
    }

    /// The same requests under way, but of a quota that is taken for `mechanism` and used up at `now`.
    pub(super) fn taken_for(&self, mechanism: Mechanism, now: Timestamp) -> Self {
        let other = Self::of(mechanism, self.clock_error);
        let mut guard = Self { held: self.held, releases: self.releases.clone(), ..other };
        guard.use_up(now);
        guard
    }

    /// What was used up to `at` is not known: all of it, as late as that.
    pub(super) fn use_up(&mut self, at: Timestamp) {
        self.limiter = self.mechanism.limiter();
        self.charge(at, self.ceiling);
    }

    /// Charges `amount` that was used at `at`.
    pub(super) fn charge(&mut self, at: Timestamp, amount: u64) {
        self.hold_until(at, amount, amount);
    }

    /// Lets nothing pass before `until`.
    pub(super) fn close(&mut self, until: Timestamp) {
        self.hold_until(until, self.ceiling, 0);
    }

    /// Holds `held` until `at`, and then charges `charged`.
    fn hold_until(&mut self, at: Timestamp, held: u64, charged: u64) {
        self.hold(held);
        self.releases.push(Reverse(Release { at: at.plus_nanos(self.error), held, charged }));
    }

    /// What the quota is taken for.
    pub(super) fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The largest cost that can ever pass.
    pub(super) fn ceiling(&self) -> u64 {
        self.ceiling
    }

    /// When `cost` may be worth another look: now if it is safe, `None` if only the end of another request helps.
    #[inline]
    pub(super) fn opens_at(&mut self, now: Timestamp, cost: u64) -> Option<Timestamp> {
        self.advance(now);
        match self.limiter.check(self.earliest(now), self.held.saturating_add(cost)) {
            Decision::Admitted => Some(now),
            Decision::Throttled { retry_at } => {
                let release = self.releases.peek().map(|Reverse(next)| next.at);
                let next = [retry_at, release].into_iter().flatten().min();
                next.map(|at| at.plus_nanos(self.error))
            }
        }
    }

    /// Holds `cost` of a request that is sent.
    pub(super) fn hold(&mut self, cost: u64) {
        self.held = self.held.saturating_add(cost);
    }

    /// Holds `cost` no longer: the request was not sent.
    pub(super) fn forget(&mut self, cost: u64) {
        self.held = self.held.saturating_sub(cost);
    }

    /// The request for which `held` is held ended at `now` and is charged `charged`; the rest comes back at `refunded`.
    #[inline]
    pub(super) fn end(&mut self, now: Timestamp, held: u64, charged: u64, refunded: Timestamp) {
        self.advance(now);
        let kept = held.min(charged);
        // What costs more than expected is held at once.
        self.hold(charged - kept);
        if held > kept {
            let back = Release { at: self.earliest(refunded), held: held - kept, charged: 0 };
            self.release(now, back);
        }
        self.release(now, Release { at: now.plus_nanos(self.error), held: charged, charged });
    }

    /// Lets everything happen that was due by `now`.
    #[inline]
    fn advance(&mut self, now: Timestamp) {
        let earliest = self.earliest(now);
        while let Some(Reverse(next)) = self.releases.peek()
            && next.at <= earliest
        {
            let release = *next;
            self.releases.pop();
            self.apply(release);
        }
    }

    /// Lets `release` happen when it is due.
    #[inline]
    fn release(&mut self, now: Timestamp, release: Release) {
        if release.at <= self.earliest(now) {
            self.apply(release);
        } else {
            self.releases.push(Reverse(release));
        }
    }

    fn apply(&mut self, release: Release) {
        self.held -= release.held;
        if release.charged > 0 {
            self.limiter.charge(release.at, release.charged);
        }
    }

    /// What the clock of the service shows at least.
    fn earliest(&self, now: Timestamp) -> Timestamp {
        now.minus_nanos(self.error)
    }
}
