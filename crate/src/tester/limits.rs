use super::padding::Padding;
use super::{BedrockTpmTester, Settings};
use crate::{Error, Observation, Outcome, Result};

/// No model on Bedrock takes more tokens than this in one request.
pub(crate) const LARGEST_REQUEST_TOKENS: u64 = 1_000_000;
/// What an output token may cost at worst: the largest burndown that AWS documents.
pub(crate) const BURNDOWN_AT_WORST: u64 = 15;
/// The field of a trace that says what each output token of a request is counted for, if that is not 1.
pub(super) const BURNDOWN: &str = "burndown_at_worst";
/// The largest probe where nothing is known of the quota, in tokens.
const LARGEST_UNKNOWN: u64 = 10_000;
/// The largest probe where a quota of requests is measured, in tokens.
const LARGEST_FOR_REQUESTS: u64 = 32;

/// What a tester must not send: what can never be admitted, and what might pass the budget.
impl BedrockTpmTester {
    pub(super) fn check_size(&self, tokens: u64) -> Result<()> {
        match self.settings.tpm {
            _ if tokens == 0 => Err(Error::usage("a request of 0 tokens is not possible; use 1 or more")),
            _ if tokens > LARGEST_REQUEST_TOKENS => Err(Error::usage(format!(
                "a request of {tokens} tokens is more than any model on Bedrock takes; use {LARGEST_REQUEST_TOKENS} or \
                 fewer"
            ))),
            Some(tpm) if tokens > tpm => Err(Error::usage(format!(
                "a request of {tokens} tokens can never be admitted by a quota of {tpm} tokens per minute; use {tpm} \
                 or fewer"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn check_budget(&self, next: u64) -> Result<()> {
        let Some(budget) = self.settings.budget_tokens else { return Ok(()) };
        let spent = self.spent;
        if spent + next <= budget {
            return Ok(());
        }
        Err(Error::budget(format!(
            "the next request might use {next} tokens, and {spent} of the budget of {budget} are spent; raise \
             --budget-tokens to go on"
        )))
    }

    /// The largest probe that is sensible: the stated quota, a small one for a quota of requests, or else a twentieth
    /// of the token budget.
    pub(crate) fn largest_probe(&self) -> u64 {
        let largest = match self.settings {
            Settings { tpm: Some(tpm), .. } => tpm,
            Settings { rpm: Some(_), .. } => LARGEST_FOR_REQUESTS,
            Settings { budget_tokens: Some(budget), .. } => budget / 20,
            _ => LARGEST_UNKNOWN,
        };
        largest.min(LARGEST_REQUEST_TOKENS)
    }

    /// The most that the next request may cost at worst, in tokens.
    pub(crate) fn budget_left(&self) -> u64 {
        self.settings.budget_tokens.map_or(u64::MAX, |budget| budget.saturating_sub(self.spent))
    }

    /// Tokens spent so far, where every request counts that may have been charged.
    pub fn spent_at_most(&self) -> u64 {
        self.spent
    }
}

/// What a request was charged at worst; if nobody says, as where it failed, `at_most`.
pub(super) fn spent(observation: &Observation, at_most: u64) -> u64 {
    match observation.outcome() {
        Outcome::Throttled(_) => 0,
        Outcome::Admitted | Outcome::Failed => {
            observation.settled(burndown_at_worst(observation)).unwrap_or(at_most)
        }
    }
}

/// [`spent`] for a request of an earlier run, of which no more is known than the trace says.
pub(super) fn spent_before(observation: &Observation) -> u64 {
    let output = (burndown_at_worst(observation) - 1).saturating_mul(observation.max_tokens);
    spent(observation, Padding::at_most_unmeasured(observation.tokens_estimated).saturating_add(output))
}

fn burndown_at_worst(observation: &Observation) -> u64 {
    let noted = observation.extra.get(BURNDOWN).and_then(serde_json::Value::as_u64);
    noted.map_or(1, |noted| noted.clamp(1, BURNDOWN_AT_WORST))
}
