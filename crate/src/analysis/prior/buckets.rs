use super::Class;
use crate::analysis::draw::{Length, Stated, USUAL_TICKS, log_uniform, mixed, period_of, pick, scaled};
use crate::{Admission, Mechanism, QuotaKind};

/// How often a bucket holds what comes in a minute.
pub(super) const CAPACITY_OF_A_MINUTE: f64 = 0.5;
/// A bucket that ticks as fast as the first four cannot be told from one that refills continuously, over a network: latency
/// blurs it. One of requests that no tick brings more than one is not told from it either: where ticks divide the time that
/// a request takes, only what comes after the bucket was full differs, and others only now and then.
const HIDDEN_TICKS: [f64; 12] = [0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 6.0, 10.0, 12.0, 15.0, 20.0, 30.0];
const BLURRED_S: f64 = 2.0;
const CONTINUOUS: f64 = 0.6;

impl Class {
    /// Whether it is a bucket whose ticks cannot be seen.
    pub(super) fn is_hidden(self, kind: QuotaKind, stated: Stated) -> bool {
        let Self::SteppedBucket(index) = self else { return false };
        let longest_s = USUAL_TICKS.get(index).or(USUAL_TICKS.last()).copied().unwrap_or_default();
        stated.of(kind).is_some_and(|limit| longest_s <= hidden_s(kind, limit as f64 / 60.0))
    }

    /// A bucket that refills by about `limit` a minute, with a capacity of about as much.
    pub(super) fn bucket(
        self,
        kind: QuotaKind,
        limit: u64,
        [ratio, rate, phase, period]: [f64; 4],
        admission: Admission,
    ) -> Mechanism {
        let refill_per_s = limit as f64 / 60.0 * mixed(rate, 0.9, 1.0, 0.1, 4.0);
        // A bucket that may be overdrawn can be tiny, one that may not would admit next to nothing.
        let smallest = if admission == Admission::Whole { 0.05 } else { 0.005 };
        let capacity = match self {
            Self::TokenBucket(Length::Minute) => limit,
            Self::TokenBucket(Length::Other) => scaled(limit, log_uniform(ratio, smallest, 4.0)),
            _ => scaled(limit, mixed(ratio, CAPACITY_OF_A_MINUTE, 1.0, smallest, 4.0)),
        };
        let tick_s = match self {
            Self::SteppedBucket(index) => period_of(index, period, USUAL_TICKS),
            _ if period < CONTINUOUS => return Mechanism::TokenBucket { capacity, refill_per_s },
            _ => {
                let hidden = HIDDEN_TICKS.partition_point(|tick_s| *tick_s <= hidden_s(kind, refill_per_s));
                pick(&HIDDEN_TICKS[..hidden], (period - CONTINUOUS) / (1.0 - CONTINUOUS))
            }
        };
        // One that every tick fills to the brim is a window.
        let capacity = capacity.max((refill_per_s * tick_s * 1.05).ceil() as u64);
        Mechanism::SteppedBucket { capacity, refill_per_s, tick_s, offset_s: phase * tick_s }
    }
}

/// Ticks up to this long, in seconds, cannot be seen of a bucket that refills at this rate.
fn hidden_s(kind: QuotaKind, refill_per_s: f64) -> f64 {
    match kind {
        QuotaKind::Requests => BLURRED_S.max(1.0 / refill_per_s),
        QuotaKind::Tokens | QuotaKind::TokensPerDay => BLURRED_S,
    }
}
