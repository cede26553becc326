use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::check_range;
use crate::{Error, Result};

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

/// More requests than this a minute and a few requests reach the token quota first.
const FEW_REQUESTS: u64 = 12;

/// Which of the quotas that are stated a few requests use up first, with its limit.
pub(crate) fn reached_first(tpm: Option<u64>, rpm: Option<u64>) -> Option<(QuotaKind, u64)> {
    match (tpm, rpm) {
        (_, Some(rpm)) if rpm <= FEW_REQUESTS || tpm.is_none() => Some((QuotaKind::Requests, rpm)),
        (Some(tpm), _) => Some((QuotaKind::Tokens, tpm)),
        (None, _) => None,
    }
}

/// When the part of a reservation that a request did not use comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refund {
    /// When the request ends.
    #[default]
    AtEnd,
    /// Not at all: it stays charged as long as the window counts it.
    Never,
    /// So many seconds after the request has ended, 0 to 3,600.
    After(f64),
}

impl Refund {
    /// Checks the range.
    ///
    /// # Errors
    /// A usage error if the delay is out of range.
    pub(crate) fn validated(self) -> Result<Self> {
        let delay_s = if let Self::After(delay_s) = self { delay_s } else { 0.0 };
        check_range("delay of a refund (seconds)", delay_s, 0.0, 3_600.0)?;
        Ok(self)
    }
}

/// `at_end`, `never` or a number of seconds.
impl FromStr for Refund {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match (text, text.parse()) {
            ("at_end", _) => Ok(Self::AtEnd),
            ("never", _) => Ok(Self::Never),
            (_, Ok(delay_s)) => Self::After(delay_s).validated(),
            (_, Err(_)) => {
                Err(Error::usage(format!("{text} is not `at_end`, `never` or a number of seconds")))
            }
        }
    }
}

impl fmt::Display for Refund {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtEnd => f.write_str("at_end"),
            Self::Never => f.write_str("never"),
            Self::After(delay_s) => write!(f, "{delay_s}"),
        }
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
