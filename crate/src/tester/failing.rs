use super::BedrockTpmTester;
use crate::{Diagnosis, Error, Observation, Outcome, Result};

/// A protocol is given up after so many failures in a row: a service that is overloaded recovers, a wrong setup does not.
const FAILURES_IN_A_ROW: usize = 3;
const OVERLOADED_IN_A_ROW: usize = 8;

/// Requests that failed one after the other, up to the last.
pub(super) struct Failing {
    count: usize,
    too_many: usize,
    /// What the last failure means.
    diagnosis: Diagnosis,
}

/// When a tester gives up.
impl BedrockTpmTester {
    /// Counts failures in a row.
    pub(super) fn note_failure(&mut self, observation: &Observation, diagnosis: Option<Diagnosis>) {
        let before = self.failing.take().map_or(0, |failing| failing.count);
        let too_many = if observation.status == Some(503) { OVERLOADED_IN_A_ROW } else { FAILURES_IN_A_ROW };
        self.failing = diagnosis
            .filter(|_| observation.outcome() == Outcome::Failed)
            .map(|diagnosis| Failing { count: before + 1, too_many, diagnosis });
    }

    /// A setup error with the remedy if the last few requests all failed.
    pub(crate) fn give_up_on_failures(&self) -> Result<()> {
        match &self.failing {
            Some(Failing { count, too_many, diagnosis }) if count >= too_many => {
                Err(Error::setup(format!("{count} requests failed in a row: {diagnosis}")))
            }
            _ => Ok(()),
        }
    }

    /// A setup error with the remedy if not a single request was answered.
    pub(crate) fn give_up_unanswered(&self) -> Result<()> {
        match &self.failing {
            Some(Failing { count, diagnosis, .. }) if *count == self.trace.observations().len() => {
                Err(Error::setup(format!("none of {count} requests was answered: {diagnosis}")))
            }
            _ => Ok(()),
        }
    }
}
