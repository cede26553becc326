use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use crate::Mechanism;

/// The measured ceiling and rate are usually right within the first share, and always within the second; an offset
/// within so many seconds.
const MEASURED_WITHIN: [f64; 2] = [0.02, 0.1];
const USUALLY: f64 = 0.7;
const OFFSET_WITHIN_S: f64 = 1.0;

/// The mechanism with parameters near the measured ones.
pub(super) fn varied(mechanism: Mechanism, rng: &mut Pcg64Mcg) -> Mechanism {
    let mut near = |value: f64| {
        let within = MEASURED_WITHIN[usize::from(!rng.random_bool(USUALLY))];
        value * (1.0 + rng.random_range(-within..within))
    };
    let mut near_amount = |amount: u64| (near(amount as f64).round() as u64).max(1);
    let varied = match mechanism {
        Mechanism::FixedWindow { limit, window_s, offset_s } => {
            Mechanism::FixedWindow { limit: near_amount(limit), window_s, offset_s }
        }
        Mechanism::AnchoredWindow { limit, window_s } => {
            Mechanism::AnchoredWindow { limit: near_amount(limit), window_s }
        }
        Mechanism::SlidingLog { limit, window_s } => {
            Mechanism::SlidingLog { limit: near_amount(limit), window_s }
        }
        Mechanism::SlidingCounter { limit, window_s, offset_s } => {
            Mechanism::SlidingCounter { limit: near_amount(limit), window_s, offset_s }
        }
        Mechanism::TokenBucket { capacity, refill_per_s } => {
            Mechanism::TokenBucket { capacity: near_amount(capacity), refill_per_s: near(refill_per_s) }
        }
        Mechanism::SteppedBucket { capacity, refill_per_s, tick_s, offset_s } => Mechanism::SteppedBucket {
            capacity: near_amount(capacity),
            refill_per_s: near(refill_per_s),
            tick_s,
            offset_s,
        },
        Mechanism::ExponentialDecay { limit, time_constant_s } => {
            Mechanism::ExponentialDecay { limit: near_amount(limit), time_constant_s: near(time_constant_s) }
        }
    };
    let late_s = rng.random_range(-OFFSET_WITHIN_S..OFFSET_WITHIN_S);
    match varied {
        Mechanism::FixedWindow { limit, window_s, offset_s } => {
            Mechanism::FixedWindow { limit, window_s, offset_s: moved(offset_s, late_s, window_s) }
        }
        Mechanism::SlidingCounter { limit, window_s, offset_s } => {
            Mechanism::SlidingCounter { limit, window_s, offset_s: moved(offset_s, late_s, window_s) }
        }
        Mechanism::SteppedBucket { capacity, refill_per_s, tick_s, offset_s } => {
            let offset_s = moved(offset_s, late_s, tick_s);
            Mechanism::SteppedBucket { capacity, refill_per_s, tick_s, offset_s }
        }
        other => other,
    }
}

/// An offset moved by `late_s`, but never by more than a tenth of its period.
fn moved(offset_s: f64, late_s: f64, period_s: f64) -> f64 {
    (offset_s + late_s.clamp(-0.1 * period_s, 0.1 * period_s)).rem_euclid(period_s)
}
