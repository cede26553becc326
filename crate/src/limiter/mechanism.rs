use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    AnchoredWindow, AnyLimiter, ExponentialDecay, FixedWindow, SlidingCounter, SlidingLog, SteppedBucket,
    TokenBucket,
};
use crate::Result;
use crate::error::check_range;

/// The name of a mechanism, as in JSON and on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum), clap(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum MechanismId {
    /// Resets at fixed instants, such as the clock minute.
    FixedWindow,
    /// Resets a fixed time after first use.
    AnchoredWindow,
    /// Counts exactly the last window's length.
    SlidingLog,
    /// Estimates the sliding sum from two clock-aligned counts.
    SlidingCounter,
    /// Refills continuously.
    TokenBucket,
    /// Refills in ticks.
    SteppedBucket,
    /// Forgets what was used, the more the longer ago.
    ExponentialDecay,
}

impl MechanismId {
    /// All mechanisms.
    pub const ALL: [Self; 7] = [
        Self::FixedWindow,
        Self::AnchoredWindow,
        Self::SlidingLog,
        Self::SlidingCounter,
        Self::TokenBucket,
        Self::SteppedBucket,
        Self::ExponentialDecay,
    ];

    /// The id in JSON and on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Self::FixedWindow => "fixed_window",
            Self::AnchoredWindow => "anchored_window",
            Self::SlidingLog => "sliding_log",
            Self::SlidingCounter => "sliding_counter",
            Self::TokenBucket => "token_bucket",
            Self::SteppedBucket => "stepped_bucket",
            Self::ExponentialDecay => "exponential_decay",
        }
    }
}

impl fmt::Display for MechanismId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A mechanism with its parameters: what a [`Limiter`] is built from, and what a verdict names.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mechanism", content = "parameters", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are the parameters that the limiters' constructors document")]
pub enum Mechanism {
    /// See [`FixedWindow`].
    FixedWindow { limit: u64, window_s: f64, offset_s: f64 },
    /// See [`AnchoredWindow`].
    AnchoredWindow { limit: u64, window_s: f64 },
    /// See [`SlidingLog`].
    SlidingLog { limit: u64, window_s: f64 },
    /// See [`SlidingCounter`].
    SlidingCounter { limit: u64, window_s: f64, offset_s: f64 },
    /// See [`TokenBucket`].
    TokenBucket { capacity: u64, refill_per_s: f64 },
    /// See [`SteppedBucket`].
    SteppedBucket { capacity: u64, refill_per_s: f64, tick_s: f64, offset_s: f64 },
    /// See [`ExponentialDecay`].
    ExponentialDecay { limit: u64, time_constant_s: f64 },
}

impl Mechanism {
    /// The mechanism `id` that enforces `limit` a minute, with the usual parameters: windows of 60 s aligned to the
    /// clock, buckets of one minute's capacity, ticks of 10 s, a time constant of 60 s.
    pub fn per_minute(id: MechanismId, limit: u64) -> Self {
        let (window_s, offset_s) = (60.0, 0.0);
        let refill_per_s = limit as f64 / 60.0;
        match id {
            MechanismId::FixedWindow => Self::FixedWindow { limit, window_s, offset_s },
            MechanismId::AnchoredWindow => Self::AnchoredWindow { limit, window_s },
            MechanismId::SlidingLog => Self::SlidingLog { limit, window_s },
            MechanismId::SlidingCounter => Self::SlidingCounter { limit, window_s, offset_s },
            MechanismId::TokenBucket => Self::TokenBucket { capacity: limit, refill_per_s },
            MechanismId::SteppedBucket => {
                Self::SteppedBucket { capacity: limit, refill_per_s, tick_s: 10.0, offset_s }
            }
            MechanismId::ExponentialDecay => Self::ExponentialDecay { limit, time_constant_s: 60.0 },
        }
    }

