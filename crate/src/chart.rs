//! What was observed, drawn: status against time, what the likeliest mechanisms predict, and what the first had left.

mod axis;
mod backdrop;
mod bitmap;
mod goodput;
mod legend;
mod picture;
mod predictions;
mod remaining;
mod requests;
mod style;
mod timeline;

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use self::axis::TimeAxis;
use self::backdrop::Backdrop;
pub use self::goodput::GoodputChart;
use self::picture::Picture;
use self::predictions::Predictions;
use self::remaining::Remaining;
use self::requests::Requests;
use self::style::{FAINT_INK, INK, LABEL, TITLE, fitted, text_style, write};
use crate::pairing::unpaired;
use crate::prediction::Prediction;
use crate::text::{self, grouped};
use crate::{Binding, Forms, Observation, Result, Verdict, notebook};

type Area<DB> = DrawingArea<DB, Shift>;
type Drawn<DB> = std::result::Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

// Drawn twice as large as shown: both backends draw at whole pixels.
const WIDTH: i32 = 1_920;
const SHOWN: i32 = 2;
const LEFT: i32 = 250;
const MARGIN: i32 = 64;
const HEADER: i32 = 132;
const TIME_AXIS: i32 = 88;
const LEGEND: i32 = 84;
const EMPTY_BODY: i32 = 120;

/// Status against time: requests as markers, phases as bands, clock minutes as dashed lines.
///
/// With a verdict, its two likeliest mechanisms are replayed: a row of each says which requests contradict it, and a panel
/// below shows what the first would have left of the quota.
/// The same observations and verdict always give the same bytes.
#[derive(Clone)]
pub struct Chart {
    title: String,
    subtitle: String,
    body: Option<Body>,
}

#[derive(Clone)]
struct Body {
    axis: TimeAxis,
    backdrop: Backdrop,
    requests: Requests,
    predictions: Predictions,
    remaining: Option<Remaining>,
    /// The requests in characters.
    timeline: String,
}

impl Chart {
    /// A chart of `observations`, in any order, but for those that were shared with another target; without any it is a
    /// sentence that says so.
    pub fn new(observations: &[Observation], verdict: Option<&Verdict>) -> Self {
        style::register_font();
        let mut observations = unpaired(observations);
        observations.sort_by_key(|observation| observation.sent);
        let title = match (verdict, observations.len()) {
            (_, 0) => "No requests were observed yet".into(),
            (Some(verdict), _) => format!("Verdict: {}", verdict.headline()),
            (None, 1) => "1 request, no verdict yet".into(),
            (None, count) => format!("{} requests, no verdict yet", grouped(count as u64)),
        };
        let facts = [
            text::distinct(&observations, |observation| &observation.model),
            text::distinct(&observations, |observation| &observation.region),
            text::distinct(&observations, |observation| &observation.endpoint),
            text::time_scale(&observations).unwrap_or_default(),
        ];
        let room = WIDTH - 2 * MARGIN;
        let known = facts.into_iter().filter(|fact| !fact.is_empty());
        let facts: Vec<_> = known.map(|fact| fitted(&fact, LABEL, room * 2 / 5)).collect();
        Self {
            title: fitted(&title, TITLE, room),
            subtitle: fitted(&facts.join("  ·  "), LABEL, room),
            body: Body::new(&observations, verdict),
        }
    }

    /// The chart as an SVG document that uses the viewer's sans-serif font.
    ///
    /// # Errors
    /// An output error if it cannot be drawn.
    pub fn svg(&self) -> Result<String> {
        picture::svg(self)
    }

    /// The chart as a PNG image, 1,920 pixels wide.
    ///
    /// # Errors
    /// An output error if it cannot be drawn.
    pub fn png(&self) -> Result<Vec<u8>> {
        picture::bitmap(self)?.png()
    }

    /// Writes the chart as a picture: PNG if the name ends so, else SVG.
    ///
    /// # Errors
    /// An output error if it cannot be drawn or written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        picture::save(self, path.as_ref())
    }

    /// The chart for a terminal: a row an outcome, a column about a hundredth of the time.
    pub fn text(&self) -> String {
        Picture::text(self)
    }

    /// The chart as SVG, as PNG for viewers that do not trust SVG, and as text.
    pub fn forms(&self) -> Forms {
        picture::forms(self)
    }

    /// Width and height of the drawing.
    pub(crate) fn size(&self) -> (u32, u32) {
        Picture::size(self)
    }

    /// Shows the chart in a Rust notebook.
    pub fn evcxr_display(&self) {
        notebook::display(&self.forms());
    }

    /// Where the marker of each request is, in the order they were sent, in the units of [`Self::size`].
    pub(crate) fn places(&self) -> Vec<(i32, i32)> {
        self.body.as_ref().map_or_else(Vec::new, |body| body.requests.places(body.requests_bottom()))
    }
}

