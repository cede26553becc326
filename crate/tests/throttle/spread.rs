//! Requests over several targets, each with quotas of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_tpm::{
    Answer, Clock, EmulatorConfig, Mechanism, MechanismId, QuotaKind, Service, Spread, Throttle,
    ThrottleSettings,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tokio::task::JoinSet;

use crate::{START, clock, in_virtual_time, mechanisms, stated, used};

/// Admitted and throttled requests, by target.
type Tally = Vec<(u64, u64)>;

/// What `clients` reach who send requests of `sizes` tokens in turn, without rest, for so many minutes.
async fn reached(
    configs: Vec<EmulatorConfig>,
    spread: Spread,
    clients: usize,
    sizes: Vec<u64>,
    minutes: f64,
) -> Tally {
    let services: Vec<_> =
        configs.into_iter().map(|config| Arc::new(Mutex::new(Service::new(config).unwrap()))).collect();
    let tally = Arc::new(Mutex::new(vec![(0, 0); services.len()]));
    let (clock, until) = (clock(), START.plus_seconds(60.0 * minutes));
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let (spread, services, tally) = (spread.clone(), services.clone(), tally.clone());
        let sizes = sizes.clone();
        tasks.spawn(async move {
            for size in sizes.into_iter().cycle().skip(number) {
                let (target, reservation) = spread.acquire(size, 1).await.unwrap();
                if clock.now() >= until {
                    return;
                }
                let latency = services[target].lock().unwrap().latency();
                clock.sleep(latency.until_admission).await;
                let answer =
                    services[target].lock().unwrap().admit(clock.now(), latency.until_answer, size, 1);
                clock.sleep(latency.until_answer).await;
                match answer {
                    Answer::Admitted { usage, .. } => reservation.settle(usage),
                    Answer::Throttled(kind) => reservation.throttled(Some(kind)),
                    Answer::Unavailable => reservation.unknown(),
                }
                match (answer, &mut tally.lock().unwrap()[target]) {
                    (Answer::Throttled(_), (_, throttled)) => *throttled += 1,
                    (_, (admitted, _)) => *admitted += 1,
                }
            }
        });
    }
    tasks.join_all().await;
    std::mem::take(&mut tally.lock().unwrap())
}

