//! Clients that send all they can.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::error::ProvideErrorMetadata;
use bedrock_tpm::{EmulatorConfig, Mechanism, MechanismId, Throttle, ThrottleSettings};
use bedrock_tpm_tests::serve;
use tokio::task::JoinSet;

use crate::{client, clock, converse, converse_stream};

const TPM: u64 = 12_000;
const RPM: u64 = 30;
const CLIENTS: usize = 12;
/// Three minutes of the quota.
const REQUESTS: usize = 90;

fn limits() -> EmulatorConfig {
    let log = |limit| Some(Mechanism::per_minute(MechanismId::SlidingLog, limit));
    EmulatorConfig { tokens: log(TPM), requests: log(RPM), ..EmulatorConfig::default() }
}

/// Requests of all sizes, half of them streams; returns how many were answered and how many throttled.
async fn sent(client: &Client) -> (usize, usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, next) = (client.clone(), next.clone());
        clients.spawn(async move {
            let (mut answered, mut throttled) = (0, 0);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= REQUESTS {
                    return (answered, throttled);
                }
                let (prompt, max_tokens) = ("word ".repeat(1 + index * 37 % 300), 64 + index as i32 % 200);
                let code = if index.is_multiple_of(2) {
                    let answer = converse(&client, &prompt, max_tokens).send().await;
                    answer.err().map(|error| error.code().unwrap_or_default().to_owned())
                } else {
                    match converse_stream(&client, &prompt, max_tokens).send().await {
                        Ok(mut answer) => {
                            while answer.stream.recv().await.unwrap().is_some() {}
                            None
                        }
                        Err(error) => Some(error.code().unwrap_or_default().to_owned()),
                    }
                };
                match code.as_deref() {
                    None => answered += 1,
                    Some("ThrottlingException") => throttled += 1,
                    Some(other) => panic!("{other}"),
                }
            }
        });
    }
    let all = clients.join_all().await.into_iter();
    all.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
}

#[tokio::test]
async fn no_request_is_throttled_behind_it_and_most_are_without() {
    let server = serve(limits());
    let (answered, throttled) = sent(&client(server.url())).await;
    assert!(
        answered < REQUESTS / 2 && throttled > REQUESTS / 2,
        "{answered} answered, {throttled} throttled"
    );

    let server = serve(limits());
    let throttle = Throttle::new(ThrottleSettings::stated(Some(TPM), Some(RPM)), clock()).unwrap();
    let (answered, throttled) = sent(&throttle.over(&client(server.url()))).await;
    assert_eq!((answered, throttled), (REQUESTS, 0));
    assert_eq!((throttle.stats().sent, throttle.stats().throttled), (REQUESTS as u64, 0));
}
