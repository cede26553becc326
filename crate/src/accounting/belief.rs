use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

use super::ledger::{Entry, Ledger};
use super::rules::Case;
use crate::{Mechanism, Timestamp};

/// Ledgers of all cases together, and the fewest and the most of one case.
const LEDGERS: usize = 12_000;
const LEDGERS_OF_A_CASE: (usize, usize) = (300, 2_000);
/// Ledgers are drawn anew once fewer than this share of them carries the weight.
const RESAMPLE_BELOW: f64 = 0.5;
/// A case less probable than this is given up.
const HOPELESS: f64 = 1e-7;
/// Requests with so few output tokens show nothing of reservation and burndown.
const FEW_OUTPUT_TOKENS: u64 = 8;

/// Weighted ledgers of every case, along what was observed.
///
/// A bootstrap particle filter for each case, whose mean weights multiply up to the case's likelihood. Source: Gordon,
/// Salmond and Smith, "Novel approach to nonlinear/non-Gaussian Bayesian state estimation", IEE Proc. F 140 (1993).
#[derive(Clone, Debug)]
pub(super) struct Belief {
    cases: Vec<Weighed>,
    /// Whether a request was observed that tells more than rejected requests do.
    differ: bool,
    /// All cases share their luck, so that they differ in what follows from the rules and as little else as possible.
    seed: u64,
}

#[derive(Clone, Debug)]
struct Weighed {
    case: Case,
    /// Log of prior and likelihood.
    log_weight: f64,
    /// With weights that add up to 1.
    ledgers: Vec<(Ledger, f64)>,
}

impl Belief {
    /// What is thought of a quota that works like `mechanism` after `entries`, which are in order.
    pub(super) fn of(mechanism: Mechanism, entries: &[Entry], seed: u64) -> Self {
        let first = entries.first().map_or(Timestamp::EPOCH, |entry| entry.sent);
        let mut belief = Self::new(mechanism, first, seed);
        entries.iter().for_each(|entry| belief.observe(entry));
        belief
    }

    fn new(mechanism: Mechanism, first: Timestamp, seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let all = Case::all();
        let count = LEDGERS_OF_A_CASE.1;
        // Until output matters, one case for each answer about rejected requests stands for all of them.
        let cases = [false, true].map(|counts| {
            let alike: Vec<_> = all.iter().filter(|(case, _)| case.rejected_count == counts).collect();
            let prior: f64 = alike.iter().map(|(_, prior)| prior).sum();
            let case = alike[0].0;
            let ledger = |_| {
                let rules = case.draw(&mut rng);
                (Ledger::new(mechanism, rules, first, rng.random()), 1.0 / count as f64)
            };
            Weighed { case, log_weight: prior.ln(), ledgers: (0..count).map(ledger).collect() }
        });
        Self { cases: cases.into(), differ: false, seed }
    }

    /// Takes in the next observation.
    pub(super) fn observe(&mut self, entry: &Entry) {
        if entry.max_tokens > FEW_OUTPUT_TOKENS {
            self.tell_apart();
        }
        self.seed = self.seed.wrapping_add(1);
        let (seed, count) = (self.seed, ledgers_of_each(self.cases.len()));
        self.cases.par_iter_mut().for_each(|case| {
            case.update(entry);
            if case.effective() < RESAMPLE_BELOW * case.ledgers.len() as f64 {
                case.ledgers = case.drawn(count, seed);
            }
        });
        let shares = self.shares();
        let mut shares = shares.iter();
        self.cases.retain(|_| shares.next().is_some_and(|share| *share > HOPELESS));
    }

    /// From now on every case has ledgers of its own.
    pub(super) fn tell_apart(&mut self) {
        if std::mem::replace(&mut self.differ, true) {
            return;
        }
        let before = std::mem::take(&mut self.cases);
        for (case, prior) in Case::all() {
            let alike = before.iter().find(|other| other.case.rejected_count == case.rejected_count);
            let Some(alike) = alike else { continue };
            let mut ledgers = alike.drawn(ledgers_of_each(Case::all().len()), self.seed);
            let mut rng = Pcg64Mcg::seed_from_u64(self.seed);
            for (ledger, _) in &mut ledgers {
                let mut rng = Pcg64Mcg::seed_from_u64(rng.random());
                ledger.rules = case.draw(&mut rng);
            }
            // Each answer about rejected requests has half of the prior.
            let log_weight = alike.log_weight + (2.0 * prior).ln();
            self.cases.push(Weighed { case, log_weight, ledgers });
        }
    }

    /// The cases that are left, with their probabilities, which add up to 1.
    pub(super) fn cases(&self) -> impl Iterator<Item = (Case, f64)> {
        self.cases.iter().map(|weighed| weighed.case).zip(self.shares())
    }

    /// `count` ledgers of each case that is at least so probable, with the probability of the case.
    pub(super) fn sample(&self, count: usize, least: f64) -> Vec<(f64, Vec<Ledger>)> {
        let likely = self.cases.iter().zip(self.shares()).filter(|(_, share)| *share >= least);
        let drawn =
            |case: &Weighed| case.drawn(count, self.seed).into_iter().map(|(ledger, _)| ledger).collect();
        likely.map(|(case, share)| (share, drawn(case))).collect()
    }

    /// The mean of something over the ledgers of the cases that are `wanted`; 0 if there are none.
    pub(super) fn mean(&self, wanted: impl Fn(Case) -> bool, value: impl Fn(&Ledger) -> f64) -> f64 {
        let wanted = self.cases.iter().zip(self.shares()).filter(|(weighed, _)| wanted(weighed.case));
        let (mut sum, mut total) = (0.0, 0.0);
        for (weighed, share) in wanted {
            total += share;
            sum += share * weighed.ledgers.iter().map(|(ledger, weight)| weight * value(ledger)).sum::<f64>();
        }
        if total > 0.0 { sum / total } else { 0.0 }
    }

    fn shares(&self) -> Vec<f64> {
        let highest = self.cases.iter().map(|case| case.log_weight).fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = self.cases.iter().map(|case| (case.log_weight - highest).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / total).collect()
    }
}

/// The fewer cases are left, the more closely each is followed.
fn ledgers_of_each(cases: usize) -> usize {
    let (fewest, most) = LEDGERS_OF_A_CASE;
    (LEDGERS / cases.max(1)).clamp(fewest, most)
}

impl Weighed {
    fn update(&mut self, entry: &Entry) {
        for (ledger, weight) in &mut self.ledgers {
            *weight *= ledger.step(entry);
        }
        let total: f64 = self.ledgers.iter().map(|(_, weight)| weight).sum();
        self.log_weight += total.ln();
        self.ledgers.iter_mut().for_each(|(_, weight)| *weight /= total);
    }

    /// How many ledgers really carry the weight.
    fn effective(&self) -> f64 {
        1.0 / self.ledgers.iter().map(|(_, weight)| weight.powi(2)).sum::<f64>()
    }

    /// `count` ledgers, each as often as its weight says, up to rounding; each with a future of its own.
    fn drawn(&self, count: usize, seed: u64) -> Vec<(Ledger, f64)> {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let step = 1.0 / count as f64;
        let mut position = rng.random::<f64>() * step;
        let mut cumulated = 0.0;
        let mut drawn = Vec::with_capacity(count);
        for (ledger, weight) in &self.ledgers {
            cumulated += weight;
            while position < cumulated && drawn.len() < count {
                let mut again = ledger.clone();
                again.renew(rng.random());
                drawn.push((again, step));
                position += step;
            }
        }
        drawn
    }
}
