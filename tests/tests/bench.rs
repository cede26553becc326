//! How the validation bench draws truths and judges verdicts.

use bedrock_tpm::{
    Admission, Assumptions, Binding, ClockAnswer, Conclusion, Mechanism, MechanismId, Pool, PoolDecision,
    QuotaKind, Timestamp, Verdict, analyze,
};
use bedrock_tpm_tests::truth::{Outside, Set, Truth};
use bedrock_tpm_tests::validation::{Ending, is_right};

const START: Timestamp = Timestamp::from_nanos(86_400_000_000_000);

fn verdict(conclusion: Conclusion) -> Verdict {
    Verdict { verdict: conclusion, ..analyze(&[], &Assumptions::default()) }
}

fn named(id: MechanismId) -> Verdict {
    verdict(Conclusion::Mechanism(id))
}

fn truth(set: Set, mechanism: Mechanism) -> Truth {
    let mut truth = set.truth(1);
    truth.emulator.tokens = Some(mechanism);
    truth
}

fn bucket(tick_s: f64) -> Mechanism {
    Mechanism::SteppedBucket { capacity: 2_000, refill_per_s: 100.0, tick_s, offset_s: 0.0 }
}

#[test]
fn what_a_network_blurs_is_the_same() {
    for (tick_s, id, right) in [
        (2.0, MechanismId::TokenBucket, true),
        (3.0, MechanismId::TokenBucket, false),
        (3.0, MechanismId::SteppedBucket, true),
        // A tick of 20 s fills it to the brim, but the verdict does not say that there is a twin.
        (20.0, MechanismId::FixedWindow, false),
    ] {
        assert_eq!(is_right(&truth(Set::Usual, bucket(tick_s)), &named(id)), right, "{tick_s} {id}");
    }
}

#[test]
fn one_of_a_pair_alone_is_wrong() {
    let (pair, single) = (truth(Set::Pairs, bucket(20.0)), truth(Set::Pairs, bucket(10.0)));
    assert_eq!(Ending::of(&pair, &named(MechanismId::SteppedBucket)), Ending::Wrong);
    assert_eq!(Ending::of(&single, &named(MechanismId::SteppedBucket)), Ending::Right);
    assert_eq!(Ending::of(&pair, &verdict(Conclusion::Inconclusive)), Ending::Inconclusive);
    let aligned = truth(Set::Pairs, Mechanism::per_minute(MechanismId::FixedWindow, 8_000));
    let answered = |clock_question| Verdict { clock_question, ..named(MechanismId::FixedWindow) };
    assert!(is_right(&aligned, &answered(ClockAnswer::Absolute)));
    assert!(!is_right(&aligned, &answered(ClockAnswer::Neither)));
}

#[test]
fn outside_the_family_a_named_mechanism_is_wrong() {
    let truth = Set::Outside.truth(1);
    assert_eq!(Ending::of(&truth, &named(MechanismId::SlidingLog)), Ending::Wrong);
    assert_eq!(Ending::of(&truth, &verdict(Conclusion::NoneOfThese)), Ending::Right);
    assert_eq!(Ending::of(&truth, &verdict(Conclusion::Inconclusive)), Ending::Right);
}

#[test]
fn where_two_quotas_compete_the_binding_one_counts() {
    let truth = (1..).map(|seed| Set::Binding.truth(seed)).find(|truth| truth.binding == QuotaKind::Requests);
    let truth = truth.expect("half of the truths");
    let bound = |binding| Verdict { binding, ..verdict(Conclusion::Inconclusive) };
    assert_eq!(Ending::of(&truth, &bound(Binding::Quota(QuotaKind::Requests))), Ending::Right);
    assert_eq!(Ending::of(&truth, &bound(Binding::Quota(QuotaKind::Tokens))), Ending::Wrong);
    assert_eq!(Ending::of(&truth, &bound(Binding::Unknown)), Ending::Inconclusive);
}

