//! How many tokens a text has, as learnt from what responses report.

/// Nobody adds more tokens than this to a text.
const MOST_OVERHEAD: u64 = 64;
/// No tokenizer makes fewer tokens than this share of the usual; whatever reports less does not count tokens.
const LOWEST_SHARE: f64 = 0.1;
/// Two sizes tell overhead from rate if they differ by about this share; rounding would drown a smaller difference.
const APART: f64 = 0.05;

/// The most tokens that so many bytes of text can have: a tokenizer makes no more tokens than bytes.
pub(crate) fn most_tokens(bytes: u64) -> u64 {
    bytes.saturating_add(MOST_OVERHEAD)
}

/// Tokens as `overhead + rate x size`, fitted by least squares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenFit {
    usual_overhead: f64,
    usual_rate: f64,
    count: f64,
    sizes: f64,
    tokens: f64,
    sizes_squared: f64,
    sizes_tokens: f64,
}

impl TokenFit {
    /// A fit that takes these for true until something is learnt.
    pub(crate) fn new(usual_overhead: f64, usual_rate: f64) -> Self {
        let [count, sizes, tokens, sizes_squared, sizes_tokens] = [0.0; 5];
        Self { usual_overhead, usual_rate, count, sizes, tokens, sizes_squared, sizes_tokens }
    }

    fn is_usual(&self) -> bool {
        self.count == 0.0
    }

    /// Learns that a text of this size has so many tokens.
    pub(crate) fn learn(&mut self, size: f64, tokens: f64) {
        self.count += 1.0;
        self.sizes += size;
        self.tokens += tokens;
        self.sizes_squared += size * size;
        self.sizes_tokens += size * tokens;
    }

    /// Tokens that a text of this size is expected to have.
    pub(crate) fn expected(&self, size: f64) -> f64 {
        let (overhead, rate) = self.overhead_and_rate();
        overhead + rate * size
    }

    /// The size of which so many tokens are expected; may be negative.
    pub(crate) fn size(&self, tokens: f64) -> f64 {
        let (overhead, rate) = self.overhead_and_rate();
        (tokens - overhead) / rate
    }

    fn overhead_and_rate(&self) -> (f64, f64) {
        if self.is_usual() {
            return (self.usual_overhead, self.usual_rate);
        }
        let lowest = LOWEST_SHARE * self.usual_rate;
        let (mean_size, mean_tokens) = (self.sizes / self.count, self.tokens / self.count);
        let spread = self.sizes_squared - self.count * mean_size * mean_size;
        let rate = (self.sizes_tokens - self.count * mean_size * mean_tokens) / spread;
        if spread > self.count * (APART * mean_size).powi(2) && rate >= lowest {
            return (mean_tokens - rate * mean_size, rate);
        }
        let overhead = self.usual_overhead.min(mean_tokens / 2.0);
        (overhead, ((mean_tokens - overhead) / mean_size).max(lowest))
    }
}
