//! When an attempt waits.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_bedrockruntime::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::timeout::TimeoutConfig;
use aws_sdk_bedrockruntime::config::{ConfigBag, Intercept, RuntimeComponents, Token};
use aws_sdk_bedrockruntime::error::BoxError;
use aws_sdk_bedrockruntime::types::GuardrailContentSource;
use aws_sdk_bedrockruntime::{Client, Config};
use bedrock_tpm::{Clock, EmulatorConfig, Mechanism, QuotaKind, Throttle, ThrottleSettings, Timestamp};
use bedrock_tpm_tests::{deaf, serve};

use crate::{LIMIT, LONG, SHORT, client, clock, config, converse, daily, passes, text, tokens, unsigned};

/// Notes when each attempt is about to be signed.
#[derive(Clone, Debug)]
struct Signing {
    clock: Clock,
    at: Arc<Mutex<Vec<Timestamp>>>,
}

impl Intercept for Signing {
    fn name(&self) -> &'static str {
        "Signing"
    }

    fn read_before_signing(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.at.lock().unwrap().push(self.clock.now());
        Ok(())
    }
}

fn signing() -> Signing {
    Signing { clock: clock(), at: Arc::default() }
}

#[tokio::test]
async fn an_attempt_waits_before_it_is_signed_whatever_signs_it() {
    let server = serve(EmulatorConfig::default());
    let url = server.url();
    let ways: [(&str, Config); 3] = [
        ("credentials", config(url).build()),
        ("an API key", unsigned(url).bearer_token(Token::new("key", None)).build()),
        ("nothing", unsigned(url).allow_no_auth().build()),
    ];
    for (way, config) in ways {
        let (throttle, signing) = (tokens(), signing());
        let all = throttle.acquire(LIMIT, 0).await.unwrap();
        let client = Client::from_conf(config.to_builder().interceptor(signing.clone()).build());
        let client = throttle.over(&client);
        let call = tokio::spawn(converse(&client, "hi", 5).send());
        tokio::time::timeout(SHORT, async {
            while !call.is_finished() {
                tokio::task::yield_now().await
            }
        })
        .await
        .unwrap_err();
        assert!(signing.at.lock().unwrap().is_empty(), "{way}: signed before the wait");
        drop(all);
        call.await.unwrap().map_err(text).unwrap();
        assert_eq!(signing.at.lock().unwrap().len(), 1, "{way}");
        assert_eq!(throttle.stats().sent, 1, "{way}");
    }
}

#[tokio::test]
async fn retries_wait_like_first_attempts() {
    let server = serve(EmulatorConfig { error_rate: 1.0, ..EmulatorConfig::default() });
    let quotas = vec![(QuotaKind::Requests, Mechanism::SlidingLog { limit: 1, window_s: 60.0 })];
    let settings = ThrottleSettings { quotas, ..ThrottleSettings::stated(None, None) };
    let (throttle, signing) = (Throttle::new(settings, clock()).unwrap(), signing());
    let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(1));
    let config = config(server.url()).retry_config(retries).interceptor(signing.clone());
    let client = throttle.over(&Client::from_conf(config.build()));
    let error = text(converse(&client, "hi", 5).send().await.unwrap_err());
    assert!(error.contains("ServiceUnavailableException"), "{error}");
    let at = signing.at.lock().unwrap().clone();
    assert_eq!((at.len(), throttle.stats().sent), (3, 3));
    for pair in at.windows(2) {
        let apart_s = pair[1].seconds_since(pair[0]);
        assert!(apart_s >= 60.0, "a retry came after {apart_s} s");
    }
}

#[tokio::test]
async fn the_timeout_of_an_attempt_begins_after_the_wait_and_that_of_an_operation_before() {
    let server = serve(EmulatorConfig::default());
    let with =
        |url: &str, timeouts: TimeoutConfig| Client::from_conf(config(url).timeout_config(timeouts).build());
    let attempt = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(150)).build();
    let throttle = tokens();
    let all = throttle.acquire(LIMIT, 0).await.unwrap();
    let patient = throttle.over(&with(server.url(), attempt.clone()));
    let call = tokio::spawn(converse(&patient, "hi", 5).send());
    assert!(passes(&throttle, 1, SHORT).await.is_none());
    drop(all);
    call.await.unwrap().map_err(text).unwrap();

    let (_deaf, url) = deaf();
    let timed_out = converse(&throttle.over(&with(&url, attempt)), "hi", 5).send();
    let error = tokio::time::timeout(LONG, timed_out).await.unwrap().unwrap_err();
    assert!(
        matches!(&error, aws_sdk_bedrockruntime::error::SdkError::DispatchFailure(error) if error.is_timeout())
    );

    let _all = throttle.acquire(LIMIT / 2, 0).await.unwrap();
    let operation = TimeoutConfig::builder().operation_timeout(SHORT).build();
    let impatient = throttle.over(&with(server.url(), operation));
    let error = converse(&impatient, "hi", 5_000).send().await.unwrap_err();
    assert!(matches!(error, aws_sdk_bedrockruntime::error::SdkError::TimeoutError(_)), "{}", text(error));
}

#[tokio::test]
async fn other_operations_pass_untouched() {
    let server = serve(EmulatorConfig::default());
    let throttle = daily(QuotaKind::Requests, 1);
    let _all = throttle.acquire(1, 0).await.unwrap();
    let client = throttle.over(&client(server.url()));
    let guardrail = client.apply_guardrail().guardrail_identifier("g").guardrail_version("1");
    let call = guardrail.source(GuardrailContentSource::Input).set_content(Some(Vec::new())).send();
    let error = text(tokio::time::timeout(LONG, call).await.unwrap().unwrap_err());
    assert!(error.contains("UnknownOperationException"), "{error}");
    assert_eq!(throttle.stats().sent, 1);
}

#[tokio::test]
async fn a_second_throttle_over_a_client_replaces_the_first() {
    let server = serve(EmulatorConfig::default());
    let (first, second) = (tokens(), tokens());
    let _all = first.acquire(LIMIT, 0).await.unwrap();
    let client = second.over(&first.over(&client(server.url())));
    for sent in 1..=2 {
        // More than half of the quota: reserved twice, it would never pass.
        let call = converse(&client, "hi", 6_000).send();
        tokio::time::timeout(LONG, call).await.unwrap().map_err(text).unwrap();
        assert_eq!((first.stats().sent, second.stats().sent), (1, sent));
    }
}
