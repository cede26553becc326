//! Bedrock through the AWS SDK.

use std::error::Error as StdError;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::client::customize::CustomizableOperation;
use aws_sdk_bedrockruntime::config::http::HttpResponse;
use aws_sdk_bedrockruntime::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
    BeforeTransmitInterceptorContextRef,
};
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::timeout::TimeoutConfig;
use aws_sdk_bedrockruntime::config::{
    Config, ConfigBag, Credentials, Intercept, ProvideCredentials, RuntimeComponents, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_sdk_bedrockruntime::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::operation::RequestId;
use aws_sdk_bedrockruntime::operation::converse::builders::ConverseFluentBuilder;
use aws_sdk_bedrockruntime::operation::converse::{ConverseError, ConverseOutput};
use aws_sdk_bedrockruntime::types::{ContentBlock, ConversationRole, InferenceConfiguration, Message};
use aws_smithy_async::time::TimeSource;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use serde_json::Value;

use super::{Diagnosis, RawResponse, Request, Response, Target, Timeouts};
use crate::text::one_line;
use crate::trace::without_account_ids;
use crate::{Clock, Result, Timestamp, Usage};

/// Where the SDK finds a Bedrock API key, which takes the place of credentials.
const API_KEY: &str = "AWS_BEARER_TOKEN_BEDROCK";

const LOOPBACK_REGION: &str = "us-east-1";

/// A Converse request that is ready to be sent.
type Converse = CustomizableOperation<ConverseOutput, ConverseError, ConverseFluentBuilder>;

/// A Converse client that sends each request once and never fails.
#[derive(Clone, Debug)]
pub struct Bedrock {
    client: Client,
    clock: Clock,
    region: String,
    name: String,
}

impl Bedrock {
    pub(super) async fn connect(target: &Target, timeouts: Timeouts, clock: Clock) -> Result<Self> {
        let loopback = !target.may_spend(clock)?;
        let (url, region) = match target {
            Target::Aws { region } => (None, region),
            Target::Url { url, region } => (Some(url.as_str()), region),
        };
        let base = if loopback {
            let region = region.clone().unwrap_or_else(|| LOOPBACK_REGION.into());
            Config::builder()
                .region(Region::new(region))
                .credentials_provider(Credentials::new("emulator", "emulator", None, None, "loopback"))
        } else {
            (&resolve(region.clone(), clock).await?).into()
        };
        let base = match url {
            Some(url) => base.endpoint_url(url),
            None => base,
        };
        let config = base
            .behavior_version(BehaviorVersion::latest())
            .http_client(http_client())
            .time_source(SdkTime(clock))
            .retry_config(RetryConfig::disabled())
            // It would compare real sleeps with scaled time; the attempt's timeout covers what it is for.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(timeouts.connect)
                    .operation_attempt_timeout(timeouts.attempt)
                    .build(),
            )
            .build();
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        Ok(Self { client: Client::from_conf(config), clock, region, name: target.name().to_owned() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    pub(super) async fn send(&self, request: &Request) -> Response {
        let user = Message::builder()
            .role(ConversationRole::User)
            .content(ContentBlock::Text(request.prompt.clone()))
            .build();
        let limits = InferenceConfiguration::builder()
            .max_tokens(i32::try_from(request.max_tokens).unwrap_or(i32::MAX))
            .build();
        let operation = self
            .client
            .converse()
            .model_id(&request.model)
            .set_messages(user.ok().map(|user| vec![user]))
            .inference_config(limits);
        self.transmit(operation.customize()).await
    }

    /// The SDK's types cannot be read from JSON, so the body goes in, and comes out, as it is on the wire.
    pub(super) async fn send_json(&self, model: &str, body: &Value) -> RawResponse {
        let answer = Arc::new(OnceLock::new());
        let raw = RawBody { request: body.to_string(), answer: answer.clone() };
        let operation = self.client.converse().model_id(model).customize().interceptor(raw);
        let response = self.transmit(operation).await;
        RawResponse { response, body: answer.get().and_then(|body| serde_json::from_slice(body).ok()) }
    }

    async fn transmit(&self, operation: Converse) -> Response {
        let called = self.clock.now();
        let transmitted = Arc::new(OnceLock::new());
        let operation = operation.interceptor(TransmitTime { clock: self.clock, at: transmitted.clone() });
        let outcome = operation.send().await;
        let finished = self.clock.now();
        let sent = transmitted.get().copied().unwrap_or(called);
        match outcome {
            Ok(output) => answered(&output, sent, finished),
            Err(error) => failed(&error, sent, finished),
        }
    }
}

/// The default chains' configuration, once it is known to hold a Region and credentials.
async fn resolve(region: Option<String>, clock: Clock) -> Result<SdkConfig> {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .time_source(SdkTime(clock));
    let loader = match region {
        Some(region) => loader.region(Region::new(region)),
        None => loader,
    };
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(Diagnosis::no_region().into());
    }
    let has_api_key = std::env::var_os(API_KEY).is_some_and(|key| !key.is_empty());
    match config.credentials_provider() {
        _ if has_api_key => Ok(config),
        None => Err(Diagnosis::no_credentials("").into()),
        Some(provider) => match provider.provide_credentials().await {
            Ok(_) => Ok(config),
            Err(error) => Err(Diagnosis::no_credentials(&cause_chain(&error)).into()),
        },
    }
}

fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

fn answered(output: &ConverseOutput, sent: Timestamp, finished: Timestamp) -> Response {
    let count = |tokens: i32| u64::try_from(tokens).unwrap_or(0);
    // The SDK fills in what an answer lacks: an unknown message, a usage of 0.
    let usage = output.usage().filter(|usage| usage.input_tokens() > 0).map(|usage| Usage {
        input_tokens: count(usage.input_tokens()),
        output_tokens: count(usage.output_tokens()),
        cache_write_tokens: usage.cache_write_input_tokens().map_or(0, count),
    });
    let is_message = output.output().is_some_and(|output| output.is_message());
    let problem = (!is_message).then(|| ("ResponseError".into(), "the answer holds no message".into()));
    let (error_type, error) = problem.unzip();
    let request_id = output.request_id().map(Into::into);
    Response { sent, finished, status: Some(200), error_type, error, request_id, usage }
}

fn failed(error: &SdkError<ConverseError, HttpResponse>, sent: Timestamp, finished: Timestamp) -> Response {
    let raw = error.raw_response();
    let status = raw.map(|raw| raw.status().as_u16());
    let transport = match error {
        SdkError::TimeoutError(_) => Some("TimeoutError"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Some("ConnectTimeoutError"),
        SdkError::DispatchFailure(_) => Some("DispatchFailure"),
        SdkError::ServiceError(_) if !matches!(status, Some(200..=299)) => None,
        _ => Some("ResponseError"),
    };
    let message = error.message().map_or_else(
        || match raw.filter(|_| transport.is_none()) {
            Some(raw) => {
                let content = raw.headers().get("content-type").unwrap_or("no content type");
                format!("HTTP {} with {content} and no AWS error message", raw.status().as_u16())
            }
            None => cause_chain(error),
        },
        Into::into,
    );
    Response {
        sent,
        finished,
        status,
        error_type: transport.or(error.code()).map(Into::into),
        error: Some(without_account_ids(&one_line(&message))),
        request_id: error.request_id().map(Into::into),
        usage: None,
    }
}

/// Every cause in one line, leaving out those that only repeat the one before.
fn cause_chain(error: &(dyn StdError + 'static)) -> String {
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !chain.ends_with(&text) {
            chain = format!("{chain}: {text}");
        }
        cause = inner.source();
    }
    one_line(&chain)
}

/// The SDK signs with, and expires credentials by, our clock.
#[derive(Debug)]
struct SdkTime(Clock);

impl TimeSource for SdkTime {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(u64::try_from(self.0.now().as_nanos()).unwrap_or(0))
    }
}

/// Notes when the request leaves, after credentials were resolved and the request was serialised and signed.
#[derive(Debug)]
struct TransmitTime {
    clock: Clock,
    at: Arc<OnceLock<Timestamp>>,
}

impl Intercept for TransmitTime {
    fn name(&self) -> &'static str {
        "TransmitTime"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        self.at.get_or_init(|| self.clock.now());
        Ok(())
    }
}

/// Puts a body of its own into a request before it is signed, and keeps the body of the answer.
#[derive(Debug)]
struct RawBody {
    request: String,
    answer: Arc<OnceLock<Vec<u8>>>,
}

impl Intercept for RawBody {
    fn name(&self) -> &'static str {
        "RawBody"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let request = context.request_mut();
        request.headers_mut().insert("content-length", self.request.len().to_string());
        *request.body_mut() = self.request.clone().into();
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        if let Some(body) = context.response().body().bytes() {
            self.answer.get_or_init(|| body.to_vec());
        }
        Ok(())
    }
}
