//! Second targets that are unlike the first.

use bedrock_tpm::{Assumptions, EmulatorConfig, Mechanism, MechanismId, Shares};

use crate::{TPM, naming, noisy, one, per_minute, stated, tally, tally_knowing, two};

fn bucket(tpm: u64) -> EmulatorConfig {
    noisy(Some(Mechanism::per_minute(MechanismId::TokenBucket, tpm)), None)
}

/// A target of its own is told apart however it works, and whether its quota is larger or there is none.
#[test]
fn another_quota_is_told_apart_whatever_its_size_and_mechanism() {
    let first = per_minute(MechanismId::FixedWindow);
    let others = [
        ("another mechanism", per_minute(MechanismId::SlidingCounter)),
        ("a larger quota", noisy(Some(Mechanism::per_minute(MechanismId::FixedWindow, 3 * TPM)), None)),
        ("a huge quota", noisy(Some(Mechanism::per_minute(MechanismId::FixedWindow, 1_000_000)), None)),
        ("no quota", noisy(None, None)),
    ];
    for (what, other) in others {
        let tally = tally(what, &stated(Some(TPM), None), |seed| two(&first, &other, seed));
        assert!(tally.yes == 0 && tally.no >= 190, "{what}: {tally:?}");
    }
}

/// What rejects even after a pause shows nothing.
#[test]
fn a_busy_or_smaller_target_is_never_taken_for_one_that_shares() {
    let first = bucket(TPM);
    let busy = |background, spurious_429| EmulatorConfig { background, spurious_429, ..bucket(TPM) };
    let others = [
        ("a small quota", bucket(TPM / 4)),
        ("a quota of nothing", EmulatorConfig { tokens_per_day: Some(0), ..bucket(TPM) }),
        ("used up by others", busy(1.0, 0.0)),
        ("half used up by others", busy(0.5, 0.0)),
        ("throttled half of the time", busy(0.0, 0.5)),
        ("throttled nine times of ten", busy(0.0, 0.9)),
    ];
    for (what, other) in others {
        let tally = tally(what, &stated(Some(TPM), None), |seed| two(&first, &other, seed));
        assert!(tally.yes <= 1, "{what}: {tally:?}");
    }
}

/// One quota that others use a good part of is still one.
#[test]
fn one_busy_quota_is_never_taken_for_two() {
    for (what, background, spurious_429) in
        [("shared with others", 0.3, 0.025), ("shared and throttled", 0.05, 0.3)]
    {
        let config = EmulatorConfig { background, spurious_429, ..bucket(TPM) };
        let tally = tally(what, &stated(Some(TPM), None), |seed| one(&config, seed));
        assert!(tally.no == 0, "{what}: {tally:?}");
    }
}

/// Where the quota comes back in the midst of a round, rounds show nothing; they do not mislead.
#[test]
fn a_quota_that_recovers_at_once_is_not_misjudged() {
    for mechanism in [
        Mechanism::FixedWindow { limit: 1_333, window_s: 10.0, offset_s: 3.0 },
        Mechanism::SlidingLog { limit: 1_333, window_s: 10.0 },
        Mechanism::SteppedBucket { capacity: TPM, refill_per_s: 133.3, tick_s: 25.0, offset_s: 4.0 },
    ] {
        let (config, verdict) = (noisy(Some(mechanism), None), naming(mechanism));
        let assumptions = stated(Some(TPM), None);
        let (shared, own) = (format!("one {mechanism}"), format!("two {mechanism}"));
        let tally = tally_knowing(&verdict, &shared, &assumptions, |seed| one(&config, seed));
        assert!(tally.no == 0, "{shared}: {tally:?}");
        let tally = tally_knowing(&verdict, &own, &assumptions, |seed| two(&config, &config, seed));
        assert!(tally.yes == 0, "{own}: {tally:?}");
    }
}

/// A quota that is larger than stated is not reached, and says nothing.
#[test]
fn what_never_rejects_shows_nothing() {
    let (config, assumptions) = (bucket(1_000_000), stated(Some(TPM), None));
    let verdict = bedrock_tpm::analyze(&[], &assumptions);
    for seed in 1..20 {
        let paired = one(&config, seed).paired(&verdict, &Assumptions { seed, ..assumptions.clone() }).paired;
        assert_eq!(paired.shares, Shares::Unknown);
        assert!(paired.because.contains("neither target rejected anything"), "{paired}");
        assert!(paired.warning().is_some_and(|warning| warning.contains("count the two as one")));
    }
}
