//! Properties that every limiter keeps, whatever its parameters and whatever came before.

use bedrock_tpm::{AnyLimiter, Decision, Limiter, Mechanism, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_nanos(1_752_585_515_123_456_789);

/// One request: seconds since the one before, its cost, and how much of it is given back when it is admitted.
type Step = (f64, u64, u64);

fn limits() -> impl Strategy<Value = u64> {
    prop_oneof![1..=20_u64, 1..=20_000_u64, 1..=1_000_000_000_000_u64]
}

fn mechanisms() -> impl Strategy<Value = Mechanism> {
    let window = || (0.001..200.0_f64, 0.0..1.0_f64);
    let refill = || 1.0..300.0_f64;
    prop_oneof![
        (limits(), window()).prop_map(|(limit, (window_s, share))| Mechanism::FixedWindow {
            limit,
            window_s,
            offset_s: window_s * share
        }),
        (limits(), window()).prop_map(|(limit, (window_s, _))| Mechanism::AnchoredWindow { limit, window_s }),
        (limits(), window()).prop_map(|(limit, (window_s, _))| Mechanism::SlidingLog { limit, window_s }),
        (limits(), window()).prop_map(|(limit, (window_s, share))| Mechanism::SlidingCounter {
            limit,
            window_s,
            offset_s: window_s * share
        }),
        (limits(), refill()).prop_map(|(capacity, fill_s)| Mechanism::TokenBucket {
            capacity,
            refill_per_s: capacity as f64 / fill_s
        }),
        (limits(), refill(), window()).prop_map(|(capacity, fill_s, (tick_s, share))| {
            let refill_per_s = capacity as f64 / fill_s;
            Mechanism::SteppedBucket { capacity, refill_per_s, tick_s, offset_s: tick_s * share }
        }),
        (limits(), refill())
            .prop_map(|(limit, time_constant_s)| Mechanism::ExponentialDecay { limit, time_constant_s }),
    ]
}

/// A mechanism with a history whose gaps suit its period and whose costs suit its ceiling.
fn histories() -> impl Strategy<Value = (Mechanism, Vec<Step>)> {
    mechanisms().prop_flat_map(|mechanism| {
        let period_s = mechanism.ceiling() as f64 / mechanism.rate_per_s();
        let gap = prop_oneof![Just(0.0), 0.0..period_s / 10.0, 0.0..period_s * 1.5];
        let cost = prop_oneof![1..=mechanism.ceiling(), 1..=mechanism.ceiling().div_ceil(8)];
        let step = (gap, cost, 0.0..1.0_f64);
        let steps = vec(step.prop_map(|(gap, cost, back)| (gap, cost, (cost as f64 * back) as u64)), 1..40);
        (Just(mechanism), steps)
    })
}

/// Admits what fits, without refunds; returns when it was and how much, and the state it leaves.
fn admit_all(mechanism: Mechanism, steps: &[Step]) -> (Vec<(Timestamp, u64)>, AnyLimiter, Timestamp) {
    let (mut limiter, mut now, mut admitted) = (mechanism.limiter(), START, Vec::new());
    for (gap_s, cost, _) in steps {
        now = now.plus_seconds(*gap_s);
        if limiter.admit(now, *cost).is_admitted() {
            admitted.push((now, *cost));
        }
    }
    (admitted, limiter, now)
}

fn nanos(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

fn index(at: Timestamp, period_s: f64, offset_s: f64) -> i64 {
    (at.as_nanos() - nanos(offset_s)).div_euclid(nanos(period_s))
}

/// Whether what was admitted, oldest first, keeps the bound in the mechanism's definition.
fn is_within_bound(mechanism: Mechanism, admitted: &[(Timestamp, u64)]) -> bool {
    let sum = |costs: &[(Timestamp, u64)]| costs.iter().map(|(_, cost)| *cost).sum::<u64>();
    let every_span = |bound: &dyn Fn(Timestamp, Timestamp) -> f64| {
        (0..admitted.len()).all(|first| {
            (first..admitted.len()).all(|last| {
                let most = bound(admitted[first].0, admitted[last].0);
                sum(&admitted[first..=last]) as f64 <= most * (1.0 + 1e-9) + 1e-3
            })
        })
    };
    match mechanism {
        Mechanism::FixedWindow { limit, window_s, offset_s } => admitted
            .chunk_by(|a, b| index(a.0, window_s, offset_s) == index(b.0, window_s, offset_s))
            .all(|window| sum(window) <= limit),
        Mechanism::AnchoredWindow { limit, window_s } => {
            let mut rest = admitted;
            while let Some((start, _)) = rest.first() {
                let ends = start.as_nanos() + nanos(window_s);
                let (window, later) = rest.split_at(rest.partition_point(|(at, _)| at.as_nanos() < ends));
                if sum(window) > limit {
                    return false;
                }
                rest = later;
            }
            true
        }
        Mechanism::SlidingLog { limit, window_s } => every_span(&|first, last| {
            let in_one_window = last.as_nanos() - first.as_nanos() < nanos(window_s);
            if in_one_window { limit as f64 } else { f64::INFINITY }
        }),
        Mechanism::SlidingCounter { limit, window_s, offset_s } => (0..admitted.len()).all(|last| {
            let at = admitted[last].0;
            let of = |window: i64| {
                let counted =
                    admitted[..=last].iter().filter(|(at, _)| index(*at, window_s, offset_s) == window);
                counted.map(|(_, cost)| *cost).sum::<u64>() as f64
            };
            let now = index(at, window_s, offset_s);
            let into = (at.as_nanos() - nanos(offset_s)).rem_euclid(nanos(window_s)) as f64;
            of(now - 1) * (1.0 - into / nanos(window_s) as f64) + of(now) <= limit as f64 * (1.0 + 1e-9)
        }),
        Mechanism::TokenBucket { capacity, refill_per_s } => {
            every_span(&|first, last| capacity as f64 + refill_per_s * last.seconds_since(first))
        }
        Mechanism::SteppedBucket { capacity, refill_per_s, tick_s, offset_s } => {
            every_span(&|first, last| {
                let ticks = index(last, tick_s, offset_s) - index(first, tick_s, offset_s);
                capacity as f64 + refill_per_s * tick_s * ticks as f64
            })
        }
        Mechanism::ExponentialDecay { limit, time_constant_s } => (0..admitted.len()).all(|last| {
            let left = admitted[..=last].iter().map(|(at, cost)| {
                *cost as f64 * (-admitted[last].0.seconds_since(*at) / time_constant_s).exp()
            });
            left.sum::<f64>() <= limit as f64 * (1.0 + 1e-9) + 1e-3
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn never_admits_more_than_its_own_bound((mechanism, steps) in histories()) {
        let (admitted, ..) = admit_all(mechanism, &steps);
        prop_assert!(is_within_bound(mechanism, &admitted), "{admitted:?}");
    }

    /// The two that never forget entirely say what they neglect.
    #[test]
    fn what_came_before_it_remembers_changes_nothing(
        (mechanism, steps) in histories(),
        later in 0.0..2.0_f64,
    ) {
        let fades = matches!(mechanism, Mechanism::SlidingCounter { .. } | Mechanism::ExponentialDecay { .. });
        prop_assume!(!fades);
        let (admitted, limiter, last) = admit_all(mechanism, &steps);
        let now = last.plus_seconds(later * mechanism.ceiling() as f64 / mechanism.rate_per_s());
        let since = limiter.remembers_since(now, 0);
        let mut fresh = mechanism.limiter();
        admitted.iter().filter(|(at, _)| *at >= since).for_each(|(at, cost)| fresh.charge(*at, *cost));
        let difference = (fresh.remaining(now) - limiter.remaining(now)).abs();
        prop_assert!(difference <= 1e-9 * mechanism.ceiling() as f64, "{difference} since {since:?}");
    }

    /// What others use at once, and nobody sees, matters from then on and not before.
    #[test]
    fn one_use_is_remembered_from_then_on_and_not_before(mechanism in mechanisms(), part in 0.0..1.0_f64) {
        let fades = matches!(mechanism, Mechanism::SlidingCounter { .. } | Mechanism::ExponentialDecay { .. });
        prop_assume!(!fades);
        let cost = 1 + ((mechanism.ceiling() - 1) as f64 * part) as u64;
        let since = mechanism.limiter().remembers_since(START, cost);
        let missing_if_used = |at: Timestamp| {
            let mut limiter = mechanism.limiter();
            limiter.charge(at, cost);
            (mechanism.ceiling() as f64 - limiter.remaining(START)) / cost as f64
        };
        let before = missing_if_used(since.minus_nanos(2));
        prop_assert!(before <= 1e-6, "{before} since {since:?}");
        let between = since.plus_nanos((START.as_nanos() - since.as_nanos()) / 2);
        prop_assume!(between > since);
        prop_assert!(missing_if_used(between) > 1e-6, "nothing missing since {since:?}");
    }

    #[test]
    fn throttled_before_the_promised_instant_and_admitted_at_it(
        (mechanism, steps) in histories(),
        wanted in 0.0..1.2_f64,
        overdraft in 0.0..2.0_f64,
        part in 0.0..1.0_f64,
    ) {
        let (_, mut limiter, now) = admit_all(mechanism, &steps);
        limiter.charge(now, (mechanism.ceiling() as f64 * overdraft) as u64);
        let cost = (mechanism.ceiling() as f64 * wanted).ceil() as u64;
        match limiter.check(now, cost) {
            Decision::Admitted => prop_assert!(cost as f64 <= limiter.remaining(now) + 1e-3),
            Decision::Throttled { retry_at: None } => {
                prop_assert!(cost > mechanism.ceiling());
                prop_assert!(!limiter.check(now.plus_seconds(1e6), cost).is_admitted());
            }
            Decision::Throttled { retry_at: Some(at) } => {
                prop_assert!(cost <= mechanism.ceiling() && at > now);
                prop_assert!(limiter.check(at, cost).is_admitted(), "{at:?}: {}", limiter.remaining(at));
                let wait = at.as_nanos() - now.as_nanos();
                // The level of a bucket or a decay is a float: a millionth of a token early is not early.
                let rounding = match mechanism {
                    Mechanism::TokenBucket { refill_per_s, .. } => 2_000 + nanos(2e-6 / refill_per_s),
                    Mechanism::ExponentialDecay { .. } => 2_000,
                    _ => 1,
                };
                let just_before = Timestamp::from_nanos(at.as_nanos() - rounding);
                let between = Timestamp::from_nanos(now.as_nanos() + (wait as f64 * part * 0.999) as i64);
                for earlier in [just_before, between] {
                    prop_assert!(earlier < now || !limiter.check(earlier, cost).is_admitted(), "{earlier:?} {at:?}");
                }
            }
        }
    }

    #[test]
    fn same_inputs_give_the_same_outputs_and_asking_changes_nothing((mechanism, steps) in histories()) {
        let (mut asked, mut unasked, mut now) = (mechanism.limiter(), mechanism.limiter(), START);
        for (gap_s, cost, _) in steps {
            now = now.plus_seconds(gap_s);
            let _ = (asked.check(now, cost), asked.check(now.plus_seconds(1e5), cost), asked.remaining(now));
            prop_assert_eq!(asked.admit(now, cost), unasked.admit(now, cost));
            prop_assert_eq!(asked.remaining(now), unasked.remaining(now));
        }
    }

    #[test]
    fn the_remaining_cost_is_the_largest_that_passes((mechanism, steps) in histories()) {
        let (_, limiter, now) = admit_all(mechanism, &steps);
        let remaining = limiter.remaining(now);
        let slack = 1e-3_f64.max(remaining * 1e-9);
        let (fits, too_much) = ((remaining - slack).floor(), (remaining + slack).floor() + 1.0);
        prop_assert!(fits < 0.0 || limiter.check(now, fits as u64).is_admitted());
        prop_assert!(!limiter.check(now, too_much as u64).is_admitted());
    }

    #[test]
    fn refunds_give_back_what_they_say_and_never_more_than_the_ceiling((mechanism, steps) in histories()) {
        let (mut limiter, mut now, mut charges) = (mechanism.limiter(), START, Vec::new());
        let ceiling = mechanism.ceiling() as f64;
        for (gap_s, cost, back) in steps {
            now = now.plus_seconds(gap_s);
            if limiter.admit(now, cost).is_admitted() {
                charges.push((now, back));
            }
            // At once: exactly as much as was given back.
            let before = limiter.remaining(now);
            limiter.charge(now, cost);
            limiter.charge(now, 1);
            limiter.refund(now, now, cost);
            let after = limiter.remaining(now);
            prop_assert!((before - 1.0 - after).abs() <= 1e-3_f64.max(ceiling * 1e-9), "{before} {after}");
        }
        for (charged_at, back) in charges {
            let before = limiter.remaining(now);
            limiter.refund(now, charged_at, back);
            let after = limiter.remaining(now);
            prop_assert!(after >= before && after <= before + back as f64 + 1e-3_f64.max(ceiling * 1e-9));
            prop_assert!(after <= ceiling);
        }
    }
}
