//! Below the requests: what the likeliest mechanisms predict of each, loud where it was observed otherwise.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axis::{Frame, TimeAxis};
use super::style::{
    CONTRADICTED, FAINT_INK, INK, LABEL, PALE_ADMITTED, PALE_THROTTLED, fitted, text_style, width, write,
};
use super::{Area, Drawn, LEFT, MARGIN, WIDTH};
use crate::prediction::Prediction;
use crate::text::{grouped, percent, requests};
use crate::{Binding, Observation};

const CAPTION: i32 = 48;
const ROW: i32 = 46;
const QUIET: i32 = 7;
const LOUD: i32 = 11;
const SYMBOL: i32 = 34;

/// One row a mechanism.
#[derive(Clone)]
pub(super) struct Predictions(Vec<Row>);

#[derive(Clone)]
struct Row {
    name: String,
    is_contradicted: bool,
    result: String,
    marks: Vec<(i32, Mark)>,
}

/// What a mechanism predicts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Admitted,
    Throttled,
    /// Another outcome than the observed one.
    Otherwise,
}

impl Predictions {
    /// `binding` is the quota that rejected requests.
    pub fn new(
        observations: &[Observation],
        predictions: &[Prediction],
        binding: Binding,
        axis: &TimeAxis,
    ) -> Self {
        let row = |prediction| Row::new(prediction, observations, binding, axis);
        Self(predictions.iter().map(row).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn height(&self) -> i32 {
        (CAPTION + ROW) * self.0.len() as i32
    }

    /// The top and the bottom of each row's plot, from `top` on.
    pub fn plots(&self, top: i32) -> impl Iterator<Item = (i32, i32)> {
        let bottoms = (1..=self.0.len() as i32).map(move |count| top + (CAPTION + ROW) * count);
        bottoms.map(|bottom| (bottom - ROW, bottom))
    }

    /// Draws captions and rows from `top` on, with `below` for the time axis.
    pub fn draw<DB: DrawingBackend>(
        &self,
        root: &Area<DB>,
        axis: &TimeAxis,
        (top, below): (i32, i32),
    ) -> Drawn<DB> {
        for (index, (row, (top, bottom))) in self.0.iter().zip(self.plots(top)).enumerate() {
            let below = if index + 1 == self.0.len() { below } else { 0 };
            row.write_caption(root, top - CAPTION / 2 + 2)?;
            let y = bottom - ROW / 2;
            write(root, "predicted", (LEFT - 14, y), HPos::Right, &text_style(LABEL, &INK))?;
            let y_labels = vec![(ROW / 2, String::new())];
            Frame { top, bottom, y_labels, below }.draw(root, axis)?;
            for (x, mark) in &row.marks {
                mark.draw(root, (*x, y))?;
            }
        }
        Ok(())
    }
}

impl Row {
    fn new(prediction: &Prediction, observations: &[Observation], binding: Binding, axis: &TimeAxis) -> Self {
        let mark = |(seen, agrees): (&Observation, &Option<bool>)| {
            let mark = match (agrees.as_ref()?, seen.outcome().is_admitted()) {
                (false, _) => Mark::Otherwise,
                (true, true) => Mark::Admitted,
                (true, false) => Mark::Throttled,
            };
            Some((axis.x(seen.sent), mark))
        };
        let mut marks: Vec<_> = observations.iter().zip(&prediction.agrees).filter_map(mark).collect();
        // The loud ones last, over all others.
        marks.sort_by_key(|(_, mark)| *mark);
        let counts = match prediction.kind {
            kind if binding == Binding::Quota(kind) => String::new(),
            kind => format!(", for {kind}"),
        };
        let name = format!("{}{counts} ({})", prediction.mechanism, percent(prediction.probability));
        let (wrong, all) = (prediction.contradicted() as u64, requests(prediction.compared() as u64));
        let is_contradicted = wrong > 0;
        let result = match is_contradicted {
            true => format!("contradicts {} of {all}", grouped(wrong)),
            false => format!("contradicts none of {all}"),
        };
        let room = WIDTH - LEFT - MARGIN - 2 * SYMBOL - width(&result, LABEL);
        Self { name: fitted(&name, LABEL, room), is_contradicted, result, marks }
    }

    fn write_caption<DB: DrawingBackend>(&self, root: &Area<DB>, y: i32) -> Drawn<DB> {
        write(root, &self.name, (LEFT, y), HPos::Left, &text_style(LABEL, &INK))?;
        let mut x = LEFT + width(&self.name, LABEL) + SYMBOL;
        let mut color = FAINT_INK;
        if self.is_contradicted {
            Mark::Otherwise.draw(root, (x + LOUD, y))?;
            x += SYMBOL;
            color = CONTRADICTED;
        }
        write(root, &self.result, (x, y), HPos::Left, &text_style(LABEL, &color))
    }
}

impl Mark {
    fn draw<DB: DrawingBackend>(self, root: &Area<DB>, (x, y): (i32, i32)) -> Drawn<DB> {
        match self {
            Self::Admitted => root.draw(&Circle::new((x, y), QUIET, PALE_ADMITTED.filled())),
            Self::Throttled => {
                let corners = vec![(x, y - QUIET), (x + QUIET, y), (x, y + QUIET), (x - QUIET, y)];
                root.draw(&Polygon::new(corners, PALE_THROTTLED.filled()))
            }
            Self::Otherwise => {
                for slope in [-1, 1] {
                    let ends = vec![(x - LOUD, y - slope * LOUD), (x + LOUD, y + slope * LOUD)];
                    root.draw(&PathElement::new(ends, CONTRADICTED.stroke_width(6)))?;
                }
                Ok(())
            }
        }
    }
}
