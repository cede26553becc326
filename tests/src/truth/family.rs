use bedrock_tpm::{Admission, EmulatorConfig, Mechanism, MechanismId, RejectedCost};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Noise, SKEW_S, TPM};

/// How often a rule is not what an engineer would choose first.
const UNUSUAL: f64 = 0.1;
/// How often another limit than the stated one is enforced, and a window is not of a minute, where that is the subject.
const NOT_AS_STATED: f64 = 0.7;

/// An emulator of the family: every mechanism is as likely, parameters vary as engineers vary them.
pub(super) fn emulator(seed: u64, noise: Noise) -> EmulatorConfig {
    let mut rng = StdRng::seed_from_u64(seed);
    let tokens = mechanism(TPM, &mut rng);
    enforcing(tokens, noise, &mut rng)
}

/// Like [`emulator`], but mostly with another quota than the stated one, or windows of another length than a minute.
pub(super) fn not_as_stated(seed: u64, noise: Noise) -> EmulatorConfig {
    let mut rng = StdRng::seed_from_u64(seed);
    let other = rng.random_bool(NOT_AS_STATED);
    let limit = if other { scaled(TPM, rng.random_range(0.3..1.5)) } else { TPM };
    let tokens = match mechanism(limit, &mut rng) {
        Mechanism::AnchoredWindow { limit, .. } => {
            let (limit, window_s) = window(limit, &mut rng);
            Mechanism::AnchoredWindow { limit, window_s }
        }
        Mechanism::SlidingLog { limit, .. } => {
            let (limit, window_s) = window(limit, &mut rng);
            Mechanism::SlidingLog { limit, window_s }
        }
        Mechanism::SlidingCounter { limit, offset_s, .. } => {
            let (limit, window_s) = window(limit, &mut rng);
            Mechanism::SlidingCounter { limit, window_s, offset_s: offset_s.rem_euclid(window_s) }
        }
        mechanism => mechanism,
    };
    enforcing(tokens, noise, &mut rng)
}

fn enforcing(tokens: Mechanism, noise: Noise, rng: &mut StdRng) -> EmulatorConfig {
    let tokens = Some(tokens);
    let rejected = rejected(rng);
    let admission = if rng.random_bool(UNUSUAL) { Admission::UntilExhausted } else { Admission::Whole };
    EmulatorConfig { tokens, rejected, admission, ..noise.emulator(rng.random()) }
}

/// What a rejected request consumes.
pub(super) fn rejected(rng: &mut StdRng) -> RejectedCost {
    if rng.random_bool(UNUSUAL) { RejectedCost::Everything } else { RejectedCost::Nothing }
}

/// Any mechanism that enforces about `limit` a minute.
pub(super) fn mechanism(limit: u64, rng: &mut StdRng) -> Mechanism {
    let skew_s = rng.random_range(-SKEW_S..SKEW_S);
    let id = MechanismId::ALL[rng.random_range(0..MechanismId::ALL.len())];
    match Mechanism::per_minute(id, limit) {
        Mechanism::FixedWindow { limit, .. } => fixed_window(limit, skew_s, rng),
        Mechanism::SlidingCounter { limit, window_s, .. } => {
            Mechanism::SlidingCounter { limit, window_s, offset_s: skew_s.rem_euclid(window_s) }
        }
        Mechanism::TokenBucket { capacity, refill_per_s } => {
            Mechanism::TokenBucket { capacity: any_capacity(capacity, rng), refill_per_s }
        }
        Mechanism::SteppedBucket { capacity, refill_per_s, .. } => {
            let tick_s: f64 = [1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0][rng.random_range(0..8)];
            let offset_s = rng.random_range(0.0..tick_s);
            Mechanism::SteppedBucket { capacity: any_capacity(capacity, rng), refill_per_s, tick_s, offset_s }
        }
        Mechanism::ExponentialDecay { limit, .. } => {
            let time_constant_s = if rng.random_bool(0.7) { 60.0 } else { rng.random_range(20.0..150.0) };
            Mechanism::ExponentialDecay { limit, time_constant_s }
        }
        windowed => windowed,
    }
}

/// Of 60 s on the clock, with another phase, or short.
fn fixed_window(limit: u64, skew_s: f64, rng: &mut StdRng) -> Mechanism {
    let window_s = 60.0;
    match rng.random_range(0..10) {
        0..6 => Mechanism::FixedWindow { limit, window_s, offset_s: skew_s.rem_euclid(window_s) },
        6..8 => Mechanism::FixedWindow { limit, window_s, offset_s: rng.random_range(3.0..57.0) },
        _ => {
            // A window of a quota of few requests must let at least one pass.
            let lengths = [1.0, 5.0, 10.0, 20.0, 30.0].into_iter();
            let lengths: Vec<f64> = lengths.filter(|s| limit as f64 * s / 60.0 > 0.9).collect();
            let window_s = lengths[rng.random_range(0..lengths.len())];
            let limit = scaled(limit, window_s / 60.0);
            Mechanism::FixedWindow { limit, window_s, offset_s: rng.random_range(0.0..window_s) }
        }
    }
}

/// The limit and the length of a window, which may be 60 s. Half of the others keep the rate, the rest the limit.
fn window(limit: u64, rng: &mut StdRng) -> (u64, f64) {
    if !rng.random_bool(NOT_AS_STATED) {
        return (limit, 60.0);
    }
    let window_s: f64 = rng.random_range(20.0..150.0);
    (if rng.random() { scaled(limit, window_s / 60.0) } else { limit }, window_s)
}

/// Capacities below, at and above the quota.
fn any_capacity(quota: u64, rng: &mut StdRng) -> u64 {
    let factor = match rng.random_range(0..4) {
        0 => rng.random_range(0.3..1.0),
        1 => rng.random_range(1.0..2.0),
        _ => 1.0,
    };
    scaled(quota, factor)
}

pub(super) fn scaled(amount: u64, factor: f64) -> u64 {
    ((amount as f64 * factor).round() as u64).max(1)
}
