use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::evidence::Evidence;
use crate::{AnyLimiter, Limiter, Mechanism, Outcome, QuotaKind, Timestamp};

/// How often a request that fits is rejected all the same.
const SPURIOUS_429: f64 = 0.025;
/// How often a request that does not fit is admitted all the same.
const SPURIOUS_200: f64 = 0.01;
/// How often a request that failed, with a 5xx or without an answer, was charged.
const FAILED_IS_CHARGED: f64 = 0.5;
/// Traffic of others starts this long before the first observation, so that their use is in the state.
const WARM_UP_S: f64 = 120.0;

/// What others did longer ago than this no longer matters, and a trace may pause for days.
const MEMORY_S: f64 = 3_600.0;

/// How probable it is that a request that fits, or does not, is admitted, or is not.
pub(super) fn outcome_probability(fits: bool, admitted: bool) -> f64 {
    match (fits, admitted) {
        (true, true) => 1.0 - SPURIOUS_429,
        (true, false) => SPURIOUS_429,
        (false, true) => SPURIOUS_200,
        (false, false) => 1.0 - SPURIOUS_200,
    }
}

/// A mechanism with fixed parameters, and the circumstances under which it is watched.
#[derive(Clone, Debug)]
pub(super) struct Hypothesis {
    pub kind: QuotaKind,
    pub mechanism: Mechanism,
    pub rejected_count: bool,
    pub others: Others,
}

/// What others on the account do to the quota.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Others {
    /// Their use a second, in tokens or requests.
    pub use_per_s: f64,
    /// The cost of one of their requests.
    pub request_cost: u64,
    /// They used this much, this many seconds before the first observation.
    pub before: Option<(f64, u64)>,
}

impl Others {
    pub(super) fn are_absent(&self) -> bool {
        *self == Self::default()
    }
}

/// A hypothesis replayed along a trace: the observed outcomes, not its own predictions, drive its state.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    hypothesis: Hypothesis,
    limiter: AnyLimiter,
    rng: Pcg64Mcg,
    now: Timestamp,
    next_of_others: Option<Timestamp>,
}

impl Replay {
    /// `seed` decides everything uncertain: instants of admission, the others' requests, what failures cost.
    pub(super) fn new(hypothesis: Hypothesis, first: Timestamp, seed: u64) -> Self {
        let mut replay = Self {
            limiter: hypothesis.mechanism.limiter(),
            rng: Pcg64Mcg::seed_from_u64(seed),
            now: first.plus_seconds(-WARM_UP_S),
            next_of_others: None,
            hypothesis,
        };
        replay.next_of_others = replay.next_after(replay.now);
        if let Some((seconds, used)) = replay.hypothesis.others.before {
            replay.now = first.plus_seconds(-seconds);
            replay.limiter.charge(replay.now, used);
        }
        replay
    }

    /// Moves on by one observation and returns the probability of its outcome; 1 if that is no evidence.
    pub(super) fn step(&mut self, evidence: &Evidence) -> f64 {
        let kind = self.hypothesis.kind;
        let span = evidence.latest.seconds_since(evidence.earliest);
        let at = evidence.earliest.plus_seconds(self.rng.random::<f64>() * span);
        self.advance(at);
        let reserved = evidence.reserved(kind);
        let fits = self.limiter.check(self.now, reserved).is_admitted();
        let probability = match evidence.outcome {
            Outcome::Admitted => {
                let charged_at = self.now;
                self.limiter.charge(charged_at, reserved);
                let unused = evidence.unused(kind);
                if unused > 0 {
                    self.advance(evidence.latest);
                    self.limiter.refund(self.now, charged_at, unused);
                }
                outcome_probability(fits, true)
            }
            Outcome::Throttled(_) => {
                if self.hypothesis.rejected_count {
                    self.limiter.charge(self.now, reserved * evidence.attempts);
                }
                outcome_probability(fits, false)
            }
            Outcome::Failed => {
                if self.rng.random_bool(FAILED_IS_CHARGED) {
                    self.limiter.charge(self.now, reserved);
                }
                1.0
            }
        };
        if evidence.informative { probability } else { 1.0 }
    }

    /// From here on, `seed` decides what is uncertain.
    pub(super) fn reseed(&mut self, seed: u64) {
        self.rng = Pcg64Mcg::seed_from_u64(seed);
    }

    pub(super) fn limiter(&self) -> &AnyLimiter {
        &self.limiter
    }

    pub(super) fn kind(&self) -> QuotaKind {
        self.hypothesis.kind
    }

    fn advance(&mut self, to: Timestamp) {
        let remembered = to.plus_seconds(-MEMORY_S);
        if self.next_of_others.is_some_and(|at| at < remembered) {
            self.next_of_others = self.next_after(remembered);
        }
        while let Some(at) = self.next_of_others.filter(|at| *at <= to) {
            self.now = self.now.max(at);
            self.limiter.charge(self.now, self.hypothesis.others.request_cost);
            self.next_of_others = self.next_after(at);
        }
        self.now = self.now.max(to);
    }

    /// The others' requests are a Poisson process.
    fn next_after(&mut self, at: Timestamp) -> Option<Timestamp> {
        let others = self.hypothesis.others;
        if others.use_per_s <= 0.0 {
            return None;
        }
        let mean_gap_s = others.request_cost as f64 / others.use_per_s;
        Some(at.plus_seconds(-mean_gap_s * (1.0 - self.rng.random::<f64>()).ln()))
    }
}
