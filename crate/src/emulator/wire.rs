//! Requests, answers and errors of Converse (restJson1).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, MODEL_MAX_TOKENS, Wording, emulated_input_tokens};
use crate::{QuotaKind, Usage};

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) error_type: &'static str,
    pub(crate) message: String,
}

impl Fault {
    pub(super) fn new(status: u16, error_type: &'static str, message: impl Into<String>) -> Self {
        Self { status, error_type, message: message.into() }
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationException", message)
    }

    fn throttled(by: QuotaKind, wording: Wording) -> Self {
        let named = match (wording, by) {
            (Wording::Neutral, _) => None,
            (Wording::Named, QuotaKind::TokensPerDay) => Some("tokens per day"),
            (Wording::Named, QuotaKind::Tokens) | (Wording::Swapped, QuotaKind::Requests) => Some("tokens"),
            (Wording::Named, QuotaKind::Requests) | (Wording::Swapped, _) => Some("requests"),
        };
        let message = match named {
            Some(what) => format!("Too many {what}, please wait before trying again."),
            None => "Your request rate is too high. Reduce the frequency of requests.".into(),
        };
        Self::new(429, "ThrottlingException", message)
    }
}

/// An answer as the client gets it: usage and whether it was cut off, or an error.
pub(crate) fn outcome(answer: Answer, wording: Wording) -> Result<(Usage, bool), Fault> {
    match answer {
        Answer::Admitted { usage, cut_off } => Ok((usage, cut_off)),
        Answer::Throttled(by) => Err(Fault::throttled(by, wording)),
        Answer::Unavailable => {
            let message = "Bedrock is unable to process your request.";
            Err(Fault::new(503, "ServiceUnavailableException", message))
        }
    }
}

/// What a request reserves for output.
pub(crate) fn checked_max_tokens(asked: Option<i64>) -> Result<u64, Fault> {
    match asked {
        None => Ok(MODEL_MAX_TOKENS),
        Some(asked) => match u64::try_from(asked) {
            Ok(tokens @ 1..=MODEL_MAX_TOKENS) => Ok(tokens),
            Ok(0) | Err(_) => Err(Fault::validation(format!(
                "1 validation error detected: Value '{asked}' at 'inferenceConfig.maxTokens' failed to satisfy \
                 constraint: Member must have value greater than or equal to 1"
            ))),
            Ok(_) => Err(Fault::validation(format!(
                "The maximum tokens you requested exceeds the model limit of {MODEL_MAX_TOKENS}. Try again with a \
                 maximum tokens value that is lower than {MODEL_MAX_TOKENS}."
            ))),
        },
    }
}

/// A Converse request. Only text counts; other content is ignored.
pub(crate) fn parse_converse(body: &[u8]) -> Result<Asked, Fault> {
    let request: ConverseRequest = serde_json::from_slice(body).map_err(|cause| {
        Fault::validation(format!("The request body is not a valid Converse request: {cause}"))
    })?;
    if request.messages.iter().all(|message| message.content.is_empty()) {
        let message = "A conversation must start with a user message. Try again with a conversation that starts with \
                       a user message.";
        return Err(Fault::validation(message));
    }
    let max_tokens = checked_max_tokens(request.inference_config.and_then(|config| config.max_tokens))?;
    let blocks = request.messages.iter().flat_map(|message| &message.content).chain(&request.system);
    let text_bytes = blocks.filter_map(|block| block.text.as_deref()).map(str::len).sum();
    Ok(Asked { input_tokens: emulated_input_tokens(text_bytes), max_tokens })
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) input_tokens: u64,
    /// What it reserves for output.
    pub(crate) max_tokens: u64,
}

/// What a successful answer tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) usage: Usage,
    pub(crate) cut_off: bool,
    pub(crate) latency_ms: u64,
}

impl Answered {
    pub(super) fn text(&self) -> String {
        vec!["ok"; self.usage.output_tokens as usize].join(" ")
    }

    pub(super) fn stop_reason(&self) -> &'static str {
        if self.cut_off { "max_tokens" } else { "end_turn" }
    }

    pub(super) fn usage_json(&self) -> Value {
        let Usage { input_tokens, output_tokens, .. } = self.usage;
        json!({
            "inputTokens": input_tokens,
            "outputTokens": output_tokens,
            "totalTokens": input_tokens + output_tokens,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConverseRequest {
    messages: Vec<Message>,
    #[serde(default)]
    system: Vec<Block>,
    inference_config: Option<InferenceConfig>,
}

#[derive(Deserialize)]
struct Message {
    content: Vec<Block>,
}

#[derive(Deserialize)]
struct Block {
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig {
    max_tokens: Option<i64>,
}
