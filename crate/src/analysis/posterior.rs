use std::collections::BTreeMap;

use super::Assumptions;
use super::belief::Belief;
use super::evidence::Evidence;
use super::hypothesis::Hypothesis;
use super::prior::Class;
use crate::{Candidate, Outcome, QuotaKind, ThrottleMessage};

/// Particles a class.
const PARTICLES: usize = 2_000;
/// How probable it is beforehand that a quota of this kind is the one that rejects.
const KINDS: [(QuotaKind, f64); 3] =
    [(QuotaKind::Tokens, 0.5), (QuotaKind::Requests, 0.45), (QuotaKind::TokensPerDay, 0.05)];
/// How often the error message names the quota that really fired, and how often one given other.
const MESSAGE_IS_TRUE: f64 = 0.9;
const MESSAGE_IS_FALSE: f64 = 0.05;
const SOMETHING_ELSE: f64 = 0.05;

/// Beliefs in every class of every kind of quota, and in none of them.
pub(super) struct Posterior {
    beliefs: Vec<(Belief, f64)>,
    something_else: f64,
}

impl Posterior {
    pub(super) fn of(evidence: &[Evidence], assumptions: &Assumptions) -> Self {
        let first = evidence.first().map_or(crate::Timestamp::EPOCH, |evidence| evidence.earliest);
        let mut weighted = Vec::new();
        for (kind, kind_prior) in KINDS {
            let heard = kind_prior * message_likelihood(evidence, kind);
            for (class, class_prior) in Class::of(kind) {
                let seed = assumptions.seed.wrapping_add(weighted.len() as u64);
                let mut belief =
                    Belief::new((*class, kind), assumptions.stated(kind), first, PARTICLES, seed);
                (1..=evidence.len()).for_each(|taken| belief.update(&evidence[..taken]));
                let log_weight = (heard * class_prior * (1.0 - SOMETHING_ELSE)).ln() + belief.log_evidence;
                weighted.push((belief, log_weight));
            }
        }
        let log_else = SOMETHING_ELSE.ln() + log_evidence_of_something_else(evidence);
        let highest = weighted.iter().map(|(_, log_weight)| *log_weight).fold(log_else, f64::max);
        let total: f64 = weighted.iter().map(|(_, log_weight)| (log_weight - highest).exp()).sum::<f64>()
            + (log_else - highest).exp();
        let share = |log_weight: f64| (log_weight - highest).exp() / total;
        Self {
            something_else: share(log_else),
            beliefs: weighted.into_iter().map(|(belief, log_weight)| (belief, share(log_weight))).collect(),
        }
    }

    /// Candidates with their probabilities, the most probable first.
    pub(super) fn shares(&self) -> Vec<(Candidate, f64)> {
        let mut shares = BTreeMap::from([(Candidate::SomethingElse, self.something_else)]);
        for (belief, share) in &self.beliefs {
            *shares.entry(belief.class.candidate()).or_default() += share;
        }
        let mut shares: Vec<_> = shares.into_iter().collect();
        shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        shares
    }

    /// The kind of quota that most probably rejected, with its probability among the kinds.
    pub(super) fn likeliest_kind(&self) -> (QuotaKind, f64) {
        let of = |kind| self.sum(|belief| belief.kind == kind);
        let kinds = KINDS.map(|(kind, _)| (kind, of(kind) / (1.0 - self.something_else).max(1e-12)));
        kinds.into_iter().fold(kinds[0], |best, other| if other.1 > best.1 { other } else { best })
    }

    pub(super) fn absolute(&self) -> f64 {
        self.sum(|belief| belief.class == Class::ClockWindow)
    }

    pub(super) fn relative(&self) -> f64 {
        self.sum(|belief| matches!(belief.class, Class::AnchoredWindow | Class::SlidingLog))
    }

    pub(super) fn neither(&self) -> f64 {
        let day = self.sum(|belief| belief.class == Class::DayWindow);
        1.0 - self.something_else - day - self.absolute() - self.relative()
    }

    /// The hypothesis of a candidate that explains the trace best.
    pub(super) fn best(&self, candidate: Candidate) -> Option<Hypothesis> {
        self.of_candidate(candidate).max_by(|(_, a), (_, b)| a.total_cmp(b)).and_then(|(b, _)| b.best())
    }

    /// The beliefs that make up a candidate, with their probabilities.
    pub(super) fn of_candidate(&self, candidate: Candidate) -> impl Iterator<Item = (&Belief, f64)> {
        self.beliefs
            .iter()
            .filter(move |(b, _)| b.class.candidate() == candidate)
            .map(|(b, share)| (b, *share))
    }

    fn sum(&self, wanted: impl Fn(&Belief) -> bool) -> f64 {
        self.beliefs.iter().filter(|(belief, _)| wanted(belief)).map(|(_, share)| share).sum()
    }
}

/// Messages are one piece of evidence however often they come: whoever words them wrongly does it every time.
fn message_likelihood(evidence: &[Evidence], kind: QuotaKind) -> f64 {
    let named = evidence.iter().filter_map(|evidence| match evidence.outcome {
        Outcome::Throttled(ThrottleMessage::Requests) => Some(QuotaKind::Requests),
        Outcome::Throttled(ThrottleMessage::Tokens) => Some(QuotaKind::Tokens),
        Outcome::Throttled(ThrottleMessage::TokensPerDay) => Some(QuotaKind::TokensPerDay),
        _ => None,
    });
    let (mut right, mut wrong) = (0, 0);
    named.for_each(|named| if named == kind { right += 1 } else { wrong += 1 });
    match right + wrong {
        0 => 1.0,
        _ if right >= wrong => MESSAGE_IS_TRUE,
        _ => MESSAGE_IS_FALSE,
    }
}

/// A mechanism that nobody has thought of: outcomes come in runs, and the past is all that predicts the next.
///
/// Each outcome is drawn with a probability that depends on the one before; with a Jeffreys prior that is the
/// Krichevsky-Trofimov estimator. Source: Krichevsky and Trofimov, IEEE Trans. Inf. Theory 27 (1981).
fn log_evidence_of_something_else(evidence: &[Evidence]) -> f64 {
    let mut seen = [[0.5; 2]; 2];
    let mut before = 0;
    let mut log_evidence = 0.0;
    for evidence in evidence.iter().filter(|evidence| evidence.informative) {
        let outcome = match evidence.outcome {
            Outcome::Admitted => 0,
            Outcome::Throttled(_) => 1,
            Outcome::Failed => continue,
        };
        let [admitted, throttled] = seen[before];
        log_evidence += f64::ln(seen[before][outcome] / (admitted + throttled));
        seen[before][outcome] += 1.0;
        before = outcome;
    }
    log_evidence
}
