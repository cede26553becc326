//! What a request goes to.

use crate::{Timestamp, Usage};

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
    /// The AWS error code, or the kind of a transport failure.
    pub error_type: Option<String>,
    /// The error message.
    pub error: Option<String>,
    /// What AWS Support asks for.
    pub request_id: Option<String>,
    /// Tokens used, if the response reported them.
    pub usage: Option<Usage>,
}
