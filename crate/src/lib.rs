//! Measures how Amazon Bedrock's quotas work, and keeps a client under them.

mod analysis;
mod clock;
mod emulator;
mod endpoint;
mod error;
mod limiter;
mod quota;
mod trace;
mod verdict;

pub use analysis::{Assumptions, analyze};
pub use clock::{Clock, Timestamp};
pub use emulator::{
    Answer, Emulator, EmulatorConfig, EmulatorServer, Latency, MODEL_MAX_TOKENS, Service,
    emulated_input_tokens,
};
pub use endpoint::{Diagnosis, Endpoint, Request, Response, Target, Timeouts};
pub use error::{Error, Result};
pub use limiter::{
    AnchoredWindow, AnyLimiter, Decision, FixedWindow, Limiter, Mechanism, MechanismId, Pool, PoolDecision,
    RejectedCost, SlidingCounter, SlidingLog, SteppedBucket, TokenBucket,
};
pub use quota::{QuotaKind, Usage, reserved_tokens, settled_tokens};
pub use trace::{LATE_AFTER_S, Observation, Outcome, ThrottleMessage, Trace};
pub use verdict::{Binding, Candidate, ClockAnswer, Conclusion, Ranked, Spent, Verdict};
