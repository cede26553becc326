//! Whole measurements of random truths on the virtual clock, and how often they end right.

use std::collections::BTreeMap;

use bedrock_tpm::protocol::{Adaptive, Plan, Schedule, classic};
use bedrock_tpm::{
    BedrockTpmTester, Clock, Conclusion, EmulatorConfig, MechanismId, Result, Settings, Timestamp, Verdict,
};
use serde::Serialize;

use crate::truth::{Noise, TPM, in_family};

/// One measurement of one truth.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was enforced.
    pub truth: EmulatorConfig,
    /// What was concluded.
    pub verdict: Verdict,
}

/// How a measurement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The mechanism that was enforced is named.
    Right,
    /// Another one is.
    Wrong,
    /// "None of these", though it is one of these.
    None,
    /// "I cannot tell".
    Inconclusive,
}

impl Run {
    /// Measures the truth of `seed`.
    ///
    /// # Errors
    /// If the measurement cannot be made at all.
    pub fn of(seed: u64, noise: Noise, adaptive: bool) -> Result<Self> {
        let truth = in_family(seed, noise);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let verdict =
            runtime.expect("a runtime without IO").block_on(measure(truth.clone(), seed, adaptive))?;
        Ok(Self { truth, verdict })
    }

    /// The mechanism that was enforced.
    pub fn enforced(&self) -> Option<MechanismId> {
        self.truth.tokens.map(|mechanism| mechanism.id())
    }

    /// How it ended.
    pub fn ending(&self) -> Ending {
        match self.verdict.verdict {
            Conclusion::Mechanism(id) if Some(id) == self.enforced() => Ending::Right,
            Conclusion::Mechanism(_) => Ending::Wrong,
            Conclusion::NoneOfThese => Ending::None,
            Conclusion::Inconclusive => Ending::Inconclusive,
        }
    }
}

async fn measure(truth: EmulatorConfig, seed: u64, adaptive: bool) -> Result<Verdict> {
    let start = Timestamp::EPOCH.plus_seconds(86_400.0 + (seed % 60_000) as f64 / 1_000.0);
    let clock = Clock::virtual_from(start);
    let settings = Settings { tpm: Some(TPM), seed, ..Settings::default() };
    let mut tester = BedrockTpmTester::simulated(truth, clock, settings)?;
    let plan = if adaptive {
        Plan::Adaptive(Adaptive::new(tester.settings(), clock.now())?)
    } else {
        Plan::Classic(Schedule::new(classic(Some(TPM), None)?, tester.trace(), clock.now()))
    };
    plan.run(&mut tester).await?;
    Ok(tester.verdict())
}

/// What many measurements add up to.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Measurements.
    pub truths: usize,
    /// Fraction of right verdicts.
    pub right: f64,
    /// Fraction of wrong verdicts.
    pub wrong: f64,
    /// Fraction of "none of these".
    pub none: f64,
    /// Fraction of "I cannot tell".
    pub inconclusive: f64,
    /// Minutes, median and 95th percentile.
    pub minutes: [f64; 2],
    /// Tokens in quotas, median and 95th percentile.
    pub quotas: [f64; 2],
    /// Requests, median and 95th percentile.
    pub requests: [f64; 2],
    /// Mean probability that was stated for the mechanism named, and the fraction that was right.
    pub calibration: [f64; 2],
    /// What was enforced, what was concluded, how often.
    pub confusion: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Figures {
    /// Adds up.
    pub fn of(runs: &[Run]) -> Self {
        let count = |ending| runs.iter().filter(|run| run.ending() == ending).count() as f64;
        let share = |ending| count(ending) / runs.len().max(1) as f64;
        let named = runs.iter().filter(|run| matches!(run.verdict.verdict, Conclusion::Mechanism(_)));
        let stated: Vec<f64> = named.map(|run| run.verdict.probability).collect();
        let named = stated.len().max(1) as f64;
        let mut confusion: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for run in runs {
            let enforced = run.enforced().map_or("nothing", MechanismId::id);
            let row = confusion.entry(enforced.into()).or_default();
            *row.entry(run.verdict.verdict.to_string()).or_default() += 1;
        }
        Self {
            truths: runs.len(),
            right: share(Ending::Right),
            wrong: share(Ending::Wrong),
            none: share(Ending::None),
            inconclusive: share(Ending::Inconclusive),
            minutes: quantiles(runs, |run| run.verdict.spent.minutes),
            quotas: quantiles(runs, |run| run.verdict.spent.tokens as f64 / TPM as f64),
            requests: quantiles(runs, |run| run.verdict.spent.requests as f64),
            calibration: [
                stated.iter().fold(0.0, |sum, stated| sum + stated) / named,
                count(Ending::Right) / named,
            ],
            confusion,
        }
    }
}

/// Median and 95th percentile.
fn quantiles(runs: &[Run], value: impl Fn(&Run) -> f64) -> [f64; 2] {
    let mut values: Vec<f64> = runs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get((values.len().saturating_sub(1) as f64 * share) as usize);
    [0.5, 0.95].map(|share| at(share).copied().unwrap_or(0.0))
}
