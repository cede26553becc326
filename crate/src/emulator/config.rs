use serde::{Deserialize, Serialize};

use super::Pools;
use super::background::Background;
use crate::error::check_range;
use crate::{Admission, Mechanism, QuotaKind, Refund, RejectedCost, Result};

const DAY_S: f64 = 86_400.0;
/// More requests of others a second would keep the emulator from answering ours.
const MOST_OTHERS_PER_S: f64 = 1_000.0;

/// What a 429 says in words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum), clap(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum Wording {
    /// It names the quota that rejected the request.
    #[default]
    Named,
    /// "Your request rate is too high", whichever quota it was.
    Neutral,
    /// It names another quota: requests instead of tokens, tokens instead of requests.
    Swapped,
}

/// What the emulator enforces, and how well it behaves.
///
/// By default it enforces nothing, answers in 0.3 to 1.5 seconds and never fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmulatorConfig {
    /// The quota of tokens per minute (TPM), if there is one.
    pub tokens: Option<Mechanism>,
    /// The quota of requests per minute (RPM), if there is one.
    pub requests: Option<Mechanism>,
    /// The quota of tokens per UTC day (TPD), 0 to 10^15, if there is one. New accounts may have a quota of 0.
    pub tokens_per_day: Option<u64>,
    /// What a rejected request consumes.
    pub rejected: RejectedCost,
    /// How much of a request must fit for it to be admitted.
    #[serde(default)]
    pub admission: Admission,
    /// Whether admission reserves `max_tokens`; if not, output is charged when the request has ended.
    #[serde(default = "usually")]
    pub reserves: bool,
    /// When the unused part of a reservation comes back.
    #[serde(default)]
    pub refund: Refund,
    /// How many tokens each output token counts for when a request is settled, 1 to 100.
    pub burndown: u64,
    /// The shortest and the longest time a request takes, in seconds of the emulator's clock, 0 to 60. Admission is
    /// decided at a uniformly drawn moment within.
    pub latency_s: (f64, f64),
    /// Fraction of requests that end in a 503, 0 to 1. Half of those are charged all the same.
    pub error_rate: f64,
    /// Fraction of requests that are throttled although they fit, 0 to 1. They are charged nothing.
    pub spurious_429: f64,
    /// Traffic of others in the account, as a fraction of the quota per minute, 0 to 1.
    pub background: f64,
    /// Which requests share the quotas.
    #[serde(default)]
    pub pools: Pools,
    /// What a 429 says in words.
    #[serde(default)]
    pub wording: Wording,
    /// Seed of every random choice: same seed and same times, same answers.
    pub seed: u64,
}

fn usually() -> bool {
    true
}

impl Default for EmulatorConfig {
    fn default() -> Self {
        Self {
            tokens: None,
            requests: None,
            tokens_per_day: None,
            rejected: RejectedCost::Nothing,
            admission: Admission::Whole,
            reserves: usually(),
            refund: Refund::AtEnd,
            burndown: 1,
            latency_s: (0.3, 1.5),
            error_rate: 0.0,
            spurious_429: 0.0,
            background: 0.0,
            pools: Pools::One,
            wording: Wording::Named,
            seed: 0,
        }
    }
}

impl EmulatorConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// A usage error that names the parameter and its range.
    pub fn validated(self) -> Result<Self> {
        for mechanism in [self.tokens, self.requests].into_iter().flatten() {
            mechanism.validated()?;
        }
        check_range("tokens per day", self.tokens_per_day.unwrap_or(0) as f64, 0.0, 1e15)?;
        self.refund.validated()?;
        check_range("burndown", self.burndown as f64, 1.0, 100.0)?;
        check_range("shortest latency (seconds)", self.latency_s.0, 0.0, 60.0)?;
        check_range("longest latency (seconds)", self.latency_s.1, self.latency_s.0, 60.0)?;
        check_range("error rate", self.error_rate, 0.0, 1.0)?;
        check_range("fraction of spurious 429s", self.spurious_429, 0.0, 1.0)?;
        check_range("background traffic", self.background, 0.0, 1.0)?;
        let others_per_s = Background::new(&self).map_or(0.0, |others| others.requests_per_s());
        check_range("background traffic (requests a second)", others_per_s, 0.0, MOST_OTHERS_PER_S)?;
        Ok(self)
    }

    /// The quotas, in the order in which they are checked and named in a 429.
    pub(super) fn quotas(&self) -> Vec<(QuotaKind, Mechanism)> {
        let day = |limit| Mechanism::FixedWindow { limit, window_s: DAY_S, offset_s: 0.0 };
        let quotas = [
            (QuotaKind::Requests, self.requests),
            (QuotaKind::Tokens, self.tokens),
            (QuotaKind::TokensPerDay, self.tokens_per_day.map(day)),
        ];
        quotas.into_iter().filter_map(|(kind, mechanism)| Some((kind, mechanism?))).collect()
    }
}