impl Picture for Chart {
    fn size(&self) -> (u32, u32) {
        let body = self.body.as_ref().map_or(EMPTY_BODY, Body::height);
        (WIDTH as u32, (HEADER + body) as u32)
    }

    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>) -> Drawn<DB> {
        draw_header(root, &self.title, &self.subtitle)?;
        match &self.body {
            Some(body) => body.draw(root)?,
            None => {
                let hint = "Send a request, then draw the chart again.";
                write(root, hint, (MARGIN, HEADER + 20), HPos::Left, &text_style(LABEL, &INK))?;
            }
        }
        root.present()
    }

    fn text(&self) -> String {
        let timeline = self.body.as_ref().map_or("", |body| &body.timeline);
        [&*self.title, &*self.subtitle, timeline].map(str::trim_end).join("\n")
    }
}

fn draw_header<DB: DrawingBackend>(root: &Area<DB>, title: &str, subtitle: &str) -> Drawn<DB> {
    root.fill(&WHITE)?;
    write(root, title, (MARGIN, 46), HPos::Left, &text_style(TITLE, &INK))?;
    write(root, subtitle, (MARGIN, 94), HPos::Left, &text_style(LABEL, &FAINT_INK))
}

impl Body {
    fn new(observations: &[Observation], verdict: Option<&Verdict>) -> Option<Self> {
        let axis = TimeAxis::over(observations)?;
        let backdrop = Backdrop::new(observations, &axis);
        let requests = Requests::new(observations, &axis);
        let compared = verdict.map_or_else(Vec::new, |verdict| Prediction::of(observations, verdict));
        let binding = verdict.map_or(Binding::Unknown, |verdict| verdict.binding);
        let predictions = Predictions::new(observations, &compared, binding, &axis);
        let winner = verdict.zip(compared.first());
        let remaining =
            winner.and_then(|(verdict, winner)| Remaining::new(observations, verdict, winner, &axis));
        let timeline = timeline::drawn(observations, &axis);
        Some(Self { axis, backdrop, requests, predictions, remaining, timeline })
    }

    fn height(&self) -> i32 {
        let predictions = self.predictions.height();
        let remaining = self.remaining.as_ref().map_or(0, Remaining::height);
        self.backdrop.names_height() + self.requests.height() + predictions + remaining + TIME_AXIS + LEGEND
    }

    fn requests_bottom(&self) -> i32 {
        HEADER + self.backdrop.names_height() + self.requests.height()
    }

    /// The time axis belongs to the lowest panel.
    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>) -> Drawn<DB> {
        let below = |is_lowest: bool| if is_lowest { TIME_AXIS } else { 0 };
        let top = HEADER + self.backdrop.names_height();
        let mut bottom = self.requests_bottom();
        self.backdrop.draw_bands(root, HEADER, bottom)?;
        self.backdrop.draw_minutes(root, top, bottom)?;
        self.backdrop.write_names(root, HEADER)?;
        let is_lowest = self.predictions.is_empty() && self.remaining.is_none();
        self.requests.draw(root, &self.axis, (top, bottom, below(is_lowest)))?;
        for (top, bottom) in self.predictions.plots(bottom) {
            self.draw_backdrop(root, top, bottom)?;
        }
        self.predictions.draw(root, &self.axis, (bottom, below(self.remaining.is_none())))?;
        bottom += self.predictions.height();
        if let Some(remaining) = &self.remaining {
            bottom += remaining.height();
            let plot_top = bottom - remaining::PLOT;
            self.draw_backdrop(root, plot_top, bottom)?;
            remaining.draw(root, &self.axis, (plot_top, bottom, TIME_AXIS))?;
        }
        legend::draw(root, bottom + TIME_AXIS + LEGEND / 2, &self.requests, &self.backdrop)
    }

    fn draw_backdrop<DB: DrawingBackend>(&self, root: &Area<DB>, top: i32, bottom: i32) -> Drawn<DB> {
        self.backdrop.draw_bands(root, top, bottom)?;
        self.backdrop.draw_minutes(root, top, bottom)
    }
}
