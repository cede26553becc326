//! A large quota, parts of which are given out beforehand.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bedrock_tpm::{Clock, Limiter, Mechanism, QuotaKind, Reservation, Throttle, ThrottleSettings};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::{clock, in_virtual_time, mechanisms, used};

/// More than there are parts at once.
const THREADS: usize = 16;
/// More than a quota admits at once, of requests of which some are not sent.
const MOST_AT_ONCE: usize = 200_000;

fn knowing(quotas: Vec<(QuotaKind, Mechanism)>, clock: Clock) -> Throttle {
    let settings = ThrottleSettings { quotas, clock_error_s: 0.0, ..ThrottleSettings::stated(None, None) };
    Throttle::new(settings, clock).unwrap()
}

/// That of a request with so many input tokens and as many to answer with, if it need not wait.
async fn at_once(throttle: &Throttle, tokens: u64) -> Option<Reservation> {
    let mut acquired = pin!(throttle.acquire(tokens, tokens));
    let polled = poll_fn(|context| Poll::Ready(acquired.as_mut().poll(context))).await;
    if let Poll::Ready(acquired) = polled { acquired.ok() } else { None }
}

/// How a request ends.
#[derive(Clone, Copy, Debug)]
enum Ends {
    NotSent,
    Unknown,
    /// Having used so many times its input.
    Used(u64),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However requests end, the service admits all that pass, and all that it would admit at first do pass.
    #[test]
    fn is_used_to_the_last_request_and_not_beyond(
        requests in mechanisms(40_000..60_000),
        tokens in mechanisms(4_000_000..8_000_000),
        sizes in proptest::collection::vec(1..100_u64, 1..6),
        ends in proptest::collection::vec(ends(), 0..8),
        rests_s in proptest::collection::vec(0.0..60.0_f64, 1..4),
        (every, pause_s) in (1..3_000_usize, prop_oneof![Just(0.0), 0.0..0.5_f64]),
    ) {
        in_virtual_time(async {
            let clock = clock();
            let throttle = knowing(vec![(QuotaKind::Requests, requests), (QuotaKind::Tokens, tokens)], clock);
            let mut service = [requests.limiter(), tokens.limiter()];
            let mut sent = 0;
            for rest_s in [0.0].into_iter().chain(rests_s) {
                clock.sleep(Duration::from_secs_f64(rest_s)).await;
                let requests = sizes.iter().cycle().zip(ends.iter().chain([&Ends::Used(1)]).cycle());
                for (index, (size, end)) in requests.take(MOST_AT_ONCE).enumerate() {
                    if index % every == 0 {
                        clock.sleep(Duration::from_secs_f64(pause_s)).await;
                    }
                    let now = clock.now();
                    let left = service.each_ref().map(|limiter| limiter.remaining(now));
                    let Some(reservation) = at_once(&throttle, *size).await else {
                        let fits = left[0] >= 1.0 && left[1] >= 2.0 * *size as f64;
                        prop_assert!(rest_s > 0.0 || pause_s > 0.0 || !fits, "{left:?} left at first");
                        break;
                    };
                    if matches!(end, Ends::NotSent) {
                        continue;
                    }
                    sent += 1;
                    let [by_requests, by_tokens] = &mut service;
                    prop_assert!(by_requests.admit(now, 1).is_admitted(), "{left:?} left");
                    prop_assert!(by_tokens.admit(now, 2 * size).is_admitted(), "{left:?} left");
                    let Ends::Used(times) = end else {
                        reservation.unknown();
                        continue;
                    };
                    reservation.settle(used(times * size, 0));
                    match 2_u64.checked_sub(*times) {
                        Some(unused) => by_tokens.refund(now, now, unused * size),
                        None => by_tokens.charge(now, (times - 2) * size),
                    }
                }
                prop_assert_eq!(throttle.stats().sent, sent);
            }
            TestCaseResult::Ok(())
        })?;
    }
}

fn ends() -> impl Strategy<Value = Ends> {
    prop_oneof![Just(Ends::NotSent), Just(Ends::Unknown), (1..4_u64).prop_map(Ends::Used)]
}

/// What so many threads see, one after the other.
fn elsewhere<T: Send>(threads: usize, see: impl AsyncFn() -> T + Sync) -> Vec<T> {
    let seen = |_| std::thread::scope(|scope| scope.spawn(|| in_virtual_time(see())).join().unwrap());
    (0..threads).map(seen).collect()
}

/// Threads that take of different parts have no more than the quota together, and all of it.
#[test]
fn threads_share_it_to_the_last_request() {
    const LIMIT: u64 = 100_000;
    let bucket = Mechanism::TokenBucket { capacity: LIMIT, refill_per_s: 1e-3 };
    let (throttle, passed) = (knowing(vec![(QuotaKind::Requests, bucket)], clock()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (throttle, passed) = (&throttle, &passed);
            scope.spawn(move || {
                in_virtual_time(async {
                    while let Some(reservation) = at_once(throttle, 1).await {
                        let passed = passed.fetch_add(1, Ordering::Relaxed);
                        if passed % 1_000 == thread {
                            reservation.unknown()
                        } else {
                            reservation.settle(used(1, 0))
                        }
                    }
                });
            });
        }
    });
    assert_eq!((passed.into_inner(), throttle.stats().sent), (LIMIT, LIMIT));
}

/// What was given out to threads that no longer need it can be used by another.
#[tokio::test(start_paused = true)]
async fn what_is_not_used_elsewhere_comes_back() {
    const LIMIT: u64 = 100_000;
    let bucket = Mechanism::TokenBucket { capacity: LIMIT, refill_per_s: 1e-3 };
    let throttle = knowing(vec![(QuotaKind::Requests, bucket)], clock());
    elsewhere(THREADS, async || at_once(&throttle, 1).await.unwrap().settle(used(1, 1)));
    let mut passed = THREADS as u64;
    while let Some(reservation) = at_once(&throttle, 1).await {
        reservation.settle(used(1, 1));
        passed += 1;
    }
    assert_eq!(passed, LIMIT);
}

/// After a 429 nothing passes of what was given out before it, in no thread.
#[tokio::test(start_paused = true)]
async fn a_429_takes_everything_back() {
    let bucket = Mechanism::TokenBucket { capacity: 1_000_000, refill_per_s: 1.0 };
    let throttle = knowing(vec![(QuotaKind::Requests, bucket)], clock());
    elsewhere(THREADS, async || at_once(&throttle, 1).await.unwrap().settle(used(1, 1)));
    let rejected = at_once(&throttle, 1).await.unwrap();
    at_once(&throttle, 1).await.unwrap().settle(used(1, 1));
    rejected.throttled(None);
    let passes = elsewhere(THREADS, async || at_once(&throttle, 1).await.is_some());
    assert_eq!(passes, [false; THREADS]);
}
