//! A client behind the throttle, in virtual time: what it may send, when, and in which order.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod clients;
mod credit;
mod ends;
mod layer;
mod queue;
mod spread;
mod verdict;

use std::future::Future;

use bedrock_tpm::{Clock, Mechanism, MechanismId, Throttle, ThrottleSettings, Timestamp, Usage};
use proptest::prelude::*;

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

fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
}

fn mechanisms(limits: std::ops::Range<u64>) -> impl Strategy<Value = Mechanism> {
    (0..MechanismId::ALL.len(), limits, 5.0..90.0_f64, 0.0..1.0_f64).prop_map(
        |(id, limit, period_s, share)| {
            let (window_s, offset_s, refill_per_s) = (period_s, period_s * share, limit as f64 / period_s);
            match MechanismId::ALL[id] {
                MechanismId::FixedWindow => Mechanism::FixedWindow { limit, window_s, offset_s },
                MechanismId::AnchoredWindow => Mechanism::AnchoredWindow { limit, window_s },
                MechanismId::SlidingLog => Mechanism::SlidingLog { limit, window_s },
                MechanismId::SlidingCounter => Mechanism::SlidingCounter { limit, window_s, offset_s },
                MechanismId::TokenBucket => Mechanism::TokenBucket { capacity: limit, refill_per_s },
                MechanismId::SteppedBucket => Mechanism::SteppedBucket {
                    capacity: limit,
                    refill_per_s,
                    tick_s: period_s / 4.0,
                    offset_s: offset_s / 4.0,
                },
                MechanismId::ExponentialDecay => {
                    Mechanism::ExponentialDecay { limit, time_constant_s: period_s }
                }
            }
        },
    )
}
