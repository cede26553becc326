use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::record::Record;
use crate::Timestamp;
use crate::text::{grouped, requests};

/// So many failures are named; all of them are in the output.
const MOST_NAMED: usize = 20;

/// How far a batch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchProgress {
    /// Requests in the input.
    pub requests: u64,
    /// Requests that are answered, those of earlier runs included.
    pub answered: u64,
    /// Requests that failed in this run.
    pub failed: u64,
    /// Attempts in this run.
    pub sent: u64,
    /// Attempts in this run that a quota rejected all the same.
    pub throttled: u64,
    /// Input tokens of all answers.
    pub input_tokens: u64,
    /// Output tokens of all answers.
    pub output_tokens: u64,
    /// When it will have ended, by the quotas and at the rate so far, on the endpoint's clock.
    #[serde(skip)]
    pub ends_at: Option<Timestamp>,
}

impl BatchProgress {
    /// Counts a request that has ended.
    pub(super) fn count(&mut self, record: &Record) {
        match record.error {
            Some(_) => self.failed += 1,
            None => self.answered += 1,
        }
        self.input_tokens += record.input_tokens.unwrap_or(0);
        self.output_tokens += record.output_tokens.unwrap_or(0);
    }

    /// Requests that are neither answered nor failed.
    pub fn left(&self) -> u64 {
        self.requests.saturating_sub(self.answered + self.failed)
    }
}

/// What came of a run of a batch.
#[derive(Clone, Debug, Serialize)]
pub struct BatchReport {
    /// The counts at its end.
    #[serde(flatten)]
    pub progress: BatchProgress,
    /// Requests that are neither answered nor failed.
    pub left: u64,
    /// How long it took, in minutes of the endpoint's time.
    pub minutes: f64,
    /// The first 20 requests that failed.
    pub failures: Vec<BatchFailure>,
    /// Where the results are.
    pub output: PathBuf,
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BatchFailure {
    /// Its line in the input, from 1.
    pub line: u64,
    /// The user's id of it.
    #[serde(rename = "recordId", skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// Why.
    pub error: String,
}

/// The failures that are named.
#[derive(Debug, Default)]
pub(super) struct Failures(pub(super) Vec<BatchFailure>);

impl Failures {
    pub(super) fn add(&mut self, record: &Record) {
        if let Some(error) = record.error.as_ref().filter(|_| self.0.len() < MOST_NAMED) {
            self.0.push(BatchFailure { line: record.line, id: record.id.clone(), error: error.clone() });
        }
    }
}

impl fmt::Display for BatchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BatchProgress {
            requests: all,
            answered,
            failed,
            sent,
            throttled,
            input_tokens,
            output_tokens,
            ..
        } = self.progress;
        let (all, output) = (requests(all), self.output.display());
        writeln!(f, "{} of {all} answered, {failed} failed, {} left", grouped(answered), self.left)?;
        writeln!(f, "sent    {} in {:.1} minutes, {throttled} throttled (429)", grouped(sent), self.minutes)?;
        writeln!(f, "tokens  {} in, {} out", grouped(input_tokens), grouped(output_tokens))?;
        writeln!(f, "output  {output}")?;
        for failure in &self.failures {
            writeln!(f, "failed  {failure}")?;
        }
        match failed.saturating_sub(self.failures.len() as u64) {
            0 => Ok(()),
            more => writeln!(f, "failed  {} more: the lines of {output} with an `error`", grouped(more)),
        }
    }
}

impl fmt::Display for BatchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        self.id.iter().try_for_each(|id| write!(f, " ({id})"))?;
        write!(f, ": {}", self.error)
    }
}
