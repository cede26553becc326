use serde::{Deserialize, Serialize};

use super::{
    AnchoredWindow, Decision, ExponentialDecay, FixedWindow, Limiter, SlidingCounter, SlidingLog,
    SteppedBucket, TokenBucket,
};
use crate::Timestamp;

/// Any of the limiters, without a heap allocation or a type parameter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AnyLimiter {
    /// See [`FixedWindow`].
    FixedWindow(FixedWindow),
    /// See [`AnchoredWindow`].
    AnchoredWindow(AnchoredWindow),
    /// See [`SlidingLog`].
    SlidingLog(SlidingLog),
    /// See [`SlidingCounter`].
    SlidingCounter(SlidingCounter),
    /// See [`TokenBucket`].
    TokenBucket(TokenBucket),
    /// See [`SteppedBucket`].
    SteppedBucket(SteppedBucket),
    /// See [`ExponentialDecay`].
    ExponentialDecay(ExponentialDecay),
}

macro_rules! each {
    ($any:expr, $limiter:ident => $call:expr) => {
        match $any {
            AnyLimiter::FixedWindow($limiter) => $call,
            AnyLimiter::AnchoredWindow($limiter) => $call,
            AnyLimiter::SlidingLog($limiter) => $call,
            AnyLimiter::SlidingCounter($limiter) => $call,
            AnyLimiter::TokenBucket($limiter) => $call,
            AnyLimiter::SteppedBucket($limiter) => $call,
            AnyLimiter::ExponentialDecay($limiter) => $call,
        }
    };
}

impl Limiter for AnyLimiter {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        each!(self, limiter => limiter.check(now, cost))
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        each!(self, limiter => limiter.charge(now, cost));
    }

    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64) {
        each!(self, limiter => limiter.refund(now, charged_at, amount));
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        each!(self, limiter => limiter.remaining(now))
    }

    fn remembers_since(&self, now: Timestamp, cost: u64) -> Timestamp {
        each!(self, limiter => limiter.remembers_since(now, cost))
    }
}
