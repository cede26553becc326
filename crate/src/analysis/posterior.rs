mod samplers;

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::belief::{self, Belief, Effort, THINNED_AFTER};
use super::draw::Stated;
use super::evidence::Evidence;
use super::prior::Class;
use super::words::Words;
use super::{Assumptions, MOST_REQUESTS};
use crate::{Candidate, Outcome, QuotaKind, Timestamp};

/// How probable it is beforehand that a quota of this kind is the one that rejects.
const KINDS: [(QuotaKind, f64); 3] =
    [(QuotaKind::Tokens, 0.5), (QuotaKind::Requests, 0.45), (QuotaKind::TokensPerDay, 0.05)];
const SOMETHING_ELSE: f64 = 0.05;
/// Beliefs with less at stake than this are followed, but not worked on; less probable ones not even followed.
const HOPELESS: f64 = 1e-3;
const GIVEN_UP: f64 = 1e-7;

/// Beliefs in every class of every kind of quota, and in none of them.
#[derive(Clone, Debug)]
pub(super) struct Posterior {
    /// Each with its prior probability.
    beliefs: Vec<(Belief, f64)>,
    evidence: Vec<Evidence>,
    something_else: Runs,
    /// For each observation, log of how probable all is that was observed until then and what is thought of it; of those that
    /// were taken in together, only for the last.
    so_far: Vec<f64>,
    /// How probable the beliefs are with all that they hold possible: which of them are worth following.
    followed: Vec<f64>,
    /// How much of the conclusion rests on each belief: on those that leave all rejections to another quota next to nothing,
    /// however probable they are, for the same is said of them by the beliefs about that one.
    at_stake: Vec<f64>,
    shares: Shares,
}

/// Posterior probabilities, of what the beliefs say of their own class, in their order, and of something else; they add up
/// to 1.
#[derive(Clone, Debug, Default)]
struct Shares {
    beliefs: Vec<f64>,
    something_else: f64,
}

impl Posterior {
    /// What is thought before anything was seen, of a trace that begins at `first`.
    pub(super) fn new(assumptions: &Assumptions, first: Timestamp, effort: Effort) -> Self {
        let classes = KINDS.into_iter().flat_map(|(kind, kind_prior)| {
            Class::of(kind).into_iter().map(move |(class, prior)| (class, kind, kind_prior * prior))
        });
        let beliefs = classes
            .enumerate()
            .map(|(index, (class, kind, prior))| {
                let seed = assumptions.seed.wrapping_mul(1_000).wrapping_add(index as u64);
                let stated = Stated { tpm: assumptions.tpm, rpm: assumptions.rpm };
                let belief = Belief::new((class, kind), stated, first, effort, seed);
                (belief, prior * (1.0 - SOMETHING_ELSE))
            })
            .collect();
        let mut posterior = Self {
            beliefs,
            evidence: Vec::new(),
            something_else: Runs::default(),
            so_far: Vec::new(),
            followed: Vec::new(),
            at_stake: Vec::new(),
            shares: Shares::default(),
        };
        posterior.share_out();
        posterior
    }

    /// What is thought after `evidence`, which is in order.
    pub(super) fn of(evidence: &[Evidence], assumptions: &Assumptions, effort: Effort) -> Self {
        let first = evidence.first().map_or(Timestamp::EPOCH, |evidence| evidence.earliest);
        let mut posterior = Self::new(assumptions, first, effort);
        for end in stages(evidence) {
            posterior.observe(&evidence[posterior.evidence.len()..end]);
        }
        posterior
    }

    /// What two samplers make of the same evidence.
    pub(super) fn pooled(mut self, other: Self) -> Self {
        self.beliefs.iter_mut().zip(other.beliefs).for_each(|((one, _), (other, _))| one.pool(other));
        self.share_out();
        self
    }

    /// The same, as if it were what one sampler has found.
    pub(super) fn counted_as_one(mut self) -> Self {
        self.beliefs.iter_mut().for_each(|(belief, _)| belief.count_as_one());
        self
    }

    /// The same, to be followed with other effort.
    pub(super) fn with_effort(mut self, effort: Effort) -> Self {
        self.beliefs.iter_mut().for_each(|(belief, _)| belief.effort = effort);
        self
    }

