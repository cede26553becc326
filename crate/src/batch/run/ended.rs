use std::panic::resume_unwind;

use tokio::task::JoinError;

use super::Run;
use crate::batch::ending::{ATTEMPTS, Next};
use crate::batch::job::Job;
use crate::batch::record::Record;
use crate::throttle::Reported;
use crate::{Endpoint, Error, RawResponse, Reservation, Result, throttle};

/// A batch is given up after so many failures in a row that are not the single request's.
const FAILURES_IN_A_ROW: u32 = 20;

/// A request that has not ended.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) job: Job,
    pub(super) attempts: u32,
}

/// An attempt that has ended.
pub(super) struct Ended {
    open: Open,
    answer: RawResponse,
    tokens_at_most: u64,
}

impl Open {
    /// Sends the request and tells the throttle how that ended.
    pub(super) async fn attempt(mut self, endpoint: Endpoint, reservation: Reservation) -> Ended {
        self.attempts += 1;
        let body = self.job.body.as_ref().ok().cloned().unwrap_or_default();
        let answer = endpoint.send_json(&self.job.model, &body).await;
        let RawResponse { response, .. } = &answer;
        reservation.end(throttle::Ended::of(response.outcome(), response.usage));
        Ended { tokens_at_most: self.job.tokens_at_most(), open: self, answer }
    }
}

/// What the end of an attempt changes.
impl Run<'_> {
    /// Takes in an attempt that has ended, and all others that have by now, so that they are synced together.
    pub(super) fn record(&mut self, ended: std::result::Result<Ended, JoinError>) -> Result<()> {
        let mut records = Vec::new();
        let mut stop = Ok(());
        let mut next = Some(ended);
        while let Some(ended) = next {
            let ended = ended.unwrap_or_else(|fault| resume_unwind(fault.into_panic()));
            match self.judge(ended) {
                Ok(record) => records.extend(record),
                Err(error) => stop = Err(error),
            }
            next = self.under_way.try_join_next();
        }
        self.write(&records).and(stop)
    }

    /// What remains of an attempt: a record if the request has ended.
    fn judge(&mut self, Ended { open, answer, tokens_at_most }: Ended) -> Result<Option<Record>> {
        let RawResponse { response, body } = answer;
        let outcome = response.outcome();
        self.tokens_under_way -= tokens_at_most;
        self.tokens_used += match response.usage {
            Some(usage) => usage.input_tokens + usage.cache_write_tokens + usage.output_tokens,
            None if outcome.is_throttled() => 0,
            None => tokens_at_most,
        };
        self.batch.progress.throttled += u64::from(outcome.is_throttled());
        match Next::after(open.attempts, self.endpoint, &open.job.model, &response) {
            Next::Answered => {
                if let Some(reported) = body.as_ref().and_then(Reported::in_usage) {
                    self.batch.estimator.learn(&open.job.model, open.job.size, reported.prompt_tokens);
                }
                Ok(Some(Record::of(open.job, open.attempts, response, body, &self.batch.endpoint)))
            }
            Next::Again(rest) => {
                self.resting.insert((self.clock.now() + rest, open.job.line), open);
                Ok(None)
            }
            Next::Failed => {
                self.last_failure = self.endpoint.diagnose(&open.job.model, &response);
                Ok(Some(Record::of(open.job, open.attempts, response, None, &self.batch.endpoint)))
            }
            Next::Stop(error) => Err(error),
        }
    }

    /// Writes what has ended, and gives up if that says that nothing else will do better.
    pub(super) fn write(&mut self, records: &[Record]) -> Result<()> {
        self.batch.journal.append(records)?;
        for record in records {
            self.batch.progress.count(record);
            self.batch.failures.add(record);
            let is_answered = record.error.is_none();
            if is_answered {
                self.failures_in_a_row = 0;
            } else if record.attempts == ATTEMPTS || self.batch.progress.answered == 0 {
                self.failures_in_a_row += 1;
            }
        }
        match records.last().and_then(|record| record.error.as_ref()) {
            Some(error) if self.failures_in_a_row >= FAILURES_IN_A_ROW => {
                let reason =
                    self.last_failure.take().map_or_else(|| error.clone(), |failure| failure.to_string());
                Err(Error::setup(format!("{} requests in a row failed: {reason}", self.failures_in_a_row)))
            }
            _ => Ok(()),
        }
    }
}
