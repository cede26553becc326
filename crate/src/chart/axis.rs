//! The time axis that all panels share, and the frame of a panel.

use plotters::coord::combinators::WithKeyPoints;
use plotters::coord::types::{RangedCoordi32, RangedCoordi64};
use plotters::prelude::*;

use super::style::{FAINT_INK, GRID, INK, LABEL, text_style};
use super::{Area, LEFT, MARGIN, WIDTH};
use crate::{Observation, Timestamp, text};

const SECOND: i64 = 1_000_000_000;
const MINUTE_S: i64 = 60;
const DAY_S: i64 = 86_400;
const STEPS_S: [i64; 17] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200];

const MOST_TICKS: i64 = 9;
const MOST_MINUTES: i64 = 18;
const SHORTEST_S: f64 = 6.0;

/// The span of a chart, with room at both ends.
#[derive(Clone)]
pub(super) struct TimeAxis {
    pub from: Timestamp,
    pub to: Timestamp,
    days: String,
}

impl TimeAxis {
    /// Over observations in the order they were sent; `None` if there are none.
    pub fn over(observations: &[Observation]) -> Option<Self> {
        let first = observations.first()?.sent;
        let last = observations.iter().map(|observation| observation.finished.max(observation.sent)).max()?;
        let span = last.seconds_since(first);
        let room = (span * 0.04).max((SHORTEST_S - span) / 2.0).max(1.0);
        let (from, to) = (first.plus_seconds(-room), last.plus_seconds(room));
        Some(Self { from, to, days: text::days(first, last) })
    }

    /// Where `at` lies on the drawing.
    pub fn x(&self, at: Timestamp) -> i32 {
        let share = at.seconds_since(self.from) / self.to.seconds_since(self.from);
        LEFT + (share * f64::from(WIDTH - LEFT - MARGIN)).round() as i32
    }

    /// Full clock minutes, or every so many of them if they would be too dense; with the step in minutes.
    pub fn minutes(&self) -> (Vec<Timestamp>, i64) {
        let step = self.step_s(MOST_MINUTES).max(MINUTE_S);
        (self.multiples(step), step / MINUTE_S)
    }

    /// `count` instants evenly over the span, both ends included.
    pub fn samples(&self, count: u32) -> impl Iterator<Item = Timestamp> {
        let step_s = self.to.seconds_since(self.from) / f64::from(count - 1);
        (0..count).map(move |index| self.from.plus_seconds(f64::from(index) * step_s))
    }

    fn step_s(&self, most: i64) -> i64 {
        let span_s = (self.to - self.from).as_secs() as i64;
        let fits = |step: &i64| span_s / step < most;
        STEPS_S.into_iter().find(fits).unwrap_or_else(|| (span_s / DAY_S / most + 1) * DAY_S)
    }

    fn multiples(&self, step_s: i64) -> Vec<Timestamp> {
        let step = step_s * SECOND;
        let first = self.from.as_nanos().div_euclid(step) + 1;
        let last = self.to.as_nanos().div_euclid(step);
        (first..=last).map(|index| Timestamp::from_nanos(index * step)).collect()
    }

    fn ticks(&self) -> (Vec<i64>, &'static str) {
        let step_s = self.step_s(MOST_TICKS);
        let format = if step_s < DAY_S { "%H:%M:%S" } else { "%Y-%m-%d" };
        (self.multiples(step_s).into_iter().map(Timestamp::as_nanos).collect(), format)
    }
}

/// The frame of one panel: its y axis, and the time axis if it is the lowest.
pub(super) struct Frame {
    pub top: i32,
    pub bottom: i32,
    /// Labels of the y axis, by their height above `bottom`: y counts pixels.
    pub y_labels: Vec<(i32, String)>,
    /// Height for the time axis below, 0 for none.
    pub below: i32,
}

pub(super) type Panel<'a, DB> =
    ChartContext<'a, DB, Cartesian2d<WithKeyPoints<RangedCoordi64>, WithKeyPoints<RangedCoordi32>>>;

impl Frame {
    /// Draws grid, axes and labels.
    pub fn draw<'a, DB: DrawingBackend>(
        &self,
        root: &'a Area<DB>,
        axis: &TimeAxis,
    ) -> Result<Panel<'a, DB>, DrawingAreaErrorKind<DB::ErrorType>> {
        let (ticks, format) = axis.ticks();
        let y_ticks = self.y_labels.iter().map(|(y, _)| *y).collect();
        let mut panel = ChartBuilder::on(root)
            .margin_top(self.top)
            .margin_bottom(root.dim_in_pixel().1 as i32 - self.bottom - self.below)
            .margin_right(MARGIN)
            .y_label_area_size(LEFT)
            .x_label_area_size(self.below)
            .build_cartesian_2d(
                (axis.from.as_nanos()..axis.to.as_nanos()).with_key_points(ticks),
                (0..self.bottom - self.top).with_key_points(y_ticks),
            )?;
        let label_of = |y: &i32| {
            let label = self.y_labels.iter().find(|(at, _)| at == y);
            label.map(|(_, text)| text.clone()).unwrap_or_default()
        };
        panel
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID.stroke_width(2))
            .axis_style(FAINT_INK.stroke_width(2))
            .label_style(text_style(LABEL, &INK))
            .x_label_formatter(&|at| Timestamp::from_nanos(*at).to_chrono().format(format).to_string())
            .y_label_formatter(&label_of)
            .x_desc(format!("Time ({})", axis.days))
            .axis_desc_style(text_style(LABEL, &FAINT_INK))
            .draw()?;
        Ok(panel)
    }
}
