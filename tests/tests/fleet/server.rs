//! What a server may do to a fleet, and what is said of a server that is none.

use std::time::Duration;

use bedrock_tpm::{Clock, Mechanism, QuotaKind, Throttle, ThrottleSettings};
use bedrock_tpm_tests::refusing;

use crate::settings;

fn one_a_second() -> ThrottleSettings {
    settings(vec![(QuotaKind::Requests, Mechanism::SlidingLog { limit: 1, window_s: 1.0 })])
}

#[tokio::test]
async fn names_have_quotas_of_their_own_and_an_emptied_server_is_not_believed() {
    let Some(redis) = crate::redis() else { return };
    let clock = Clock::system();
    let connect = |name: &'static str, settings| {
        let url = redis.url();
        async move { Throttle::connect(&url, name, settings).await }
    };
    let [one, same, other] = ["one", "one", "other"].map(|name| connect(name, one_a_second()));
    let (one, same, other) = tokio::try_join!(one, same, other).unwrap();
    let different = ThrottleSettings { burndown: 5, ..one_a_second() };
    let refused = connect("one", different).await.unwrap_err();
    assert!(refused.is_usage() && refused.to_string().contains("other settings"), "{refused}");

    // The server has just started, so all is used up at first.
    one.acquire(1, 1).await.unwrap().unknown();
    let began = clock.now();
    other.acquire(1, 1).await.unwrap().unknown();
    assert!(clock.now().seconds_since(began) < 0.9, "the other name has a quota of its own");
    same.acquire(1, 1).await.unwrap().unknown();
    assert!(clock.now().seconds_since(began) > 0.9, "the same name has the same quota");
    assert_eq!(same.stats().sent, 2);

    redis.command("FLUSHALL").unwrap();
    let emptied = clock.now();
    one.acquire(1, 1).await.unwrap().unknown();
    let waited_s = clock.now().seconds_since(emptied);
    assert!((7.0..9.5).contains(&waited_s), "a lease and a period: {waited_s} s");
}

#[tokio::test]
async fn without_a_server_there_is_an_error_in_one_line() {
    let nobody = refusing().replace("http", "redis");
    let error = Throttle::connect(&nobody, "name", one_a_second()).await.unwrap_err();
    let address = nobody.trim_start_matches("redis://");
    assert!(error.is_setup() && error.to_string().contains(address), "{error}");
    for url in ["http://127.0.0.1:6379", "127.0.0.1", "", "rediss://user:secret@127.0.0.1"] {
        let error = Throttle::connect(url, "name", one_a_second()).await.unwrap_err();
        assert!(error.is_usage() && !error.to_string().contains("secret"), "{url}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_stops_answering_is_reported() {
    let Some(mut redis) = crate::redis() else { return };
    let throttle = Throttle::connect(&redis.url(), "name", one_a_second()).await.unwrap();
    assert!(throttle.outage().is_none());
    redis.kill();
    let clock = Clock::system();
    let acquired = tokio::time::timeout(Duration::from_secs(2), throttle.acquire(1, 1)).await;
    assert!(acquired.is_err());
    let outage = throttle.outage().unwrap();
    assert!(outage.is_setup() && outage.to_string().contains("requests wait"), "{outage}");
    redis.run();
    let began = clock.now();
    throttle.acquire(1, 1).await.unwrap().unknown();
    assert!(clock.now().seconds_since(began) < 12.0 && throttle.outage().is_none());
}
