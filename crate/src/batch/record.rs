use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::job::Job;
use crate::trace::without_account_ids;
use crate::{Response, Timestamp};

/// A line of the output: what came of one request. With an `error` it failed, and is tried again when the batch is run
/// again; the last line of a request counts.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    pub(super) line: u64,
    #[serde(rename = "recordId", skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Value>,
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    pub(super) attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_tokens: Option<u64>,
    model: String,
    endpoint: String,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Value>,
}

/// What a continued batch needs to know of it again.
#[derive(Debug, Deserialize)]
pub(super) struct Kept {
    pub(super) line: u64,
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) input_tokens: u64,
    #[serde(default)]
    pub(super) output_tokens: u64,
    pub(super) endpoint: String,
    pub(super) digest: String,
}

impl Record {
    /// What the last of `attempts` attempts came to.
    pub(super) fn of(
        job: Job,
        attempts: u32,
        response: Response,
        body: Option<Value>,
        endpoint: &str,
    ) -> Self {
        let (input_tokens, output_tokens) =
            response.usage.map(|usage| (usage.input_tokens, usage.output_tokens)).unzip();
        Self {
            status: response.status,
            error_type: response.error_type,
            error: response.error,
            sent: Some(response.sent),
            finished: Some(response.finished),
            request_id: response.request_id,
            input_tokens,
            output_tokens,
            response: body,
            ..Self::not_sent(job, attempts, None, endpoint)
        }
    }

    /// A request that was not sent, or not again, because of `error`.
    pub(super) fn not_sent(job: Job, attempts: u32, error: Option<String>, endpoint: &str) -> Self {
        Self {
            line: job.line,
            id: job.id,
            status: None,
            error_type: error.as_ref().map(|_| "InvalidRequest".into()),
            error,
            attempts,
            sent: None,
            finished: None,
            request_id: None,
            input_tokens: None,
            output_tokens: None,
            model: without_account_ids(&job.model),
            endpoint: endpoint.to_owned(),
            digest: digest_text(job.digest),
            response: None,
        }
    }
}

pub(super) fn digest_text(digest: u64) -> String {
    format!("{digest:016x}")
}