    /// Takes in what was observed since.
    pub(super) fn observe(&mut self, latest: &[Evidence]) {
        latest.iter().for_each(|evidence| self.something_else.observe(evidence));
        self.evidence.extend_from_slice(latest);
        let evidence = &self.evidence;
        let beliefs = self.beliefs.par_iter_mut().zip(&self.followed).zip(&self.at_stake);
        beliefs.for_each(|(((belief, _), share), at_stake)| follow(belief, evidence, *share, *at_stake));
        let so_far = self.share_out();
        self.so_far.resize(self.evidence.len() - 1, f64::NEG_INFINITY);
        self.so_far.push(so_far);
    }

    /// Returns the log of what all probabilities are shares of.
    fn share_out(&mut self) -> f64 {
        let log_weight = |(belief, prior): &(Belief, f64)| prior.ln() + belief.log_evidence();
        let log_weights: Vec<f64> = self.beliefs.iter().map(log_weight).collect();
        let log_else = SOMETHING_ELSE.ln() + self.something_else.log_evidence;
        let highest = log_weights.iter().copied().fold(log_else, f64::max);
        let total: f64 = log_weights.iter().chain([&log_else]).map(|weight| (weight - highest).exp()).sum();
        let share = |weight: f64| (weight - highest).exp() / total;
        self.followed = log_weights.into_iter().map(share).collect();
        let of_belief = |(followed, (belief, _)): (&f64, &(Belief, f64))| {
            let of_class = if *followed > 0.0 { belief.shares() } else { belief::Shares::default() };
            [of_class.fits, of_class.contradicted, belief.at_stake()].map(|share| followed * share)
        };
        let of_beliefs: Vec<[f64; 3]> = self.followed.iter().zip(&self.beliefs).map(of_belief).collect();
        let something_else = share(log_else) + of_beliefs.iter().map(|[_, it, _]| it).sum::<f64>();
        let shown = something_else + of_beliefs.iter().map(|[fits, ..]| fits).sum::<f64>();
        self.at_stake = of_beliefs.iter().map(|[.., at_stake]| at_stake / shown).collect();
        self.shares = Shares {
            something_else: something_else / shown,
            beliefs: of_beliefs.iter().map(|[fits, ..]| fits / shown).collect(),
        };
        highest + (total * shown).ln()
    }

    /// The beliefs with their probabilities.
    pub(super) fn beliefs(&self) -> impl Iterator<Item = (&Belief, f64)> {
        self.beliefs.iter().map(|(belief, _)| belief).zip(self.shares.beliefs.iter().copied())
    }

    /// Candidates with their probabilities, the most probable first.
    pub(super) fn candidates(&self) -> Vec<(Candidate, f64)> {
        let mut shares = BTreeMap::from([(Candidate::SomethingElse, self.shares.something_else)]);
        for (belief, share) in self.beliefs() {
            *shares.entry(belief.class.candidate()).or_default() += share;
        }
        let mut shares: Vec<_> = shares.into_iter().collect();
        shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        shares
    }

    /// The kind of quota that most probably rejected the most, with the probability that it rejected any; among the kinds.
    pub(super) fn likeliest_kind(&self) -> (QuotaKind, f64) {
        let most = |kind| self.sum(|belief| belief.kind == kind);
        let kinds = KINDS.map(|(kind, _)| kind);
        let kind = kinds
            .into_iter()
            .fold(kinds[0], |best, other| if most(other) > most(best) { other } else { best });
        (kind, self.rejected(kind))
    }

    /// The other quota that more likely than not rejected some of the requests too, if it is one of `kind` that is named.
    pub(super) fn besides(&self, kind: QuotaKind) -> Option<QuotaKind> {
        let mut others = KINDS.into_iter().map(|(other, _)| other).filter(|other| *other != kind);
        others.find(|other| self.rejected(*other) > 0.5)
    }

    /// The probability that a quota of this kind rejected some of the requests, if it was a known one that did.
    fn rejected(&self, kind: QuotaKind) -> f64 {
        let of_belief = |belief: &Belief| if belief.kind == kind { 1.0 } else { belief.besides(kind) };
        let known = (1.0 - self.shares.something_else).max(1e-12);
        self.beliefs().map(|(belief, share)| share * of_belief(belief)).sum::<f64>() / known
    }

    /// The probability that rejected requests count, whatever it is that rejects.
    pub(super) fn rejected_count(&self) -> f64 {
        self.beliefs().map(|(belief, share)| share * belief.rejected_count()).sum()
    }

