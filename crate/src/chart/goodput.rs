//! Tokens that were admitted since a phase began, phase beside phase.

use std::path::Path;

use plotters::prelude::*;
use plotters::series::DashedLineSeries;

use super::picture::{self, Picture};
use super::requests::Mark;
use super::style::{ADMITTED, FAINT_INK, GRID, INK, LABEL, REMAINING, THROTTLED, TITLE, fitted, text_style};
use super::{Area, Drawn, HEADER, LEFT, MARGIN, TIME_AXIS, WIDTH, draw_header, style};
use crate::text::grouped;
use crate::{Forms, Observation, Result, notebook};

const HEIGHT: i32 = 760;
const LINES: [RGBColor; 4] = [THROTTLED, ADMITTED, REMAINING, INK];
const MARK: f64 = 9.0;
/// The shortest time axis, in minutes.
const SHORTEST_MIN: f64 = 0.1;

/// Goodput: the tokens that were admitted since a phase began, against time, for phases that are to be compared; with the
/// requests that were rejected, and what the quota allows.
#[derive(Clone)]
pub struct GoodputChart {
    title: String,
    subtitle: String,
    tpm: Option<u64>,
    minutes: f64,
    phases: Vec<Phase>,
}

#[derive(Clone)]
struct Phase {
    name: String,
    /// Minutes since the phase began, and tokens admitted until then.
    steps: Vec<(f64, u64)>,
    rejected: Vec<(f64, u64)>,
}

impl GoodputChart {
    /// A chart of the phases of these names, of a quota of `tpm` tokens per minute, if that is known.
    pub fn new(observations: &[Observation], phases: &[&str], tpm: Option<u64>) -> Self {
        style::register_font();
        let phases: Vec<_> = phases.iter().map(|name| Phase::new(name, observations)).collect();
        let last = phases.iter().filter_map(|phase| phase.steps.last());
        let minutes = last.map(|(minutes, _)| *minutes).fold(SHORTEST_MIN, f64::max);
        let said: Vec<_> = phases.iter().map(|phase| phase.said(minutes)).collect();
        let room = WIDTH - 2 * MARGIN;
        let quota = tpm.map(|tpm| format!("the quota allows {} tokens a minute  ·  ", grouped(tpm)));
        let subtitle = format!("{}a diamond is a request that was rejected", quota.unwrap_or_default());
        Self {
            title: fitted(&format!("Goodput: {}", said.join(", ")), TITLE, room),
            subtitle: fitted(&subtitle, LABEL, room),
            tpm,
            minutes,
            phases,
        }
    }

    /// The chart as an SVG document that uses the viewer's sans-serif font.
    ///
    /// # Errors
    /// An output error if it cannot be drawn.
    pub fn svg(&self) -> Result<String> {
        picture::svg(self)
    }

    /// Writes the chart as a picture: PNG if the name ends so, else SVG.
    ///
    /// # Errors
    /// An output error if it cannot be drawn or written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        picture::save(self, path.as_ref())
    }

    /// The chart as SVG, as PNG for viewers that do not trust SVG, and as text.
    pub fn forms(&self) -> Forms {
        picture::forms(self)
    }

    /// Shows the chart in a Rust notebook.
    pub fn evcxr_display(&self) {
        notebook::display(&self.forms());
    }
}

impl Phase {
    fn new(name: &str, observations: &[Observation]) -> Self {
        let ours: Vec<_> = observations.iter().filter(|seen| seen.phase == name).collect();
        let begin = ours.iter().map(|seen| seen.sent).min();
        let (mut steps, mut rejected, mut tokens) = (vec![(0.0, 0)], Vec::new(), 0);
        for seen in &ours {
            let minutes = begin.map_or(0.0, |begin| seen.finished.seconds_since(begin) / 60.0);
            let before = tokens;
            match seen.outcome() {
                outcome if outcome.is_admitted() => tokens += seen.used(),
                outcome if outcome.is_throttled() => rejected.push((minutes, tokens)),
                _ => {}
            }
            steps.extend([(minutes, before), (minutes, tokens)]);
        }
        Self { name: name.to_owned(), steps, rejected }
    }

    /// What it reached in `minutes` minutes.
    fn said(&self, minutes: f64) -> String {
        let tokens = self.steps.last().map_or(0, |(_, tokens)| *tokens);
        let per_minute = grouped((tokens as f64 / minutes).round() as u64);
        format!("{} {per_minute} tokens a minute with {} rejected", self.name, self.rejected.len())
    }
}

impl Picture for GoodputChart {
    fn size(&self) -> (u32, u32) {
        (WIDTH as u32, HEIGHT as u32)
    }

    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>) -> Drawn<DB> {
        draw_header(root, &self.title, &self.subtitle)?;
        let allowed = self.tpm.map(|tpm| tpm as f64 * self.minutes);
        let most =
            self.phases.iter().filter_map(|phase| phase.steps.last()).map(|(_, tokens)| *tokens as f64);
        let most = most.chain(allowed).fold(1.0, f64::max) * 1.04;
        let mut panel = ChartBuilder::on(root)
            .margin_top(HEADER)
            .margin_left(MARGIN)
            .margin_right(MARGIN)
            .margin_bottom(MARGIN / 2)
            .y_label_area_size(LEFT - MARGIN)
            .x_label_area_size(TIME_AXIS)
            .build_cartesian_2d(0.0..self.minutes, 0.0..most)?;
        panel
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(2))
            .axis_style(FAINT_INK.stroke_width(2))
            .label_style(text_style(LABEL, &INK))
            .x_label_formatter(&f64::to_string)
            .y_label_formatter(&|tokens| grouped(*tokens as u64))
            .x_desc("Minutes since the phase began")
            .y_desc("Tokens admitted")
            .axis_desc_style(text_style(LABEL, &FAINT_INK))
            .draw()?;
        if let Some(allowed) = allowed {
            let ends = [(0.0, 0.0), (self.minutes, allowed)];
            let line = DashedLineSeries::new(ends, 14, 10, FAINT_INK.stroke_width(3));
            panel.draw_series(line)?.label("what the quota allows").legend(swatch(FAINT_INK));
        }
        for (phase, colour) in self.phases.iter().zip(LINES.into_iter().cycle()) {
            let to_end = phase.steps.last().map(|(_, tokens)| (self.minutes, *tokens));
            let steps = phase.steps.iter().copied().chain(to_end);
            let steps = steps.map(|(minutes, tokens)| (minutes, tokens as f64));
            let line = LineSeries::new(steps, colour.stroke_width(5));
            panel.draw_series(line)?.label(&phase.name).legend(swatch(colour));
            for (minutes, tokens) in &phase.rejected {
                let place = panel.backend_coord(&(*minutes, *tokens as f64));
                Mark::Throttled.draw(root, place, MARK)?;
            }
        }
        panel
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .margin(24)
            .legend_area_size(56)
            .label_font(text_style(LABEL, &INK))
            .draw()?;
        root.present()
    }

    fn text(&self) -> String {
        let line = |phase: &Phase| phase.said(self.minutes);
        let lines: Vec<_> = self.phases.iter().map(line).collect();
        format!("{}\n{}", lines.join("\n"), self.subtitle)
    }
}

/// A short line of the colour, for the legend.
fn swatch(colour: RGBColor) -> impl Fn((i32, i32)) -> PathElement<(i32, i32)> {
    move |(x, y)| PathElement::new([(x, y), (x + 40, y)], colour.stroke_width(5))
}
