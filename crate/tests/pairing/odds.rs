//! Both truths, every mechanism, noise: no answer is wrong, and few are missing.

use bedrock_tpm::{Mechanism, MechanismId};

use crate::{TPM, Tally, naming, noisy, one, per_minute, stated, tally, tally_knowing, two};

/// At most one run in twenty may be left without an answer.
fn assert_right(what: &str, tally: &Tally, wrong: u64) {
    assert!(wrong == 0 && tally.unknown.len() <= 10, "{what}: {tally:?}");
}

#[test]
fn one_quota_is_never_taken_for_two() {
    for id in MechanismId::ALL {
        let what = format!("one {id}");
        let tally = tally(&what, &stated(Some(TPM), None), |seed| one(&per_minute(id), seed));
        assert_right(&what, &tally, tally.no);
    }
}

#[test]
fn two_quotas_are_never_taken_for_one() {
    for id in MechanismId::ALL {
        let (what, config) = (format!("two {id}"), per_minute(id));
        let tally = tally(&what, &stated(Some(TPM), None), |seed| two(&config, &config, seed));
        assert_right(&what, &tally, tally.yes);
    }
}

#[test]
fn a_known_mechanism_answers_sooner_and_just_as_surely() {
    for id in MechanismId::ALL {
        let (config, verdict) = (per_minute(id), naming(Mechanism::per_minute(id, TPM)));
        let (shared, own) = (format!("one known {id}"), format!("two known {id}"));
        let assumptions = stated(Some(TPM), None);
        let tally = tally_knowing(&verdict, &shared, &assumptions, |seed| one(&config, seed));
        assert_right(&shared, &tally, tally.no);
        let tally = tally_knowing(&verdict, &own, &assumptions, |seed| two(&config, &config, seed));
        assert_right(&own, &tally, tally.yes);
    }
}

/// So few requests a minute leave little to tell: more runs may end without an answer.
#[test]
fn quotas_of_requests_are_paired_too() {
    for (rpm, id) in [2, 4, 10].into_iter().flat_map(|rpm| MechanismId::ALL.map(|id| (rpm, id))) {
        let config = noisy(None, Some(Mechanism::per_minute(id, rpm)));
        let assumptions = stated(None, Some(rpm));
        let what = format!("one {id} of {rpm} requests");
        let shared = tally(&what, &assumptions, |seed| one(&config, seed));
        assert!(shared.no == 0 && shared.yes >= 150, "{what}: {shared:?}");
        let what = format!("two {id} of {rpm} requests");
        let own = tally(&what, &assumptions, |seed| two(&config, &config, seed));
        assert!(own.yes == 0 && own.no >= 150, "{what}: {own:?}");
    }
}
