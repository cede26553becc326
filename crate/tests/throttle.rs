//! A client behind the throttle, in virtual time: what it may send, when, and in which order.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_tpm::{
    Answer, Binding, Candidate, Clock, ClockAnswer, Conclusion, EmulatorConfig, Mechanism, MechanismId,
    QuotaKind, Ranked, Refund, Service, Spent, Throttle, ThrottleSettings, Timestamp, Usage, Verdict,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tokio::task::JoinSet;

const START: Timestamp = Timestamp::from_nanos(1_752_585_600_000_000_000);

fn clock() -> Clock {
    Clock::virtual_from(START)
}

fn stated(tpm: Option<u64>, rpm: Option<u64>) -> Throttle {
    Throttle::new(ThrottleSettings::stated(tpm, rpm), clock()).unwrap()
}

fn used(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage { input_tokens, output_tokens, ..Usage::default() }
}

/// What a saturated client reaches.
#[derive(Debug, Default)]
struct Tally {
    admitted: u64,
    throttled: u64,
}

/// As many clients as `sizes`, each of which sends requests of its size (input, max_tokens) for `minutes`.
async fn saturated(
    config: EmulatorConfig,
    skew_s: f64,
    throttle: Throttle,
    sizes: Vec<(u64, u64)>,
    minutes: f64,
) -> Tally {
    let (client, server) = (clock(), Clock::virtual_from(START.plus_seconds(skew_s)));
    let service = Arc::new(Mutex::new(Service::new(config).unwrap()));
    let tally = Arc::new(Mutex::new(Tally::default()));
    let until = START.plus_seconds(60.0 * minutes);
    let mut clients = JoinSet::new();
    for (input, max_tokens) in sizes {
        let (throttle, service, tally) = (throttle.clone(), service.clone(), tally.clone());
        clients.spawn(async move {
            while client.now() < until {
                let reservation = throttle.acquire(input, max_tokens).await.unwrap();
                let latency = service.lock().unwrap().latency();
                server.sleep(latency.until_admission).await;
                let answer =
                    service.lock().unwrap().admit(server.now(), latency.until_answer, input, max_tokens);
                server.sleep(latency.until_answer).await;
                match answer {
                    Answer::Admitted { usage, .. } => reservation.settle(usage),
                    Answer::Throttled(kind) => reservation.throttled(Some(kind)),
                    Answer::Unavailable => reservation.unknown(),
                }
                let mut tally = tally.lock().unwrap();
                match answer {
                    Answer::Throttled(_) => tally.throttled += 1,
                    Answer::Admitted { .. } | Answer::Unavailable => tally.admitted += 1,
                }
            }
        });
    }
    tokio::time::timeout(Duration::from_secs_f64(180.0 * minutes + 1_000.0), clients.join_all())
        .await
        .unwrap();
    std::mem::take(&mut tally.lock().unwrap())
}

fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
}

fn mechanisms(limits: std::ops::Range<u64>) -> impl Strategy<Value = Mechanism> {
    (0..MechanismId::ALL.len(), limits, 5.0..90.0_f64, 0.0..1.0_f64).prop_map(
        |(id, limit, period_s, share)| {
            let (window_s, offset_s, refill_per_s) = (period_s, period_s * share, limit as f64 / period_s);
            match MechanismId::ALL[id] {
                MechanismId::FixedWindow => Mechanism::FixedWindow { limit, window_s, offset_s },
                MechanismId::AnchoredWindow => Mechanism::AnchoredWindow { limit, window_s },
                MechanismId::SlidingLog => Mechanism::SlidingLog { limit, window_s },
                MechanismId::SlidingCounter => Mechanism::SlidingCounter { limit, window_s, offset_s },
                MechanismId::TokenBucket => Mechanism::TokenBucket { capacity: limit, refill_per_s },
                MechanismId::SteppedBucket => Mechanism::SteppedBucket {
                    capacity: limit,
                    refill_per_s,
                    tick_s: period_s / 4.0,
                    offset_s: offset_s / 4.0,
                },
                MechanismId::ExponentialDecay => {
                    Mechanism::ExponentialDecay { limit, time_constant_s: period_s }
                }
            }
        },
    )
}

