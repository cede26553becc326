//! Measures how Amazon Bedrock's quotas work, and keeps a client under them.

mod accounting;
mod analysis;
mod batch;
pub mod blocking;
mod chart;
mod clock;
mod emulator;
mod endpoint;
mod error;
mod limiter;
mod notebook;
mod output;
mod pairing;
mod prediction;
pub mod protocol;
mod quota;
mod report;
mod table;
mod tester;
mod text;
mod throttle;
mod tokens;
mod trace;
mod verdict;

pub use accounting::{Accounting, Finding, account, analyze_all};
pub use analysis::{Assumptions, Inquiry, Next, Probe, QUOTAS, analyze};
pub use batch::{Batch, BatchEnd, BatchFailure, BatchProgress, BatchReport, BatchSettings};
pub use chart::{Chart, GoodputChart};
pub use clock::{Clock, Timestamp};
pub use emulator::{
    Answer, Answers, Emulator, EmulatorConfig, EmulatorServer, Latency, MODEL_MAX_TOKENS, Pools, Service,
    Wording, emulated_input_tokens,
};
pub use endpoint::{Diagnosis, Endpoint, RawResponse, Request, Response, Target, Timeouts};
pub use error::{Error, Result};
pub use limiter::{
    Admission, AnchoredWindow, AnyLimiter, Decision, ExponentialDecay, FixedWindow, Limiter, Mechanism,
    MechanismId, Pool, PoolDecision, RejectedCost, SlidingCounter, SlidingLog, SteppedBucket, TokenBucket,
};
pub use notebook::Forms;
pub use pairing::{Paired, PairedProbe, Pairing, Role, Shares, Side, Step, pair};
pub use quota::{QuotaKind, Refund, Usage, reserved_tokens, settled_tokens};
pub use report::Report;
pub use table::RequestTable;
pub use tester::{BedrockTpmTester, EMBEDDED, Event, OtherTarget, PhaseSummary, Settings, Summary};
pub use throttle::{
    Ended, RequestSize, Reservation, Spread, Throttle, ThrottleLayer, ThrottleSettings, ThrottleStats,
    ThrottledService, TokenEstimator,
};
pub use trace::{LATE_AFTER_S, Observation, Outcome, ThrottleMessage, Trace};
pub use verdict::{Binding, Candidate, ClockAnswer, Conclusion, Ranked, Separation, Spent, Verdict};
