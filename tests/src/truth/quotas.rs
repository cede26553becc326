use bedrock_tpm::{EmulatorConfig, QuotaKind, Wording};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::family::{mechanism, rejected};
use super::{Noise, Set, TPM, Truth};

/// So far above what is sent that such a quota never rejects.
const FAR_TPM: u64 = 100 * TPM;
const FAR_RPM: u64 = 500;

/// An account with 4 requests a minute, or 2 or 10, and no quota of tokens.
pub(super) fn few_requests(seed: u64, noise: Noise) -> Truth {
    let mut rng = StdRng::seed_from_u64(seed);
    let rpm = [4, 4, 4, 2, 10][rng.random_range(0..5)];
    let (requests, rejected) = (Some(mechanism(rpm, &mut rng)), rejected(&mut rng));
    let emulator = EmulatorConfig { requests, rejected, ..noise.emulator(rng.random()) };
    let told = Truth::of_tokens(Set::Requests, seed, emulator);
    Truth { binding: QuotaKind::Requests, tpm: None, rpm: Some(rpm), ..told }
}

/// Tokens or requests bind; half of the time the other quota is enforced too, far from binding. The quota of requests
/// is told in half of the runs, that of tokens always, and no 429 says which one it was.
pub(super) fn either_binds(seed: u64, noise: Noise) -> Truth {
    let mut rng = StdRng::seed_from_u64(seed);
    let few = rng.random_range(2..=20);
    let (binding, tpm, rpm) =
        if rng.random() { (QuotaKind::Tokens, TPM, FAR_RPM) } else { (QuotaKind::Requests, FAR_TPM, few) };
    let mut enforced = |kind, limit| {
        let mechanism = mechanism(limit, &mut rng);
        (kind == binding || rng.random()).then_some(mechanism)
    };
    let (tokens, requests) = (enforced(QuotaKind::Tokens, tpm), enforced(QuotaKind::Requests, rpm));
    let told = rng.random::<bool>().then_some(rpm);
    let emulator =
        EmulatorConfig { tokens, requests, wording: Wording::Neutral, ..noise.emulator(rng.random()) };
    Truth { binding, rpm: told, ..Truth::of_tokens(Set::Binding, seed, emulator) }
}
