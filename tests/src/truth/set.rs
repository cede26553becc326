use clap::ValueEnum;
use serde::Serialize;

use super::{Noise, Truth, family, outside, pairs, quotas};

/// A scenario: which truths are drawn, and under which circumstances they are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Set {
    /// Mechanisms of the family at the usual noise
    Usual,
    /// The family with another quota than the stated one, or windows of another length than a minute
    Unstated,
    /// Mechanisms outside the family at the usual noise
    Outside,
    /// The family with 15 % background traffic
    Background,
    /// The family with 5 % spurious 429s
    Noise,
    /// The family with 20 % 5xx
    Errors,
    /// The family with latencies up to 5 s
    Latency,
    /// Pairs of the family that nothing can separate
    Pairs,
    /// Accounts that have a quota of few requests, and none of tokens
    Requests,
    /// Either of two quotas binds, and the error text does not say which
    Binding,
}

impl Set {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Usual,
        Self::Unstated,
        Self::Outside,
        Self::Background,
        Self::Noise,
        Self::Errors,
        Self::Latency,
        Self::Pairs,
        Self::Requests,
        Self::Binding,
    ];

    /// The name on the command line and in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Unstated => "unstated",
            Self::Outside => "outside",
            Self::Background => "background",
            Self::Noise => "noise",
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Pairs => "pairs",
            Self::Requests => "requests",
            Self::Binding => "binding",
        }
    }

    /// How badly the endpoint behaves.
    fn noise(self) -> Noise {
        let usual = Noise::USUAL;
        match self {
            Self::Background => Noise { background: 0.15, ..usual },
            Self::Noise => Noise { spurious_429: 0.05, ..usual },
            Self::Errors => Noise { error_rate: 0.2, ..usual },
            Self::Latency => Noise { latency_s: (0.3, 5.0), ..usual },
            _ => usual,
        }
    }

    /// The truth of `seed`: same seed, same truth.
    pub fn truth(self, seed: u64) -> Truth {
        let noise = self.noise();
        match self {
            Self::Unstated => Truth::of_tokens(self, seed, family::not_as_stated(seed, noise)),
            Self::Outside => outside::truth(seed, noise),
            Self::Pairs => pairs::truth(seed, noise),
            Self::Requests => quotas::few_requests(seed, noise),
            Self::Binding => quotas::either_binds(seed, noise),
            _ => Truth::of_tokens(self, seed, family::emulator(seed, noise)),
        }
    }
}
