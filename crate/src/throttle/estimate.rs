//! How many tokens a request will reserve, before it is sent.

use serde_json::Value;

use crate::tokens::{TokenFit, most_tokens};

/// Tokens that a request costs beside its text, until measured.
const USUAL_OVERHEAD: f64 = 8.0;
/// Tokens a byte of text, until measured: Nova has been seen near 3 bytes a token.
const USUAL_RATE: f64 = 1.0 / 3.0;
/// A picture has about as many tokens as this, whatever its bytes.
const PICTURE_TOKENS: u64 = 1_600;
/// Texts differ: an estimate is at least this share above what is expected.
const MARGIN: f64 = 0.1;

/// What a Converse request consists of, as far as a quota of tokens is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestSize {
    /// Bytes of its text, tools and documents included.
    pub text_bytes: u64,
    /// Pictures and videos.
    pub pictures: u64,
    /// `inferenceConfig.maxTokens`, if it is set.
    pub max_tokens: Option<u64>,
}

impl RequestSize {
    /// The size of a Converse request body.
    pub fn of_converse(body: &Value) -> Self {
        let mut size = Self { max_tokens: body["inferenceConfig"]["maxTokens"].as_u64(), ..Self::default() };
        size.add(&body["messages"]);
        size.add(&body["system"]);
        // Of a tool's schema the names count as well.
        if let Some(tools) = body.get("toolConfig") {
            size.text_bytes += tools.to_string().len() as u64;
        }
        size
    }

    fn add(&mut self, content: &Value) {
        match content {
            Value::String(text) => self.text_bytes += text.len() as u64,
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match name.as_str() {
                        "image" | "video" => self.pictures += 1,
                        "role" | "format" => {}
                        _ => self.add(value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The most input tokens that it can have, whatever the tokenizer.
    pub fn most_input_tokens(self) -> u64 {
        most_tokens(self.text_bytes) + self.picture_tokens()
    }

    fn picture_tokens(self) -> u64 {
        PICTURE_TOKENS * self.pictures
    }
}

/// Estimates the input tokens of requests, and learns from what their answers report.
///
/// "4 characters a token" is wrong for every model, so the relation is learnt: tokens are taken as
/// `overhead + rate x bytes`, fitted by least squares.
#[derive(Clone, Copy, Debug)]
pub struct TokenEstimator {
    fit: TokenFit,
    /// By how much the worst request so far was above what was expected, as a share.
    margin: f64,
}

impl Default for TokenEstimator {
    fn default() -> Self {
        Self { fit: TokenFit::new(USUAL_OVERHEAD, USUAL_RATE), margin: MARGIN }
    }
}

impl TokenEstimator {
    /// The input tokens that are expected.
    pub fn expected(&self, size: RequestSize) -> u64 {
        self.fit.expected(size.text_bytes as f64).ceil().max(1.0) as u64 + size.picture_tokens()
    }

    /// The input tokens to reserve: above what is expected by as much as any request was so far.
    pub fn to_reserve(&self, size: RequestSize) -> u64 {
        if self.fit.is_usual() {
            return size.most_input_tokens();
        }
        let with_margin = (self.expected(size) as f64 * (1.0 + self.margin)).ceil() as u64;
        with_margin.min(size.most_input_tokens())
    }

    /// Learns that a request of this size had so many input tokens, those of the prompt cache included.
    pub fn learn(&mut self, size: RequestSize, input_tokens: u64) {
        if !self.fit.is_usual() {
            let excess = input_tokens as f64 / self.expected(size) as f64 - 1.0;
            self.margin = self.margin.max(excess);
        }
        let of_text = input_tokens.saturating_sub(size.picture_tokens());
        self.fit.learn(size.text_bytes as f64, of_text as f64);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_counts_wherever_it_stands_and_pictures_by_the_piece() {
        let body = json!({
            "system": [{ "text": "Be brief." }],
            "messages": [
                { "role": "user", "content": [
                    { "text": "What is it?" },
                    { "image": { "format": "png", "source": { "bytes": "A".repeat(50_000) } } },
                ] },
                { "role": "assistant", "content": [{ "toolUse": { "input": { "city": "Bern" } } }] },
            ],
            "inferenceConfig": { "maxTokens": 50 },
            "toolConfig": { "tools": [] },
        });
        let size = RequestSize::of_converse(&body);
        let text_bytes =
            ["Be brief.", "What is it?", "Bern", "{\"tools\":[]}"].map(str::len).iter().sum::<usize>();
        assert_eq!(size, RequestSize { text_bytes: text_bytes as u64, pictures: 1, max_tokens: Some(50) });
        assert_eq!(RequestSize::of_converse(&json!("no request")), RequestSize::default());
    }

    #[test]
    fn an_estimate_is_safe_at_first_and_close_once_it_has_learnt() {
        let of = |text_bytes| RequestSize { text_bytes, ..RequestSize::default() };
        let tokens = |bytes: u64| 7 + (bytes * 10).div_ceil(32);
        let mut estimator = TokenEstimator::default();
        assert!(estimator.to_reserve(of(1_000)) >= 1_000);
        for bytes in [100, 3_000, 40, 800] {
            estimator.learn(of(bytes), tokens(bytes));
        }
        for bytes in [10, 500, 20_000] {
            let share = estimator.to_reserve(of(bytes)) as f64 / tokens(bytes) as f64;
            assert!((1.0..1.25).contains(&share), "{bytes}: {share}");
        }
        // One text of another language, and every later one has room to be like it.
        estimator.learn(of(1_000), 640);
        assert!(estimator.to_reserve(of(1_000)) >= 640);
    }
}
