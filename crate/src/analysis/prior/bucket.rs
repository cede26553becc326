use super::{CAPACITY_OF_A_MINUTE, Class};
use crate::analysis::draw::{Length, USUAL_TICKS, log_uniform, mixed, period_of, pick, scaled};
use crate::{Admission, Mechanism};

/// A bucket that ticks faster cannot be told from one that refills continuously, over a network: latency blurs it.
const BLURRED_TICKS: &[f64] = &[0.25, 0.5, 1.0, 2.0];
const CONTINUOUS: f64 = 0.6;
impl Class {
    /// A bucket that refills by about `limit` a minute, with a capacity of about as much.
    pub(super) fn bucket(
        self,
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
            _ => pick(BLURRED_TICKS, (period - CONTINUOUS) / (1.0 - CONTINUOUS)),
        };
        // One that every tick fills to the brim is a window.
        let capacity = capacity.max((refill_per_s * tick_s * 1.05).ceil() as u64);
        Mechanism::SteppedBucket { capacity, refill_per_s, tick_s, offset_s: phase * tick_s }
    }
}
