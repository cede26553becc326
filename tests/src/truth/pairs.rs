use bedrock_tpm::{EmulatorConfig, Mechanism};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::family::scaled;
use super::{CLOCK_ERROR_S, Noise, Set, TPM, Truth};

/// One of a pair that nothing can separate: a short fixed window and a bucket refilled to the brim as often (four of
/// five), GCRA and a token bucket of its burst (one code here), or a window that resets within the clock error of the
/// full minute.
pub(super) fn truth(seed: u64, noise: Noise) -> Truth {
    let mut rng = StdRng::seed_from_u64(seed);
    let period_s: f64 = [10.0, 15.0, 20.0, 30.0][rng.random_range(0..4)];
    let (limit, offset_s) = (scaled(TPM, period_s / 60.0), rng.random_range(0.0..period_s));
    let mechanism = match rng.random_range(0..10) {
        0..4 => Mechanism::FixedWindow { limit, window_s: period_s, offset_s },
        4..8 => {
            // A tick brings what fits, or up to half as much again.
            let refill_per_s = limit as f64 / period_s * rng.random_range(1.0..1.5);
            Mechanism::SteppedBucket { capacity: limit, refill_per_s, tick_s: period_s, offset_s }
        }
        8 => {
            let capacity = scaled(TPM, rng.random_range(0.2..1.0));
            Mechanism::TokenBucket { capacity, refill_per_s: TPM as f64 / 60.0 }
        }
        _ => {
            let skew_s: f64 = rng.random_range(-CLOCK_ERROR_S..CLOCK_ERROR_S);
            Mechanism::FixedWindow { limit: TPM, window_s: 60.0, offset_s: skew_s.rem_euclid(60.0) }
        }
    };
    let emulator = EmulatorConfig { tokens: Some(mechanism), ..noise.emulator(rng.random()) };
    Truth::of_tokens(Set::Pairs, seed, emulator)
}
