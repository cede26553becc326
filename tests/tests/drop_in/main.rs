//! The throttle under a client of the AWS SDK, in front of the emulator.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod clients;
mod ends;
mod requests;
mod settled;
mod waiting;

use std::time::Duration;

use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_bedrockruntime::error::DisplayErrorContext;
use aws_sdk_bedrockruntime::operation::converse::builders::ConverseFluentBuilder;
use aws_sdk_bedrockruntime::operation::converse_stream::builders::ConverseStreamFluentBuilder;
use aws_sdk_bedrockruntime::types::{ContentBlock, ConversationRole, InferenceConfiguration, Message};
use aws_sdk_bedrockruntime::{Client, Config};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bedrock_tpm::{Clock, Mechanism, QuotaKind, Reservation, Throttle, ThrottleSettings};

const MODEL: &str = "amazon.nova-pro-v1:0";
/// The quota of tokens of which nothing comes back while a test runs.
const LIMIT: u64 = 10_000;
/// Longer than anything takes that a test waits for; what is not to come is waited for shortly.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

fn clock() -> Clock {
    Clock::scaled(60).unwrap()
}

/// A throttle of one quota that holds what it has been given for a day.
fn daily(kind: QuotaKind, limit: u64) -> Throttle {
    of_quota(kind, Mechanism::SlidingLog { limit, window_s: 86_400.0 })
}

fn of_quota(kind: QuotaKind, mechanism: Mechanism) -> Throttle {
    let settings =
        ThrottleSettings { quotas: vec![(kind, mechanism)], ..ThrottleSettings::stated(None, None) };
    Throttle::new(settings, clock()).unwrap()
}

fn tokens() -> Throttle {
    daily(QuotaKind::Tokens, LIMIT)
}

fn unsigned(url: &str) -> Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .http_client(
            aws_smithy_http_client::Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .build_https(),
        )
        .retry_config(RetryConfig::disabled())
}

fn config(url: &str) -> Builder {
    unsigned(url).credentials_provider(Credentials::new("x", "x", None, None, "test"))
}

fn client(url: &str) -> Client {
    Client::from_conf(config(url).build())
}

fn user(text: &str) -> Message {
    let message = Message::builder().role(ConversationRole::User).content(ContentBlock::Text(text.into()));
    message.build().unwrap()
}

fn at_most(max_tokens: i32) -> InferenceConfiguration {
    InferenceConfiguration::builder().max_tokens(max_tokens).build()
}

fn converse(client: &Client, text: &str, max_tokens: i32) -> ConverseFluentBuilder {
    client.converse().model_id(MODEL).messages(user(text)).inference_config(at_most(max_tokens))
}

fn converse_stream(client: &Client, text: &str, max_tokens: i32) -> ConverseStreamFluentBuilder {
    client.converse_stream().model_id(MODEL).messages(user(text)).inference_config(at_most(max_tokens))
}

/// The whole of an error in a line.
fn text(error: impl std::error::Error) -> String {
    DisplayErrorContext(error).to_string()
}

async fn passes(throttle: &Throttle, tokens: u64, patience: Duration) -> Option<Reservation> {
    tokio::time::timeout(patience, throttle.acquire(tokens, 0)).await.ok().map(Result::unwrap)
}

/// That exactly `used` of [`LIMIT`] tokens are used, or reserved.
async fn assert_used(throttle: &Throttle, used: u64, what: &str) {
    let rest = LIMIT - used;
    assert!(passes(throttle, rest, LONG).await.is_some(), "{what}: more than {used} are used");
    assert!(passes(throttle, rest + 1, SHORT).await.is_none(), "{what}: less than {used} are used");
}