#[test]
fn every_set_draws_valid_truths_and_the_same_again() {
    for set in Set::ALL {
        for seed in 0..200 {
            let truth = set.truth(seed);
            assert_eq!(truth.emulator, set.truth(seed).emulator);
            assert!(truth.emulator.clone().validated().is_ok(), "{set:?} {seed}");
            assert!(truth.settings().validated().is_ok(), "{set:?} {seed}");
            assert_eq!(truth.mechanism().is_none(), set == Set::Outside);
        }
    }
}

/// The seconds at which requests of so many tokens are admitted.
fn admitted(outside: Outside, requests: &[(f64, u64)]) -> Vec<f64> {
    let mut pool = Pool::of_limiters(outside.limiters(), outside.rejected(), Admission::Whole);
    let requests = requests.iter();
    let admitted = requests.filter(|(second, tokens)| {
        pool.admit(START.plus_seconds(*second), *tokens) == PoolDecision::Admitted
    });
    admitted.map(|(second, _)| *second).collect()
}

#[test]
fn a_rejection_closes_the_bucket_and_stops_its_refill() {
    let requests = [(0.0, 8_000), (30.0, 4_100), (45.0, 100), (49.0, 100), (51.0, 4_100), (71.5, 4_200)];
    // Closed from 30 to 50: at 51 the bucket has the 4,000 of 30 s and 133 more.
    assert_eq!(admitted(Outside::Banning { prolonged: false }, &requests), [0.0, 51.0]);
    // Closed until 69, and at 71.5 it has 4,000 and 333.
    assert_eq!(admitted(Outside::Banning { prolonged: true }, &requests), [0.0]);
    let requests = [(0.0, 8_000), (30.0, 4_100), (49.0, 100), (71.5, 4_200)];
    assert_eq!(admitted(Outside::Banning { prolonged: true }, &requests), [0.0, 71.5]);
}

#[test]
fn a_rejection_doubles_the_window() {
    let requests = [(0.0, 1_333), (5.0, 100), (11.0, 100), (39.0, 100), (41.0, 1_333), (52.0, 1_333)];
    // 10 s, doubled at 5, at 11 and at 39 to 80.
    assert_eq!(admitted(Outside::Doubling { window_s: 10.0 }, &requests), [0.0]);
    let requests = [(0.0, 1_333), (5.0, 100), (20.5, 1_333), (31.0, 1_333)];
    assert_eq!(admitted(Outside::Doubling { window_s: 10.0 }, &requests), [0.0, 20.5, 31.0]);
}

#[test]
fn a_limit_shifts_and_two_windows_both_count() {
    let shifting = Outside::Shifting { bucket: false, factor: 0.5, period_s: 40.0, offset_s: 0.0 };
    // 86,400 s are an even number of periods.
    assert_eq!(admitted(shifting, &[(1.0, 5_000), (41.0, 10), (61.5, 4_001), (61.6, 4_000)]), [1.0, 61.6]);
    let two = Outside::TwoWindows { sliding: true, share: 0.25, offset_s: 0.0 };
    assert_eq!(admitted(two, &[(0.0, 2_000), (5.0, 1), (10.0, 2_000)]), [0.0, 10.0]);
}

#[test]
fn chance_rejects_some_of_what_fits() {
    let requests: Vec<_> = (0..400).map(|second| (60.0 * f64::from(second), 4_000)).collect();
    let lottery = Outside::Lottery { sliding: false, seed: 3 };
    assert!((150..250).contains(&admitted(lottery, &requests).len()));
    // A load of one half, where the probability falls from 1 at 0 to 0 at 1.
    let early = Outside::EarlyDrop { sliding: false, from: 0.0, seed: 3 };
    assert!((150..250).contains(&admitted(early, &requests).len()));
    let later = Outside::EarlyDrop { sliding: false, from: 0.5, seed: 3 };
    assert_eq!(admitted(later, &requests).len(), 400);
}
