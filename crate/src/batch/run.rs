mod ended;

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::pin::pin;

use tokio::task::JoinSet;

use self::ended::{Ended, Open};
use super::record::Record;
use super::spent::Spent;
use super::{Batch, BatchEnd, BatchProgress, BatchReport};
use crate::{Clock, Diagnosis, Endpoint, Error, MODEL_MAX_TOKENS, Reservation, Result, Throttle, Timestamp};

/// What a program that died has sent may be admitted until so long after the next one has started, in seconds.
const STILL_UNDER_WAY_S: f64 = 5.0;

struct Run<'a> {
    batch: Batch,
    endpoint: &'a Endpoint,
    throttle: &'a Throttle,
    clock: Clock,
    started: Timestamp,
    /// The next to be sent, once the throttle lets it pass.
    next: Option<Open>,
    /// Those that may be sent again, by when and by their line.
    resting: BTreeMap<(Timestamp, u64), Open>,
    under_way: JoinSet<Ended>,
    is_all_read: bool,
    /// The most that was used so far, and the most that what is under way may use.
    tokens_used: u64,
    tokens_under_way: u64,
    failures_in_a_row: u32,
    last_failure: Option<Diagnosis>,
    spent: Spent,
}

impl Batch {
    /// Sends what is not answered, under the quotas of `throttle`, until all has ended or `stop` completes; then it sends
    /// nothing more and waits for what is under way. `clock` is the endpoint's. `listener` is called after every change.
    ///
    /// If the output was there before, the quotas are taken for used up at first: nobody knows what an earlier run
    /// had under way when it ended.
    pub async fn run(
        mut self,
        endpoint: &Endpoint,
        throttle: &Throttle,
        clock: Clock,
        stop: impl Future<Output = ()>,
        mut listener: impl FnMut(&BatchProgress),
    ) -> (BatchReport, BatchEnd) {
        let started = clock.now();
        let begun = self.journal.begin().and_then(|was_there| Ok((was_there, Spent::beside(&self.output)?)));
        let (was_there, spent) = match begun {
            Ok(begun) => begun,
            Err(error) => return (self.report(0.0), BatchEnd::Failed(error)),
        };
        if was_there {
            throttle.used_up_until(started.plus_seconds(STILL_UNDER_WAY_S));
        }
        let mut run = Run::new(self, endpoint, throttle, clock, spent);
        let mut end = run.send_all(stop, &mut listener).await.unwrap_or_else(BatchEnd::Failed);
        while let Some(ended) = run.under_way.join_next().await {
            let recorded = run.record(ended);
            listener(&run.progress());
            end = end.and(recorded);
        }
        end = end.and(run.spent.note(run.tokens_used));
        (run.batch.report(clock.now().seconds_since(started) / 60.0), end)
    }
}

impl<'a> Run<'a> {
    fn new(batch: Batch, endpoint: &'a Endpoint, throttle: &'a Throttle, clock: Clock, spent: Spent) -> Self {
        let answered = batch.progress.input_tokens + batch.progress.output_tokens;
        Self {
            tokens_used: answered.max(spent.at_most),
            spent,
            batch,
            endpoint,
            throttle,
            clock,
            started: clock.now(),
            next: None,
            resting: BTreeMap::new(),
            under_way: JoinSet::new(),
            is_all_read: false,
            tokens_under_way: 0,
            failures_in_a_row: 0,
            last_failure: None,
        }
    }

    async fn send_all(
        &mut self,
        stop: impl Future<Output = ()>,
        listener: &mut impl FnMut(&BatchProgress),
    ) -> Result<BatchEnd> {
        let mut stop = pin!(stop);
        loop {
            self.choose()?;
            if self.next.is_none() && self.resting.is_empty() && self.under_way.is_empty() {
                return Ok(BatchEnd::Complete);
            }
            let wanted = self.wanted()?;
            let rested = self.resting.first_key_value().filter(|_| self.next.is_none());
            tokio::select! {
                biased;
                () = &mut stop => return Ok(BatchEnd::Interrupted),
                Some(ended) = self.under_way.join_next() => self.record(ended)?,
                reserved = reserve(self.throttle, wanted) => match reserved {
                    Ok(reservation) => self.send(reservation)?,
                    Err(reason) => self.refuse(reason)?,
                },
                () = until(self.clock, rested.map(|((at, _), _)| *at)) => {}
            }
            listener(&self.progress());
        }
    }

