//! What notebook cells import: the tester with blocking calls, and what it finds, each shown in the richest form that the
//! viewer knows.
//!
//! The work is done by `notebooks/engine`, which is compiled ahead of time; this crate is small so that cells compile
//! fast. [`BedrockTpmTester`] and its methods are those of the crate `bedrock_tpm`, where they are described in full.

mod engine;
mod shown;
mod tester;
mod trace;

pub use engine::{Error, Result};
pub use shown::{Chart, Observation, RequestTable, Summary, Verdict};
pub use tester::{BedrockTpmTester, Throttle, in_virtual_time, on_aws, on_emulator, resume};
pub use trace::Trace;

/// How a quota comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MechanismId {
    /// Resets on the clock minute.
    FixedWindow,
    /// Resets a minute after first use.
    AnchoredWindow,
    /// Each request counts for a minute.
    SlidingLog,
    /// As a log, but estimated from two windows.
    SlidingCounter,
    /// Refills continuously.
    TokenBucket,
    /// Refills in ticks.
    SteppedBucket,
    /// The faster the more is used.
    ExponentialDecay,
}

impl MechanismId {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::FixedWindow,
        Self::AnchoredWindow,
        Self::SlidingLog,
        Self::SlidingCounter,
        Self::TokenBucket,
        Self::SteppedBucket,
        Self::ExponentialDecay,
    ];

    /// The name in traces and verdicts.
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
