use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::lines::Line;
use crate::MODEL_MAX_TOKENS;
use crate::text::one_line;
use crate::throttle::RequestSize;
use crate::trace::{BYTE_ORDER_MARK, without_position};

/// A line of the input: a Converse request body, and what is beside it.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) line: u64,
    /// The user's `recordId`, whatever it is.
    pub(super) id: Option<Value>,
    pub(super) model: String,
    /// What is sent, or why the line is no request.
    pub(super) body: Result<Value, String>,
    pub(super) size: RequestSize,
    /// Of the line and the model: the same request, the same digest.
    pub(super) digest: u64,
}

impl Job {
    /// Reads a line. `model` is the one of lines that name none.
    pub(super) fn parse(line: &Line, model: &str) -> Self {
        let (id, model, body) = match fields(&line.text) {
            Ok(mut fields) => {
                let id = fields.shift_remove("recordId");
                let named = fields.shift_remove("modelId").unwrap_or_else(|| model.into());
                let body = match (&named, fields.get("messages")) {
                    (Value::String(name), Some(Value::Array(_))) if !name.is_empty() => {
                        Ok(Value::Object(fields))
                    }
                    (Value::String(name), _) if !name.is_empty() => Err("`messages` is not a list".into()),
                    _ => Err("`modelId` is not a model's id".into()),
                };
                (id, named.as_str().unwrap_or_default().to_owned(), body)
            }
            Err(reason) => (None, model.to_owned(), Err(reason)),
        };
        let size = body.as_ref().map(RequestSize::of).unwrap_or_default();
        let digest = digest(&model, &line.text);
        Self { line: line.number, id, model, body, size, digest }
    }

    /// The output tokens that it reserves: without `maxTokens` those of the model's longest answer.
    pub(super) fn max_tokens(&self) -> u64 {
        self.size.max_tokens.unwrap_or(MODEL_MAX_TOKENS)
    }

    /// The most tokens that it can use, if it is a request at all.
    pub(super) fn tokens_at_most(&self) -> u64 {
        self.body.as_ref().map_or(0, |_| self.size.most_input_tokens().saturating_add(self.max_tokens()))
    }
}

fn fields(text: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("not a JSON object".into()),
        Err(cause) => Err(format!("not JSON ({})", one_line(&without_position(&cause.to_string())))),
    }
}

fn digest(model: &str, text: &[u8]) -> u64 {
    let hash = Sha256::new().chain_update(model).chain_update([0]).chain_update(text).finalize();
    hash.iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte))
}
