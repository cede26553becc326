//! What lies behind every panel: the phases as bands and the clock minutes as dashed lines.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axis::TimeAxis;
use super::style::{FAINT_INK, INK, LABEL, MINUTE, TINTS, fitted, lanes, text_style, width, write};
use super::{Area, Drawn, MARGIN, WIDTH};
use crate::Observation;

const MOST_LANES: usize = 3;
const LANE: i32 = 36;
const BAND_MARGIN: i32 = 18;
const LONGEST_NAME: i32 = 420;
const DASH: usize = 18;
const GAP: usize = 14;

#[derive(Clone)]
pub(super) struct Backdrop {
    bands: Vec<Band>,
    lanes: Vec<Option<usize>>,
    minutes: Vec<(i32, String)>,
    /// Clock minutes between two dashed lines.
    pub minute_step: i64,
}

#[derive(Clone)]
struct Band {
    name: String,
    /// Where the name begins: left of the band if it would otherwise leave the drawing.
    name_x: i32,
    from: i32,
    to: i32,
    tint: usize,
}

impl Backdrop {
    pub fn new(observations: &[Observation], axis: &TimeAxis) -> Self {
        let mut bands: Vec<Band> = Vec::new();
        let mut phases: Vec<&str> = Vec::new();
        for run in observations.chunk_by(|a, b| a.phase == b.phase) {
            let (first, last) = (&run[0], &run[run.len() - 1]);
            if first.phase.is_empty() {
                continue;
            }
            let known = phases.iter().position(|phase| *phase == first.phase);
            let tint = known.unwrap_or_else(|| {
                phases.push(&first.phase);
                phases.len() - 1
            });
            let from = axis.x(first.sent) - BAND_MARGIN;
            // Two bands meet between their requests instead of overlapping.
            let from = bands.last().map_or(from, |band| from.max(band.to));
            let to = (axis.x(last.sent) + BAND_MARGIN).max(from + 2);
            let name = fitted(&first.phase, LABEL, LONGEST_NAME);
            let name_x = (from + 6).min(WIDTH - MARGIN - width(&name, LABEL));
            bands.push(Band { name, name_x, from, to, tint: tint % TINTS.len() });
        }
        let spans = bands.iter().map(|band| (band.name_x, band.name_x + width(&band.name, LABEL) + 16));
        let lanes = lanes(spans, MOST_LANES);
        let (minutes, minute_step) = axis.minutes();
        let minutes = minutes
            .into_iter()
            .map(|minute| (axis.x(minute), minute.to_chrono().format("%H:%M").to_string()))
            .collect();
        Self { bands, lanes, minutes, minute_step }
    }

    pub fn has_minutes(&self) -> bool {
        !self.minutes.is_empty()
    }

    /// Height of the names of phases and minutes above the upper panel.
    pub fn names_height(&self) -> i32 {
        let lanes = self.lanes.iter().flatten().max().map_or(0, |most| most + 1);
        LANE * (lanes as i32 + 1)
    }

    /// Tints the phases from `top` to `bottom`.
    pub fn draw_bands<DB: DrawingBackend>(&self, root: &Area<DB>, top: i32, bottom: i32) -> Drawn<DB> {
        for band in &self.bands {
            root.draw(&Rectangle::new([(band.from, top), (band.to, bottom)], TINTS[band.tint].filled()))?;
        }
        Ok(())
    }

    /// Draws the dashed lines from `top` to `bottom`.
    pub fn draw_minutes<DB: DrawingBackend>(&self, root: &Area<DB>, top: i32, bottom: i32) -> Drawn<DB> {
        for (x, _) in &self.minutes {
            for y in (top..bottom).step_by(DASH + GAP) {
                let dash = vec![(*x, y), (*x, (y + DASH as i32).min(bottom))];
                root.draw(&PathElement::new(dash, MINUTE.stroke_width(2)))?;
            }
        }
        Ok(())
    }

    /// Writes the names of phases from `top` on, those of the minutes below them.
    pub fn write_names<DB: DrawingBackend>(&self, root: &Area<DB>, top: i32) -> Drawn<DB> {
        for (band, lane) in self.bands.iter().zip(&self.lanes) {
            if let Some(lane) = lane {
                let y = top + LANE * *lane as i32 + LANE / 2;
                write(root, &band.name, (band.name_x, y), HPos::Left, &text_style(LABEL, &INK))?;
            }
        }
        for (x, label) in &self.minutes {
            let y = top + self.names_height() - LANE / 2;
            write(root, label, (*x, y), HPos::Center, &text_style(LABEL, &FAINT_INK))?;
        }
        Ok(())
    }
}
