//! What the likeliest mechanisms of a verdict predict of each request, against what was observed.

use crate::{
    Admission, AnyLimiter, Binding, Limiter, Mechanism, Observation, Outcome, QuotaKind, Timestamp, Verdict,
};

/// So many mechanisms are compared with what was observed: the winner and the runner-up.
const COMPARED: usize = 2;
/// A quota of tokens, and what requests take of it, are known to about this share of the quota.
const TOKENS_UNSURE: f64 = 0.02;

/// One mechanism of a verdict, request by request.
#[derive(Clone)]
pub(crate) struct Prediction {
    pub mechanism: Mechanism,
    /// Of the mechanism, 0 to 1.
    pub probability: f64,
    /// What it counts.
    pub kind: QuotaKind,
    /// Whether it agrees with each observation; `None` for requests that failed, which are no evidence.
    pub agrees: Vec<Option<bool>>,
    /// When it decided on each observation: the first end of the request at which it agrees.
    pub decided: Vec<Timestamp>,
    rules: Rules,
}

/// What a quota does that is not in its mechanism's parameters.
#[derive(Clone, Copy)]
struct Rules {
    admission: Admission,
    rejected_count: bool,
}

impl Prediction {
    /// Of the two most probable mechanisms that can be replayed, the winner first; none if no quota rejected anything.
    ///
    /// An outcome contradicts a mechanism only if nothing that is unknown explains it: the instant of admission, taken
    /// at either end of each request; whether failures were charged; and, of tokens, 2 % of the quota. A verdict does
    /// not say how much of a request has to fit, nor whether rejected requests count: both are taken as they contradict
    /// the winner least. Nor does it say what the runner-up counts, which is what contradicts that one least. Others'
    /// traffic is left out: a mechanism that needs it is contradicted.
    pub fn of(observations: &[Observation], verdict: &Verdict) -> Vec<Self> {
        let Binding::Quota(binding) = verdict.binding else { return Vec::new() };
        let known = verdict.ranked.iter().filter_map(|ranked| Some((ranked.parameters?, ranked.probability)));
        let mut predictions: Vec<Self> = Vec::new();
        for (mechanism, probability) in known.take(COMPARED) {
            let (kinds, rules) = match predictions.first() {
                None => (vec![binding], Rules::all()),
                Some(winner) => (vec![binding, other(binding)], vec![winner.rules]),
            };
            let readings = kinds.iter().flat_map(|kind| rules.iter().map(|rules| (*kind, *rules)));
            let read = readings.map(|(kind, rules)| {
                let (agrees, decided) = rules.agreement(observations, mechanism, kind);
                Self { mechanism, probability, kind, agrees, decided, rules }
            });
            predictions.extend(read.min_by_key(Self::contradicted));
        }
        predictions
    }

    /// How many requests contradict it.
    pub fn contradicted(&self) -> usize {
        self.agrees.iter().filter(|agrees| **agrees == Some(false)).count()
    }

    /// How many requests it was compared with.
    pub fn compared(&self) -> usize {
        self.agrees.iter().flatten().count()
    }

    /// Whether a request of this outcome takes something of the quota, as far as is known.
    pub fn counts(&self, outcome: Outcome) -> bool {
        self.rules.count(outcome, false)
    }
}

fn other(kind: QuotaKind) -> QuotaKind {
    match kind {
        QuotaKind::Requests => QuotaKind::Tokens,
        QuotaKind::Tokens | QuotaKind::TokensPerDay => QuotaKind::Requests,
    }
}

impl Rules {
    /// The usual ones first.
    fn all() -> Vec<Self> {
        let admissions = [Admission::Whole, Admission::UntilExhausted];
        let rules = |admission| [false, true].map(|rejected_count| Self { admission, rejected_count });
        admissions.into_iter().flat_map(rules).collect()
    }

