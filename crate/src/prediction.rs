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
    /// at both ends of each request; whether failures were charged; and, of tokens, 2 % of the quota. A verdict does
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
                let agrees = rules.agreement(observations, mechanism, kind);
                Self { mechanism, probability, kind, agrees, rules }
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

    fn agreement(
        self,
        observations: &[Observation],
        mechanism: Mechanism,
        kind: QuotaKind,
    ) -> Vec<Option<bool>> {
        let quota = (mechanism, kind);
        let early = self.possible(observations, quota, (|seen| seen.sent, false));
        let late = self.possible(observations, quota, (|seen| seen.finished.max(seen.sent), true));
        let possible = early.into_iter().zip(late);
        let agrees = |(seen, (early, late)): (&Observation, ([bool; 2], [bool; 2]))| match seen.outcome() {
            Outcome::Admitted => Some(early[0] || late[0]),
            Outcome::Throttled(_) => Some(early[1] || late[1]),
            Outcome::Failed => None,
        };
        observations.iter().zip(possible).map(agrees).collect()
    }

    /// Whether each request may have been admitted, and may have been throttled, where requests are decided on at
    /// `decided` and failures are charged or not.
    fn possible(
        self,
        observations: &[Observation],
        (mechanism, kind): (Mechanism, QuotaKind),
        (decided, failed_count): (fn(&Observation) -> Timestamp, bool),
    ) -> Vec<[bool; 2]> {
        let unsure = match kind {
            QuotaKind::Requests => 0.0,
            QuotaKind::Tokens | QuotaKind::TokensPerDay => TOKENS_UNSURE * mechanism.ceiling() as f64,
        };
        let mut replay = Replay::new(mechanism, kind);
        let mut possible = vec![[false; 2]; observations.len()];
        for step in Replay::steps(observations, decided) {
            let seen = step.seen;
            if !step.settles {
                let needed = self.admission.needs(kind.cost(seen.reserved())) as f64;
                let left = [seen.sent, seen.finished].map(|at| replay.remaining(at));
                let [least, most] = [left[0].min(left[1]), left[0].max(left[1])];
                possible[step.index] = [needed <= most + unsure, needed > least - unsure];
            }
            if self.count(seen.outcome(), failed_count) {
                replay.take(&step);
            }
        }
        possible
    }
}

/// A mechanism, fresh before the first request, led along what was observed: the outcomes, not its own decisions,
/// drive it.
pub(crate) struct Replay {
    limiter: AnyLimiter,
    kind: QuotaKind,
}

/// An instant at which a request changes what is left of a quota.
pub(crate) struct Step<'a> {
    pub at: Timestamp,
    pub seen: &'a Observation,
    index: usize,
    /// When the request was decided on.
    decided: Timestamp,
    /// Its actual use replaces what it reserved.
    settles: bool,
}

impl Replay {
    pub fn new(mechanism: Mechanism, kind: QuotaKind) -> Self {
        Self { limiter: mechanism.limiter(), kind }
    }

    /// The steps of all requests, in the order of time, where a request is decided on at `decided`.
    pub fn steps(observations: &[Observation], decided: fn(&Observation) -> Timestamp) -> Vec<Step<'_>> {
        let both = |(index, seen): (usize, _)| {
            let decided = decided(seen);
            let step = |at, settles| Step { at, seen, index, decided, settles };
            [step(decided, false), step(seen.finished, true)]
        };
        let mut steps: Vec<_> = observations.iter().enumerate().flat_map(both).collect();
        steps.sort_by_key(|step| (step.at, step.settles));
        steps
    }

    /// What would be left at `at`; negative after requests that did not fit.
    pub fn remaining(&self, at: Timestamp) -> f64 {
        self.limiter.remaining(at)
    }

    /// Counts a step.
    pub fn take(&mut self, Step { at, seen, decided, settles, .. }: &Step<'_>) {
        let reserved = self.kind.cost(seen.reserved());
        match seen.settled(1).map(|used| self.kind.cost(used)) {
            _ if !settles => self.limiter.charge(*at, reserved),
            Some(used) if used > reserved => self.limiter.charge(*at, used - reserved),
            Some(used) => self.limiter.refund(*at, *decided, reserved - used),
            None => {}
        }
    }
}