    /// The same with a rate of `limit` a minute and a ceiling in proportion.
    pub(crate) fn of_limit(self, limit: u64) -> Self {
        let times = limit as f64 / 60.0 / self.rate_per_s();
        let scaled = |amount: u64| ((amount as f64 * times).round() as u64).max(1);
        match self {
            Self::FixedWindow { limit, window_s, offset_s } => {
                Self::FixedWindow { limit: scaled(limit), window_s, offset_s }
            }
            Self::AnchoredWindow { limit, window_s } => {
                Self::AnchoredWindow { limit: scaled(limit), window_s }
            }
            Self::SlidingLog { limit, window_s } => Self::SlidingLog { limit: scaled(limit), window_s },
            Self::SlidingCounter { limit, window_s, offset_s } => {
                Self::SlidingCounter { limit: scaled(limit), window_s, offset_s }
            }
            Self::TokenBucket { capacity, refill_per_s } => {
                Self::TokenBucket { capacity: scaled(capacity), refill_per_s: refill_per_s * times }
            }
            Self::SteppedBucket { capacity, refill_per_s, tick_s, offset_s } => {
                let refill_per_s = refill_per_s * times;
                Self::SteppedBucket { capacity: scaled(capacity), refill_per_s, tick_s, offset_s }
            }
            Self::ExponentialDecay { limit, time_constant_s } => {
                Self::ExponentialDecay { limit: scaled(limit), time_constant_s }
            }
        }
    }

    /// The mechanism's name.
    pub fn id(&self) -> MechanismId {
        match self {
            Self::FixedWindow { .. } => MechanismId::FixedWindow,
            Self::AnchoredWindow { .. } => MechanismId::AnchoredWindow,
            Self::SlidingLog { .. } => MechanismId::SlidingLog,
            Self::SlidingCounter { .. } => MechanismId::SlidingCounter,
            Self::TokenBucket { .. } => MechanismId::TokenBucket,
            Self::SteppedBucket { .. } => MechanismId::SteppedBucket,
            Self::ExponentialDecay { .. } => MechanismId::ExponentialDecay,
        }
    }

