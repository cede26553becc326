use std::fmt;

use bedrock_tpm::{
    EmulatorConfig, FixedWindow, Limiter, Mechanism, MechanismId, QuotaKind, RejectedCost, SlidingLog,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::family::scaled;
use super::limiters::{Banning, Chance, Doubling, Shifting};
use super::{Noise, Set, TPM, Truth};

/// A mechanism that is not in the family.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "mechanism", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are the parameters of the variant's sentence")]
pub enum Outside {
    /// A window that rejects at random, the more often the fuller it is, from a load of `from` on.
    EarlyDrop { sliding: bool, from: f64, seed: u64 },
    /// A window in which each request that fits is admitted with probability one half.
    Lottery { sliding: bool, seed: u64 },
    /// A short and a long window at once; the short one admits `share` of the quota in 10 s.
    TwoWindows { sliding: bool, share: f64, offset_s: f64 },
    /// A window or a bucket whose limit is multiplied by `factor` for every other `period_s`.
    Shifting { bucket: bool, factor: f64, period_s: f64, offset_s: f64 },
    /// A bucket that admits nothing, and gains nothing, for 20 s after a rejection; requests in between may start
    /// these 20 s anew.
    Banning { prolonged: bool },
    /// A window from first use whose length doubles with each rejection in it.
    Doubling { window_s: f64 },
}

impl Outside {
    fn drawn(rng: &mut StdRng) -> Self {
        let (sliding, seed) = (rng.random(), rng.random());
        match rng.random_range(0..6) {
            0 => Self::EarlyDrop { sliding, from: rng.random_range(0.1..0.5), seed },
            1 => Self::Lottery { sliding, seed },
            2 => Self::TwoWindows {
                sliding,
                share: rng.random_range(0.25..0.5),
                offset_s: rng.random_range(0.0..60.0),
            },
            3 => Self::Shifting {
                bucket: rng.random(),
                factor: if rng.random() { 0.5 } else { 2.0 },
                period_s: rng.random_range(35.0..45.0),
                offset_s: rng.random_range(0.0..90.0),
            },
            4 => Self::Banning { prolonged: rng.random() },
            _ => Self::Doubling { window_s: [10.0, 20.0, 30.0, 60.0][rng.random_range(0..4)] },
        }
    }

    /// The name in confusion matrices.
    pub fn id(self) -> &'static str {
        match self {
            Self::EarlyDrop { .. } => "early_drop",
            Self::Lottery { .. } => "lottery",
            Self::TwoWindows { .. } => "two_windows",
            Self::Shifting { .. } => "shifting_limit",
            Self::Banning { .. } => "banning_bucket",
            Self::Doubling { .. } => "doubling_window",
        }
    }

    /// What a rejected request consumes: a limiter that punishes must be told of the requests that it rejects.
    pub fn rejected(self) -> RejectedCost {
        match self {
            Self::Banning { .. } | Self::Doubling { .. } => RejectedCost::Everything,
            _ => RejectedCost::Nothing,
        }
    }

    /// Fresh limiters of tokens that enforce it together.
    pub fn limiters(self) -> Vec<(QuotaKind, Box<dyn Limiter + Send>)> {
        let limiters: Vec<Box<dyn Limiter + Send>> = match self {
            Self::EarlyDrop { sliding, from, seed } => {
                vec![Box::new(Chance::falling(minute(sliding), TPM, from, seed))]
            }
            Self::Lottery { sliding, seed } => vec![Box::new(Chance::even(minute(sliding), TPM, seed))],
            Self::TwoWindows { sliding, share, offset_s } => {
                let short = scaled(TPM, share);
                if sliding {
                    vec![Box::new(SlidingLog::new(short, 10.0)), Box::new(SlidingLog::new(TPM, 60.0))]
                } else {
                    let window = |limit, window_s| Box::new(FixedWindow::new(limit, window_s, offset_s));
                    vec![window(short, 10.0), window(TPM, 60.0)]
                }
            }
            Self::Shifting { bucket, factor, period_s, offset_s } => {
                let id = if bucket { MechanismId::TokenBucket } else { MechanismId::SlidingLog };
                vec![Box::new(Shifting::new(id, (TPM, scaled(TPM, factor)), period_s, offset_s))]
            }
            Self::Banning { prolonged } => vec![Box::new(Banning::new(TPM, prolonged))],
            Self::Doubling { window_s } => {
                vec![Box::new(Doubling::new(scaled(TPM, window_s / 60.0), window_s))]
            }
        };
        limiters.into_iter().map(|limiter| (QuotaKind::Tokens, limiter)).collect()
    }
}

fn minute(sliding: bool) -> bedrock_tpm::AnyLimiter {
    let id = if sliding { MechanismId::SlidingLog } else { MechanismId::FixedWindow };
    Mechanism::per_minute(id, TPM).limiter()
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minute = |sliding: bool| if sliding { "sliding minute" } else { "clock minute" };
        match *self {
            Self::EarlyDrop { sliding, from, .. } => {
                write!(f, "{} that rejects at random from a load of {from:.2} on", minute(sliding))
            }
            Self::Lottery { sliding, .. } => {
                write!(f, "{} that admits half of what fits", minute(sliding))
            }
            Self::TwoWindows { sliding, share, .. } => {
                write!(f, "{} and {share:.2} of its limit in 10 s", minute(sliding))
            }
            Self::Shifting { bucket, factor, period_s, .. } => {
                let what = if bucket { "token bucket" } else { "sliding log" };
                write!(f, "{what} with {factor} times the limit for every other {period_s:.0} s")
            }
            Self::Banning { prolonged } => {
                let which = if prolonged { "the last" } else { "a" };
                write!(f, "token bucket closed for 20 s after {which} rejection")
            }
            Self::Doubling { window_s } => {
                write!(f, "window of {window_s:.0} s from first use that doubles with each rejection")
            }
        }
    }
}

/// A truth outside the family.
pub(super) fn truth(seed: u64, noise: Noise) -> Truth {
    let mut rng = StdRng::seed_from_u64(seed);
    let outside = Outside::drawn(&mut rng);
    let emulator = EmulatorConfig {
        tokens: Some(Mechanism::per_minute(MechanismId::FixedWindow, TPM)),
        rejected: outside.rejected(),
        ..noise.emulator(rng.random())
    };
    Truth { outside: Some(outside), ..Truth::of_tokens(Set::Outside, seed, emulator) }
}
