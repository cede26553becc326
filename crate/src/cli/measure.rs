use std::path::PathBuf;
use std::process::ExitCode;

use bedrock_tpm::protocol::{Adaptive, Audit, Pair, Plan, Schedule, classic};
use bedrock_tpm::{BedrockTpmTester, Clock, EmulatorConfig, Error, Report, Result, Settings, Target, Trace};
use clap::{Args, ValueEnum};

use super::analyze::assumptions;
use super::args::{ChargeArgs, EmulatorArgs, PairedArgs, QuotaArgs, TargetArgs};
use super::measured::Measured;
use super::plans::Plans;
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
    #[command(flatten)]
    charges: ChargeArgs,
    #[command(flatten)]
    paired: PairedArgs,
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
        let whole = self.plans(&settings, &Trace::in_memory(), Clock::system())?.tokens_at_most();
        let budget = *settings.budget_tokens.get_or_insert(whole.saturating_mul(2));
        let mut tester = match self.target.target() {
            Some(target) => {
                self.charges.refused()?;
                if self.may_spend(&target, Clock::scaled(settings.time_scale)?)? && !self.target.yes {
                    let plans = self.plans(&settings, &resumed, Clock::system())?;
                    let (tokens, model) = (plans.tokens_at_most().min(budget), &settings.model);
                    let second = self.paired.named();
                    ask(&format!(
                        "This sends requests to {model}{second} and uses about {tokens} tokens, never more than {budget}."
                    ))?;
                }
                BedrockTpmTester::connect(target, settings).await?
            }
            None => BedrockTpmTester::emulated(self.emulator_config(&resumed, &settings)?, settings).await?,
        };
        if let Some(other) = self.paired.other() {
            tester.pair_with(&other).await?;
        }
        let plans = self.plans(tester.settings(), tester.trace(), tester.clock())?;
        let end = {
            let progress = Progress::until(plans.ends_by(), tester.clock());
            tester.on_event(progress.listener());
            tokio::select! {
                // Listens before anything is sent.
                biased;
                () = stop_requested() => End::Interrupted,
                outcome = plans.run(&mut tester) => outcome.map_or_else(End::Failed, |()| End::Complete),
            }
        };
        self.conclude(&tester, end)
    }

    /// Whether requests to either target leave this machine.
    fn may_spend(&self, first: &Target, clock: Clock) -> Result<bool> {
        let first = first.may_spend(clock)?;
        let second = self.paired.paired_endpoint_url.clone().map(|url| Target::Url { url, region: None });
        Ok(second.map_or(Ok(false), |second| second.may_spend(clock))? || first)
    }

    fn plans(&self, settings: &Settings, trace: &Trace, clock: Clock) -> Result<Plans> {
        let mechanism = match self.protocol {
            Protocol::Adaptive => Plan::Adaptive(Adaptive::new(settings, clock.now())?),
            Protocol::Classic => {
                Plan::Classic(Schedule::new(classic(settings.tpm, settings.rpm)?, trace, clock.now()))
            }
        };
        let accounting = self.accounting.then(|| Audit::new(settings));
        let pairing = self.paired.other().map(|_| Pair::new(settings));
        Ok(Plans { mechanism, accounting, pairing })
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
        let Some(last) = resumed.last_measured() else { return flags };
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
            None => {
                let quotas = QuotaArgs { tpm: settings.tpm, rpm: settings.rpm };
                self.emulator.config(quotas, self.charges, settings.seed)
            }
        }
    }

    fn conclude(&self, tester: &BedrockTpmTester, end: End) -> Result<ExitCode> {
        let end = match end {
            End::Failed(error) if tester.trace().observations().is_empty() => return Err(error),
            other => other,
        };
        let partial = !matches!(end, End::Complete);
        let (verdict, accounting) = tester.findings();
        let report = Report::new(tester.trace().observations(), verdict, partial);
        let report = report.with_accounting(accounting).with_paired(tester.paired());
        let saved = report.save(&self.report);
        let saved_as = saved.is_ok().then_some(&*self.report);
        let measured = Measured::new(tester, partial, saved_as);
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
                "go on with: bedrock-tpm measure --resume {kept}{}{}{protocol}{accounting}",
                self.target.flags(),
                self.paired.flags()
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
