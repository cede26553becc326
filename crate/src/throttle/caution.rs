use serde::{Deserialize, Serialize};

use super::guard::Guard;
use crate::{Mechanism, Timestamp};

/// How long a 429 is remembered, in seconds.
const REMEMBERED_S: f64 = 86_400.0;
/// What is trusted after each further 429, as a share of what was trusted before it.
const LESS_TRUST: f64 = 0.9;
/// The least that is ever trusted.
const LEAST_TRUST: f64 = 0.1;
/// One part in so many of a quota may come at once all the same, so that requests need not wait for each other's end.
const AT_ONCE: u64 = 10;

/// A quota has rejected what it should have admitted: for a day, requests have to pass these guards besides.
///
/// The first 429 tells that the quota is one of the mechanisms of its limit and period that are stricter than what it was
/// taken for, or that somebody else uses it. So it is guarded as all of those, taken for used up. If that is not enough,
/// requests are spread evenly, which passes in any phase and leaves something to others, the more the more often it was
/// not enough.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Caution {
    since: Timestamp,
    guards: Vec<Guard>,
    /// What is trusted of the quota, once requests are spread evenly.
    trust: Option<f64>,
}

impl Caution {
    /// What the first 429 of the quota of `guard` calls for.
    pub(super) fn new(now: Timestamp, guard: &Guard) -> Self {
        let strict =
            strict(guard.mechanism()).into_iter().filter(|other| other.id() != guard.mechanism().id());
        let guards = strict.map(|mechanism| guard.taken_for(mechanism, now)).collect();
        Self { since: now, guards, trust: None }
    }

    /// What a further 429 calls for, if requests may be as large as `largest`.
    pub(super) fn tightened(&self, now: Timestamp, guard: &Guard, largest: u64) -> Self {
        let trust = (self.trust.unwrap_or(1.0) * LESS_TRUST).max(LEAST_TRUST);
        let mut spread = spread(now, guard, largest, trust);
        // Two periods from now nothing counts of what was before, not even in a sliding counter.
        let pause_s = 2.0 * guard.mechanism().period_s();
        spread.charge(now, (pause_s * spread.mechanism().rate_per_s()).ceil() as u64);
        Self { since: now, guards: vec![spread], trust: Some(trust) }
    }

    /// Lets requests be as large as `largest`.
    pub(super) fn widen(&mut self, now: Timestamp, guard: &Guard, largest: u64) {
        if let Some(trust) = self.trust {
            self.guards = vec![spread(now, guard, largest, trust)];
        }
    }

    /// When all of its guards may be worth another look for `cost`; see [`Guard::opens_at`].
    pub(super) fn opens_at(&mut self, now: Timestamp, cost: u64) -> Option<Timestamp> {
        let mut opens_at = self.guards.iter_mut().map(|guard| guard.opens_at(now, cost));
        opens_at.try_fold(now, |latest, at| Some(latest.max(at?)))
    }

    /// When it was learnt.
    pub(super) fn since(&self) -> Timestamp {
        self.since
    }

    /// When it is forgotten.
    pub(super) fn until(&self) -> Timestamp {
        self.since.plus_seconds(REMEMBERED_S)
    }

    /// What requests have to pass besides.
    pub(super) fn guards(&mut self) -> &mut [Guard] {
        &mut self.guards
    }
}

/// The mechanisms of the limit and the period of `mechanism` that are not looser than any other but in another phase.
fn strict(mechanism: Mechanism) -> [Mechanism; 3] {
    let (limit, window_s) = (mechanism.ceiling(), mechanism.period_s());
    [
        Mechanism::SlidingLog { limit, window_s },
        Mechanism::SlidingCounter { limit, window_s, offset_s: 0.0 },
        Mechanism::ExponentialDecay { limit, time_constant_s: window_s },
    ]
}

/// Requests spread evenly, with less than the quota a period by what may come at once: that passes every mechanism of
/// this limit and period, whatever its phase. A cost above half of the limit gets half of the rate.
fn spread(now: Timestamp, guard: &Guard, largest: u64, trust: f64) -> Guard {
    let ceiling = guard.ceiling();
    let capacity = largest.max(ceiling / AT_ONCE).max(1);
    let share = (trust - capacity as f64 / ceiling as f64).max(trust / 2.0);
    let refill_per_s = share * guard.mechanism().rate_per_s();
    guard.taken_for(Mechanism::TokenBucket { capacity, refill_per_s }, now)
}