fn refunds() -> impl Strategy<Value = Refund> {
    prop_oneof![Just(Refund::AtEnd), Just(Refund::Never), (0.0..20.0_f64).prop_map(Refund::After)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the mechanism, the sizes, the latency, the skew and the refunds; and it goes on sending.
    #[test]
    fn a_throttle_that_knows_the_mechanism_is_never_rejected(
        requests in mechanisms(2..30),
        tokens in mechanisms(8_000..40_000),
        sizes in proptest::collection::vec((1..1_000_u64, 1..1_000_u64), 1..20),
        latency_s in (0.0..2.0_f64, 0.0..8.0_f64).prop_map(|(least, more)| (least, least + more)),
        (skew_s, burndown, refund, seed) in (-0.5..0.5_f64, 1..6_u64, refunds(), any::<u64>()),
    ) {
        let quotas = vec![(QuotaKind::Requests, requests), (QuotaKind::Tokens, tokens)];
        let settings = ThrottleSettings { quotas, burndown, refund, clock_error_s: 0.5 };
        let config = EmulatorConfig {
            requests: Some(requests), tokens: Some(tokens), latency_s, burndown, refund, seed, error_rate: 0.02,
            ..EmulatorConfig::default()
        };
        in_virtual_time(async {
            let throttle = Throttle::new(settings, clock()).unwrap();
            let tally = saturated(config, skew_s, throttle.clone(), sizes, 10.0).await;
            prop_assert_eq!(tally.throttled, 0);
            prop_assert_eq!(throttle.stats().sent, tally.admitted);
            // At worst one request a period of the quotas of at most 90 s, each of which may take all of it for two.
            prop_assert!(tally.admitted >= 3, "{tally:?}");
            TestCaseResult::Ok(())
        })?;
    }
}

/// Requests in an hour of a quota of 100 a minute, beside the most that a client can reach whose requests take 0.9 s on
/// average and may be admitted anywhere within.
#[test]
fn a_throttle_that_knows_the_mechanism_wastes_almost_nothing() {
    for id in MechanismId::ALL {
        let quota = Mechanism::per_minute(id, 100);
        let most = match id {
            MechanismId::AnchoredWindow | MechanismId::SlidingLog => 60.0 / 60.9,
            MechanismId::SlidingCounter => 0.99,
            _ => 1.0,
        };
        let config = EmulatorConfig { requests: Some(quota), ..EmulatorConfig::default() };
        let quotas = vec![(QuotaKind::Requests, quota)];
        let settings = ThrottleSettings { quotas, ..ThrottleSettings::stated(None, None) };
        let tally = in_virtual_time(async {
            let throttle = Throttle::new(settings, clock()).unwrap();
            saturated(config, 0.3, throttle, vec![(1, 1); 120], 60.0).await
        });
        let share = tally.admitted as f64 / 6_000.0;
        assert!(share >= 0.97 * most && tally.throttled == 0, "{id}: {share} of {most}, {tally:?}");
    }
}

/// The sliding counter and the decay are stricter than what it assumes: it learns that from the first 429s.
#[test]
fn a_throttle_that_does_not_know_the_mechanism_learns_from_429s() {
    for id in MechanismId::ALL {
        let requests = Some(Mechanism::per_minute(id, 20));
        let config = EmulatorConfig { requests, ..EmulatorConfig::default() };
        let tally = in_virtual_time(async {
            saturated(config, 0.0, stated(None, Some(20)), vec![(1, 1); 30], 360.0).await
        });
        let is_stricter = matches!(id, MechanismId::SlidingCounter | MechanismId::ExponentialDecay);
        // At most one minute's requests are under way when the first is rejected.
        let (at_most, at_least) = if is_stricter { (20, 0.75) } else { (0, 0.97) };
        let share = tally.admitted as f64 / (20.0 * 360.0);
        assert!(tally.throttled <= at_most && share > at_least, "{id}: {share}, {tally:?}");
        assert_eq!(tally.throttled > 0, is_stricter, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_pauses_then_spreads_requests_and_is_forgotten_after_a_day() {
    let (throttle, clock) = (stated(None, Some(60)), clock());
    for _ in 0..3 {
        throttle.acquire(1, 1).await.unwrap().settle(used(1, 1));
    }
    assert_eq!(clock.now(), START, "three of sixty go at once");
    // Two requests that were under way together teach one thing.
    let [first, second] = [throttle.acquire(1, 1).await.unwrap(), throttle.acquire(1, 1).await.unwrap()];
    clock.sleep(Duration::from_secs(1)).await;
    first.throttled(Some(QuotaKind::Requests));
    let told = throttle.stats();
    assert_eq!((told.sent, told.throttled, told.last_throttled), (5, 1, Some(clock.now())));
    assert_eq!(told.cautious_until, Some(START + Duration::from_secs(86_401)));
    clock.sleep(Duration::from_millis(10)).await;
    second.throttled(None);
    assert_eq!(throttle.stats().cautious_until, told.cautious_until);

    let mut sent = Vec::new();
    for _ in 0..50 {
        throttle.acquire(1, 1).await.unwrap().settle(used(1, 1));
        sent.push(clock.now().seconds_since(START));
    }
    assert!((121.0..130.0).contains(&sent[0]), "two periods of pause: {}", sent[0]);
    let rate = 39.0 / (sent[49] - sent[10]);
    assert!((0.75..0.85).contains(&rate), "0.9 of the quota, less a tenth for what comes at once: {rate}");

    clock.sleep_until(START + Duration::from_secs(86_402)).await;
    assert_eq!(throttle.stats().cautious_until, None);
    drop(throttle.acquire(1, 1).await.unwrap());
    let before = clock.now();
    for _ in 0..50 {
        throttle.acquire(1, 1).await.unwrap().settle(used(1, 1));
    }
    assert!(clock.now().seconds_since(before) < 1.0, "all at once again");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_comes_back_at_the_end_and_the_rest_a_minute_later() {
    for (refund, comes_back_s) in [(Refund::AtEnd, 2.0), (Refund::After(10.0), 12.0), (Refund::Never, 62.0)] {
        let clock = clock();
        let settings = ThrottleSettings { refund, ..ThrottleSettings::stated(Some(1_000), None) };
        let throttle = Throttle::new(settings, clock).unwrap();
        let first = throttle.acquire(100, 900).await.unwrap();
        clock.sleep(Duration::from_secs(2)).await;
        first.settle(used(120, 80));
        let second = throttle.acquire(300, 500).await.unwrap();
        let after_s = clock.now().seconds_since(START);
        assert!((comes_back_s..comes_back_s + 0.1).contains(&after_s), "{refund}: {after_s}");
        // Dropped, it has not been sent; nobody knows of the third, so it counts.
        drop(second);
        throttle.acquire(300, 500).await.unwrap().unknown();
        throttle.acquire(800, 200).await.unwrap().unknown();
        let waited_s = clock.now().seconds_since(START) - after_s;
        assert!((60.0..60.1).contains(&waited_s), "{refund}: {waited_s}");
    }
}

#[tokio::test(start_paused = true)]
async fn output_may_cost_more_than_it_reserves() {
    let settings = ThrottleSettings { burndown: 5, ..ThrottleSettings::stated(Some(1_000), None) };
    let throttle = Throttle::new(settings, clock()).unwrap();
    let first = throttle.acquire(100, 150).await.unwrap();
    let second = throttle.acquire(100, 50);
    let second = tokio::time::timeout(Duration::from_secs(300), second).await;
    assert!(second.is_err(), "850 of 1,000 may be charged at any moment, so 350 more are not safe");
    first.settle(used(100, 150));
    let third = tokio::time::timeout(Duration::from_secs(1), throttle.acquire(100, 10)).await;
    assert!(third.unwrap().is_ok(), "850 are charged and 150 may follow");
}

#[tokio::test(start_paused = true)]
async fn what_can_never_pass_is_an_error_at_once() {
    let throttle = stated(Some(4_000), Some(4));
    let _all = throttle.acquire(3_000, 1_000).await.unwrap();
    let error = throttle.acquire(1_000, 8_192).await.unwrap_err();
    assert!(error.is_usage());
    assert!(error.to_string().ends_with("lower max_tokens or shorten the prompt"), "{error}");
    assert!(error.to_string().contains("9192") && error.to_string().contains("4000"), "{error}");

    let out_of_range = |change: fn(&mut ThrottleSettings)| {
        let mut settings = ThrottleSettings::stated(Some(4_000), None);
        change(&mut settings);
        Throttle::new(settings, clock()).unwrap_err().to_string()
    };
    assert!(out_of_range(|settings| settings.burndown = 0).contains("burndown"));
    assert!(out_of_range(|settings| settings.clock_error_s = f64::NAN).contains("clock error"));
    assert!(out_of_range(|settings| settings.refund = Refund::After(-1.0)).contains("refund"));
    assert!(
        out_of_range(
            |settings| settings.quotas[0].1 = Mechanism::TokenBucket { capacity: 1, refill_per_s: 0.0 }
        )
        .contains("refill")
    );
}

/// A large request that waits is not overtaken by small ones that would fit, and one that gives up is as if it had never
/// come.
#[tokio::test(start_paused = true)]
async fn first_come_first_served() {
    let (throttle, clock) = (stated(Some(1_000), None), clock());
    throttle.acquire(600, 0).await.unwrap().settle(used(600, 0));
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for (name, tokens) in [("first", 900), ("large", 1_000), ("gives up", 900), ("small", 1), ("last", 2)] {
        let (throttle, order) = (throttle.clone(), order.clone());
        waiting.push(tokio::spawn(async move {
            let reservation = throttle.acquire(tokens, 0).await.unwrap();
            order.lock().unwrap().push((name, clock.now().seconds_since(START).round()));
            reservation.unknown();
        }));
        tokio::task::yield_now().await;
    }
    clock.sleep(Duration::from_secs(30)).await;
    waiting.remove(2).abort();
    waiting.remove(0).abort();
    for task in waiting {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [("large", 60.0), ("small", 120.0), ("last", 120.0)]);
    assert_eq!(throttle.stats().sent, 4);
}

/// Only the first in the queue is woken when something ends: a thousand that wait cost no more than their turns.
#[tokio::test(start_paused = true)]
async fn waiting_is_cheap() {
    const WAITING: usize = 2_000;
    let (throttle, polls) = (stated(None, Some(500)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..WAITING {
        let (throttle, polls) = (throttle.clone(), polls.clone());
        clients.spawn(async move {
            let mut acquired = pin!(throttle.acquire(1, 1));
            let reservation = poll_fn(|context| {
                polls.fetch_add(1, Ordering::Relaxed);
                acquired.as_mut().poll(context)
            });
            let reservation = reservation.await.unwrap();
            clock().sleep(Duration::from_secs(1)).await;
            reservation.settle(used(1, 1));
        });
    }
    clients.join_all().await;
    // Once to queue, once for its turn, and the first once for each end of the five hundred under way.
    let polls = polls.load(Ordering::Relaxed);
    assert!((WAITING..5 * WAITING).contains(&polls), "{polls} polls");
    assert_eq!(throttle.stats().sent, WAITING as u64);
}

/// A verdict that names `parameters`, each known to lie in one of `intervals`.
fn verdict(parameters: Mechanism, intervals: &[(&str, [f64; 2])]) -> Verdict {
    let leader = Ranked {
        mechanism: Candidate::Known(parameters.id()),
        probability: 0.999,
        parameters: Some(parameters),
        intervals: intervals.iter().map(|(name, interval)| ((*name).to_owned(), *interval)).collect(),
        reason: String::new(),
    };
    Verdict {
        binding: Binding::Quota(QuotaKind::Requests),
        verdict: Conclusion::Mechanism(parameters.id()),
        clock_question: ClockAnswer::Unknown,
        probability: 0.999,
        probability_absolute: 0.0,
        probability_relative: 0.0,
        twins: Vec::new(),
        separation: None,
        ranked: vec![leader],
        spent: Spent::default(),
        warnings: Vec::new(),
        summary: String::new(),
        reasons: Vec::new(),
    }
}

/// When requests pass, in seconds, if each takes no time.
async fn passes(verdict: &Verdict, requests: usize) -> Vec<f64> {
    let clock = clock();
    let settings = ThrottleSettings::stated(Some(1_000_000), Some(60));
    let throttle = Throttle::from_verdict(verdict, settings, clock).unwrap();
    let mut times = Vec::new();
    for _ in 0..requests {
        throttle.acquire(1, 1).await.unwrap().settle(used(1, 1));
        times.push((10.0 * clock.now().seconds_since(START)).round() / 10.0);
    }
    times
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_taken_at_its_safe_ends() {
    let window = Mechanism::FixedWindow { limit: 4, window_s: 60.0, offset_s: 20.0 };
    let exact = ("window_s", [60.0, 60.0]);
    // Four until second 20, of which 0.5 s may be the clock's and 2.0 the verdict's.
    let phase = verdict(window, &[("limit", [3.0, 5.0]), exact, ("offset_s", [18.0, 21.0])]);
    assert_eq!(passes(&phase, 7).await, [0.0, 0.0, 0.0, 22.5, 22.5, 22.5, 82.5]);
    // A window of unknown length is anywhere after a while.
    let length = verdict(window, &[("limit", [3.0, 5.0]), ("window_s", [59.0, 61.0])]);
    assert_eq!(passes(&length, 4).await, [0.0, 0.0, 0.0, 61.0]);
    let anchored = verdict(Mechanism::AnchoredWindow { limit: 2, window_s: 10.0 }, &[]);
    assert_eq!(passes(&anchored, 3).await, [0.0, 0.0, 10.0]);
    let counter = Mechanism::SlidingCounter { limit: 4, window_s: 60.0, offset_s: 20.0 };
    let counter = verdict(counter, &[("window_s", [59.0, 61.0])]);
    assert_eq!(passes(&counter, 3).await, [0.0, 0.0, 61.0]);
    let bucket = Mechanism::TokenBucket { capacity: 3, refill_per_s: 1.0 };
    let bucket = verdict(bucket, &[("capacity", [2.0, 3.0]), ("refill_per_s", [0.1, 2.0])]);
    // The third comes 10 s after the first is surely charged; the bucket may refill in ticks of 2 s.
    assert_eq!(passes(&bucket, 4).await, [0.0, 0.0, 13.0, 23.0]);
    let ticks = Mechanism::SteppedBucket { capacity: 2, refill_per_s: 0.1, tick_s: 10.0, offset_s: 0.0 };
    assert_eq!(passes(&verdict(ticks, &[]), 3).await, [0.0, 0.0, 10.5]);
    let decay = Mechanism::ExponentialDecay { limit: 2, time_constant_s: 10.0 };
    let decay = verdict(decay, &[("time_constant_s", [8.0, 20.0])]);
    assert_eq!(passes(&decay, 3).await, [0.0, 0.0, 13.9], "20 s x ln 2");
}

#[tokio::test(start_paused = true)]
async fn without_a_mechanism_in_the_verdict_the_stated_quotas_hold() {
    let mut open = verdict(Mechanism::per_minute(MechanismId::TokenBucket, 9_000), &[]);
    open.verdict = Conclusion::Inconclusive;
    let times = passes(&open, 61).await;
    assert_eq!((times[59], times[60]), (0.0, 60.0));
}