fn knowing(kind: QuotaKind, mechanism: Mechanism) -> Throttle {
    let settings =
        ThrottleSettings { quotas: vec![(kind, mechanism)], ..ThrottleSettings::stated(None, None) };
    Throttle::new(settings, clock()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever the mechanisms: no quota is passed, and requests that only one target takes are not left behind.
    #[test]
    fn no_target_ever_rejects(
        tokens in proptest::collection::vec(mechanisms(2_000..20_000), 1..4),
        sizes in proptest::collection::vec(1..1_900_u64, 1..6),
        clients in 1..12_usize,
        seed in any::<u64>(),
    ) {
        let largest = tokens.iter().map(Mechanism::ceiling).max().unwrap_or(0);
        let sizes = sizes.into_iter().chain([largest / 10 * 9]).collect();
        let config = |mechanism: &Mechanism| EmulatorConfig {
            tokens: Some(*mechanism), seed, ..EmulatorConfig::default()
        };
        in_virtual_time(async {
            let throttles: Vec<_> = tokens.iter().map(|it| knowing(QuotaKind::Tokens, *it)).collect();
            let spread = Spread::new(throttles.clone()).unwrap();
            let tally = reached(tokens.iter().map(config).collect(), spread, clients, sizes, 8.0).await;
            prop_assert!(tally.iter().all(|(_, throttled)| *throttled == 0), "{tally:?}");
            let sent: Vec<_> = throttles.iter().map(|throttle| throttle.stats().sent).collect();
            prop_assert_eq!(sent, tally.iter().map(|(admitted, _)| *admitted).collect::<Vec<_>>());
            prop_assert!(tally.iter().map(|(admitted, _)| admitted).sum::<u64>() >= 3, "{tally:?}");
            TestCaseResult::Ok(())
        })?;
    }
}

/// Two quotas bring the sum of both, whatever their mechanisms, to within what a log loses to uncertain latency.
#[test]
fn goodput_is_the_sum_of_the_targets() {
    for (first, second) in [
        (MechanismId::TokenBucket, MechanismId::FixedWindow),
        (MechanismId::SlidingLog, MechanismId::TokenBucket),
        (MechanismId::FixedWindow, MechanismId::AnchoredWindow),
    ] {
        let quotas = [Mechanism::per_minute(first, 100), Mechanism::per_minute(second, 40)];
        let config = |quota| EmulatorConfig { requests: Some(quota), ..EmulatorConfig::default() };
        let tally = in_virtual_time(async {
            let throttles = quotas.map(|quota| knowing(QuotaKind::Requests, quota));
            let spread = Spread::new(throttles.into()).unwrap();
            reached(quotas.map(config).into(), spread, 160, vec![1], 60.0).await
        });
        let shares = [tally[0].0 as f64 / 6_000.0, tally[1].0 as f64 / 2_400.0];
        assert!(shares.iter().all(|share| *share >= 0.955), "{first} and {second}: {shares:?}");
        assert!(tally.iter().all(|(_, throttled)| *throttled == 0), "{tally:?}");
    }
}

/// The order is that of arrival, a large request that only one target takes keeps its place there, and one that gives up
/// is as if it had never come.
#[tokio::test(start_paused = true)]
async fn first_come_first_served() {
    let spread = Spread::new(vec![stated(Some(1_000), None), stated(Some(500), None)]).unwrap();
    for expected in [0, 0, 1] {
        let (target, reservation) = spread.acquire(450, 0).await.unwrap();
        assert_eq!(target, expected);
        reservation.settle(used(450, 0));
    }
    let (order, clock) = (Arc::new(Mutex::new(Vec::new())), clock());
    let mut waiting = Vec::new();
    for (name, tokens) in
        [("gives up", 400), ("large", 1_000), ("small", 300), ("gives up too", 900), ("last", 300)]
    {
        let (spread, order) = (spread.clone(), order.clone());
        waiting.push(tokio::spawn(async move {
            let (target, reservation) = spread.acquire(tokens, 0).await.unwrap();
            order.lock().unwrap().push((name, target, clock.now().seconds_since(START).round()));
            reservation.unknown();
        }));
        tokio::task::yield_now().await;
    }
    clock.sleep(Duration::from_secs(30)).await;
    waiting.remove(3).abort();
    waiting.remove(0).abort();
    for task in waiting {
        task.await.unwrap();
    }
    let (large, small, last) = (("large", 0, 60.0), ("small", 1, 60.0), ("last", 0, 120.0));
    assert_eq!(*order.lock().unwrap(), [large, small, last]);
    assert_eq!(spread.members().iter().map(|member| member.stats().sent).collect::<Vec<_>>(), [4, 2]);
}

/// What waits at two targets and gives up holds nothing at either.
#[tokio::test(start_paused = true)]
async fn a_cancelled_request_leaves_nothing_held() {
    let spread = Spread::new(vec![stated(None, Some(1)), stated(None, Some(1))]).unwrap();
    let held = [spread.acquire(1, 1).await.unwrap(), spread.acquire(1, 1).await.unwrap()];
    for _ in 0..100 {
        let waits = tokio::time::timeout(Duration::from_secs(1), spread.acquire(1, 1)).await;
        assert!(waits.is_err());
    }
    drop(held);
    for target in [0, 1] {
        let acquired = tokio::time::timeout(Duration::from_millis(1), spread.acquire(1, 1)).await;
        let (at, reservation) = acquired.unwrap().unwrap();
        assert_eq!(at, target);
        reservation.unknown();
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_target_cannot_take_goes_to_another_and_what_none_can_is_an_error_at_once() {
    assert!(Spread::new(Vec::new()).unwrap_err().is_usage());
    let spread = Spread::new(vec![stated(Some(500), None), stated(Some(4_000), None)]).unwrap();
    for target in [1, 1, 0] {
        let tokens = if target == 1 { 1_500 } else { 100 };
        let (at, reservation) = spread.acquire(tokens, 0).await.unwrap();
        assert_eq!(at, target);
        reservation.unknown();
    }
    let error = spread.acquire(4_001, 0).await.unwrap_err();
    assert!(error.is_usage());
    assert!(error.to_string().contains("500") && error.to_string().contains("4000"), "{error}");
}

/// A target that rejects although it should not is given less, the other all that it can take.
#[test]
fn a_throttled_target_is_avoided() {
    let config = |share: u64| {
        let requests = Some(Mechanism::per_minute(MechanismId::SlidingLog, 60 / share));
        EmulatorConfig { requests, ..EmulatorConfig::default() }
    };
    let (tally, stats) = in_virtual_time(async {
        // The first has half of the quota that is stated.
        let throttles = [stated(None, Some(60)), stated(None, Some(60))];
        let spread = Spread::new(throttles.to_vec()).unwrap();
        let tally = reached(vec![config(2), config(1)], spread, 100, vec![1], 60.0).await;
        (tally, throttles.map(|throttle| throttle.stats()))
    });
    let [(admitted, throttled), (other, none)] = tally[..] else { unreachable!() };
    assert!(stats[0].cautious_until.is_some() && stats[1].cautious_until.is_none(), "{stats:?}");
    assert!((1..=120).contains(&throttled) && none == 0, "{tally:?}");
    assert!(admitted <= 30 * 60 && other as f64 >= 0.95 * 3_600.0, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_the_target_that_opens_first() {
    let window = |window_s| {
        let mechanism = Mechanism::SlidingLog { limit: 1, window_s };
        knowing(QuotaKind::Requests, mechanism)
    };
    let spread = Spread::new(vec![window(50.0), window(20.0), window(35.0)]).unwrap();
    let clock = Clock::virtual_from(START);
    let mut seen = Vec::new();
    for _ in 0..7 {
        let (target, reservation) = spread.acquire(1, 1).await.unwrap();
        reservation.settle(used(1, 1));
        seen.push((target, clock.now().seconds_since(START).round()));
    }
    assert_eq!(seen, [(0, 0.0), (1, 0.0), (2, 0.0), (1, 20.0), (2, 35.0), (1, 40.0), (0, 50.0)]);
}
