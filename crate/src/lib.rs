//! Measures how Amazon Bedrock's quotas work, and keeps a client under them.

mod chart;
mod clock;
mod endpoint;
mod error;
mod limiter;
mod notebook;
mod output;
mod quota;
mod report;
mod text;
mod trace;
mod verdict;

pub use chart::Chart;
pub use clock::{Clock, Timestamp};
pub use endpoint::{Request, Response};
pub use error::{Error, Result};
pub use limiter::{
    AnchoredWindow, AnyLimiter, Decision, FixedWindow, Limiter, Mechanism, MechanismId, Pool, PoolDecision,
    RejectedCost, SlidingCounter, SlidingLog, SteppedBucket, TokenBucket,
};
pub use quota::{QuotaKind, Usage, reserved_tokens, settled_tokens};
pub use report::Report;
pub use trace::{LATE_AFTER_S, Observation, Outcome, ThrottleMessage, Trace};
pub use verdict::{Binding, Candidate, ClockAnswer, Conclusion, Ranked, Spent, Verdict};
