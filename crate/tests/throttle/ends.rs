//! What the end of a request changes.

use std::time::Duration;

use bedrock_tpm::{Clock, Limiter, Mechanism, MechanismId, QuotaKind, Refund, Throttle, ThrottleSettings};

use crate::{START, clock, stated, used};

/// Sends `requests` one after the other, each of which takes no time; returns when, in seconds from the start.
async fn passes(throttle: &Throttle, clock: Clock, requests: usize) -> Vec<f64> {
    let mut sent = Vec::new();
    for _ in 0..requests {
        throttle.acquire(1, 1).await.unwrap().settle(used(1, 1));
        sent.push(clock.now().seconds_since(START));
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn a_429_calls_for_the_stricter_mechanisms_and_is_forgotten_after_a_day() {
    let (throttle, clock) = (stated(None, Some(60)), clock());
    assert_eq!(passes(&throttle, clock, 3).await, [0.0; 3], "three of sixty go at once");
    // Two requests that were under way together teach one thing.
    let [first, second] = [throttle.acquire(1, 1).await.unwrap(), throttle.acquire(1, 1).await.unwrap()];
    clock.sleep(Duration::from_secs(1)).await;
    first.throttled(Some(QuotaKind::Requests));
    let told = throttle.stats();
    assert_eq!((told.sent, told.throttled, told.last_throttled), (5, 1, Some(clock.now())));
    assert_eq!(told.cautious_until, Some(clock.now() + Duration::from_secs(86_400)));
    let mut stricter = [MechanismId::SlidingCounter, MechanismId::ExponentialDecay].map(|id| {
        let mut limiter = Mechanism::per_minute(id, 60).limiter();
        limiter.charge(clock.now(), 60);
        limiter
    });
    clock.sleep(Duration::from_millis(10)).await;
    second.throttled(None);
    assert_eq!(throttle.stats().cautious_until, told.cautious_until);

    let sent = passes(&throttle, clock, 200).await;
    for at in &sent {
        let decisions = stricter.each_mut().map(|limiter| limiter.admit(START.plus_seconds(*at), 1));
        assert!(decisions.iter().all(|decision| decision.is_admitted()), "second {at}: {decisions:?}");
    }
    let rate = 150.0 / (sent[199] - sent[49]);
    assert!((0.95..1.0).contains(&rate), "what both admit: {rate}");

    clock.sleep_until(told.cautious_until.unwrap()).await;
    assert_eq!(throttle.stats().cautious_until, None);
    let sent = passes(&throttle, clock, 60).await;
    assert!(sent[59] - sent[0] < 0.1, "all at once again");
}

#[tokio::test(start_paused = true)]
async fn further_429s_pause_then_spread_requests_the_slower_the_more_there_are() {
    let (throttle, clock) = (stated(None, Some(60)), clock());
    throttle.acquire(1, 1).await.unwrap().throttled(None);
    clock.sleep(Duration::from_secs(200)).await;
    for trust in [0.9, 0.81] {
        throttle.acquire(1, 1).await.unwrap().throttled(None);
        let rejected_s = clock.now().seconds_since(START);
        let sent = passes(&throttle, clock, 50).await;
        assert!((120.0..130.0).contains(&(sent[0] - rejected_s)), "two periods of pause: {}", sent[0]);
        let rate = 39.0 / (sent[49] - sent[10]);
        assert!((rate - (trust - 0.1)).abs() < 0.05, "{trust} of the quota, less what comes at once: {rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_used_before_it_started_may_be_stated() {
    let (settings, clock) = (ThrottleSettings::stated(None, Some(60)), clock());
    let settings = ThrottleSettings { is_used_up: true, ..settings };
    let throttle = Throttle::new(settings, clock).unwrap();
    let sent = passes(&throttle, clock, 60).await;
    assert!((60.0..60.1).contains(&sent[0]) && sent[59] - sent[0] < 0.1, "{sent:?}");
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

/// The service's window may have ended while the client still takes it for open: what is sent then counts for the next.
#[tokio::test(start_paused = true)]
async fn a_window_from_first_use_may_be_over_earlier_than_the_client_knows() {
    let clock = clock();
    let quotas = vec![(QuotaKind::Requests, Mechanism::AnchoredWindow { limit: 10, window_s: 60.0 })];
    let settings = ThrottleSettings { quotas, ..ThrottleSettings::stated(None, None) };
    let throttle = Throttle::new(settings, clock).unwrap();
    let first = throttle.acquire(1, 1).await.unwrap();
    clock.sleep(Duration::from_secs(2)).await;
    first.settle(used(1, 1));
    clock.sleep_until(START + Duration::from_secs(61)).await;
    for _ in 0..9 {
        throttle.acquire(1, 1).await.unwrap().settle(used(1, 1));
    }
    assert!(clock.now().seconds_since(START) < 61.1, "the first was used at second 2 at the latest");
    for earliest_s in [62.0, 121.0] {
        throttle.acquire(1, 1).await.unwrap().settle(used(1, 1));
        let sent_s = clock.now().seconds_since(START);
        assert!((earliest_s..earliest_s + 0.1).contains(&sent_s), "{sent_s}");
    }
}