    fn something_else(&self) -> f64 {
        self.shares.something_else + self.sum(|belief| belief.class.candidate() == Candidate::SomethingElse)
    }

    pub(super) fn absolute(&self) -> f64 {
        self.sum(|belief| belief.class == Class::ClockWindow)
    }

    pub(super) fn relative(&self) -> f64 {
        self.sum(|belief| {
            matches!(belief.class, Class::AnchoredWindow(_) | Class::SlidingLog(_) | Class::SlottedLog)
        })
    }

    pub(super) fn neither(&self) -> f64 {
        let day = self.sum(|belief| belief.class == Class::DayWindow);
        1.0 - self.something_else() - day - self.absolute() - self.relative()
    }

    /// The belief that makes up most of a known candidate; the first, which is the most usual one, if none is left of it.
    pub(super) fn best(&self, candidate: Candidate) -> Option<&Belief> {
        let known = self.of_candidate(candidate).filter(|_| candidate != Candidate::SomethingElse);
        let best = known.min_by(|(_, a), (_, b)| b.total_cmp(a));
        best.map(|(belief, _)| belief)
    }

    /// The beliefs that make up a candidate and are about the same kind of quota as the best of them.
    pub(super) fn alike(&self, candidate: Candidate) -> impl Iterator<Item = (&Belief, f64)> {
        let kind = self.best(candidate).map(|best| best.kind);
        self.of_candidate(candidate).filter(move |(belief, _)| Some(belief.kind) == kind)
    }

    /// The beliefs that make up a candidate, with their probabilities.
    pub(super) fn of_candidate(&self, candidate: Candidate) -> impl Iterator<Item = (&Belief, f64)> {
        self.beliefs().filter(move |(belief, _)| belief.class.candidate() == candidate)
    }

    fn sum(&self, wanted: impl Fn(&Belief) -> bool) -> f64 {
        self.beliefs().filter(|(belief, _)| wanted(belief)).map(|(_, share)| share).sum()
    }
}

/// A belief takes in what is new in `evidence`, as far as its share of all that is thought, and what is at stake of it, are worth
/// that.
fn follow(belief: &mut Belief, evidence: &[Evidence], share: f64, at_stake: f64) {
    if share < GIVEN_UP {
        belief.give_up();
    } else {
        belief.update(evidence, at_stake > HOPELESS, worth_moving(evidence));
    }
}

/// How much of a trace to take in at a time: one after the other, but all up to the first rejection together, for so far
/// next to nothing is told apart.
fn stages(evidence: &[Evidence]) -> impl Iterator<Item = usize> {
    let first_rejected = evidence.iter().position(|evidence| evidence.outcome.is_throttled());
    let together = (first_rejected.map_or(evidence.len(), |index| index + 1)).min(THINNED_AFTER);
    (together..=evidence.len()).filter(|end| *end > 0)
}

/// Without a rejection nothing is told apart, and of a trace that is too long nothing is named.
fn worth_moving(evidence: &[Evidence]) -> bool {
    evidence.len() <= MOST_REQUESTS && evidence.iter().any(|evidence| evidence.outcome.is_throttled())
}

/// A mechanism that nobody has thought of: outcomes come in runs, and the past is all that predicts the next.
///
/// Each outcome is drawn with a probability that depends on the one before; with a Jeffreys prior that is the
/// Krichevsky-Trofimov estimator. Source: Krichevsky and Trofimov, IEEE Trans. Inf. Theory 27 (1981).
#[derive(Clone, Debug)]
struct Runs {
    /// How often each outcome followed each, and a half.
    followed: [[f64; 2]; 2],
    before: usize,
    words: Words,
    log_evidence: f64,
}

impl Default for Runs {
    fn default() -> Self {
        Self { followed: [[0.5; 2]; 2], before: 0, words: Words::default(), log_evidence: 0.0 }
    }
}

impl Runs {
    fn observe(&mut self, evidence: &Evidence) {
        let outcome = match evidence.outcome {
            Outcome::Admitted if evidence.informative => 0,
            Outcome::Throttled(_) if evidence.informative => 1,
            _ => return,
        };
        let followed = &mut self.followed[self.before];
        self.log_evidence += f64::ln(followed[outcome] / (followed[0] + followed[1]));
        if let Some(named) = evidence.outcome.named() {
            self.log_evidence += self.words.hear(named, [None; 2]).ln();
        }
        followed[outcome] += 1.0;
        self.before = outcome;
    }
}
