//! How a quota of tokens is charged, once its mechanism is known: what is reserved, what comes back, what counts.
//!
//! Every combination of rules is replayed over the observations with the limiter that the verdict names, and what the
//! observations leave of it is summed up for each question by itself.

mod belief;
mod finding;
mod ledger;
mod nearby;
mod plan;
mod rules;

pub use finding::{Accounting, Finding};
pub(crate) use plan::{Probe, Terms};

use crate::pairing::{PAIRING, unpaired};
use crate::{Assumptions, Binding, Conclusion, Mechanism, Observation, QuotaKind, Spent, Verdict, analyze};
use belief::Belief;
use ledger::Entry;

/// The phase, in a trace, whose requests measure the accounting.
pub(crate) const ACCOUNTING: &str = "accounting";

/// What the observations show about the accounting of the quota whose mechanism `verdict` names.
///
/// Never fails: where no mechanism of tokens is named, or nothing was measured, every question stays open and says why.
pub fn account(observations: &[Observation], verdict: &Verdict, assumptions: &Assumptions) -> Accounting {
    match Auditor::new(observations, verdict, assumptions) {
        Ok(auditor) => auditor.accounting(),
        Err(reason) => Accounting::open(&reason),
    }
}

/// The verdict on the mechanism and, if a trace has requests that measure it, the accounting. Requests that were shared
/// with another target are left out.
pub fn analyze_all(observations: &[Observation], assumptions: &Assumptions) -> (Verdict, Option<Accounting>) {
    findings(observations, assumptions, |of_mechanism| analyze(of_mechanism, assumptions))
}

/// As [`analyze_all`], where `judge` says what those observations show that are about the mechanism.
pub(crate) fn findings(
    observations: &[Observation],
    assumptions: &Assumptions,
    judge: impl FnOnce(&[Observation]) -> Verdict,
) -> (Verdict, Option<Accounting>) {
    let of_one = unpaired(observations);
    let of_mechanism: Vec<_> = observations.iter().filter(|o| is_about_mechanism(o)).cloned().collect();
    let mut verdict = judge(&of_mechanism);
    verdict.spent = Spent::of(observations);
    let is_measured = of_mechanism.len() < of_one.len();
    let accounting = is_measured.then(|| account(&of_one, &verdict, assumptions));
    (verdict, accounting)
}

/// Whether the mechanism is judged by an observation: outputs of unknown cost, and requests to another target, would confound
/// it.
pub(crate) fn is_about_mechanism(observation: &Observation) -> bool {
    observation.phase != ACCOUNTING && observation.phase != PAIRING
}

/// Follows a measurement of the accounting, and says what to send next.
#[derive(Clone, Debug)]
pub(crate) struct Auditor {
    mechanism: Mechanism,
    confidence: f64,
    seed: u64,
    entries: Vec<Entry>,
    belief: Belief,
}

impl Auditor {
    /// An auditor who knows `observations`.
    ///
    /// # Errors
    /// Why the accounting cannot be measured, as a clause.
    pub(crate) fn new(
        observations: &[Observation],
        verdict: &Verdict,
        assumptions: &Assumptions,
    ) -> Result<Self, String> {
        let mechanism = match (verdict.verdict, verdict.binding, verdict.ranked.first()) {
            (Conclusion::Mechanism(_), Binding::Quota(QuotaKind::Tokens), Some(best)) => best.parameters,
            (Conclusion::Mechanism(_), _, _) => {
                return Err(format!(
                    "the quota that rejects is not one of tokens per minute but {}",
                    verdict.binding
                ));
            }
            _ => None,
        };
        let mechanism = mechanism.ok_or("the mechanism is not known")?;
        let mut entries: Vec<Entry> = observations.iter().map(Entry::from).collect();
        entries.sort_by_key(|entry| entry.sent);
        if entries.is_empty() {
            return Err("nothing was observed".into());
        }
        let Assumptions { confidence, seed, .. } = *assumptions;
        let belief = Belief::of(mechanism, &entries, seed);
        Ok(Self { mechanism, confidence, seed, entries, belief })
    }

    /// The most that one request can take.
    pub(crate) fn ceiling(&self) -> u64 {
        self.mechanism.ceiling()
    }

    /// Takes in the next observation.
    pub(crate) fn observe(&mut self, observation: &Observation) {
        let entry = observation.into();
        self.entries.push(entry);
        self.belief.observe(&entry);
    }

    /// The next request, unless every question is answered or nothing more can be learnt.
    pub(crate) fn next(&mut self, terms: &Terms) -> Option<Probe> {
        self.belief.tell_apart();
        let certainty = |belief: &Belief| Accounting::of(&[belief], self.confidence).least_probability();
        if certainty(&self.belief) < self.confidence
            && let Some(probe) = plan::next_probe(&self.belief, terms)
        {
            return Some(probe);
        }
        let beliefs = self.beliefs();
        if Accounting::of(&beliefs.each_ref(), self.confidence).is_complete() {
            return None;
        }
        self.belief = beliefs.into_iter().min_by(|a, b| certainty(a).total_cmp(&certainty(b)))?;
        plan::next_probe(&self.belief, terms)
    }

    /// What is known by now: what independent beliefs come to on average. One that has lost the right parameters on its
    /// way is sure of the wrong answer, but not of the same one as the others.
    pub(crate) fn accounting(&self) -> Accounting {
        Accounting::of(&self.beliefs().each_ref(), self.confidence)
    }

    /// What is thought by three who know the same and were not equally lucky.
    fn beliefs(&self) -> [Belief; 3] {
        [1, 2, 3].map(|number: u64| {
            let seed = self.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut belief = Belief::of(self.mechanism, &self.entries, seed);
            belief.tell_apart();
            belief
        })
    }
}
