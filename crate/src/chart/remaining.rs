//! The lower panel: what the likeliest mechanism would still have admitted.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axis::{Frame, TimeAxis};
use super::style::{INK, LABEL, REMAINING, fitted, text_style, write};
use super::{Area, Drawn, LEFT, MARGIN, WIDTH};
use crate::prediction::{Prediction, Replay};
use crate::text::{grouped, with_article};
use crate::{Conclusion, Observation, QuotaKind, Timestamp, Verdict};

const SAMPLES: u32 = 2_000;
const CAPTION: i32 = 54;
/// Height of the plot.
pub(super) const PLOT: i32 = 300;
/// Height of an untouched quota.
const FULL: i32 = 284;

#[derive(Clone)]
pub(super) struct Remaining {
    caption: String,
    most: u64,
    points: Vec<(Timestamp, f64)>,
}

impl Remaining {
    /// `None` if the likeliest mechanism is not `winner`, because it cannot be replayed.
    pub fn new(
        observations: &[Observation],
        verdict: &Verdict,
        winner: &Prediction,
        axis: &TimeAxis,
    ) -> Option<Self> {
        let mechanism = verdict.ranked.first()?.parameters?;
        let what = match winner.kind {
            QuotaKind::Tokens | QuotaKind::TokensPerDay => "tokens",
            QuotaKind::Requests => "requests",
        };
        let name = mechanism.to_string();
        let caption = match verdict.verdict {
            Conclusion::Mechanism(_) => format!("Remaining {what} in the {name}"),
            Conclusion::Inconclusive | Conclusion::NoneOfThese => {
                format!("Remaining {what} if it is {}", with_article(&name))
            }
        };
        let points = without_idle_points(line(observations, winner, axis));
        Some(Self { caption, most: mechanism.ceiling(), points })
    }

    pub fn height(&self) -> i32 {
        CAPTION + PLOT
    }

    /// Draws the caption above `top` and the plot down to `bottom`, with `below` for the time axis.
    pub fn draw<DB: DrawingBackend>(
        &self,
        root: &Area<DB>,
        axis: &TimeAxis,
        (top, bottom, below): (i32, i32, i32),
    ) -> Drawn<DB> {
        let caption = fitted(&self.caption, LABEL, WIDTH - LEFT - MARGIN - 70);
        let middle = top - CAPTION / 2 + 4;
        root.draw(&PathElement::new(vec![(LEFT, middle), (LEFT + 50, middle)], REMAINING.stroke_width(4)))?;
        write(root, &caption, (LEFT + 64, middle), HPos::Left, &text_style(LABEL, &INK))?;

        let height = |remaining: f64| (f64::from(FULL) * remaining / self.most as f64).round() as i32;
        let y_labels = round_steps(self.most).map(|y| (height(y as f64), grouped(y))).collect();
        let mut panel = Frame { top, bottom, y_labels, below }.draw(root, axis)?;
        let points: Vec<_> =
            self.points.iter().map(|(at, remaining)| (at.as_nanos(), height(*remaining))).collect();
        // As one line, the bitmap backend would draw long spikes at the sharp corners of steep steps.
        let steps = points.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        let pieces = points.chunk_by(|a, b| a.0 != b.0).filter(|piece| piece.len() > 1);
        let line = |piece: &[_]| PathElement::new(piece.to_vec(), REMAINING.stroke_width(4));
        panel.draw_series(pieces.chain(steps).map(line))?;
        Ok(())
    }
}

/// What a mechanism has left, fresh before the first request and charged with what counts.
fn line(observations: &[Observation], winner: &Prediction, axis: &TimeAxis) -> Vec<(Timestamp, f64)> {
    let mut replay = Replay::new(winner.mechanism, winner.kind);
    let mut points = Vec::new();
    let mut samples = axis.samples(SAMPLES).peekable();
    let decided = observations.iter().zip(&winner.decided);
    let counted = decided.filter(|(seen, _)| winner.counts(seen.outcome()));
    let mut changes: Vec<_> = counted
        .flat_map(|(seen, decided)| {
            [(*decided, false, *decided, seen), (seen.finished, true, *decided, seen)]
        })
        .collect();
    changes.sort_by_key(|(at, settles, ..)| (*at, *settles));
    for (at, settles, decided, seen) in changes {
        while let Some(sample) = samples.next_if(|sample| *sample < at) {
            points.push((sample, replay.remaining(sample)));
        }
        points.push((at, replay.remaining(at)));
        if settles {
            replay.settle(decided, seen)
        } else {
            replay.charge(at, seen)
        }
        points.push((at, replay.remaining(at)));
    }
    points.extend(samples.map(|sample| (sample, replay.remaining(sample))));
    points.iter_mut().for_each(|(_, remaining)| *remaining = remaining.max(0.0));
    points
}

/// The same line with fewer points: those between two others on a straight line say nothing.
fn without_idle_points(points: Vec<(Timestamp, f64)>) -> Vec<(Timestamp, f64)> {
    let mut kept: Vec<(Timestamp, f64)> = Vec::new();
    for (index, &(at, value)) in points.iter().enumerate() {
        if let (Some(&(before, from)), Some(&(after, to))) = (kept.last(), points.get(index + 1)) {
            let share = at.seconds_since(before) / after.seconds_since(before);
            if ((from + share * (to - from)) - value).abs() < 1e-6 * value.max(1.0) {
                continue;
            }
        }
        kept.push((at, value));
    }
    kept
}

/// 0 and up to five multiples of 1, 2 or 5 times a power of ten, up to `most`.
fn round_steps(most: u64) -> impl Iterator<Item = u64> {
    let powers = (0..).map(|power| 10_u64.pow(power));
    let step = powers.flat_map(|power| [power, 2 * power, 5 * power]).find(|step| most / step <= 5);
    let step = step.unwrap_or(most);
    (0..=most / step).map(move |index| index * step)
}