    /// Its parameters by their names in JSON: tokens or requests, seconds, or either per second.
    pub fn parameters(&self) -> BTreeMap<String, f64> {
        let value = serde_json::to_value(self).map(|mut value| value["parameters"].take());
        let Ok(Value::Object(parameters)) = value else { return BTreeMap::new() };
        parameters.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?))).collect()
    }

    /// The largest cost that can ever be admitted: the limit of a window, the capacity of a bucket.
    pub fn ceiling(&self) -> u64 {
        match *self {
            Self::FixedWindow { limit, .. }
            | Self::AnchoredWindow { limit, .. }
            | Self::SlidingLog { limit, .. }
            | Self::SlidingCounter { limit, .. }
            | Self::ExponentialDecay { limit, .. } => limit,
            Self::TokenBucket { capacity, .. } | Self::SteppedBucket { capacity, .. } => capacity,
        }
    }

    /// What it admits a second in the long run; of an exponential decay, what fades a second at its limit.
    pub fn rate_per_s(&self) -> f64 {
        match *self {
            Self::FixedWindow { limit, window_s, .. }
            | Self::AnchoredWindow { limit, window_s }
            | Self::SlidingLog { limit, window_s }
            | Self::SlidingCounter { limit, window_s, .. } => limit as f64 / window_s,
            Self::TokenBucket { refill_per_s, .. } | Self::SteppedBucket { refill_per_s, .. } => refill_per_s,
            Self::ExponentialDecay { limit, time_constant_s } => limit as f64 / time_constant_s,
        }
    }

    /// In how many seconds it admits its ceiling in the long run: the window, the time in which a bucket fills.
    pub(crate) fn period_s(&self) -> f64 {
        self.ceiling() as f64 / self.rate_per_s()
    }

    /// Whether it knows no more than a level that falls: what was used comes back at a rate, whenever it was used.
    pub(crate) fn is_level(&self) -> bool {
        matches!(self, Self::TokenBucket { .. } | Self::SteppedBucket { .. } | Self::ExponentialDecay { .. })
    }

    /// Whether it resets on the clock minute, to the second.
    pub(crate) fn is_clock_minute(&self) -> bool {
        matches!(*self, Self::FixedWindow { window_s, offset_s, .. }
            if window_s == 60.0 && offset_s.min(window_s - offset_s) <= 1.0)
    }

    /// Checks the ranges: a ceiling of 1 to 10^12, windows, ticks and time constants of 1 ms to 7 days, a refill above 0.
    ///
    /// # Errors
    /// A usage error that names the parameter.
    pub fn validated(self) -> Result<Self> {
        check_range("limit", self.ceiling() as f64, 1.0, 1e12)?;
        let (period_s, offset_s, refill_per_s) = match self {
            Self::AnchoredWindow { window_s, .. } | Self::SlidingLog { window_s, .. } => (window_s, 0.0, 1.0),
            Self::FixedWindow { window_s, offset_s, .. }
            | Self::SlidingCounter { window_s, offset_s, .. } => (window_s, offset_s, 1.0),
            Self::TokenBucket { refill_per_s, .. } => (1.0, 0.0, refill_per_s),
            Self::SteppedBucket { refill_per_s, tick_s, offset_s, .. } => (tick_s, offset_s, refill_per_s),
            Self::ExponentialDecay { time_constant_s, .. } => (time_constant_s, 0.0, 1.0),
        };
        check_range("window, tick or time constant (seconds)", period_s, 1e-3, 604_800.0)?;
        check_range("offset (seconds)", offset_s, 0.0, 604_800.0)?;
        check_range("refill (a second)", refill_per_s, 1e-9, 1e12)?;
        Ok(self)
    }

    /// A fresh limiter: nothing used, buckets full.
    pub fn limiter(&self) -> AnyLimiter {
        match *self {
            Self::FixedWindow { limit, window_s, offset_s } => {
                AnyLimiter::FixedWindow(FixedWindow::new(limit, window_s, offset_s))
            }
            Self::AnchoredWindow { limit, window_s } => {
                AnyLimiter::AnchoredWindow(AnchoredWindow::new(limit, window_s))
            }
            Self::SlidingLog { limit, window_s } => AnyLimiter::SlidingLog(SlidingLog::new(limit, window_s)),
            Self::SlidingCounter { limit, window_s, offset_s } => {
                AnyLimiter::SlidingCounter(SlidingCounter::new(limit, window_s, offset_s))
            }
            Self::TokenBucket { capacity, refill_per_s } => {
                AnyLimiter::TokenBucket(TokenBucket::new(capacity, refill_per_s))
            }
            Self::SteppedBucket { capacity, refill_per_s, tick_s, offset_s } => {
                AnyLimiter::SteppedBucket(SteppedBucket::new(capacity, refill_per_s, tick_s, offset_s))
            }
            Self::ExponentialDecay { limit, time_constant_s } => {
                AnyLimiter::ExponentialDecay(ExponentialDecay::new(limit, time_constant_s))
            }
        }
    }
}

/// A noun phrase, such as `token bucket of 8000 refilled by 8000 a minute`.
impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FixedWindow { limit, .. } if self.is_clock_minute() => {
                write!(f, "clock-aligned window of {limit} in 60 s")
            }
            Self::FixedWindow { limit, window_s, offset_s } => {
                write!(f, "fixed window of {limit} in {window_s:.0} s that resets at second {offset_s:.1}")
            }
            Self::AnchoredWindow { limit, window_s } => {
                write!(f, "window of {limit} in {window_s:.0} s from first use")
            }
            Self::SlidingLog { limit, window_s } => {
                write!(f, "sliding log of {limit} in any {window_s:.0} s")
            }
            Self::SlidingCounter { limit, window_s, .. } => {
                write!(f, "sliding counter of about {limit} in any {window_s:.0} s")
            }
            Self::TokenBucket { capacity, refill_per_s } => {
                write!(f, "token bucket of {capacity} refilled by {:.0} a minute", refill_per_s * 60.0)
            }
            Self::SteppedBucket { capacity, refill_per_s, tick_s, .. } => {
                write!(
                    f,
                    "bucket of {capacity} refilled by {:.0} a minute in ticks of {tick_s:.1} s",
                    refill_per_s * 60.0
                )
            }
            Self::ExponentialDecay { limit, time_constant_s } => {
                write!(f, "exponential decay of {limit} with a time constant of {time_constant_s:.0} s")
            }
        }
    }
}
