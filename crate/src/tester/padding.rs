use std::collections::BTreeMap;

/// One word of padding. Short, so that even a tokenizer that counts bytes can be hit closely.
const WORD: &str = " a";
/// Tokens that a request costs beside its words, until measured.
const USUAL_OVERHEAD: f64 = 8.0;
/// Tokens a word, until measured: a word is seldom more than one token.
const USUAL_RATE: f64 = 1.0;
/// No tokenizer puts more words than this into a token; whatever reports less does not count tokens.
const LOWEST_RATE: f64 = 0.1;
/// Two sizes tell overhead from rate if they differ by about this share; rounding would drown a smaller difference.
const APART: f64 = 0.05;
/// A tokenizer makes no more tokens than bytes, and nobody adds more overhead than this.
const MOST_OVERHEAD: u64 = 64;
/// Tokenizers are not quite linear.
const MARGIN: f64 = 1.03;

/// Makes prompts of a wanted number of tokens.
///
/// "4 characters a token" is wrong for every model, so the relation is learnt: tokens are taken as
/// `overhead + rate x words`, fitted by least squares to the input tokens that responses report.
#[derive(Clone, Debug, Default)]
pub(super) struct Padding {
    count: f64,
    words: f64,
    tokens: f64,
    words_squared: f64,
    words_tokens: f64,
    /// Tokens by words, as reported.
    reported: BTreeMap<usize, u64>,
}

impl Padding {
    /// Words for about `input_tokens` tokens, at least one.
    pub(super) fn words(&self, input_tokens: u64) -> usize {
        let (overhead, rate) = self.fit();
        ((input_tokens as f64 - overhead) / rate).round().max(1.0) as usize
    }

    pub(super) fn prompt(words: usize) -> String {
        WORD.repeat(words)
    }

    /// Tokens that a prompt of so many words is expected to have.
    pub(super) fn estimate(&self, words: usize) -> u64 {
        let (overhead, rate) = self.fit();
        (overhead + rate * words as f64).round().max(1.0) as u64
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
        WORD.len() as u64 * words + MOST_OVERHEAD
    }

    /// Learns from a response that reported `input_tokens` for a prompt of so many words.
    pub(super) fn learn(&mut self, words: usize, input_tokens: u64) {
        let reported = self.reported.entry(words).or_default();
        *reported = input_tokens.max(*reported);
        let (words, tokens) = (words as f64, input_tokens as f64);
        self.count += 1.0;
        self.words += words;
        self.tokens += tokens;
        self.words_squared += words * words;
        self.words_tokens += words * tokens;
    }

    /// Overhead and tokens a word.
    fn fit(&self) -> (f64, f64) {
        if self.count == 0.0 {
            return (USUAL_OVERHEAD, USUAL_RATE);
        }
        let (mean_words, mean_tokens) = (self.words / self.count, self.tokens / self.count);
        let spread = self.words_squared - self.count * mean_words * mean_words;
        let rate = (self.words_tokens - self.count * mean_words * mean_tokens) / spread;
        if spread > self.count * (APART * mean_words).powi(2) && rate >= LOWEST_RATE {
            return (mean_tokens - rate * mean_words, rate);
        }
        let overhead = USUAL_OVERHEAD.min(mean_tokens / 2.0);
        (overhead, ((mean_tokens - overhead) / mean_words).max(LOWEST_RATE))
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
