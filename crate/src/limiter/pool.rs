use serde::{Deserialize, Serialize};

use super::{Decision, Limiter, Mechanism};
use crate::{QuotaKind, Timestamp};

/// What a rejected request consumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum), clap(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum RejectedCost {
    /// Nothing.
    #[default]
    Nothing,
    /// One request, no tokens.
    Request,
    /// Its full cost in every quota.
    Everything,
}

/// How much of a request's cost must fit for it to be admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum), clap(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// All of it.
    #[default]
    Whole,
    /// Any of it: a request is admitted until the quota is used up, and may take more than is left.
    UntilExhausted,
}

impl Admission {
    /// What a request of `cost` has to find room for.
    pub fn needs(self, cost: u64) -> u64 {
        match self {
            Self::Whole => cost,
            Self::UntilExhausted => cost.min(1),
        }
    }
}

/// The quotas that one route to one model enforces together: a request must pass all of them.
#[derive(Debug)]
pub struct Pool {
    quotas: Vec<(QuotaKind, Box<dyn Limiter + Send>)>,
    rejected: RejectedCost,
    admission: Admission,
}

/// What a [`Pool`] decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolDecision {
    /// The request passes every quota.
    Admitted,
    /// At least one quota is exhausted.
    Throttled {
        /// The first exhausted quota, in the order they were given.
        by: QuotaKind,
        /// The first instant at which all quotas would admit the request; `None` if one never can.
        retry_at: Option<Timestamp>,
    },
}

impl Pool {
    /// A pool of `quotas`, checked in that order. An empty pool admits everything.
    pub fn new(
        quotas: impl IntoIterator<Item = (QuotaKind, Mechanism)>,
        rejected: RejectedCost,
        admission: Admission,
    ) -> Self {
        let limiter = |mechanism: Mechanism| -> Box<dyn Limiter + Send> { Box::new(mechanism.limiter()) };
        let quotas = quotas.into_iter().map(|(kind, mechanism)| (kind, limiter(mechanism))).collect();
        Self::of_limiters(quotas, rejected, admission)
    }

    /// A pool of limiters of any kind, checked in that order; more than one may count the same.
    pub fn of_limiters(
        limiters: Vec<(QuotaKind, Box<dyn Limiter + Send>)>,
        rejected: RejectedCost,
        admission: Admission,
    ) -> Self {
        Self { quotas: limiters, rejected, admission }
    }

    /// Whether a request that reserves `tokens` passes every quota at `now`. Changes nothing.
    pub fn check(&self, now: Timestamp, tokens: u64) -> PoolDecision {
        let mut decision = PoolDecision::Admitted;
        for (kind, limiter) in &self.quotas {
            if let Decision::Throttled { retry_at } =
                limiter.check(now, self.admission.needs(kind.cost(tokens)))
            {
                decision = match decision {
                    PoolDecision::Admitted => PoolDecision::Throttled { by: *kind, retry_at },
                    PoolDecision::Throttled { by, retry_at: other } => {
                        PoolDecision::Throttled { by, retry_at: retry_at.zip(other).map(|(a, b)| a.max(b)) }
                    }
                };
            }
        }
        decision
    }

    /// Admits a request that reserves `tokens`, or rejects it and counts what a rejected request costs.
    pub fn admit(&mut self, now: Timestamp, tokens: u64) -> PoolDecision {
        let decision = self.check(now, tokens);
        let admitted = decision == PoolDecision::Admitted;
        for (kind, limiter) in &mut self.quotas {
            let counts = match self.rejected {
                RejectedCost::Nothing => admitted,
                RejectedCost::Request => admitted || *kind == QuotaKind::Requests,
                RejectedCost::Everything => true,
            };
            if counts {
                limiter.charge(now, kind.cost(tokens));
            }
        }
        decision
    }

    /// Counts an admitted request of `tokens` tokens without asking: how a known past is restored.
    pub fn charge(&mut self, now: Timestamp, tokens: u64) {
        for (kind, limiter) in &mut self.quotas {
            limiter.charge(now, kind.cost(tokens));
        }
    }

    /// Replaces a reservation of `reserved` tokens made at `charged_at` by the `actual` tokens used.
    pub fn settle(&mut self, now: Timestamp, charged_at: Timestamp, reserved: u64, actual: u64) {
        let tokens = self.quotas.iter_mut().filter(|(kind, _)| *kind != QuotaKind::Requests);
        for (_, limiter) in tokens {
            match reserved.checked_sub(actual) {
                Some(unused) => limiter.refund(now, charged_at, unused),
                None => limiter.charge(now, actual - reserved),
            }
        }
    }
}
