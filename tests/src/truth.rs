//! Random truths: emulators with mechanisms and circumstances that a measurement has to find out.

use bedrock_tpm::{EmulatorConfig, Mechanism, MechanismId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The quota that the measurement is told, in tokens per minute.
pub const TPM: u64 = 8_000;
/// Clock skew is up to this, in seconds.
const SKEW_S: f64 = 0.7;

/// How badly the endpoint behaves.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// Shortest and longest latency, in seconds.
    pub latency_s: (f64, f64),
    /// Fraction of 5xx, half of them charged.
    pub error_rate: f64,
    /// Fraction of 429s without cause.
    pub spurious_429: f64,
    /// Traffic of others, as a fraction of the quota.
    pub background: f64,
}

impl Noise {
    /// Latency 0.3 to 1.5 s, 1 % 5xx, 1 % spurious 429s, 5 % background.
    pub const USUAL: Self =
        Self { latency_s: (0.3, 1.5), error_rate: 0.01, spurious_429: 0.01, background: 0.05 };
}

/// A truth of the family, drawn from `seed`: every mechanism is as likely, parameters vary as engineers vary them.
pub fn in_family(seed: u64, noise: Noise) -> EmulatorConfig {
    let mut rng = StdRng::seed_from_u64(seed);
    let skew_s = rng.random_range(-SKEW_S..SKEW_S);
    let id = MechanismId::ALL[rng.random_range(0..MechanismId::ALL.len())];
    let mechanism = match Mechanism::per_minute(id, TPM) {
        Mechanism::FixedWindow { limit, .. } => match rng.random_range(0..10) {
            0..6 => Mechanism::FixedWindow { limit, window_s: 60.0, offset_s: skew_s.rem_euclid(60.0) },
            6..8 => Mechanism::FixedWindow { limit, window_s: 60.0, offset_s: rng.random_range(3.0..57.0) },
            _ => {
                let window_s: f64 = [1.0, 5.0, 10.0, 20.0, 30.0][rng.random_range(0..5)];
                let limit = (limit as f64 * window_s / 60.0).round() as u64;
                Mechanism::FixedWindow { limit, window_s, offset_s: rng.random_range(0.0..window_s) }
            }
        },
        Mechanism::SlidingCounter { limit, window_s, .. } => {
            Mechanism::SlidingCounter { limit, window_s, offset_s: skew_s.rem_euclid(60.0) }
        }
        Mechanism::TokenBucket { capacity, refill_per_s } => {
            Mechanism::TokenBucket { capacity: scaled(capacity, &mut rng), refill_per_s }
        }
        Mechanism::SteppedBucket { capacity, refill_per_s, .. } => {
            let tick_s: f64 = [2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0][rng.random_range(0..7)];
            let offset_s = rng.random_range(0.0..tick_s);
            Mechanism::SteppedBucket { capacity: scaled(capacity, &mut rng), refill_per_s, tick_s, offset_s }
        }
        other => other,
    };
    EmulatorConfig {
        tokens: Some(mechanism),
        latency_s: noise.latency_s,
        error_rate: noise.error_rate,
        spurious_429: noise.spurious_429,
        background: noise.background,
        seed: rng.random(),
        ..EmulatorConfig::default()
    }
}

/// Capacities below, at and above the quota.
fn scaled(capacity: u64, rng: &mut StdRng) -> u64 {
    let factor = match rng.random_range(0..4) {
        0 => rng.random_range(0.3..1.0),
        1 => rng.random_range(1.0..2.0),
        _ => 1.0,
    };
    (capacity as f64 * factor).round() as u64
}
