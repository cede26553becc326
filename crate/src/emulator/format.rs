//! The bodies of InvokeModel: those of Anthropic's models, or Nova's, which are Converse's.

use serde::Deserialize;
use serde_json::{Value, json};

use super::wire::{Answered, Asked, Fault, checked_max_tokens, parse_converse};
use super::{Operation, emulated_input_tokens};

/// What the model calls the parts of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Converse,
    Nova,
    Anthropic,
}

impl Format {
    /// What a request asks for, and the format of its answer.
    pub(super) fn parse(operation: Operation, body: &[u8]) -> Result<(Self, Asked), Fault> {
        match operation {
            Operation::Converse | Operation::ConverseStream => Ok((Self::Converse, parse_converse(body)?)),
            Operation::InvokeModel | Operation::InvokeModelWithResponseStream => {
                let request = serde_json::from_slice::<Value>(body).unwrap_or(Value::Null);
                match request.get("anthropic_version") {
                    Some(_) => Ok((Self::Anthropic, parse_anthropic(request)?)),
                    None => Ok((Self::Nova, parse_converse(body)?)),
                }
            }
        }
    }

    /// The body of an answer that is given at once.
    pub(super) fn whole(self, answer: &Answered) -> Value {
        let message = json!({ "content": [{ "text": answer.text() }], "role": "assistant" });
        match self {
            Self::Converse => json!({
                "metrics": { "latencyMs": answer.latency_ms },
                "output": { "message": message },
                "stopReason": answer.stop_reason(),
                "usage": answer.usage_json(),
            }),
            Self::Nova => json!({
                "output": { "message": message },
                "stopReason": answer.stop_reason(),
                "usage": answer.usage_json(),
            }),
            Self::Anthropic => json!({
                "type": "message",
                "role": "assistant",
                "content": [{ "type": "text", "text": answer.text() }],
                "stop_reason": answer.stop_reason(),
                "usage": {
                    "input_tokens": answer.usage.input_tokens,
                    "output_tokens": answer.usage.output_tokens,
                },
            }),
        }
    }

    /// The events of an answer that is given bit by bit: their types and contents. The first comes before the answer.
    pub(super) fn events(self, answer: &Answered) -> Vec<(&'static str, Value)> {
        let (text, stop_reason) = (answer.text(), answer.stop_reason());
        let delta = json!({ "contentBlockIndex": 0, "delta": { "text": text } });
        let usage = json!({ "usage": answer.usage_json(), "metrics": { "latencyMs": answer.latency_ms } });
        let events = [
            ("messageStart", json!({ "role": "assistant" })),
            ("contentBlockDelta", delta),
            ("contentBlockStop", json!({ "contentBlockIndex": 0 })),
            ("messageStop", json!({ "stopReason": stop_reason })),
            ("metadata", usage),
        ];
        let mut chunks: Vec<Value> = match self {
            Self::Converse => return events.into(),
            Self::Nova => events.into_iter().map(|(name, event)| json!({ name: event })).collect(),
            Self::Anthropic => vec![
                json!({ "type": "message_start", "message": { "role": "assistant" } }),
                json!({ "type": "content_block_delta", "delta": { "type": "text_delta", "text": text } }),
                json!({ "type": "message_delta", "delta": { "stop_reason": stop_reason } }),
                json!({ "type": "message_stop" }),
            ],
        };
        if let Some(last) = chunks.last_mut() {
            last["amazon-bedrock-invocationMetrics"] = json!({
                "inputTokenCount": answer.usage.input_tokens,
                "outputTokenCount": answer.usage.output_tokens,
                "invocationLatency": answer.latency_ms,
            });
        }
        chunks.into_iter().map(|chunk| ("chunk", chunk)).collect()
    }
}

/// The body of a Converse answer that is given at once.
pub(crate) fn converse_body(answer: &Answered) -> Value {
    Format::Converse.whole(answer)
}

fn parse_anthropic(request: Value) -> Result<Asked, Fault> {
    let request: AnthropicRequest = serde_json::from_value(request)
        .map_err(|cause| Fault::validation(format!("Malformed input request: {cause}")))?;
    let mut text_bytes = request.system.map_or(0, |system| system.text_bytes());
    for message in &request.messages {
        text_bytes += message.content.text_bytes();
    }
    let max_tokens = checked_max_tokens(Some(request.max_tokens))?;
    Ok(Asked { input_tokens: emulated_input_tokens(text_bytes), max_tokens })
}

#[derive(Deserialize)]
struct AnthropicRequest {
    max_tokens: i64,
    messages: Vec<Message>,
    system: Option<Content>,
}

#[derive(Deserialize)]
struct Message {
    content: Content,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

#[derive(Deserialize)]
struct Block {
    text: Option<String>,
}

impl Content {
    fn text_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Blocks(blocks) => {
                blocks.iter().filter_map(|block| block.text.as_deref()).map(str::len).sum()
            }
        }
    }
}
