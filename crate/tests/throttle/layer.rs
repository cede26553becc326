//! The throttle as a `tower` layer.

use std::future::Ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bedrock_tpm::{Clock, Ended, QuotaKind, Throttle, Usage};
use tokio::task::JoinSet;
use tower::util::BoxCloneService;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use crate::{START, clock, stated, used};

/// A request: its input tokens and its cap.
type Tokens = (u64, u64);

fn outcome(result: &Result<Usage, BoxError>) -> Ended {
    match result {
        Ok(usage) => Ended::Used(*usage),
        Err(error) if error.to_string() == "throttled" => Ended::Throttled(Some(QuotaKind::Tokens)),
        Err(error) if error.to_string() == "no connection" => Ended::NotSent,
        Err(_) => Ended::Unknown,
    }
}

/// `answer`, a second later, behind `throttle`.
fn service(
    throttle: &Throttle,
    clock: Clock,
    answer: impl Fn(Tokens) -> Result<Usage, BoxError> + Clone + Send + 'static,
) -> BoxCloneService<Tokens, Usage, BoxError> {
    let inner = service_fn(move |tokens: Tokens| {
        let answer = answer.clone();
        async move {
            clock.sleep(Duration::from_secs(1)).await;
            answer(tokens)
        }
    });
    BoxCloneService::new(throttle.layer(|tokens: &Tokens| *tokens, outcome).layer(inner))
}

#[tokio::test(start_paused = true)]
async fn calls_wait_and_settle() {
    let (throttle, clock) = (stated(Some(1_000), None), clock());
    let service = service(&throttle, clock, |(input, _)| Ok(used(input, 50)));
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        calls.spawn(service.clone().oneshot((100, 350)));
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(usage) if usage.output_tokens == 50)));
    // 450 of 1,000 are reserved for each and 150 stay: the last must wait until the first are a minute old.
    let took_s = clock.now().seconds_since(START);
    assert!((61.0..70.0).contains(&took_s), "{took_s}");
    assert_eq!(throttle.stats().sent, 8);
}

#[tokio::test(start_paused = true)]
async fn the_outcome_decides_what_comes_back() {
    for (error, comes_back, throttled) in
        [("no connection", true, 0), ("broken", false, 0), ("throttled", false, 1)]
    {
        let (throttle, clock) = (stated(Some(1_000), None), clock());
        let failed = service(&throttle, clock, move |_| Err(error.into())).oneshot((100, 800)).await;
        assert_eq!(failed.unwrap_err().to_string(), error);
        let next = tokio::time::timeout(Duration::from_secs(10), throttle.acquire(500, 0)).await;
        assert_eq!(next.is_ok(), comes_back, "{error}");
        assert_eq!(throttle.stats().throttled, throttled, "{error}");
    }
    let throttle = stated(Some(1_000), None);
    let never = service(&throttle, clock(), |_| unreachable!()).oneshot((100, 901)).await.unwrap_err();
    assert!(never.downcast_ref::<bedrock_tpm::Error>().unwrap().is_usage());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_gives_back_what_it_has_unless_it_was_sent() {
    let throttle = stated(Some(1_000), None);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let mut service = service(&throttle, clock(), move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(used(1, 1))
    });
    let all = throttle.acquire(1_000, 0).await.unwrap();
    let waiting = service.ready().await.unwrap().call((400, 400));
    assert!(tokio::time::timeout(Duration::from_secs(5), waiting).await.is_err());
    drop(all);
    drop(throttle.acquire(1_000, 0).await.unwrap());

    let sent = service.call((400, 400));
    assert!(tokio::time::timeout(Duration::from_millis(500), sent).await.is_err());
    let next = tokio::time::timeout(Duration::from_secs(30), throttle.acquire(300, 0)).await;
    assert!(next.is_err(), "it may have been admitted");
    assert_eq!((throttle.stats().sent, calls.load(Ordering::Relaxed)), (1, 0));
}

/// A service that cannot take a request: it has not been sent.
#[derive(Clone)]
struct Closed;

impl Service<Tokens> for Closed {
    type Response = Usage;
    type Error = BoxError;
    type Future = Ready<Result<Usage, BoxError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err("closed".into()))
    }

    fn call(&mut self, _tokens: Tokens) -> Self::Future {
        unreachable!()
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_sends_nothing() {
    let throttle = stated(Some(1_000), None);
    let service = throttle.layer(|tokens: &Tokens| *tokens, outcome).layer(Closed);
    assert_eq!(service.oneshot((400, 400)).await.unwrap_err().to_string(), "closed");
    drop(throttle.acquire(1_000, 0).await.unwrap());
    assert_eq!(throttle.stats().sent, 0);
}
