//! Rate limiters that other people published, behind a Bedrock-shaped endpoint: the real program says what they are.
//!
//! They live in real time with periods 60 times shorter, or are given the scaled time where they take one.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use bedrock_tpm::{Clock, MechanismId};
use bedrock_tpm_tests::{Measured, Tally, shaped};
use governor::{Quota, RateLimiter};
use pingora_limits::rate::{PROPORTIONAL_RATE_ESTIMATE_CALC_FN, Rate};
use rate_guard_core::cores::{
    ApproximateSlidingWindowCore, FixedWindowCounterCore, SlidingWindowCounterCore,
};
use rate_guard_core::rate_limit::RateLimitCore;
use throttle_net::SlidingWindowLog;
use tokio::sync::Mutex;

const SEEDS: u64 = 3;
const LIMIT: u32 = 8_000;
const MINUTE: Duration = Duration::from_secs(1);
const SCALED_MINUTE_NS: u64 = 60_000_000_000;

/// They measure time: one after another.
static TURN: Mutex<()> = Mutex::const_new(());

/// Measures fresh limiters, one a seed; each has lain idle for a minute, as one in service may have.
async fn measured<F>(name: &str, is: MechanismId, limiter: impl Fn() -> F) -> Tally
where
    F: FnMut(u32) -> bool + Send + 'static,
{
    let _turn = TURN.lock().await;
    let mut tally = Tally::default();
    for seed in 1..=SEEDS {
        let mut admits = limiter();
        let url = shaped(move |tokens| admits(u32::try_from(tokens).unwrap())).await;
        scaled().sleep(Duration::from_mins(1)).await;
        let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{seed}.jsonl"));
        tally.add(Measured::of(&url, is, seed, &trace).await);
    }
    tally.assert_none_wrong();
    tally
}

fn scaled() -> Clock {
    Clock::scaled(60).unwrap()
}

/// A limiter that takes the time as an argument, in nanoseconds, on the scaled clock.
fn in_scaled_time(limiter: impl RateLimitCore) -> impl FnMut(u32) -> bool {
    let clock = scaled();
    move |tokens| limiter.try_acquire_at(clock.now().as_nanos().cast_unsigned(), tokens.into()).is_ok()
}

/// GCRA with a burst other than the quota.
#[tokio::test]
async fn governor() {
    const BURST: u32 = 6_000;
    let count = |tokens| NonZeroU32::new(tokens).unwrap();
    let tally = measured("governor", MechanismId::TokenBucket, || {
        let limiter = RateLimiter::direct(Quota::per_second(count(LIMIT)).allow_burst(count(BURST)));
        move |tokens| matches!(limiter.check_n(count(tokens)), Ok(Ok(())))
    });
    let tally = tally.await;
    tally.assert_right(0.6);
    for parameters in tally.right().map(|measured| &measured.document["ranked"][0]["parameters"]) {
        let capacity = parameters["capacity"].as_f64().unwrap();
        assert!((capacity / f64::from(BURST) - 1.0).abs() < 0.1, "{parameters}");
    }
}

/// Refills every 15 s of scaled time, counted from when it was made.
#[tokio::test]
async fn leaky_bucket() {
    measured("leaky-bucket", MechanismId::SteppedBucket, || {
        let limit = LIMIT as usize;
        let bucket = leaky_bucket::RateLimiter::builder()
            .max(limit)
            .initial(limit)
            .refill(limit / 4)
            .interval(MINUTE / 4)
            .build();
        move |tokens| bucket.try_acquire(tokens as usize)
    })
    .await;
}

#[tokio::test]
async fn throttle_net_log() {
    measured("throttle-net", MechanismId::SlidingLog, || {
        let log = SlidingWindowLog::new(LIMIT, MINUTE);
        move |tokens| log.try_acquire_with_cost(tokens)
    })
    .await;
}

/// The same log, where a request is admitted while anything is left.
#[tokio::test]
async fn throttle_net_log_until_exhausted() {
    measured("throttle-net-until-exhausted", MechanismId::SlidingLog, || {
        let log = SlidingWindowLog::new(10 * LIMIT, MINUTE);
        move |tokens| log.capacity() - log.available() < LIMIT && log.try_acquire_with_cost(tokens)
    })
    .await;
}

/// Windows aligned to the clock that it is given.
#[tokio::test]
async fn rate_guard_window() {
    measured("rate-guard-window", MechanismId::FixedWindow, || {
        in_scaled_time(FixedWindowCounterCore::new(LIMIT.into(), SCALED_MINUTE_NS))
    })
    .await;
}

/// Two windows aligned to the clock that it is given, the previous one weighted.
#[tokio::test]
async fn rate_guard_counter() {
    measured("rate-guard-counter", MechanismId::SlidingCounter, || {
        in_scaled_time(ApproximateSlidingWindowCore::new(LIMIT.into(), SCALED_MINUTE_NS))
    })
    .await;
}

/// A log of slots: a request counts until 60 s after the start of the 10 s it fell in.
#[tokio::test]
async fn rate_guard_slots() {
    measured("rate-guard-slots", MechanismId::SlidingLog, || {
        in_scaled_time(SlidingWindowCounterCore::new(LIMIT.into(), SCALED_MINUTE_NS / 6, 6))
    })
    .await;
}

/// A window starts with the first request after the last one. As its manual has it: rejected requests count.
#[tokio::test]
async fn pingora_observing_all() {
    measured("pingora-observing-all", MechanismId::AnchoredWindow, || {
        let rate = Rate::new(MINUTE);
        move |tokens| rate.observe(&(), tokens as isize) <= LIMIT as isize
    })
    .await;
}

/// The same window, where a request is admitted while anything is left.
#[tokio::test]
async fn pingora_until_exhausted() {
    measured("pingora-until-exhausted", MechanismId::AnchoredWindow, || {
        let rate = Rate::new(MINUTE);
        move |tokens| {
            let is_left = rate.rate_with(&(), |counts| counts.curr_samples) < LIMIT as isize;
            is_left && rate.observe(&(), tokens as isize) > 0
        }
    })
    .await;
}

/// Its estimate weighs the previous window, but windows start with a request and not on the clock.
#[tokio::test]
async fn pingora_estimate() {
    measured("pingora-estimate", MechanismId::SlidingCounter, || {
        let rate = Rate::new(MINUTE);
        move |tokens| {
            let used = rate.rate_with(&(), PROPORTIONAL_RATE_ESTIMATE_CALC_FN) * MINUTE.as_secs_f64();
            used + f64::from(tokens) <= f64::from(LIMIT) && rate.observe(&(), tokens as isize) > 0
        }
    })
    .await;
}