    /// How far it is, and when it will have ended.
    fn progress(&self) -> BatchProgress {
        let progress = self.batch.progress;
        let (now, left) = (self.clock.now(), progress.left());
        let tokens_each = match progress.answered {
            0 => self.batch.tokens_at_most() / left.max(1),
            answered => (progress.input_tokens + progress.output_tokens) / answered,
        };
        let by_quota_s = self.throttle.seconds_for(left, left * tokens_each);
        let ended = progress.answered + progress.failed - self.batch.plan.answered;
        let each_s = now.seconds_since(self.started) / ended as f64;
        let at_this_rate_s = if ended == 0 { 0.0 } else { left as f64 * each_s };
        BatchProgress { ends_at: Some(now.plus_seconds(by_quota_s.max(at_this_rate_s))), ..progress }
    }

    /// Takes the next request: one that has rested, or else a new one if not too many are open.
    fn choose(&mut self) -> Result<()> {
        if self.next.is_some() {
            return Ok(());
        }
        let now = self.clock.now();
        if let Some(rested) = self.resting.first_entry().filter(|entry| entry.key().0 <= now) {
            self.next = Some(rested.remove());
        } else if !self.is_all_read
            && self.under_way.len() + self.resting.len() < self.batch.settings.concurrency
        {
            self.next = self.batch.next_job()?.map(|job| Open { job, attempts: 0 });
            self.is_all_read = self.next.is_none();
        }
        Ok(())
    }

    /// The input and output tokens that the next request reserves, or why it cannot be sent; `None` if there is none, or if
    /// the budget allows it only once others have used less than they might.
    fn wanted(&self) -> Result<Option<std::result::Result<(u64, u64), String>>> {
        let Some(Open { job, .. }) = &self.next else { return Ok(None) };
        if let Err(reason) = &job.body {
            return Ok(Some(Err(reason.clone())));
        }
        let most = job.tokens_at_most();
        let budget = self.batch.settings.budget_tokens.unwrap_or(u64::MAX);
        if most <= budget.saturating_sub(self.tokens_at_most()) {
            let max_tokens = job.max_tokens();
            let room = self.throttle.largest_input(max_tokens);
            let input_tokens = self.batch.estimator.to_reserve(&job.model, job.size, room);
            return Ok(Some(Ok((input_tokens, max_tokens))));
        }
        if !self.under_way.is_empty() {
            return Ok(None);
        }
        Err(Error::budget(format!(
            "the next request might use {most} tokens, and {} of the budget of {budget} are used; raise --budget-tokens \
             to go on",
            self.tokens_used
        )))
    }

    fn send(&mut self, reservation: Reservation) -> Result<()> {
        let Some(open) = self.next.take() else { return Ok(()) };
        self.tokens_under_way += open.job.tokens_at_most();
        self.spent.note(self.tokens_at_most())?;
        self.batch.progress.sent += 1;
        self.under_way.spawn(open.attempt(self.endpoint.clone(), reservation));
        Ok(())
    }

    /// The most tokens that all attempts so far may have used, those of earlier runs included.
    fn tokens_at_most(&self) -> u64 {
        self.tokens_used + self.tokens_under_way
    }

    /// The next request cannot be sent.
    fn refuse(&mut self, reason: String) -> Result<()> {
        let Some(Open { job, attempts }) = self.next.take() else { return Ok(()) };
        let reason = match job.size.max_tokens {
            None if job.body.is_ok() => format!(
                "{reason} (inferenceConfig.maxTokens is not set, and a model may then answer with {MODEL_MAX_TOKENS} tokens)"
            ),
            _ => reason,
        };
        self.write(&[Record::not_sent(job, attempts, Some(reason), &self.batch.endpoint)])
    }
}

async fn reserve(
    throttle: &Throttle,
    wanted: Option<std::result::Result<(u64, u64), String>>,
) -> std::result::Result<Reservation, String> {
    match wanted {
        Some(Ok((input_tokens, max_tokens))) => {
            throttle.acquire(input_tokens, max_tokens).await.map_err(|never| never.to_string())
        }
        Some(Err(reason)) => Err(reason),
        None => pending().await,
    }
}

async fn until(clock: Clock, at: Option<Timestamp>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => pending().await,
    }
}
