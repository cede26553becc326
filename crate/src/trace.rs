//! What was observed: one [`Observation`] a request, kept in an append-only [`Trace`].

mod file;
mod outcome;
mod record;

pub use file::Trace;
pub(crate) use file::{BYTE_ORDER_MARK, is_cut_off, without_position};
pub use outcome::{Outcome, ThrottleMessage};
pub(crate) use record::MOST_TOKENS;

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Timestamp, Usage, reserved_tokens, settled_tokens};

/// A request that leaves later than this after it was scheduled is flagged, in seconds.
pub const LATE_AFTER_S: f64 = 0.25;
/// How long requests take until it is known, in seconds.
pub(crate) const USUAL_LATENCY_S: f64 = 1.0;

/// One request and what came of it.
///
/// Serialises to one line of a trace. Fields that this version does not know are kept in `extra`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Observation {
    /// The phase of the protocol that sent it.
    pub phase: String,
    /// What the request is called in charts and tables.
    pub name: String,
    /// When it was meant to leave, if it was meant to leave at a certain instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Timestamp>,
    /// When it left.
    pub sent: Timestamp,
    /// When the response was complete, or the request given up.
    pub finished: Timestamp,
    /// Tokens it was meant to reserve: input and `max_tokens`.
    pub tokens_estimated: u64,
    /// The cap on output tokens that it asked for.
    pub max_tokens: u64,
    /// Input tokens that the response reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Output tokens that the response reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// HTTP status; `None` if no response came.
    pub status: Option<u16>,
    /// The AWS error code, or the kind of a transport failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// The error message, without account ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What AWS Support asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Model id, inference profile or provisioned-throughput ARN, without account ids.
    pub model: String,
    /// The Region whose quota was charged.
    pub region: String,
    /// `emulator`, `aws` or the endpoint's URL.
    pub endpoint: String,
    /// How many times faster than real time the run was.
    pub time_scale: u32,
    /// Times that the client repeated the request by itself before this result (imported traces only).
    #[serde(skip_serializing_if = "is_zero")]
    pub hidden_retries: u32,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Observation {
    /// What the observation says about a quota.
    pub fn outcome(&self) -> Outcome {
        Outcome::of(self.status, self.error_type.as_deref(), self.error.as_deref())
    }

    /// Tokens that admission had to find room for, as well as is known: reported input and `max_tokens`, or the
    /// estimate where nothing was reported.
    pub fn reserved(&self) -> u64 {
        self.input_tokens.map_or(self.tokens_estimated, |input| reserved_tokens(input, self.max_tokens))
    }

    /// Tokens that stayed charged after the response, if it reported them.
    pub fn settled(&self, burndown: u64) -> Option<u64> {
        let (input_tokens, output_tokens) = (self.input_tokens?, self.output_tokens?);
        Some(settled_tokens(Usage { input_tokens, output_tokens, cache_write_tokens: 0 }, burndown))
    }

    /// Tokens that it used if it was admitted: those reported, or the estimate where nothing was.
    pub(crate) fn used(&self) -> u64 {
        self.settled(1).unwrap_or(self.tokens_estimated)
    }

    /// Seconds between the instant it was meant to leave and the instant it left.
    pub fn late_s(&self) -> f64 {
        self.scheduled.map_or(0.0, |scheduled| self.sent.seconds_since(scheduled))
    }

    /// Whether it left more than [`LATE_AFTER_S`] late.
    pub fn is_late(&self) -> bool {
        self.late_s() > LATE_AFTER_S
    }
}

/// One line: when, what, how much, and what came of it.
impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map_or("no answer".into(), |status| status.to_string());
        let (sent, name, tokens) = (self.sent.clock_text(), &self.name, self.tokens_estimated);
        let error_type = self.error_type.as_deref().unwrap_or_default();
        write!(f, "{sent}  {name:<22} {tokens:>9} tokens  {status} {error_type}")
    }
}

/// How long requests took on average, in seconds, or usually take where there are none.
pub(crate) fn mean_latency_s(observations: &[Observation]) -> f64 {
    let took_s: f64 = observations.iter().map(|it| it.finished.seconds_since(it.sent)).sum();
    if observations.is_empty() { USUAL_LATENCY_S } else { took_s / observations.len() as f64 }
}

/// What stands where an account id stood.
pub(crate) const WITHOUT_ACCOUNT: &str = "(account)";

/// Replaces every run of exactly twelve digits, the form of an AWS account id.
pub(crate) fn without_account_ids(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut digits = String::new();
    for c in text.chars().map(Some).chain([None]) {
        match c {
            Some(c) if c.is_ascii_digit() => digits.push(c),
            other => {
                clean.push_str(if digits.len() == 12 { WITHOUT_ACCOUNT } else { &digits });
                digits.clear();
                clean.extend(other);
            }
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::without_account_ids;

    #[test]
    fn account_ids_are_removed_and_other_numbers_stay() {
        let arn = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc20250929";
        assert_eq!(
            without_account_ids(arn),
            "arn:aws:bedrock:us-east-1:(account):provisioned-model/abc20250929"
        );
        assert_eq!(without_account_ids("1234567890123"), "1234567890123");
        assert_eq!(without_account_ids("account 123456789012"), "account (account)");
    }
}
