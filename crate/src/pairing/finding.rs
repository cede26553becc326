use std::fmt;

use serde::Serialize;

use super::obstacle::obstacle;
use super::odds::{Odds, Seen};
use super::round::Round;
use super::{PAIRING, Pairing, Side};
use crate::text::percent;
use crate::{Assumptions, Observation, Verdict};

/// Each direction has to be tried so often: one round that misleads is not enough for an answer.
const LEAST_TRIED: usize = 2;

/// Whether another target shares the quota.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// The other target.
    pub target: String,
    /// The answer.
    pub shares: Shares,
    /// The probability that they share one quota, 0 to 1.
    pub probability: f64,
    /// What the answer rests on, or why there is none: a clause.
    pub because: String,
}

/// Whether two targets share one quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shares {
    /// They do: count them as one.
    Yes,
    /// Each has its own.
    No,
    /// The requests cannot tell: to be safe, count them as one.
    Unknown,
}

/// Whether the other target of a trace shares the quota; `None` if no request went to another.
pub fn pair(observations: &[Observation], verdict: &Verdict, assumptions: &Assumptions) -> Option<Paired> {
    let is_paired = observations.iter().any(|observation| observation.phase == PAIRING);
    is_paired.then(|| match Pairing::new(observations, verdict, assumptions) {
        Ok(pairing) => pairing.finding(),
        Err(reason) => Paired::unknown("the second target", reason.to_string()),
    })
}

impl Paired {
    /// Nothing is known of `target`, for this reason.
    pub fn unknown(target: impl Into<String>, because: impl Into<String>) -> Self {
        Self { target: target.into(), shares: Shares::Unknown, probability: 0.5, because: because.into() }
    }

    /// What to beware of.
    pub fn warning(&self) -> Option<String> {
        let Self { target, shares, because, .. } = self;
        (*shares == Shares::Unknown).then(|| {
            format!("whether {target} shares the quota is not known, so count the two as one: {because}")
        })
    }
}

impl Pairing {
    /// What is known by now.
    pub fn finding(&self) -> Paired {
        let rounds = self.rounds();
        let (shares, odds) = self.answer(&rounds);
        let because = match (shares, obstacle(self, &rounds)) {
            (Shares::Unknown, Some(obstacle)) => obstacle,
            _ => self.told(&rounds),
        };
        Paired { target: self.names.of(Side::Second), shares, probability: odds.one, because }
    }

    /// Whether more rounds would change nothing.
    pub(super) fn is_over(&self, rounds: &[Round]) -> bool {
        self.answer(rounds).0 != Shares::Unknown || obstacle(self, rounds).is_some()
    }

    fn answer(&self, rounds: &[Round]) -> (Shares, Odds) {
        let seen = [Side::First, Side::Second].map(|side| self.seen(side, rounds));
        let odds = Odds::of(&seen[0], &seen[1]);
        let is_tried = seen.iter().all(|seen| seen.treatments.len() >= LEAST_TRIED);
        let shares = match odds {
            Odds { one, .. } if is_tried && one >= self.confidence => Shares::Yes,
            Odds { two, .. } if is_tried && two >= self.confidence => Shares::No,
            _ => Shares::Unknown,
        };
        (shares, odds)
    }

    /// What was seen of one target.
    pub(super) fn seen(&self, side: Side, rounds: &[Round]) -> Seen {
        let (own, others): (Vec<&Round>, Vec<&Round>) = rounds.iter().partition(|round| round.filled == side);
        let reached = own.iter().filter(|round| round.is_used_up()).map(|round| round.used()).max();
        let treated = |round: &&Round| round.treatment(&self.entries, &self.recovery, reached);
        Seen {
            controls: own.iter().filter_map(|round| round.control()).collect(),
            treatments: others.iter().filter_map(treated).collect(),
        }
    }

    /// What was seen, in words.
    fn told(&self, rounds: &[Round]) -> String {
        let told = [Side::Second, Side::First].map(|side| {
            let seen = self.seen(side, rounds);
            let treated = seen.treatments.iter().filter(|treatment| treatment.passed).count();
            let rested = seen.controls.iter().filter(|passed| **passed).count();
            format!(
                "{} admitted {} in {treated} of {} rounds with {} used up, and in {rested} of {} after a pause",
                self.names.of(side),
                self.terms.asked_in_words(),
                seen.treatments.len(),
                self.names.of(side.other()),
                seen.controls.len(),
            )
        });
        told.join("; ")
    }
}

/// A question with its answer.
impl fmt::Display for Paired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, shares, probability, because } = self;
        let likely = percent(*probability);
        let answer = match shares {
            Shares::Yes => format!("yes ({likely}), count the two as one"),
            Shares::No => format!("no ({}), it has its own", percent(1.0 - probability)),
            Shares::Unknown => format!("cannot tell (one quota: {likely}), count the two as one"),
        };
        write!(f, "Does {target} share the quota? {answer}: {because}")
    }
}
