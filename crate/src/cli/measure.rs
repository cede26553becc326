use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use bedrock_tpm::protocol::{Schedule, classic};
use bedrock_tpm::{
    BedrockTpmTester, Binding, Candidate, Clock, Conclusion, EMBEDDED, EmulatorConfig, Error, Mechanism,
    QuotaKind, Report, Result, Settings, Trace, Verdict,
};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::analyze::assumptions;
use super::args::{EmulatorArgs, QuotaArgs, TargetArgs};
use super::progress::Progress;
use super::{FAILURE, ask, exit_status, print};

#[derive(Args)]
pub(super) struct Measure {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    quotas: QuotaArgs,
    #[command(flatten)]
    emulator: EmulatorArgs,
    /// Which requests are sent when
    #[arg(long, value_enum, default_value_t = Protocol::Classic)]
    protocol: Protocol,
    /// Never spend more tokens than this [default: what the protocol needs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    budget_tokens: Option<u64>,
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
    /// Fill at :35, probe at :45 to :59, at :05 and at :50
    Classic,
}

/// What `measure` prints.
#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    verdict: Verdict,
    partial: bool,
    trace: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enforced: Option<Enforced>,
}

/// What the embedded emulator really enforced, next to what was concluded.
#[derive(Serialize)]
struct Enforced {
    kind: QuotaKind,
    #[serde(flatten)]
    mechanism: Mechanism,
    verdict_is: &'static str,
    probability: f64,
}

/// How a protocol ended.
enum End {
    Complete,
    Interrupted,
    Failed(Error),
}

impl Measure {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let resumed = self.resume.as_ref().map(Trace::resume).transpose()?;
        let mut settings = self.settings(resumed.as_ref())?;
        let phases = match self.protocol {
            Protocol::Classic => classic(settings.tpm, settings.rpm)?,
        };
        let schedule_from = |trace: &Trace, clock: Clock| Schedule::new(phases.clone(), trace, clock.now());
        let planned = schedule_from(resumed.as_ref().unwrap_or(&Trace::in_memory()), Clock::system());
        let budget = *settings.budget_tokens.get_or_insert(planned.tokens_at_most() * 2);
        let mut tester = match self.target.target() {
            Some(target) => {
                if target.may_spend(Clock::scaled(self.target.scale())?)? && !self.target.yes {
                    let tokens = planned.tokens_at_most().min(budget);
                    ask(&format!(
                        "This sends requests to {} and uses about {tokens} tokens, never more than {budget}.",
                        settings.model
                    ))?;
                }
                BedrockTpmTester::connect(target, settings).await?
            }
            None => {
                BedrockTpmTester::emulated(self.emulator_config(resumed.as_ref(), &settings)?, settings)
                    .await?
            }
        };
        let schedule = schedule_from(tester.trace(), tester.clock());
        let end = {
            let progress = Progress::until(schedule.last_step(), tester.clock());
            tester.on_event(progress.listener());
            tokio::select! {
                outcome = schedule.run(&mut tester) => outcome.map_or_else(End::Failed, |()| End::Complete),
                _ = tokio::signal::ctrl_c() => End::Interrupted,
            }
        };
        self.conclude(&tester, end)
    }

    fn settings(&self, resumed: Option<&Trace>) -> Result<Settings> {
        let mut settings = self.target.settings(self.quotas, self.seed);
        settings.budget_tokens = self.budget_tokens;
        settings.trace = Some(match &self.trace {
            Some(path) => path.clone(),
            None => {
                format!("trace-{}.jsonl", Clock::system().now().to_chrono().format("%Y%m%dT%H%M%S")).into()
            }
        });
        let Some((path, last)) =
            self.resume.clone().zip(resumed.and_then(|trace| trace.observations().last()))
        else {
            settings.resume = self.resume.is_some();
            settings.trace = self.resume.clone().or(settings.trace);
            return Ok(settings);
        };
        if (last.endpoint == EMBEDDED) != self.target.is_embedded() {
            return Err(Error::usage(format!(
                "the trace is of endpoint {}; resume with the same target (--endpoint-url, --aws or neither)",
                last.endpoint
            )));
        }
        let noted = assumptions(self.quotas, std::slice::from_ref(last));
        Ok(Settings {
            model: last.model.clone(),
            tpm: noted.tpm,
            rpm: noted.rpm,
            time_scale: self.target.time_scale.unwrap_or(last.time_scale),
            seed: last.extra.get("seed").and_then(serde_json::Value::as_u64).unwrap_or(self.seed),
            trace: Some(path),
            resume: true,
            ..settings
        })
    }

    /// What the embedded emulator enforces: what it did when the trace was begun, or what the flags say.
    fn emulator_config(&self, resumed: Option<&Trace>, settings: &Settings) -> Result<EmulatorConfig> {
        match resumed.and_then(Trace::emulator) {
            Some(config) => Ok(config),
            None => self.emulator.config(QuotaArgs { tpm: settings.tpm, rpm: settings.rpm }, settings.seed),
        }
    }

    fn conclude(&self, tester: &BedrockTpmTester, end: End) -> Result<ExitCode> {
        let trace = tester.trace();
        let kept = trace.path().map(PathBuf::from).unwrap_or_default();
        let end = match end {
            End::Failed(error) if trace.observations().is_empty() => return Err(error),
            other => other,
        };
        let verdict = tester.verdict();
        let status = exit_status(&verdict);
        let partial = !matches!(end, End::Complete);
        let saved = Report::new(trace.observations(), verdict.clone(), partial).save(&self.report);
        let measured = Measured {
            enforced: tester.enforced().and_then(|config| Enforced::of(&config, &verdict)),
            verdict,
            partial,
            trace: kept.clone(),
            report: saved.is_ok().then(|| self.report.clone()),
        };
        print(&measured, self.json)?;
        saved?;
        match end {
            End::Complete => Ok(status),
            End::Interrupted => {
                eprintln!("stopped; go on with: bedrock-tpm measure --resume {}", kept.display());
                Ok(ExitCode::from(FAILURE))
            }
            End::Failed(error) => {
                eprintln!("error: {error}; the trace is kept: {}", kept.display());
                Ok(ExitCode::from(FAILURE))
            }
        }
    }
}

