use std::path::PathBuf;
use std::process::ExitCode;

use bedrock_tpm::{Chart, Report, Result, Trace, analyze_all, pair};
use clap::Args;

use super::analyze::assumptions;
use super::args::QuotaArgs;
use super::print_text;

#[derive(Args)]
pub(super) struct SaveReport {
    /// The trace: JSON lines, written by `measure` or imported
    trace: PathBuf,
    #[command(flatten)]
    quotas: QuotaArgs,
    /// Where to write, without the ending: NAME.html, NAME.svg and NAME.png
    #[arg(long, default_value = "report", value_name = "NAME")]
    out: PathBuf,
}

impl SaveReport {
    pub(super) fn run(self) -> Result<ExitCode> {
        let trace = Trace::load(&self.trace)?;
        let assumptions = assumptions(self.quotas, trace.observations()).validated()?;
        let (verdict, accounting) = analyze_all(trace.observations(), &assumptions);
        let chart = Chart::new(trace.observations(), Some(&verdict));
        let path = |ending: &str| {
            let mut name = self.out.clone().into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        chart.save(path(".svg"))?;
        chart.save(path(".png"))?;
        let paired = pair(trace.observations(), &verdict, &assumptions);
        let report = Report::new(trace.observations(), verdict, false).with_accounting(accounting);
        report.with_paired(paired).save(path(".html"))?;
        for ending in [".html", ".svg", ".png"] {
            print_text(&path(ending).display().to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
