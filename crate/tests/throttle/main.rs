//! A client behind the throttle, in virtual time: what it may send, when, and in which order.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod clients;
mod ends;
mod layer;
mod queue;
mod verdict;

use bedrock_tpm::{Clock, Throttle, ThrottleSettings, Timestamp, Usage};

const START: Timestamp = Timestamp::from_nanos(1_752_585_600_000_000_000);

fn clock() -> Clock {
    Clock::virtual_from(START)
}

fn stated(tpm: Option<u64>, rpm: Option<u64>) -> Throttle {
    Throttle::new(ThrottleSettings::stated(tpm, rpm), clock()).unwrap()
}

fn used(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage { input_tokens, output_tokens, ..Usage::default() }
}