impl Enforced {
    fn of(config: &EmulatorConfig, verdict: &Verdict) -> Option<Self> {
        let kind = match verdict.binding {
            Binding::Quota(QuotaKind::Requests) => QuotaKind::Requests,
            _ if config.tokens.is_none() => QuotaKind::Requests,
            _ => QuotaKind::Tokens,
        };
        let mechanism = if kind == QuotaKind::Tokens { config.tokens } else { config.requests }?;
        let verdict_is = match verdict.verdict {
            Conclusion::Mechanism(id) if id == mechanism.id() => "right",
            Conclusion::Mechanism(_) | Conclusion::NoneOfThese => "wrong",
            Conclusion::Inconclusive => "inconclusive",
        };
        let probability = verdict.ranked.iter().find(|r| r.mechanism == Candidate::Known(mechanism.id()));
        Some(Self { kind, mechanism, verdict_is, probability: probability.map_or(0.0, |r| r.probability) })
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.partial {
            writeln!(f, "PARTIAL: the protocol did not end.\n")?;
        }
        writeln!(f, "{}", self.verdict.to_string().trim_end())?;
        if let Some(Enforced { kind, mechanism, verdict_is, probability }) = &self.enforced {
            writeln!(f, "\nThe emulator really enforced, for {kind}, a {mechanism}.")?;
            writeln!(f, "The verdict is {verdict_is}; it gave the truth a probability of {probability:.3}.")?;
        }
        writeln!(f, "\ntrace   {}", self.trace.display())?;
        if let Some(report) = &self.report {
            writeln!(f, "report  {}", report.display())?;
        }
        Ok(())
    }
}
