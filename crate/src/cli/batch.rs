use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bedrock_tpm::{
    Batch, BatchEnd, BatchReport, BatchSettings, Clock, EMBEDDED, Emulator, Endpoint, Error, Result,
    Settings, Target, Throttle, ThrottleSettings,
};
use clap::Args;
use tokio::sync::Notify;

use super::args::{ChargeArgs, EmulatorArgs, QuotaArgs, TargetArgs};
use super::known::Known;
use super::progress::BatchBar;
use super::{FAILURE, ask, print, say, stop_requested};

#[derive(Args)]
#[command(after_help = "\
IN: JSON lines, each the body of a Converse request. It may also have a modelId (else --model is called) and a recordId, \
which comes back with its result. Without inferenceConfig.maxTokens a request reserves the model's longest answer \
(64,000 tokens), so set it. All models share the stated quotas: where each has its own, make it a file a model.

OUT: a line for each request that has ended, written and synced at once: line (of IN), recordId, status, attempts, sent, \
finished, request_id, input_tokens, output_tokens, model, endpoint, digest (of the request), and the response, or else \
error_type and error.

The same command goes on after a crash, Ctrl-C or kill -9. What is answered and written to OUT is never sent again; \
what was under way when the program died has an unknown outcome and is sent again. The quotas are then taken for used \
up at first, so that nothing is throttled. What has failed is tried again too and gets another line: the last one counts.

A request that was throttled, or that failed for reasons of the service's (5xx, no answer in time, no connection), \
is sent up to 8 times, each time under the quotas. Nothing else is sent twice in a run. 20 failures in a row end it.

Exit status: 0 all answered, 1 some failed or it was stopped, 2 wrong usage.")]
pub(super) struct SendBatch {
    /// The requests
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The results: a new file, or the one to go on with
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    quotas: QuotaArgs,
    /// How the quota is enforced, as measured: a file with what `measure --json` printed
    #[arg(long, value_name = "FILE")]
    verdict: Option<PathBuf>,
    /// Requests that are under way, or wait to be sent again, at the same time
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,
    /// Never use more tokens than this, those of earlier runs included [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    budget_tokens: Option<u64>,
    #[command(flatten)]
    emulator: EmulatorArgs,
    #[command(flatten)]
    charges: ChargeArgs,
    /// Seed of every random choice of the emulator's
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl SendBatch {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let settings = self.target.settings(self.quotas, self.seed);
        let clock = Clock::scaled(settings.time_scale)?;
        let target = self.target.target();
        let may_spend = target.as_ref().map_or(Ok(false), |target| target.may_spend(clock))?;
        let throttle = self.throttle(&settings, clock)?;
        let batch = Batch::open(
            &self.input,
            &self.out,
            target.as_ref().map_or(EMBEDDED, Target::name),
            BatchSettings {
                model: settings.model.clone(),
                concurrency: self.concurrency as usize,
                budget_tokens: self.budget_tokens,
            },
        )?;
        if may_spend && !self.target.yes && batch.progress().left() > 0 {
            self.ask(&batch)?;
        }
        let endpoint = match target {
            Some(target) => Endpoint::connect(&target, settings.timeouts, clock).await?,
            None => {
                let quotas = QuotaArgs { tpm: settings.tpm, rpm: settings.rpm };
                let emulator = Emulator::new(self.emulator.config(quotas, self.charges, self.seed)?, clock)?;
                Endpoint::simulated(Arc::new(emulator))
            }
        };
        let (report, end) = {
            let bar = BatchBar::new(&batch.progress(), clock);
            let stop = Notify::new();
            let stop_at_once = async {
                stop_requested().await;
                stop.notify_one();
                let say = || bar.say("stopping once what is under way has ended; Ctrl-C again stops at once");
                // Listens for it before saying so.
                tokio::join!(biased; stop_requested(), async { say() });
            };
            tokio::select! {
                // Listens before anything is sent.
                biased;
                () = stop_at_once => {
                    say("stopped; the same command goes on, and sends again what was under way");
                    return Ok(ExitCode::from(FAILURE));
                }
                ended = batch.run(&endpoint, &throttle, clock, stop.notified(), bar.listener()) => ended,
            }
        };
        self.conclude(&report, end)
    }

    fn throttle(&self, settings: &Settings, clock: Clock) -> Result<Throttle> {
        let stated = ThrottleSettings::stated(settings.tpm, settings.rpm);
        let ChargeArgs { refund, burndown } = self.charges;
        let stated = ThrottleSettings { burndown, refund, ..stated };
        let known = self.verdict.as_deref().map(Known::read).transpose()?;
        if stated.quotas.is_empty() && !known.as_ref().is_some_and(Known::names_a_mechanism) {
            return Err(Error::usage(
                "which quotas? give --tpm, --rpm or both (Service Quotas, \"... model inference tokens per minute for ...\"), \
                 or --verdict FILE with a mechanism that `measure --json` has named",
            ));
        }
        match known {
            Some(known) => known.throttle(stated, clock),
            None => Throttle::new(stated, clock),
        }
    }

    fn ask(&self, batch: &Batch) -> Result<()> {
        let (left, most) = (batch.progress().left(), batch.tokens_at_most());
        let cap = match self.budget_tokens {
            Some(budget) => format!(", never more than {budget} with earlier runs"),
            None => ", more only where a request has to be sent again".into(),
        };
        ask(&format!("This sends {left} requests and uses at most {most} tokens{cap}."))
    }

    fn conclude(&self, report: &BatchReport, end: BatchEnd) -> Result<ExitCode> {
        let end = match end {
            BatchEnd::Failed(error) if (report.progress.sent, report.progress.failed) == (0, 0) => {
                return Err(error);
            }
            other => other,
        };
        print(report, self.json)?;
        if report.progress.throttled > 0 {
            say(
                "throttled all the same: others use the quota too, or it is enforced otherwise; measure it, and pass --verdict",
            );
        }
        match end {
            BatchEnd::Complete if report.progress.failed == 0 => return Ok(ExitCode::SUCCESS),
            BatchEnd::Complete => say("the same command tries again what has failed"),
            BatchEnd::Interrupted => say("stopped; the same command goes on"),
            BatchEnd::Failed(error) => say(&format!("error: {error}; then the same command goes on")),
        }
        Ok(ExitCode::from(FAILURE))
    }
}
