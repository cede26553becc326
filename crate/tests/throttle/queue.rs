//! Who may send next.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_tpm::{Mechanism, MechanismId, QuotaKind, Refund, Throttle, ThrottleSettings};
use tokio::task::JoinSet;

use crate::{START, clock, stated, used};

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

/// Nobody has measured it: what is sent beyond half of it may be rejected, so it is sent one by one at first.
#[tokio::test(start_paused = true)]
async fn beyond_its_half_an_unmeasured_quota_is_tried_out() {
    let in_flight = |throttle: Throttle| async move {
        let mut reservations = Vec::new();
        let second = Duration::from_secs(1);
        while let Ok(acquired) = tokio::time::timeout(second, throttle.acquire(1, 1)).await {
            reservations.push(acquired.unwrap());
        }
        let most = reservations.len();
        reservations.into_iter().for_each(|reservation| reservation.settle(used(1, 1)));
        most
    };
    let throttle = stated(None, Some(20));
    assert_eq!(in_flight(throttle.clone()).await, 10, "half of it");
    assert_eq!(in_flight(throttle.clone()).await, 1, "then one");
    for _ in 0..3 {
        throttle.acquire(1, 1).await.unwrap().settle(used(1, 1));
    }
    assert_eq!(in_flight(throttle).await, 2, "four that were admitted vouch for one more");
    let quotas = vec![(QuotaKind::Requests, Mechanism::per_minute(MechanismId::TokenBucket, 20))];
    let settings = ThrottleSettings { quotas, ..ThrottleSettings::stated(None, None) };
    assert_eq!(in_flight(Throttle::new(settings, clock()).unwrap()).await, 20, "what is known is used");
}

/// Only the first in the queue is woken when something ends: a thousand that wait cost no more than their turns.
#[tokio::test(start_paused = true)]
async fn waiting_is_cheap() {
    const WAITING: usize = 2_000;
    let (throttle, polls) = (stated(None, Some(500)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for index in 0..WAITING as u32 {
        let (throttle, polls) = (throttle.clone(), polls.clone());
        clients.spawn(async move {
            let mut acquired = pin!(throttle.acquire(1, 1));
            let reservation = poll_fn(|context| {
                polls.fetch_add(1, Ordering::Relaxed);
                acquired.as_mut().poll(context)
            });
            let reservation = reservation.await.unwrap();
            clock().sleep(Duration::from_millis(10) * index).await;
            reservation.settle(used(1, 1));
        });
    }
    clients.join_all().await;
    // Once to queue, once for its turn, and the first for each end of another: all of them for each end would be millions.
    let polls = polls.load(Ordering::Relaxed);
    assert!((WAITING..5 * WAITING).contains(&polls), "{polls} polls");
    assert_eq!(throttle.stats().sent, WAITING as u64);
}
