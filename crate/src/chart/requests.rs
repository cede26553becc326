//! The upper panel: one marker a request, one row an outcome.

use plotters::prelude::*;

use super::axis::{Frame, TimeAxis};
use super::style::{ADMITTED, FAILED, THROTTLED, lanes};
use super::{Area, Drawn};
use crate::{Observation, Outcome};

/// The radius of the largest marker.
pub(super) const LARGEST: f64 = 13.0;
const SMALLEST: f64 = 3.0;
const MOST_LANES: usize = 8;
const LANE: i32 = 28;
const ROW_MARGIN: i32 = 26;

#[derive(Clone)]
pub(super) struct Requests {
    /// The lowest first.
    rows: Vec<Row>,
    /// The largest request, whose marker is the largest.
    pub most_tokens: u64,
}

#[derive(Clone)]
struct Row {
    mark: Mark,
    label: String,
    lanes: usize,
    markers: Vec<Marker>,
}

#[derive(Clone)]
struct Marker {
    /// Which of the observations it stands for.
    index: usize,
    x: i32,
    lane: usize,
    radius: f64,
}

/// What a marker looks like.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Mark {
    Admitted,
    Throttled,
    Failed,
}

impl Mark {
    fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Admitted => Self::Admitted,
            Outcome::Throttled(_) => Self::Throttled,
            Outcome::Failed => Self::Failed,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Throttled => "throttled",
            Self::Failed => "failed",
        }
    }

    /// Draws the mark with the area of a circle of `radius`.
    pub fn draw<DB: DrawingBackend>(self, root: &Area<DB>, (x, y): (i32, i32), radius: f64) -> Drawn<DB> {
        match self {
            Self::Admitted => {
                root.draw(&Circle::new((x, y), radius.round() as i32, ADMITTED.mix(0.75).filled()))
            }
            Self::Throttled => {
                let half = (radius * 1.25).round() as i32;
                let corners = vec![(x, y - half), (x + half, y), (x, y + half), (x - half, y), (x, y - half)];
                root.draw(&PathElement::new(corners, THROTTLED.stroke_width(4)))
            }
            Self::Failed => {
                let size = (radius * 1.56).round() as i32;
                root.draw(&TriangleMarker::new((x, y), size, FAILED.filled()))
            }
        }
    }
}

impl Requests {
    pub fn new(observations: &[Observation], axis: &TimeAxis) -> Self {
        let most_tokens = observations.iter().map(Observation::reserved).max().unwrap_or(0).max(1);
        let row = |mark| Row::new(mark, observations, axis, most_tokens);
        let mut rows = vec![row(Mark::Throttled), row(Mark::Admitted)];
        let failed = row(Mark::Failed);
        if !failed.markers.is_empty() {
            rows.insert(0, failed);
        }
        Self { rows, most_tokens }
    }

    /// How many requests ended which way, the uppermost row first.
    pub fn counts(&self) -> impl Iterator<Item = (Mark, usize)> {
        self.rows.iter().rev().map(|row| (row.mark, row.markers.len()))
    }

    pub fn height(&self) -> i32 {
        self.rows.iter().map(Row::height).sum()
    }

    /// Where the marker of each observation is, in their order.
    pub fn places(&self, bottom: i32) -> Vec<(i32, i32)> {
        let places = |(row, baseline): (&Row, i32)| -> Vec<_> {
            row.markers.iter().map(|marker| (marker.index, marker.place(baseline))).collect()
        };
        let mut places: Vec<_> = self.placed(bottom).flat_map(places).collect();
        places.sort_unstable();
        places.into_iter().map(|(_, place)| place).collect()
    }

    /// Each row with the height of its lowest lane.
    fn placed(&self, bottom: i32) -> impl Iterator<Item = (&Row, i32)> {
        self.rows.iter().scan(bottom, |bottom, row| {
            let baseline = *bottom - ROW_MARGIN;
            *bottom -= row.height();
            Some((row, baseline))
        })
    }

    /// Draws the rows from `top` to `bottom`, with `below` for the time axis if this is the lowest panel.
    pub fn draw<DB: DrawingBackend>(
        &self,
        root: &Area<DB>,
        axis: &TimeAxis,
        (top, bottom, below): (i32, i32, i32),
    ) -> Drawn<DB> {
        let labels = self.placed(bottom).map(|(row, baseline)| (bottom - baseline, row.label.clone()));
        Frame { top, bottom, y_labels: labels.collect(), below }.draw(root, axis)?;
        for (row, baseline) in self.placed(bottom) {
            for marker in &row.markers {
                row.mark.draw(root, marker.place(baseline), marker.radius)?;
            }
        }
        Ok(())
    }
}

impl Marker {
    fn place(&self, baseline: i32) -> (i32, i32) {
        (self.x, baseline - LANE * self.lane as i32)
    }
}

impl Row {
    fn new(mark: Mark, observations: &[Observation], axis: &TimeAxis, most_tokens: u64) -> Self {
        let all = observations.iter().enumerate();
        let ours: Vec<_> = all.filter(|(_, seen)| Mark::of(seen.outcome()) == mark).collect();
        let xs: Vec<_> = ours.iter().map(|(_, seen)| axis.x(seen.sent)).collect();
        // Requests at nearly the same time stand on top of each other, so that they can be counted.
        let placed = lanes(xs.iter().map(|x| (*x, *x + LANE)), MOST_LANES);
        let markers: Vec<_> = ours
            .iter()
            .zip(xs)
            .zip(&placed)
            .map(|(((index, seen), x), lane)| {
                let share = seen.reserved() as f64 / most_tokens as f64;
                let radius = (share.sqrt() * LARGEST).max(SMALLEST);
                Marker { index: *index, x, lane: lane.unwrap_or(MOST_LANES - 1), radius }
            })
            .collect();
        let lanes = placed.iter().flatten().max().map_or(1, |most| most + 1);
        Self { mark, label: label(mark, &ours), lanes, markers }
    }

    fn height(&self) -> i32 {
        LANE * self.lanes as i32 + 2 * ROW_MARGIN
    }
}

/// The outcome with the statuses that were seen: `throttled (429)`.
fn label(mark: Mark, observations: &[(usize, &Observation)]) -> String {
    let mut statuses: Vec<_> = observations.iter().filter_map(|(_, seen)| seen.status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    match statuses[..] {
        [] => mark.name().into(),
        [one] => format!("{} ({one})", mark.name()),
        [first, ..] => format!("{} ({first}, …)", mark.name()),
    }
}
