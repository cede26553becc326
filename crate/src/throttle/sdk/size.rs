//! How many tokens requests have, learnt from the answers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::body::Body;

/// Bytes of text a token until answers tell: no model has been seen below that for English.
const USUAL: f64 = 3.0;
/// The most that a token is ever taken for.
const MOST: f64 = 8.0;
/// Shorter texts teach nothing: what a request costs beside its text would count for too much.
const LEAST_BYTES: u64 = 1_000;
/// So many answers must tell before tokens are taken for longer than the usual ones.
const FIRST: usize = 8;
/// So many answers are remembered.
const REMEMBERED: usize = 64;
/// The next text may have more tokens than any of those.
const MARGIN: f64 = 1.03;
/// Tokens of a request beside its text.
const OVERHEAD: u64 = 64;
/// Tokens of an image, which is scaled down if it is larger than about 1.15 megapixels: width x height / 750.
///
/// Source: Anthropic, "Vision".
const IMAGE: u64 = 1_600;

/// The tokens that a request of this size may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    /// As far as is known, hardly more than that.
    pub(super) likely: u64,
    /// Surely not less.
    pub(super) least: u64,
}

/// Bytes a token, by model.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    seen: Mutex<HashMap<String, VecDeque<f64>>>,
}

impl Sizes {
    pub(super) fn of(&self, model: &str, body: &Body) -> Size {
        let bytes_a_token = self.seen().get(model).map_or(USUAL, bytes_a_token);
        let bytes = body.text_bytes + body.attached_bytes;
        Size {
            likely: (bytes as f64 / bytes_a_token).ceil() as u64 + body.images * IMAGE + OVERHEAD,
            least: (body.text_bytes as f64 / MOST).ceil() as u64,
        }
    }

    /// Learns that `body` had so many input tokens.
    pub(super) fn learn(&self, model: &str, body: &Body, input_tokens: u64) {
        let is_text = body.images == 0 && body.attached_bytes == 0;
        if !is_text || body.text_bytes < LEAST_BYTES || input_tokens == 0 {
            return;
        }
        let mut models = self.seen();
        let seen = models.entry(model.to_owned()).or_default();
        seen.push_back(body.text_bytes as f64 / input_tokens as f64);
        if seen.len() > REMEMBERED {
            seen.pop_front();
        }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, VecDeque<f64>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fewest that any of the texts had.
fn bytes_a_token(seen: &VecDeque<f64>) -> f64 {
    let fewest = seen.iter().fold(MOST, |fewest, ratio| fewest.min(*ratio)) / MARGIN;
    if seen.len() < FIRST { fewest.min(USUAL) } else { fewest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text_bytes: u64) -> Body {
        Body { text_bytes, ..Body::default() }
    }

    #[test]
    fn the_ratio_is_learnt_by_model_and_stays_on_the_safe_side() {
        let sizes = Sizes::default();
        assert_eq!(sizes.of("a", &text(30_000)), Size { likely: 10_064, least: 3_750 });
        // Longer tokens are believed after eight answers, shorter ones at once, and very short texts never.
        for _ in 0..7 {
            sizes.learn("a", &text(4_120), 1_000);
        }
        assert_eq!(sizes.of("a", &text(30_000)).likely, 10_064);
        sizes.learn("a", &text(4_120), 1_000);
        assert_eq!(sizes.of("a", &text(30_000)).likely, 7_564, "4 bytes a token");
        sizes.learn("a", &text(999), 999);
        sizes.learn("a", &Body { images: 1, ..text(4_120) }, 3_000);
        assert_eq!(sizes.of("a", &text(30_000)).likely, 7_564);
        sizes.learn("a", &text(2_060), 1_000);
        assert_eq!(sizes.of("a", &text(30_000)).likely, 15_064);
        assert_eq!(sizes.of("b", &text(30_000)).likely, 10_064);
        for _ in 0..REMEMBERED {
            sizes.learn("a", &text(4_120), 1_000);
        }
        assert_eq!(sizes.of("a", &text(30_000)).likely, 7_564);
        let attached = Body { attached_bytes: 4_000, images: 2, ..text(0) };
        assert_eq!(sizes.of("a", &attached), Size { likely: 1_000 + 3_200 + 64, least: 0 });
    }
}
