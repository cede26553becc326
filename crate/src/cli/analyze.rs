use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use bedrock_tpm::{Accounting, Assumptions, Observation, Paired, Result, Trace, Verdict, analyze_all, pair};
use clap::Args;
use serde::Serialize;

use super::args::QuotaArgs;
use super::{exit_status, print};

#[derive(Args)]
pub(super) struct Analyze {
    /// The trace: JSON lines, written by `measure` or imported
    trace: PathBuf,
    #[command(flatten)]
    quotas: QuotaArgs,
    /// Name a mechanism at this probability or more
    #[arg(long, default_value_t = 0.99, value_name = "P")]
    confidence: f64,
    /// Seed of the sampler [default: the one of the run that made the trace]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Analyze {
    pub(super) fn run(self) -> Result<ExitCode> {
        let trace = Trace::load(&self.trace)?;
        let noted = assumptions(self.quotas, trace.observations());
        let seed = self.seed.unwrap_or(noted.seed);
        let assumptions = Assumptions { confidence: self.confidence, seed, ..noted }.validated()?;
        let (mut verdict, accounting) = analyze_all(trace.observations(), &assumptions);
        let paired = pair(trace.observations(), &verdict, &assumptions);
        verdict.warnings.extend(paired.as_ref().and_then(Paired::warning));
        let analyzed = Analyzed { verdict, accounting, paired };
        print(&analyzed, self.json)?;
        Ok(exit_status(&analyzed.verdict))
    }
}

/// What `analyze` prints.
#[derive(Serialize)]
struct Analyzed {
    #[serde(flatten)]
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounting: Option<Accounting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paired: Option<Paired>,
}

impl fmt::Display for Analyzed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verdict.fmt(f)?;
        self.accounting.iter().try_for_each(|accounting| write!(f, "\n{accounting}"))?;
        self.paired.iter().try_for_each(|paired| write!(f, "\n{paired}"))
    }
}

/// The quotas as stated now, or else as they were stated when the trace was made, and the seed of then.
pub(super) fn assumptions(quotas: QuotaArgs, observations: &[Observation]) -> Assumptions {
    let noted = Assumptions::noted(observations);
    Assumptions { tpm: quotas.tpm.or(noted.tpm), rpm: quotas.rpm.or(noted.rpm), ..noted }
}
