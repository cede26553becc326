use std::path::PathBuf;
use std::process::ExitCode;

use bedrock_tpm::protocol::{Adaptive, Audit, Plan, Schedule, classic};
use bedrock_tpm::{BedrockTpmTester, Clock, EmulatorConfig, Error, Report, Result, Settings, Trace};
use clap::{Args, ValueEnum};

use super::analyze::assumptions;
use super::args::{EmulatorArgs, QuotaArgs, TargetArgs};
use super::measured::Measured;
use super::progress::Progress;
use super::{FAILURE, ask, exit_status, print, say, stop_requested};

#[derive(Args)]
pub(super) struct Measure {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    quotas: QuotaArgs,
    #[command(flatten)]
    emulator: EmulatorArgs,
    /// Which requests are sent when
    #[arg(long, value_enum, default_value_t = Protocol::Adaptive)]
    protocol: Protocol,
    /// Then measure the accounting too: reservation, refund, rejected requests, burndown
    #[arg(long)]
    accounting: bool,
    /// Never spend more tokens than this, those of a resumed trace included [default: twice the protocol's need]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    budget_tokens: Option<u64>,
    /// Name a mechanism at this probability or more, 0.5 to 0.9999
    #[arg(long, default_value_t = Settings::default().confidence, value_name = "P")]
    confidence: f64,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the trace to this new file [default: trace-TIME.jsonl]
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Continue this trace
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    resume: Option<PathBuf>,
    /// Write the report to this file
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    report: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// Choose each probe by what the ones before have shown, until a mechanism can be named
    Adaptive,
    /// Fill at :35, probe at :45 to :59, at :05 and at :50
    Classic,
}

/// How a protocol ended.
enum End {
    Complete,
    Interrupted,
    Failed(Error),
}

impl Measure {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let resumed = self.resume.as_ref().map_or_else(|| Ok(Trace::in_memory()), Trace::resume)?;
        let mut settings = self.settings(&resumed);
        let audit = self.accounting.then(|| Audit::new(&settings));
        let audit_tokens = audit.map_or(0, |audit| audit.tokens_at_most());
        let whole =
            self.plan(&settings, &Trace::in_memory(), Clock::system())?.tokens_at_most() + audit_tokens;
        let budget = *settings.budget_tokens.get_or_insert(whole.saturating_mul(2));
        let mut tester = match self.target.target() {
            Some(target) => {
                if target.may_spend(Clock::scaled(settings.time_scale)?)? && !self.target.yes {
                    let plan = self.plan(&settings, &resumed, Clock::system())?;
                    let tokens = (plan.tokens_at_most() + audit_tokens).min(budget);
                    ask(&format!(
                        "This sends requests to {} and uses about {tokens} tokens, never more than {budget}.",
                        settings.model
                    ))?;
                }
                BedrockTpmTester::connect(target, settings).await?
            }
            None => BedrockTpmTester::emulated(self.emulator_config(&resumed, &settings)?, settings).await?,
        };
        let plan = self.plan(tester.settings(), tester.trace(), tester.clock())?;
        let end = {
            let audit_s = audit.map_or(0.0, |audit| 60.0 * audit.minutes_at_most());
            let progress = Progress::until(plan.ends_by().plus_seconds(audit_s), tester.clock());
            tester.on_event(progress.listener());
            tokio::select! {
                outcome = run(&plan, audit, &mut tester) => outcome.map_or_else(End::Failed, |()| End::Complete),
                () = stop_requested() => End::Interrupted,
            }
        };
        self.conclude(&tester, end)
    }

    fn plan(&self, settings: &Settings, trace: &Trace, clock: Clock) -> Result<Plan> {
        Ok(match self.protocol {
            Protocol::Adaptive => Plan::Adaptive(Adaptive::new(settings, clock.now())?),
            Protocol::Classic => {
                Plan::Classic(Schedule::new(classic(settings.tpm, settings.rpm)?, trace, clock.now()))
            }
        })
    }

    /// What the flags say and, where they say nothing, what a resumed trace was made with.
    fn settings(&self, resumed: &Trace) -> Settings {
        let stamp = || Clock::system().now().to_chrono().format("trace-%Y%m%dT%H%M%S%.3f.jsonl").to_string();
        let path = self.resume.as_ref().or(self.trace.as_ref()).cloned().unwrap_or_else(|| stamp().into());
        let flags = Settings {
            budget_tokens: self.budget_tokens,
            trace: Some(path),
            resume: self.resume.is_some(),
            confidence: self.confidence,
            ..self.target.settings(self.quotas, self.seed)
        };
        let Some(last) = resumed.observations().last() else { return flags };
        let noted = assumptions(self.quotas, std::slice::from_ref(last));
        Settings {
            model: self.target.model.clone().unwrap_or_else(|| last.model.clone()),
            tpm: noted.tpm,
            rpm: noted.rpm,
            time_scale: self.target.time_scale.unwrap_or(last.time_scale),
            seed: last.extra.get("seed").and_then(serde_json::Value::as_u64).unwrap_or(self.seed),
            ..flags
        }
    }

    /// What the embedded emulator enforces: what it did when the trace was begun, or what the flags say.
    fn emulator_config(&self, resumed: &Trace, settings: &Settings) -> Result<EmulatorConfig> {
        match resumed.emulator() {
            Some(config) => Ok(config),
            None => self.emulator.config(QuotaArgs { tpm: settings.tpm, rpm: settings.rpm }, settings.seed),
        }
    }

    fn conclude(&self, tester: &BedrockTpmTester, end: End) -> Result<ExitCode> {
        let end = match end {
            End::Failed(error) if tester.trace().observations().is_empty() => return Err(error),
            other => other,
        };
        let partial = !matches!(end, End::Complete);
        let (verdict, accounting) = tester.findings();
        let report = Report::new(tester.trace().observations(), verdict.clone(), partial);
        let saved = report.with_accounting(accounting.clone()).save(&self.report);
        let saved_as = saved.is_ok().then_some(&*self.report);
        let measured = Measured::new(tester, verdict, accounting, partial, saved_as);
        print(&measured, self.json)?;
        let kept = &measured.trace;
        let protocol = match self.protocol {
            Protocol::Adaptive => "",
            Protocol::Classic => " --protocol classic",
        };
        let accounting = if self.accounting { " --accounting" } else { "" };
        let go_on = match tester.trace().observations() {
            [] => format!("nothing was sent yet: repeat the command with --resume {kept}"),
            _ => format!(
                "go on with: bedrock-tpm measure --resume {kept}{}{protocol}{accounting}",
                self.target.flags()
            ),
        };
        match end {
            End::Complete => {}
            End::Interrupted => say(&format!("stopped; {go_on}")),
            End::Failed(error) => say(&format!("error: {error}; then {go_on}")),
        }
        saved?;
        Ok(if partial { ExitCode::from(FAILURE) } else { exit_status(&measured.verdict) })
    }
}

/// Runs the protocol and, after it, the audit. A trace that has begun with the audit is done with the protocol.
async fn run(plan: &Plan, audit: Option<Audit>, tester: &mut BedrockTpmTester) -> Result<()> {
    if !Audit::has_begun(tester.trace().observations()) {
        plan.run(tester).await?;
    }
    match audit {
        Some(audit) => {
            let verdict = tester.verdict();
            audit.run(tester, &verdict).await
        }
        None => Ok(()),
    }
}
