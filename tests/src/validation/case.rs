use std::fmt;

use bedrock_tpm::Ranked;
use serde::Serialize;

use super::{Ending, Run};
use crate::truth::Truth;

/// A measurement that did not end right, to look into.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// What `--replay` takes.
    pub seed: u64,
    /// How it ended.
    pub ending: Ending,
    /// What was enforced, as a noun phrase.
    pub enforced: String,
    /// What was enforced, with every parameter.
    pub truth: Truth,
    /// What was named.
    pub verdict: String,
    /// The quota that was named.
    pub binding: String,
    /// The answer to the clock question.
    pub clock_question: String,
    /// The first three candidates.
    pub ranked: Vec<Ranked>,
    /// What it cost, in minutes of the endpoint's time.
    pub minutes: f64,
    /// Requests sent.
    pub requests: u64,
    /// Why the measurement ended early, if it did.
    pub failure: Option<String>,
}

impl Case {
    /// `None` if it ended right.
    pub fn of(run: &Run) -> Option<Self> {
        let Run { truth, verdict, failure, .. } = run;
        (run.ending() != Ending::Right).then(|| Self {
            seed: truth.seed,
            ending: run.ending(),
            enforced: truth.to_string(),
            truth: truth.clone(),
            verdict: verdict.verdict.to_string(),
            binding: verdict.binding.to_string(),
            clock_question: verdict.clock_question.to_string(),
            ranked: verdict.ranked.iter().take(3).cloned().collect(),
            minutes: verdict.spent.minutes,
            requests: verdict.spent.requests,
            failure: failure.as_ref().map(ToString::to_string),
        })
    }
}

/// One line.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, enforced, verdict, binding, minutes, requests, .. } = self;
        write!(f, "{seed}: {enforced} -> {verdict} ({binding})")?;
        for ranked in &self.ranked {
            write!(f, ", {} {:.1} %", ranked.mechanism, 100.0 * ranked.probability)?;
        }
        write!(f, "; {minutes:.1} minutes, {requests} requests")?;
        match &self.failure {
            Some(failure) => write!(f, "; failed: {failure}"),
            None => Ok(()),
        }
    }
}
