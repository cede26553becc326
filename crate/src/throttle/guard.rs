use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use crate::limiter::AnyLimiter;
use crate::{Decision, Limiter, Mechanism, Timestamp};

/// What is trusted after a 429, as a share of what was trusted before it.
const LESS_TRUST: f64 = 0.9;
/// The least that is ever trusted.
const LEAST_TRUST: f64 = 0.1;
/// One part in so many of a quota may come at once all the same, so that requests need not wait for each other's end.
const AT_ONCE: u64 = 10;
/// How long a 429 is remembered, in seconds.
const CAUTIOUS_S: f64 = 86_400.0;

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
    believed: Mechanism,
    limiter: AnyLimiter,
    /// How far the clock of the service may be off, in seconds.
    clock_error_s: f64,
    held: u64,
    releases: BinaryHeap<Reverse<Release>>,
    /// The largest cost so far.
    largest: u64,
    caution: Option<Caution>,
}

/// The quota has rejected what it should have admitted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Caution {
    since: Timestamp,
    trust: f64,
}

impl Caution {
    fn until(self) -> Timestamp {
        self.since.plus_seconds(CAUTIOUS_S)
    }
}

/// At this instant of the limiter's time, `held` is no longer held, and `charged` is charged instead.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Release {
    at: Timestamp,
    held: u64,
    charged: u64,
}

impl Guard {
    /// A quota of which nothing is used. `clock_error_s` is how far the service's clock may be off, in seconds.
    pub(super) fn new(mechanism: Mechanism, clock_error_s: f64) -> Self {
        let believed = match mechanism {
            Mechanism::AnchoredWindow { limit, window_s } => Mechanism::SlidingLog { limit, window_s },
            mechanism => mechanism,
        };
        let is_relative =
            matches!(believed, Mechanism::SlidingLog { .. } | Mechanism::ExponentialDecay { .. });
        Self {
            believed,
            limiter: believed.limiter(),
            clock_error_s: if is_relative { 0.0 } else { clock_error_s },
            held: 0,
            releases: BinaryHeap::new(),
            largest: 0,
            caution: None,
        }
    }

    /// The largest cost that can ever pass.
    pub(super) fn ceiling(&self) -> u64 {
        self.believed.ceiling()
    }

    /// When `cost` may be worth another look: now if it is safe, `None` if only the end of another request helps.
    pub(super) fn opens_at(&mut self, now: Timestamp, cost: u64) -> Option<Timestamp> {
        self.advance(now, cost);
        match self.limiter.check(self.earliest(now), self.held.saturating_add(cost)) {
            Decision::Admitted => Some(now),
            Decision::Throttled { retry_at } => {
                let release = self.releases.peek().map(|Reverse(next)| next.at);
                let next = [retry_at, release].into_iter().flatten().min();
                next.map(|at| at.plus_seconds(self.clock_error_s))
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

    /// The request for which `held` is held ended at `now` and is charged `charged`; the rest comes back after
    /// `refund_s` seconds.
    pub(super) fn end(&mut self, now: Timestamp, held: u64, charged: u64, refund_s: f64) {
        let kept = held.min(charged);
        if held > kept {
            let refunded = self.earliest(now).plus_seconds(refund_s);
            self.releases.push(Reverse(Release { at: refunded, held: held - kept, charged: 0 }));
        }
        let latest = now.plus_seconds(self.clock_error_s);
        self.releases.push(Reverse(Release { at: latest, held: kept, charged }));
    }

    /// A request that was sent at `sent` was rejected by this quota: until further notice it is taken for the worst
    /// mechanism that it may be. Requests that were sent before this became known teach nothing more.
    pub(super) fn rejected(&mut self, now: Timestamp, sent: Timestamp) {
        if self.caution.is_some_and(|caution| sent < caution.since) {
            return;
        }
        let trusted = self.caution.map_or(1.0, |caution| caution.trust);
        self.caution = Some(Caution { since: now, trust: (trusted * LESS_TRUST).max(LEAST_TRUST) });
        // Two periods from now nothing counts of what was before, not even in a sliding counter.
        let period_s = self.believed.ceiling() as f64 / self.believed.rate_per_s();
        let paced = self.paced();
        self.adopt(now, paced, (2.0 * period_s * paced.rate_per_s()).ceil() as u64);
    }

    /// What was used up to `at` is not known: all of it, as late as that.
    pub(super) fn use_up(&mut self, at: Timestamp) {
        let mechanism = if self.caution.is_some() { self.paced() } else { self.believed };
        self.limiter = mechanism.limiter();
        let all = self.ceiling();
        self.hold(all);
        self.end(at, all, all, 0.0);
    }

    /// Lets nothing pass before `until`.
    pub(super) fn close(&mut self, until: Timestamp) {
        let all = self.ceiling();
        self.hold(all);
        self.end(until, all, 0, 0.0);
    }

    /// Until when it is cautious, if it is.
    pub(super) fn cautious_until(&self) -> Option<Timestamp> {
        self.caution.map(Caution::until)
    }

    /// Requests spread evenly, with less than the quota a period by what may come at once: that passes every mechanism of
    /// this limit and period, whatever its phase. A cost above half of the limit gets half of the rate.
    fn paced(&self) -> Mechanism {
        let trust = self.caution.map_or(1.0, |caution| caution.trust);
        let ceiling = self.believed.ceiling();
        let at_once = self.largest.max(ceiling / AT_ONCE).max(1);
        let share = (trust - at_once as f64 / ceiling as f64).max(trust / 2.0);
        Mechanism::TokenBucket { capacity: at_once, refill_per_s: share * self.believed.rate_per_s() }
    }

    /// Takes the quota for `mechanism`, all used up, and `debt` more.
    fn adopt(&mut self, now: Timestamp, mechanism: Mechanism, debt: u64) {
        self.limiter = mechanism.limiter();
        self.limiter.charge(self.earliest(now), mechanism.ceiling().saturating_add(debt));
    }

    /// Lets everything happen that was due by `now`, before a request of `cost`.
    fn advance(&mut self, now: Timestamp, cost: u64) {
        let earliest = self.earliest(now);
        while let Some(Reverse(next)) = self.releases.peek()
            && next.at <= earliest
        {
            self.held -= next.held;
            if next.charged > 0 {
                self.limiter.charge(next.at, next.charged);
            }
            self.releases.pop();
        }
        if self.cautious_until().is_some_and(|until| until <= now) {
            self.caution = None;
            self.adopt(now, self.believed, 0);
        }
        if cost > self.largest {
            self.largest = cost;
            if self.caution.is_some() {
                self.adopt(now, self.paced(), 0);
            }
        }
    }

    /// What the clock of the service shows at least.
    fn earliest(&self, now: Timestamp) -> Timestamp {
        now.plus_seconds(-self.clock_error_s)
    }
}