    fn count(self, outcome: Outcome, failed_count: bool) -> bool {
        match outcome {
            Outcome::Admitted => true,
            Outcome::Throttled(_) => self.rejected_count,
            Outcome::Failed => failed_count,
        }
    }

    /// Whether the mechanism agrees with each request, and when it decides on it at the earliest.
    fn agreement(
        self,
        observations: &[Observation],
        mechanism: Mechanism,
        kind: QuotaKind,
    ) -> (Vec<Option<bool>>, Vec<Timestamp>) {
        let early =
            self.decisions(observations, Replay::new(mechanism, kind), |seen| [seen.sent, seen.finished]);
        let late =
            self.decisions(observations, Replay::new(mechanism, kind), |seen| [seen.finished, seen.sent]);
        let is_evidence = |seen: &Observation| seen.outcome() != Outcome::Failed;
        let agrees = observations.iter().zip(early.iter().zip(late));
        let agrees =
            agrees.map(|(seen, (early, late))| is_evidence(seen).then_some(early.agrees || late.agrees));
        (agrees.collect(), early.iter().map(|decision| decision.at).collect())
    }

    /// Decisions at the first of the `ends` at which they agree with what was observed.
    fn decisions(
        self,
        observations: &[Observation],
        mut replay: Replay,
        ends: fn(&Observation) -> [Timestamp; 2],
    ) -> Vec<Decided> {
        let unsure = match replay.kind {
            QuotaKind::Requests => 0.0,
            QuotaKind::Tokens | QuotaKind::TokensPerDay => TOKENS_UNSURE * replay.ceiling as f64,
        };
        let decide = |seen: &Observation| {
            let needed = self.admission.needs(replay.kind.cost(seen.reserved())) as f64;
            let agrees = |at: &Timestamp, unsure: f64| match seen.outcome() {
                Outcome::Admitted => needed <= replay.remaining(*at) + unsure,
                Outcome::Throttled(_) => needed > replay.remaining(*at) - unsure,
                Outcome::Failed => true,
            };
            let ends = ends(seen);
            let at = |unsure| ends.into_iter().find(|at| agrees(at, unsure));
            let agreed = at(0.0).or_else(|| at(unsure));
            let decided = Decided { at: agreed.unwrap_or(ends[0]), agrees: agreed.is_some() };
            // Failures are charged by those that decide late.
            if self.count(seen.outcome(), ends[0] > seen.sent) {
                replay.charge(decided.at, seen);
                replay.settle(decided.at, seen);
            }
            decided
        };
        observations.iter().map(decide).collect()
    }
}

/// When a mechanism decides on a request, and whether as was observed.
struct Decided {
    at: Timestamp,
    agrees: bool,
}

/// A mechanism, fresh before the first request, led along what was observed: the outcomes, not its own decisions,
/// drive it.
pub(crate) struct Replay {
    limiter: AnyLimiter,
    ceiling: u64,
    kind: QuotaKind,
}

impl Replay {
    pub fn new(mechanism: Mechanism, kind: QuotaKind) -> Self {
        Self { limiter: mechanism.limiter(), ceiling: mechanism.ceiling(), kind }
    }

    /// What would be left at `at`; negative after requests that did not fit.
    pub fn remaining(&self, at: Timestamp) -> f64 {
        self.limiter.remaining(at)
    }

    /// Counts what a request reserves.
    pub fn charge(&mut self, at: Timestamp, seen: &Observation) {
        self.limiter.charge(at, self.kind.cost(seen.reserved()));
    }

    /// Counts, at the end of a request that was charged at `charged_at`, what it used instead of what it reserved.
    pub fn settle(&mut self, charged_at: Timestamp, seen: &Observation) {
        let reserved = self.kind.cost(seen.reserved());
        match seen.settled(1).map(|used| self.kind.cost(used)) {
            Some(used) if used > reserved => self.limiter.charge(seen.finished, used - reserved),
            Some(used) => self.limiter.refund(seen.finished, charged_at, reserved - used),
            None => {}
        }
    }
}
