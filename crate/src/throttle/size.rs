//! What the body of a request says about its tokens.

use serde_json::Value;

use crate::tokens::most_tokens;

/// What the known models call the cap on output tokens.
const MAX_TOKENS: [&str; 9] = [
    "maxTokens",
    "max_tokens",
    "max_new_tokens",
    "max_completion_tokens",
    "max_tokens_to_sample",
    "max_output_tokens",
    "maxTokenCount",
    "max_gen_len",
    "max_length",
];
/// Where they keep it, if not beside the prompt: Converse and Nova, and Titan.
const SETTINGS: [&str; 2] = ["inferenceConfig", "textGenerationConfig"];
/// What describes tools: all of it reaches the model, names and brackets included.
const TOOLS: [&str; 2] = ["toolConfig", "tools"];

/// Tokens of an image, which is scaled down if it is larger than about 1.15 megapixels: width x height / 750.
///
/// Source: Anthropic, "Vision".
const IMAGE: u64 = 1_600;
/// Bytes of an attachment a token.
const ATTACHED: u64 = 3;
/// No tokenizer makes fewer tokens of text than one of so many bytes.
const LONGEST_TOKEN: u64 = 8;

/// What a request consists of, to a model of whichever family, as far as a quota of tokens is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestSize {
    /// Bytes of text: of all strings, and of whatever describes tools.
    pub text_bytes: u64,
    /// Images, and attachments of which only the address is known.
    pub images: u64,
    /// Bytes of all other attachments.
    pub attached_bytes: u64,
    /// The cap on output tokens, if there is one.
    pub max_tokens: Option<u64>,
}

impl RequestSize {
    /// The size of a request with this body.
    pub fn of(body: &Value) -> Self {
        let mut size = Self { max_tokens: max_tokens(body), ..Self::default() };
        size.count("", body);
        size
    }

    /// As [`of`](Self::of), of a body of JSON that is not parsed yet; anything else counts as text.
    pub fn of_bytes(body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(body) => Self::of(&body),
            Err(_) => Self { text_bytes: body.len() as u64, ..Self::default() },
        }
    }

    /// The most input tokens that it can have, whatever the tokenizer.
    pub fn most_input_tokens(self) -> u64 {
        most_tokens(self.text_bytes + self.attached_bytes) + IMAGE * self.images
    }

    pub(super) fn least_input_tokens(self) -> u64 {
        self.text_bytes.div_ceil(LONGEST_TOKEN)
    }

    /// Tokens beside those of the text.
    pub(super) fn attached_tokens(self) -> u64 {
        self.attached_bytes.div_ceil(ATTACHED) + IMAGE * self.images
    }

    fn count(&mut self, name: &str, value: &Value) {
        match value {
            _ if TOOLS.contains(&name) => self.text_bytes += value.to_string().len() as u64,
            Value::String(text) if is_data_url(text) => self.attach(text.starts_with("data:image/"), text),
            Value::String(text) => self.text_bytes += text.len() as u64,
            Value::Array(values) => values.iter().for_each(|value| self.count(name, value)),
            Value::Object(members) => {
                let is_image = name == "image" || members.get("type").is_some_and(|kind| kind == "image");
                for (name, value) in members {
                    match value.get("bytes").or(value.get("data")).and_then(Value::as_str) {
                        Some(data) if name == "source" => self.attach(is_image, data),
                        _ if name == "s3Location" => self.images += 1,
                        _ => self.count(name, value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn attach(&mut self, is_image: bool, base64: &str) {
        if is_image {
            self.images += 1;
        } else {
            self.attached_bytes += base64.len() as u64 * 3 / 4;
        }
    }
}

fn is_data_url(text: &str) -> bool {
    text.starts_with("data:") && text.contains(";base64,")
}

fn max_tokens(request: &Value) -> Option<u64> {
    let settings = SETTINGS.iter().filter_map(|name| request.get(name));
    let mut places = settings.chain([request]);
    places.find_map(|place| MAX_TOKENS.iter().find_map(|name| place.get(name)?.as_u64()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_cap_is_found_in_the_bodies_of_all_families() {
        let bodies = [
            json!({ "messages": [], "inferenceConfig": { "maxTokens": 5, "temperature": 0.5 } }),
            json!({ "messages": [], "inferenceConfig": { "max_new_tokens": 5 } }),
            json!({ "anthropic_version": "bedrock-2023-05-31", "messages": [], "max_tokens": 5 }),
            json!({ "inputText": "hi", "textGenerationConfig": { "maxTokenCount": 5 } }),
            json!({ "prompt": "hi", "max_gen_len": 5 }),
            json!({ "messages": [], "max_completion_tokens": 5 }),
        ];
        for body in bodies {
            assert_eq!(RequestSize::of(&body).max_tokens, Some(5), "{body}");
        }
        assert_eq!(RequestSize::of(&json!({ "messages": [{ "max_tokens": 5 }] })).max_tokens, None);
    }

    #[test]
    fn text_is_counted_and_attachments_are_not_taken_for_text() {
        let text = |text: &str| json!({ "messages": [{ "content": [{ "text": text }] }] });
        assert_eq!(RequestSize::of(&text("hello")).text_bytes, 5);
        assert_eq!(RequestSize::of(&text("Grüße")).text_bytes, 7);
        assert_eq!(RequestSize::of_bytes(b"not json").text_bytes, 8);
        let tools = json!({ "toolConfig": { "tools": [{ "toolSpec": { "name": "x" } }] } });
        assert_eq!(
            RequestSize::of(&tools).text_bytes,
            r#"{"tools":[{"toolSpec":{"name":"x"}}]}"#.len() as u64
        );

        let data = "A".repeat(4_000);
        let in_converse = |kind: &str| json!({ kind: { "format": "x", "source": { "bytes": data } } });
        let anthropic = |kind: &str| json!({ "type": kind, "source": { "type": "base64", "data": data } });
        let by_url = |kind: &str| json!({ "image_url": { "url": format!("data:{kind};base64,{data}") } });
        for image in [in_converse("image"), anthropic("image"), by_url("image/png")] {
            let size = RequestSize::of(&json!({ "messages": [{ "content": [image] }] }));
            assert!(size.images == 1 && size.attached_bytes == 0 && size.text_bytes < 20, "{size:?}");
        }
        for document in [in_converse("document"), anthropic("document"), by_url("application/pdf")] {
            let size = RequestSize::of(&json!({ "messages": [{ "content": [document] }] }));
            assert!((3_000..3_030).contains(&size.attached_bytes) && size.text_bytes < 20, "{size:?}");
        }
        let elsewhere = json!({ "video": { "source": { "s3Location": { "uri": "s3://bucket/a" } } } });
        assert_eq!(RequestSize::of(&elsewhere).images, 1);
    }
}
