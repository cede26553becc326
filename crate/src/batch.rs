//! A file of requests, sent under the quotas, and a file of their answers.

mod ending;
mod job;
mod journal;
mod lines;
mod plan;
mod record;
mod report;
mod run;
mod spent;

pub use report::{BatchFailure, BatchProgress, BatchReport};

use std::path::{Path, PathBuf};

use self::job::Job;
use self::journal::Journal;
use self::lines::Lines;
use self::plan::Plan;
use self::report::Failures;
use crate::{Error, Result, TokenEstimator};

/// How a batch is sent.
#[derive(Clone, Debug)]
pub struct BatchSettings {
    /// The model of requests that name none.
    pub model: String,
    /// At most so many requests are under way, or waiting to be sent again; at least 1.
    pub concurrency: usize,
    /// No request is sent that might bring the tokens used above this, those of earlier runs included.
    pub budget_tokens: Option<u64>,
}

/// A file of Converse requests, one a line, and the file of their results.
///
/// # Input
/// JSON lines: each is the body of a Converse request and may also have a `modelId`, and a `recordId` that comes back with
/// its result. Blank lines are left out.
///
/// # Output
/// A line for each request that has ended, in the order in which they end: `line` (of the input, from 1), `recordId`, `status`,
/// `attempts`, `sent`, `finished`, `request_id`, `input_tokens`, `output_tokens`, `model`, `endpoint`, `digest` (of the request) and
/// the `response`, or else `error_type` and `error`. Each is on disk before the request counts as done. A file beside it,
/// `.spent` after its name, keeps the tokens that all runs may have used at most.
///
/// # What is sent again
/// Run again with the same files, it sends what is not answered: never a request whose answer is in the output, but all
/// that was under way when the program died. Requests that failed are tried again too, and get another line.
///
/// Within a run a request that was throttled, or failed for reasons of the service's (5xx, no answer in time, no connection),
/// is sent up to 8 times, each time under the quotas. What the service calls invalid is not sent again.
#[derive(Debug)]
pub struct Batch {
    input: Lines,
    output: PathBuf,
    plan: Plan,
    journal: Journal,
    settings: BatchSettings,
    endpoint: String,
    estimator: TokenEstimator,
    progress: BatchProgress,
    failures: Failures,
}

/// How a run of a batch ended.
#[derive(Debug)]
pub enum BatchEnd {
    /// Every request was answered or failed.
    Complete,
    /// It was asked to stop.
    Interrupted,
    /// It makes no sense to go on, or is not possible, for this reason.
    Failed(Error),
}

impl BatchEnd {
    /// The first failure is the one that counts.
    fn and(self, result: Result<()>) -> Self {
        match (self, result) {
            (Self::Failed(first), _) => Self::Failed(first),
            (_, Err(error)) => Self::Failed(error),
            (end, Ok(())) => end,
        }
    }
}

impl Batch {
    /// Reads `input` and, if it is there, `output`, for requests to the endpoint that is called `endpoint`. Writes nothing
    /// yet, but removes a last line of `output` that a crash has cut off.
    ///
    /// # Errors
    /// A usage error if `output` is the input, of another input, model or endpoint, or in use; a trace error if a file cannot be read
    /// or is something else; an output error if `output` cannot be written.
    pub fn open(
        input: impl AsRef<Path>,
        output: impl AsRef<Path>,
        endpoint: &str,
        settings: BatchSettings,
    ) -> Result<Self> {
        let (input, output) = (input.as_ref(), output.as_ref());
        if settings.concurrency == 0 {
            return Err(Error::usage("nothing is sent with a concurrency of 0; use 1 or more"));
        }
        if let [Ok(read), Ok(written)] = [input, output].map(Path::canonicalize)
            && read == written
        {
            return Err(Error::usage(format!("{} is the input; name another output", output.display())));
        }
        let mut plan = Plan::read(&mut Lines::open(input)?, &settings.model)?;
        if plan.requests == 0 {
            return Err(Error::trace(format!("{} holds no request; write one a line", input.display())));
        }
        let journal = Journal::open(output, &mut plan, endpoint)?;
        let progress = BatchProgress {
            requests: plan.requests,
            answered: plan.answered,
            input_tokens: plan.input_tokens,
            output_tokens: plan.output_tokens,
            ..BatchProgress::default()
        };
        Ok(Self {
            input: Lines::open(input)?,
            output: output.into(),
            plan,
            journal,
            settings,
            endpoint: endpoint.to_owned(),
            estimator: TokenEstimator::default(),
            progress,
            failures: Failures::default(),
        })
    }

    /// How far it is.
    pub fn progress(&self) -> BatchProgress {
        self.progress
    }

    /// The most tokens that the requests which are not answered can use, each sent once.
    pub fn tokens_at_most(&self) -> u64 {
        self.plan.tokens_at_most()
    }

    /// The next request that is not answered.
    fn next_job(&mut self) -> Result<Option<Job>> {
        while let Some(line) = self.input.next()? {
            if !self.plan.is_done(line.number) {
                return Ok(Some(Job::parse(&line, &self.settings.model)));
            }
        }
        Ok(None)
    }

    fn report(self, minutes: f64) -> BatchReport {
        let Self { progress, failures, output, .. } = self;
        BatchReport { progress, left: progress.left(), minutes, failures: failures.0, output }
    }
}
