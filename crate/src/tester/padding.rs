use std::collections::BTreeMap;

use crate::tokens::{TokenFit, most_tokens};

/// One word of padding. Short, so that even a tokenizer that counts bytes can be hit closely.
const WORD: &str = " a";
/// Tokens that a request costs beside its words, until measured.
const USUAL_OVERHEAD: f64 = 8.0;
/// Tokens a word, until measured: a word is seldom more than one token.
const USUAL_RATE: f64 = 1.0;
/// Tokenizers are not quite linear.
const MARGIN: f64 = 1.03;

/// Makes prompts of a wanted number of tokens.
///
/// "4 characters a token" is wrong for every model, so the relation is learnt: tokens are taken as
/// `overhead + rate x words`, fitted by least squares to the input tokens that responses report.
#[derive(Clone, Debug)]
pub(super) struct Padding {
    /// Tokens by the number of words.
    fit: TokenFit,
    /// Tokens by words, as reported.
    reported: BTreeMap<usize, u64>,
}

impl Default for Padding {
    fn default() -> Self {
        Self { fit: TokenFit::new(USUAL_OVERHEAD, USUAL_RATE), reported: BTreeMap::new() }
    }
}

impl Padding {
    /// Words for about `input_tokens` tokens, at least one.
    pub(super) fn words(&self, input_tokens: u64) -> usize {
        self.fit.size(input_tokens as f64).round().max(1.0) as usize
    }

    pub(super) fn prompt(words: usize) -> String {
        WORD.repeat(words)
    }

    /// Tokens that a prompt of so many words is expected to have.
    pub(super) fn estimate(&self, words: usize) -> u64 {
        self.fit.expected(words as f64).round().max(1.0) as u64
    }

    /// The most tokens that a prompt of so many words can have: those of a longer one or, beyond the longest, as many
    /// as if there were no overhead.
    pub(super) fn at_most(&self, words: usize) -> u64 {
        let tokens = match (self.reported.range(words..).next(), self.reported.last_key_value()) {
            (Some((_, tokens)), _) => *tokens as f64,
            (None, Some((longest, tokens))) => (tokens + 1) as f64 * words as f64 / *longest as f64,
            (None, None) => return Self::at_most_unmeasured(words as u64),
        };
        (tokens * MARGIN).ceil() as u64
    }

    /// The most tokens of a prompt of which only the number of words, or an estimate no lower than that, is known.
    pub(super) fn at_most_unmeasured(words: u64) -> u64 {
        most_tokens(WORD.len() as u64 * words)
    }

    /// Learns from a response that reported `input_tokens` for a prompt of so many words.
    pub(super) fn learn(&mut self, words: usize, input_tokens: u64) {
        let reported = self.reported.entry(words).or_default();
        *reported = input_tokens.max(*reported);
        self.fit.learn(words as f64, input_tokens as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::Padding;

    /// Overhead and bytes a token of some tokenizers, unlike each other and unlike the usual guess.
    const TOKENIZERS: [(u64, f64); 5] = [(0, 0.5), (3, 1.0), (7, 0.625), (40, 1.7), (60, 2.0)];

    #[test]
    fn after_one_response_a_prompt_of_the_same_size_is_within_3_percent() {
        for (overhead, rate) in TOKENIZERS {
            let tokens_of = |words: usize| overhead + (rate * words as f64).ceil() as u64;
            let mut padding = Padding::default();
            let first = padding.words(1_000);
            padding.learn(first, tokens_of(first));
            let off = tokens_of(padding.words(1_000)) as f64 / 1_000.0 - 1.0;
            assert!(off.abs() < 0.03, "off by {off}");
        }
    }

    #[test]
    fn after_two_sizes_every_size_is_within_3_percent() {
        for (overhead, rate) in TOKENIZERS {
            let tokens_of = |words: usize| overhead + (rate * words as f64).ceil() as u64;
            let mut padding = Padding::default();
            for size in [1_000, 4_000] {
                let words = padding.words(size);
                padding.learn(words, tokens_of(words));
            }
            for wanted in [100, 333, 2_500, 100_000] {
                let off = tokens_of(padding.words(wanted)) as f64 / wanted as f64 - 1.0;
                assert!(off.abs() < 0.03, "{wanted} is off by {off}");
            }
        }
    }

    #[test]
    fn no_prompt_has_more_tokens_than_the_bound() {
        for (overhead, rate) in TOKENIZERS {
            let tokens_of = |words: usize| overhead + (rate * words as f64).floor() as u64;
            for sizes in [[24, 25, 26, 1_000_000], [1_000, 24, 4_000, 10], [100_000, 30, 29, 500_000]] {
                let mut padding = Padding::default();
                for size in sizes {
                    let words = padding.words(size);
                    let (tokens, bound) = (tokens_of(words), padding.at_most(words));
                    assert!(tokens <= bound, "{words} words have {tokens} tokens, not {bound} or fewer");
                    padding.learn(words, tokens);
                }
            }
        }
    }
}
