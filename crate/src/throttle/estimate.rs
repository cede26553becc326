//! How many tokens a request will reserve, before it is sent.

use std::collections::HashMap;

use super::RequestSize;
use crate::tokens::{TokenFit, most_tokens};

/// Tokens that a request costs beside its text, until measured.
const USUAL_OVERHEAD: f64 = 8.0;
/// Tokens a byte of text, until measured: Nova has been seen near 3 bytes a token.
const USUAL_RATE: f64 = 1.0 / 3.0;
/// Texts differ: an estimate is at least this share above what is expected, and so many tokens.
const MARGIN: f64 = 0.1;
const SLACK: f64 = 16.0;

/// Estimates the input tokens of requests, and learns from what their answers report, of each model by itself.
///
/// "4 characters a token" is wrong for every model, so the relation is learnt: tokens are taken as
/// `overhead + rate x bytes`, fitted by least squares.
#[derive(Clone, Debug, Default)]
pub struct TokenEstimator {
    models: HashMap<String, Learnt>,
}

/// What the answers of a model have told.
#[derive(Clone, Copy, Debug)]
struct Learnt {
    fit: TokenFit,
    /// By how much the worst request so far was above what was expected, as a share.
    margin: f64,
}

impl TokenEstimator {
    /// The input tokens to reserve for a request to `model`: the most that its text can have until an answer has told
    /// more, then above what is expected by as much as any request so far. What might be too large for `room`, the most
    /// that can be reserved, but need not be, gets all of that.
    pub fn to_reserve(&self, model: &str, size: RequestSize, room: u64) -> u64 {
        let most = most_tokens(size.text_bytes);
        let (least, safe) = match self.models.get(model) {
            Some(learnt) => learnt.range(size),
            None => (size.least_input_tokens(), most),
        };
        (safe.min(most) + size.attached_tokens()).min(room).max(least)
    }

    /// Learns that a request to `model` had so many input tokens, those of the prompt cache included. Requests with
    /// attachments teach nothing.
    pub fn learn(&mut self, model: &str, size: RequestSize, input_tokens: u64) {
        if size.attached_tokens() > 0 || input_tokens == 0 {
            return;
        }
        let (bytes, tokens) = (size.text_bytes as f64, input_tokens as f64);
        if let Some(learnt) = self.models.get_mut(model) {
            learnt.margin = learnt.margin.max((tokens - SLACK) / learnt.expected(size) - 1.0);
            learnt.fit.learn(bytes, tokens);
        } else {
            let mut fit = TokenFit::new(USUAL_OVERHEAD, USUAL_RATE);
            fit.learn(bytes, tokens);
            self.models.insert(model.to_owned(), Learnt { fit, margin: MARGIN });
        }
    }
}

impl Learnt {
    fn expected(&self, size: RequestSize) -> f64 {
        self.fit.expected(size.text_bytes as f64).max(1.0)
    }

    /// The fewest and the most tokens that its text will probably have.
    fn range(&self, size: RequestSize) -> (u64, u64) {
        let expected = self.expected(size);
        (((1.0 - MARGIN) * expected) as u64, ((1.0 + self.margin) * expected + SLACK).ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: u64 = 1_000_000;

    fn of(text_bytes: u64) -> RequestSize {
        RequestSize { text_bytes, ..RequestSize::default() }
    }

    #[test]
    fn an_estimate_is_safe_at_first_and_close_once_it_has_learnt() {
        let tokens = |bytes: u64| 7 + (bytes * 10).div_ceil(32);
        let mut estimator = TokenEstimator::default();
        assert!(estimator.to_reserve("a", of(1_000), ROOM) >= 1_000);
        for bytes in [100, 3_000, 40, 800] {
            estimator.learn("a", of(bytes), tokens(bytes));
        }
        for bytes in [10, 500, 20_000] {
            let (reserved, needed) =
                (estimator.to_reserve("a", of(bytes), ROOM) as f64, tokens(bytes) as f64);
            assert!((needed..1.25 * needed + 17.0).contains(&reserved), "{bytes}: {reserved}");
        }
        assert!(estimator.to_reserve("b", of(1_000), ROOM) >= 1_000, "another model has another tokenizer");
        // One text of another language, and every later one has room to be like it.
        estimator.learn("a", of(1_000), 640);
        assert!(estimator.to_reserve("a", of(1_000), ROOM) >= 640);
    }

    #[test]
    fn what_need_not_be_too_large_gets_all_the_room() {
        let mut estimator = TokenEstimator::default();
        assert_eq!(estimator.to_reserve("a", of(3_000), 1_000), 1_000);
        assert_eq!(
            estimator.to_reserve("a", of(30_000), 1_000),
            3_750,
            "no tokenizer makes fewer tokens of it"
        );
        estimator.learn("a", of(3_000), 1_000);
        assert_eq!(estimator.to_reserve("a", of(3_000), 1_000), 1_000);
        assert!(estimator.to_reserve("a", of(3_600), 1_000) > 1_000, "it is known by now");
    }

    #[test]
    fn attachments_are_estimated_and_teach_nothing() {
        let mut estimator = TokenEstimator::default();
        let attached = RequestSize { attached_bytes: 3_000, images: 2, ..of(0) };
        let before = estimator.to_reserve("a", attached, ROOM);
        assert!((4_200..4_300).contains(&before), "{before}");
        estimator.learn("a", attached, 77);
        assert_eq!(estimator.to_reserve("a", attached, ROOM), before);
    }
}
