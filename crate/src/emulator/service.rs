use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::EmulatorConfig;
use super::background::Background;
use crate::{
    Limiter, Pool, PoolDecision, QuotaKind, Refund, Result, Timestamp, Usage, reserved_tokens, settled_tokens,
};

/// The most that the emulated model ever has to say, in tokens.
const LONGEST_ANSWER: u64 = 256;

/// The emulated service without IO and without a clock: times go in, answers come out.
///
/// Same seed, same calls at the same times: same answers. Times must not go backwards; an earlier time is treated as
/// the latest one seen.
#[derive(Debug)]
pub struct Service {
    config: EmulatorConfig,
    pool: Pool,
    rng: Pcg64,
    background: Option<Background>,
    settlements: BinaryHeap<Reverse<Settlement>>,
    latest: Timestamp,
}

/// How long a request takes, in time of the emulator's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// From arrival to the decision of the quotas.
    pub until_admission: Duration,
    /// From that decision to the end of the answer.
    pub until_answer: Duration,
}

/// What the service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The request passed every quota.
    Admitted {
        /// What `usage` reports.
        usage: Usage,
        /// Whether `max_tokens` ended the answer.
        cut_off: bool,
    },
    /// A quota rejected the request.
    Throttled(QuotaKind),
    /// The service failed for reasons of its own.
    Unavailable,
}

/// When the reservation of an admitted request is replaced by what it used. Ordered by `due`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Settlement {
    due: Timestamp,
    charged_at: Timestamp,
    reserved: u64,
    actual: u64,
}

impl Service {
    /// A service with nothing used yet.
    ///
    /// # Errors
    /// A usage error if `config` is out of range.
    pub fn new(config: EmulatorConfig) -> Result<Self> {
        let pool = Pool::new(config.quotas(), config.rejected, config.admission);
        Self::of_pool(config, pool)
    }

    /// A service that enforces `limiters` instead of the quotas in `config`, which then only say how much the
    /// background traffic is.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn enforcing(
        config: EmulatorConfig,
        limiters: Vec<(QuotaKind, Box<dyn Limiter + Send>)>,
    ) -> Result<Self> {
        let pool = Pool::of_limiters(limiters, config.rejected, config.admission);
        Self::of_pool(config, pool)
    }

    fn of_pool(config: EmulatorConfig, pool: Pool) -> Result<Self> {
        let config = config.validated()?;
        Ok(Self {
            pool,
            rng: Pcg64::seed_from_u64(config.seed),
            background: Background::new(&config),
            settlements: BinaryHeap::new(),
            latest: Timestamp::EPOCH,
            config,
        })
    }

    /// What it was made from: what it really enforces, unless that was given as limiters.
    pub fn config(&self) -> &EmulatorConfig {
        &self.config
    }

    /// Draws how long the next request takes, and when within that it is admitted.
    pub fn latency(&mut self) -> Latency {
        let (shortest, longest) = self.config.latency_s;
        let whole_s = self.rng.random_range(shortest..=longest);
        let until_admission_s = whole_s * self.rng.random::<f64>();
        Latency {
            until_admission: Duration::from_secs_f64(until_admission_s),
            until_answer: Duration::from_secs_f64(whole_s - until_admission_s),
        }
    }

    /// Draws a request id.
    pub fn request_id(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.rng.random()).into_uuid().to_string()
    }

    /// Decides at `now` on a request whose answer, if it gets one, is complete `until_answer` later: then its reservation
    /// is settled, unless the unused part comes back later or never.
    pub fn admit(
        &mut self,
        now: Timestamp,
        until_answer: Duration,
        input_tokens: u64,
        max_tokens: u64,
    ) -> Answer {
        let now = self.advance(now);
        // All draws are made for every request, so that one answer does not shift the luck of the next request.
        let (fails, unlucky) = (self.rng.random::<f64>(), self.rng.random::<f64>());
        let wanted = self.rng.random_range(1..=LONGEST_ANSWER);
        let fails_charged = fails < self.config.error_rate / 2.0;
        if !fails_charged && fails < self.config.error_rate {
            return Answer::Unavailable;
        }
        if unlucky < self.config.spurious_429 {
            let named = if self.config.tokens.is_some() { QuotaKind::Tokens } else { QuotaKind::Requests };
            return Answer::Throttled(named);
        }
        let reserved = reserved_tokens(input_tokens, if self.config.reserves { max_tokens } else { 0 });
        if let PoolDecision::Throttled { by, .. } = self.pool.admit(now, reserved) {
            return Answer::Throttled(by);
        }
        let usage = Usage { input_tokens, output_tokens: wanted.min(max_tokens), ..Usage::default() };
        let actual = settled_tokens(usage, self.config.burndown);
        let ends = now + until_answer;
        let due = match self.config.refund {
            Refund::Never if actual < reserved => None,
            Refund::After(delay_s) if actual < reserved => Some(ends.plus_seconds(delay_s)),
            Refund::AtEnd | Refund::Never | Refund::After(_) => Some(ends),
        };
        let settlement = due.map(|due| Reverse(Settlement { due, charged_at: now, reserved, actual }));
        self.settlements.extend(settlement);
        match fails_charged {
            true => Answer::Unavailable,
            false => Answer::Admitted { usage, cut_off: wanted > max_tokens },
        }
    }

    /// Counts an earlier request that was admitted at `at` and used `tokens` tokens. Call it oldest first, before the
    /// first [`admit`](Self::admit): that is how a resumed run finds the quotas as it left them.
    pub fn charge(&mut self, at: Timestamp, tokens: u64) {
        let at = self.advance(at);
        self.pool.charge(at, tokens);
    }

    /// Lets everything happen that was due by `now`, in its order.
    fn advance(&mut self, now: Timestamp) -> Timestamp {
        self.latest = self.latest.max(now);
        let now = self.latest;
        while let Some((at, tokens)) =
            self.background.as_mut().and_then(|others| others.next_until(now, &mut self.rng))
        {
            self.settle(at);
            self.pool.admit(at, tokens);
        }
        self.settle(now);
        now
    }

    fn settle(&mut self, now: Timestamp) {
        while let Some(Reverse(next)) = self.settlements.peek().copied()
            && next.due <= now
        {
            self.pool.settle(next.due, next.charged_at, next.reserved, next.actual);
            self.settlements.pop();
        }
    }
}
