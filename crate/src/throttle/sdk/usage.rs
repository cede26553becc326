//! What an answer says about its tokens.

use aws_sdk_bedrockruntime::config::http::HttpResponse;
use serde_json::Value;

use crate::throttle::Ended;
use crate::{Outcome, Usage};

/// Where a stream of InvokeModel reports, in its last chunk.
const METRICS: &str = "amazon-bedrock-invocationMetrics";

const INPUT: [&str; 3] = ["inputTokens", "inputTokenCount", "input_tokens"];
const OUTPUT: [&str; 3] = ["outputTokens", "outputTokenCount", "output_tokens"];
const CACHE_READ: [&str; 3] = ["cacheReadInputTokens", "cacheReadInputTokenCount", "cache_read_input_tokens"];
const CACHE_WRITE: [&str; 3] =
    ["cacheWriteInputTokens", "cacheWriteInputTokenCount", "cache_creation_input_tokens"];
const INPUT_HEADER: &str = "x-amzn-bedrock-input-token-count";
const OUTPUT_HEADER: &str = "x-amzn-bedrock-output-token-count";
const ERROR_TYPE: &str = "x-amzn-errortype";

/// The tokens that an answer reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    pub(super) usage: Usage,
    /// All tokens of the prompt, those of the cache included.
    pub(crate) prompt_tokens: u64,
}

impl Reported {
    /// From an answer, or the last event of ConverseStream.
    pub(crate) fn in_usage(answer: &Value) -> Option<Self> {
        Self::in_counts(answer.get("usage")?)
    }

    /// From the last chunk of a stream of InvokeModel.
    pub(super) fn in_metrics(chunk: &Value) -> Option<Self> {
        Self::in_counts(chunk.get(METRICS)?)
    }

    fn in_counts(counts: &Value) -> Option<Self> {
        Self::of(count(counts, INPUT)?, count(counts, OUTPUT)?, counts)
    }

    /// From the headers of InvokeModel, and the body where it tells of a cache; otherwise as
    /// [`in_usage`](Self::in_usage).
    pub(super) fn in_response(response: &HttpResponse) -> Option<Self> {
        let header = |name: &str| response.headers().get(name)?.parse().ok();
        let body = serde_json::from_slice(response.body().bytes()?).unwrap_or(Value::Null);
        match (header(INPUT_HEADER), header(OUTPUT_HEADER)) {
            (Some(input_tokens), Some(output_tokens)) => {
                Self::of(input_tokens, output_tokens, body.get("usage").unwrap_or(&Value::Null))
            }
            _ => Self::in_usage(&body),
        }
    }

    /// An answer without input is none: the SDK and some gateways fill in zeros for what they do not know.
    fn of(input_tokens: u64, output_tokens: u64, counts: &Value) -> Option<Self> {
        let cache_write_tokens = count(counts, CACHE_WRITE).unwrap_or(0);
        let cached = cache_write_tokens + count(counts, CACHE_READ).unwrap_or(0);
        let prompt_tokens = input_tokens + cached;
        let usage = Usage { input_tokens, output_tokens, cache_write_tokens };
        (prompt_tokens > 0).then_some(Self { usage, prompt_tokens })
    }
}

fn count(counts: &Value, names: [&str; 3]) -> Option<u64> {
    names.iter().find_map(|name| counts.get(name)?.as_u64())
}

/// What an error of the service, in a response or in a stream, means for the reservation.
pub(super) fn ended(status: Option<u16>, error_type: Option<&str>, body: &[u8]) -> Ended {
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let error_type = error_type.or(text("__type")).or(text("code"));
    // A namespace may come before it; what comes behind it does not matter.
    let error_type = error_type.map(|name| name.rsplit('#').next().unwrap_or(name));
    let outcome = Outcome::of(status, error_type, text("message").or(text("Message")));
    Ended::of(outcome, None)
}

pub(super) fn failed(response: &HttpResponse) -> Ended {
    let error_type = response.headers().get(ERROR_TYPE);
    ended(Some(response.status().as_u16()), error_type, response.body().bytes().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use serde_json::json;

    use super::*;
    use crate::QuotaKind;

    fn response(status: u16, headers: &[(&'static str, &'static str)], body: &Value) -> HttpResponse {
        let status = StatusCode::try_from(status).unwrap();
        let mut response = HttpResponse::new(status, SdkBody::from(body.to_string()));
        for (name, value) in headers {
            response.headers_mut().insert(*name, *value);
        }
        response
    }

    #[test]
    fn usage_is_found_under_the_names_of_all_families() {
        let counts = [(INPUT_HEADER, "10"), (OUTPUT_HEADER, "20")];
        let nova = json!({ "usage": {
            "inputTokens": 10, "outputTokens": 20, "cacheReadInputTokens": 300, "cacheReadInputTokenCount": 300,
            "cacheWriteInputTokens": 40, "cacheWriteInputTokenCount": 40,
        }});
        let anthropic = json!({ "usage": {
            "input_tokens": 10, "output_tokens": 20, "cache_read_input_tokens": 300,
            "cache_creation_input_tokens": 40,
        }});
        let usage = Usage { input_tokens: 10, output_tokens: 20, cache_write_tokens: 40 };
        let expected = Some(Reported { usage, prompt_tokens: 350 });
        for (headers, body) in [(&[][..], &nova), (&counts, &nova), (&counts, &anthropic), (&[], &anthropic)]
        {
            assert_eq!(Reported::in_response(&response(200, headers, body)), expected, "{headers:?} {body}");
        }
        let chunk = json!({ METRICS: {
            "inputTokenCount": 10, "outputTokenCount": 20, "cacheReadInputTokenCount": 300,
            "cacheWriteInputTokenCount": 40,
        }});
        assert_eq!(Reported::in_metrics(&chunk), expected);
        let llama = json!({ "generation": "hi", "prompt_token_count": 10 });
        let reported = Reported::in_response(&response(200, &counts, &llama)).unwrap();
        assert_eq!((reported.prompt_tokens, reported.usage.output_tokens), (10, 20));
        for unknown in [json!({}), json!({ "usage": { "inputTokens": 0, "outputTokens": 0 } }), llama] {
            assert_eq!(Reported::in_response(&response(200, &[], &unknown)), None, "{unknown}");
        }
    }

    #[test]
    fn a_429_names_its_quota_and_other_failures_are_unknown() {
        let said = |message: &str| json!({ "message": message });
        let (tokens, requests) =
            (said("Too many tokens, please wait"), said("Too many requests, please wait"));
        let typed =
            json!({ "__type": "com.amazon#ThrottlingException", "message": "Too many tokens per day" });
        let throttling = (ERROR_TYPE, "ThrottlingException:http://internal.amazon.com/");
        let cases = [
            (429, Some(throttling), &tokens, Ended::Throttled(Some(QuotaKind::Tokens))),
            (400, Some(throttling), &requests, Ended::Throttled(Some(QuotaKind::Requests))),
            (400, None, &typed, Ended::Throttled(Some(QuotaKind::TokensPerDay))),
            (429, None, &json!("a gateway's page"), Ended::Throttled(None)),
            (429, Some((ERROR_TYPE, "ModelNotReadyException")), &tokens, Ended::Unknown),
            (503, Some((ERROR_TYPE, "ServiceUnavailableException")), &tokens, Ended::Unknown),
            (400, Some((ERROR_TYPE, "ValidationException")), &tokens, Ended::Unknown),
        ];
        for (status, header, body, expected) in cases {
            assert_eq!(
                failed(&response(status, header.as_slice(), body)),
                expected,
                "{status} {header:?} {body}"
            );
        }
    }
}
