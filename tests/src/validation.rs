//! Whole measurements of random truths on the virtual clock, and how often they end right.

mod case;
mod coverage;
mod ending;
mod figures;
mod required;

pub use case::Case;
pub use coverage::Coverage;
pub use ending::{Ending, is_right};
pub use figures::{Bin, Figures};
pub use required::{Requirement, requirements};

use std::sync::Arc;

use bedrock_tpm::protocol::{Adaptive, Plan, Schedule, classic};
use bedrock_tpm::{BedrockTpmTester, Clock, Error, Observation, QuotaKind, Result, Timestamp, Verdict};

use crate::truth::Truth;

/// One measurement of one truth.
#[derive(Debug)]
pub struct Run {
    /// What was enforced.
    pub truth: Truth,
    /// What was concluded.
    pub verdict: Verdict,
    /// What was charged, in quotas a minute.
    pub quotas: f64,
    /// Why the measurement ended early, if it did: such a run ends without a verdict.
    pub failure: Option<Error>,
}

impl Run {
    /// Measures `truth` on a virtual clock of its own.
    ///
    /// # Errors
    /// If the measurement cannot even begin.
    pub fn of(truth: Truth, adaptive: bool) -> Result<Self> {
        Self::traced(truth, adaptive).map(|(run, _)| run)
    }

    /// As [`of`](Self::of), with what was observed.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn traced(truth: Truth, adaptive: bool) -> Result<(Self, Vec<Observation>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime without IO").block_on(measure(truth, adaptive))
    }

    /// How it ended.
    pub fn ending(&self) -> Ending {
        if self.failure.is_some() {
            return Ending::Inconclusive;
        }
        Ending::of(&self.truth, &self.verdict)
    }
}

async fn measure(truth: Truth, adaptive: bool) -> Result<(Run, Vec<Observation>)> {
    let start = Timestamp::EPOCH.plus_seconds(86_400.0 + (truth.seed % 60_000) as f64 / 1_000.0);
    let clock = Clock::virtual_from(start);
    let emulator = Arc::new(truth.enforced(clock)?);
    let mut tester = BedrockTpmTester::simulated_by(emulator, truth.settings())?;
    let plan = if adaptive {
        Plan::Adaptive(Adaptive::new(tester.settings(), clock.now())?)
    } else {
        Plan::Classic(Schedule::new(classic(truth.tpm, truth.rpm)?, tester.trace(), clock.now()))
    };
    let failure = plan.run(&mut tester).await.err();
    let observations = tester.trace().observations().to_vec();
    let verdict = tester.verdict();
    let quotas = match (truth.binding, truth.tpm, truth.rpm) {
        (QuotaKind::Requests, None, Some(rpm)) => {
            let admitted = observations.iter().filter(|observation| observation.outcome().is_admitted());
            admitted.count() as f64 / rpm as f64
        }
        (_, tpm, _) => verdict.spent.tokens as f64 / tpm.unwrap_or(crate::truth::TPM) as f64,
    };
    Ok((Run { truth, verdict, quotas, failure }, observations))
}
