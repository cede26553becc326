use std::collections::BTreeMap;

use serde::Serialize;

use super::coverage::{Coverage, coverage};
use super::ending::{is_clock_wrong, is_misnamed, leads};
use super::{Case, Ending, Run};
use crate::truth::Set;

/// Borders of the bins of stated confidence.
const BINS: [(f64, f64); 4] = [(0.5, 0.9), (0.9, 0.99), (0.99, 0.999), (0.999, 1.0)];

/// What many measurements add up to.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Measurements.
    pub truths: usize,
    /// Fraction of right verdicts.
    pub right: f64,
    /// Fraction of wrong verdicts.
    pub wrong: f64,
    /// Fraction of "none of these" that are not right.
    pub none: f64,
    /// Fraction of "I cannot tell" that are not right, measurements that failed included.
    pub inconclusive: f64,
    /// Fraction in which a mechanism is named that is not enforced, even where only the quota that binds is asked for.
    pub mechanism_wrong: f64,
    /// Fraction of answers to the clock question that are wrong.
    pub clock_wrong: f64,
    /// Minutes, median and 95th percentile.
    pub minutes: [f64; 2],
    /// Quotas charged, of tokens or of requests, median and 95th percentile.
    pub quotas: [f64; 2],
    /// Requests, median and 95th percentile.
    pub requests: [f64; 2],
    /// Stated against achieved, of the mechanism that leads in each run, named or not.
    pub calibration: Vec<Bin>,
    /// How often intervals of 95 % held the parameter, by its name.
    pub coverage: BTreeMap<String, Coverage>,
    /// What was enforced, what was concluded, how often.
    pub confusion: BTreeMap<String, BTreeMap<String, usize>>,
    /// What was enforced, and the medians of what it took: minutes, quotas, requests.
    pub costs: BTreeMap<String, [f64; 3]>,
    /// The measurements that did not end right.
    pub cases: Vec<Case>,
}

/// Measurements whose leading mechanism was given about the same probability.
#[derive(Clone, Debug, Serialize)]
pub struct Bin {
    /// Probabilities from this on.
    pub from: f64,
    /// Probabilities below this.
    pub to: f64,
    /// How many measurements.
    pub count: usize,
    /// The mean of the probabilities.
    pub stated: f64,
    /// The fraction in which the mechanism was right.
    pub achieved: f64,
    /// The 95 % interval of that fraction (Wilson's).
    pub interval: [f64; 2],
}

impl Figures {
    /// Adds up.
    pub fn of(runs: &[Run]) -> Self {
        let share = |ending| fraction(runs, |run| run.ending() == ending);
        let mut confusion: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        let mut by_enforced: BTreeMap<String, Vec<&Run>> = BTreeMap::new();
        for run in runs {
            let (enforced, concluded) = if run.truth.set == Set::Binding {
                (run.truth.binding.id(), run.verdict.binding.to_string())
            } else {
                (run.truth.id(), run.verdict.verdict.to_string())
            };
            *confusion.entry(enforced.into()).or_default().entry(concluded).or_default() += 1;
            by_enforced.entry(enforced.into()).or_default().push(run);
        }
        let all: Vec<&Run> = runs.iter().collect();
        let costs = by_enforced.into_iter().map(|(enforced, runs)| {
            let medians = [minutes, quotas, requests].map(|cost| quantiles(&runs, cost)[0]);
            (enforced, medians)
        });
        Self {
            truths: runs.len(),
            right: share(Ending::Right),
            wrong: share(Ending::Wrong),
            none: share(Ending::None),
            inconclusive: share(Ending::Inconclusive),
            mechanism_wrong: fraction(runs, |run| is_misnamed(&run.truth, &run.verdict)),
            clock_wrong: fraction(runs, |run| is_clock_wrong(&run.truth, &run.verdict)),
            minutes: quantiles(&all, minutes),
            quotas: quantiles(&all, quotas),
            requests: quantiles(&all, requests),
            calibration: BINS.iter().filter_map(|bin| Bin::of(runs, *bin)).collect(),
            coverage: coverage(runs),
            confusion,
            costs: costs.collect(),
            cases: runs.iter().filter_map(Case::of).collect(),
        }
    }
}

impl Bin {
    /// `None` if no measurement is in it.
    fn of(runs: &[Run], (from, to): (f64, f64)) -> Option<Self> {
        let inside = |p: f64| p >= from && (p < to || to == 1.0);
        let runs: Vec<&Run> = runs.iter().filter(|run| inside(run.verdict.probability)).collect();
        let count = runs.len();
        let right = runs.iter().filter(|run| leads(&run.truth, &run.verdict)).count();
        let stated: f64 = runs.iter().map(|run| run.verdict.probability).sum();
        (count > 0).then(|| Self {
            from,
            to,
            count,
            stated: stated / count as f64,
            achieved: right as f64 / count as f64,
            interval: wilson(right, count),
        })
    }
}

/// The 95 % score interval of a fraction (Wilson 1927).
fn wilson(right: usize, count: usize) -> [f64; 2] {
    let (n, z) = (count as f64, 1.959_964);
    let share = right as f64 / n;
    let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    [(middle - half).max(0.0), (middle + half).min(1.0)]
}

fn fraction(runs: &[Run], of: impl Fn(&Run) -> bool) -> f64 {
    runs.iter().filter(|run| of(run)).count() as f64 / runs.len().max(1) as f64
}

fn minutes(run: &Run) -> f64 {
    run.verdict.spent.minutes
}

fn quotas(run: &Run) -> f64 {
    run.quotas
}

fn requests(run: &Run) -> f64 {
    run.verdict.spent.requests as f64
}

/// Median and 95th percentile.
fn quantiles(runs: &[&Run], value: fn(&Run) -> f64) -> [f64; 2] {
    let mut values: Vec<f64> = runs.iter().map(|run| value(run)).collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get((values.len().saturating_sub(1) as f64 * share) as usize);
    [0.5, 0.95].map(|share| at(share).copied().unwrap_or(0.0))
}
