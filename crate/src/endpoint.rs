//! What a request goes to: Bedrock, anything that speaks its Converse API, or the emulator in-process.

mod bedrock;
mod diagnosis;
mod simulated;
mod target;

pub use diagnosis::Diagnosis;
pub use target::{Target, Timeouts};

use std::sync::Arc;

use serde_json::Value;

use self::bedrock::Bedrock;
use self::simulated::Simulated;
use crate::{Clock, Emulator, Outcome, Result, Timestamp, Usage};

/// A request, as the tester wants it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Model id, inference profile or provisioned-throughput ARN.
    pub model: String,
    /// The user message.
    pub prompt: String,
    /// Cap on output tokens.
    pub max_tokens: u32,
}

/// What came of a request. Throttling and failures are values, with their times.
#[derive(Clone, Debug)]
pub struct Response {
    /// When the request left.
    pub sent: Timestamp,
    /// When the response was complete, or the request given up.
    pub finished: Timestamp,
    /// HTTP status; `None` if no response came.
    pub status: Option<u16>,
    /// The AWS error code, or the kind of a transport failure: `ConnectTimeoutError`, `TimeoutError` (an attempt took
    /// too long), `DispatchFailure` (no connection, no credentials), `ResponseError` (not an answer of Bedrock's).
    pub error_type: Option<String>,
    /// The error message in one line, without account ids.
    pub error: Option<String>,
    /// What AWS Support asks for.
    pub request_id: Option<String>,
    /// Tokens used, if the response reported them.
    pub usage: Option<Usage>,
}

impl Response {
    /// What it says about a quota.
    pub fn outcome(&self) -> Outcome {
        Outcome::of(self.status, self.error_type.as_deref(), self.error.as_deref())
    }
}

/// What came of a request whose body was given as JSON.
#[derive(Clone, Debug)]
pub struct RawResponse {
    /// Status, times and usage.
    pub response: Response,
    /// The body as it was answered; `None` if nothing came, or no JSON.
    pub body: Option<Value>,
}

/// Where requests go. Cheap to clone: clones share connections, or the emulator.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// Over HTTP, through the AWS SDK.
    Bedrock(Bedrock),
    /// To an emulator in this process, on any clock, without HTTP.
    Simulated(Simulated),
}

impl Endpoint {
    /// Connects to `target` through the AWS SDK, without its retries. Resolves the Region and, unless the target is
    /// on loopback, the credentials; sends nothing to Bedrock yet.
    ///
    /// # Errors
    /// A usage error if the URL is malformed or if `clock` is scaled and the target is not on loopback; a setup error
    /// if there is no Region or there are no credentials.
    pub async fn connect(target: &Target, timeouts: Timeouts, clock: Clock) -> Result<Self> {
        Bedrock::connect(target, timeouts, clock).await.map(Self::Bedrock)
    }

    /// The emulator, in-process.
    pub fn simulated(emulator: Arc<Emulator>) -> Self {
        Self::Simulated(Simulated::new(emulator))
    }

    /// Sends one request, once. Never fails: what went wrong is in the response.
    pub async fn send(&self, request: &Request) -> Response {
        match self {
            Self::Bedrock(bedrock) => bedrock.send(request).await,
            Self::Simulated(simulated) => simulated.send(request).await,
        }
    }

    /// Sends a Converse request body to `model` as it stands, once. Never fails: what went wrong is in the response.
    pub async fn send_json(&self, model: &str, body: &Value) -> RawResponse {
        match self {
            Self::Bedrock(bedrock) => bedrock.send_json(model, body).await,
            Self::Simulated(simulated) => simulated.send_json(model, body).await,
        }
    }

    /// What a trace calls it: `emulator`, `aws` or the endpoint's URL.
    pub fn name(&self) -> &str {
        match self {
            Self::Bedrock(bedrock) => bedrock.name(),
            Self::Simulated(_) => crate::EMBEDDED,
        }
    }

    /// The Region whose quota is charged.
    pub fn region(&self) -> &str {
        match self {
            Self::Bedrock(bedrock) => bedrock.region(),
            Self::Simulated(_) => Simulated::REGION,
        }
    }

    /// What `response` to a request for `model` means and what to do about it; `None` if the request was admitted.
    pub fn diagnose(&self, model: &str, response: &Response) -> Option<Diagnosis> {
        Diagnosis::of(model, self.region(), self.name(), response)
    }
}
