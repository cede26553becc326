use std::fmt;

use serde::{Deserialize, Serialize};

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaKind {
    /// Tokens per minute (TPM).
    Tokens,
    /// Requests per minute (RPM).
    Requests,
    /// Tokens per day (TPD).
    TokensPerDay,
}

impl QuotaKind {
    /// What one request of `tokens` tokens costs in this quota.
    pub fn cost(self, tokens: u64) -> u64 {
        match self {
            Self::Tokens | Self::TokensPerDay => tokens,
            Self::Requests => 1,
        }
    }

    /// The id in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Requests => "requests",
            Self::TokensPerDay => "tokens_per_day",
        }
    }
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokens => "tokens per minute",
            Self::Requests => "requests per minute",
            Self::TokensPerDay => "tokens per day",
        })
    }
}

/// The tokens that one answered request used, as Bedrock reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens, without those read from or written to the prompt cache.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Input tokens written to the prompt cache.
    pub cache_write_tokens: u64,
}

/// Tokens that admission reserves: `input + max_tokens`, with the model's maximum where `max_tokens` is unset.
///
/// Source: AWS, "How tokens are counted in Amazon Bedrock".
pub fn reserved_tokens(input_tokens: u64, max_tokens: u64) -> u64 {
    input_tokens.saturating_add(max_tokens)
}

/// Tokens that remain charged once the request has ended:
/// `InputTokenCount + CacheWriteInputTokens + OutputTokenCount x burndown`.
///
/// `burndown` is 1 for most models, 5 for some, 10 to 15 for a few: a property of the model, so a parameter.
/// Source: AWS, "How tokens are counted in Amazon Bedrock".
pub fn settled_tokens(usage: Usage, burndown: u64) -> u64 {
    usage
        .input_tokens
        .saturating_add(usage.cache_write_tokens)
        .saturating_add(usage.output_tokens.saturating_mul(burndown))
}
