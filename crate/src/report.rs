//! Verdict and trace as one HTML file that anyone can open.

use std::path::Path;

use askama::Template;

use crate::pairing::unpaired;
use crate::prediction::Prediction;
use crate::text::{days, distinct, grouped, percent, time_scale};
use crate::{Accounting, Chart, Error, Finding, Observation, Outcome, Paired, Result, Verdict, output};

/// A self-contained report: the verdict in words, the chart, every request. One HTML file that loads nothing from
/// anywhere. Its script shows a request's values at its marker and sorts tables; without it nothing else is missing.
#[derive(Clone)]
pub struct Report {
    observations: Vec<Observation>,
    verdict: Verdict,
    accounting: Option<Accounting>,
    paired: Option<Paired>,
    partial: bool,
}

impl Report {
    /// A report of `observations`, in any order; those that were shared with another target are left out. `partial` says
    /// on top that the run ended early.
    pub fn new(observations: &[Observation], verdict: Verdict, partial: bool) -> Self {
        let mut observations = unpaired(observations);
        observations.sort_by_key(|observation| observation.sent);
        Self { observations, verdict, accounting: None, paired: None, partial }
    }

    /// With what was found about the accounting.
    #[must_use]
    pub fn with_accounting(self, accounting: Option<Accounting>) -> Self {
        Self { accounting, ..self }
    }

    /// With what was found about another target.
    #[must_use]
    pub fn with_paired(self, paired: Option<Paired>) -> Self {
        Self { paired, ..self }
    }

    /// The document.
    ///
    /// # Errors
    /// An output error if the chart cannot be drawn.
    pub fn html(&self) -> Result<String> {
        let predictions = Prediction::of(&self.observations, &self.verdict);
        let chart = Chart::new(&self.observations, Some(&self.verdict));
        let places = chart.places();
        let rows = self.observations.iter().enumerate().zip(places);
        let page = Page {
            verdict: VerdictTable::of(&self.verdict),
            accounting: self
                .accounting
                .as_ref()
                .map(|accounting| accounting.findings().into())
                .unwrap_or_default(),
            paired: self.paired.as_ref().map(ToString::to_string).unwrap_or_default(),
            partial: self.partial,
            facts: self.facts(),
            chart: chart.svg()?,
            chart_size: chart.size(),
            rows: rows.map(|((index, seen), place)| Row::of(seen, index, place, &predictions)).collect(),
        };
        page.render().map_err(unrenderable)
    }

    /// Writes the document to `path`, whole or not at all.
    ///
    /// # Errors
    /// An output error if it cannot be written there; an earlier version then stays as it was.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        output::write_whole(path.as_ref(), self.html()?.as_bytes())
    }

    /// What was measured, as labels and values.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let seen = &self.observations;
        let count = |wanted: fn(Outcome) -> bool| {
            grouped(seen.iter().filter(|observation| wanted(observation.outcome())).count() as u64)
        };
        let when = seen.first().zip(seen.last()).map(|(first, last)| {
            let (from, to) = (first.sent.clock_text(), last.sent.clock_text());
            format!("{from} to {to} ({})", days(first.sent, last.sent))
        });
        let outcomes = format!(
            "{} admitted, {} throttled, {} failed",
            count(Outcome::is_admitted),
            count(Outcome::is_throttled),
            count(|outcome| outcome == Outcome::Failed),
        );
        let facts = [
            ("Model", distinct(seen, |observation| &observation.model)),
            ("Region", distinct(seen, |observation| &observation.region)),
            ("Endpoint", distinct(seen, |observation| &observation.endpoint)),
            ("Clock", time_scale(seen).unwrap_or_default()),
            ("When", when.unwrap_or_default()),
            ("Requests", outcomes),
            ("Spent", self.verdict.spent.to_string()),
        ];
        facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// The verdict as an HTML fragment, for notebooks.
pub(crate) fn verdict_html(verdict: &Verdict) -> Result<String> {
    VerdictTable::of(verdict).render().map_err(unrenderable)
}

fn unrenderable(cause: askama::Error) -> Error {
    Error::output("cannot render the report (please report this with the trace)").because(cause)
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    verdict: VerdictTable<'a>,
    accounting: Vec<(&'static str, &'a Finding)>,
    paired: String,
    partial: bool,
    facts: Vec<(&'static str, String)>,
    chart: String,
    chart_size: (u32, u32),
    rows: Vec<Row<'a>>,
}

#[derive(Template)]
#[template(path = "verdict.html")]
struct VerdictTable<'a> {
    headline: String,
    clock: String,
    binding: &'static str,
    ranked: Vec<Share<'a>>,
    summary: &'a str,
    reasons: &'a [String],
    warnings: &'a [String],
}

struct Share<'a> {
    id: &'static str,
    percent: String,
    /// Length of the bar, in percent.
    bar: f64,
    description: String,
    reason: &'a str,
}

impl<'a> VerdictTable<'a> {
    fn of(verdict: &'a Verdict) -> Self {
        let ranked = verdict.ranked.iter().map(|ranked| Share {
            id: ranked.mechanism.id(),
            percent: percent(ranked.probability),
            bar: (ranked.probability * 1_000.0).round() / 10.0,
            description: ranked.description(),
            reason: &ranked.reason,
        });
        Self {
            headline: verdict.headline(),
            clock: verdict.clock_sentence(),
            binding: verdict.binding.id(),
            ranked: ranked.collect(),
            summary: &verdict.summary,
            reasons: &verdict.reasons,
            warnings: &verdict.warnings,
        }
    }
}

struct Row<'a> {
    seen: &'a Observation,
    /// Where its marker is in the chart.
    x: i32,
    y: i32,
    sent: String,
    outcome: &'static str,
    /// Of the mechanisms that were compared, those that predict another outcome.
    contradicts: String,
    status: String,
    tokens_estimated: String,
    tokens_used: String,
    latency: String,
    late: String,
}

impl<'a> Row<'a> {
    fn of(seen: &'a Observation, index: usize, (x, y): (i32, i32), predictions: &[Prediction]) -> Self {
        let outcome = match seen.outcome() {
            Outcome::Admitted => "admitted",
            Outcome::Throttled(_) => "throttled",
            Outcome::Failed => "failed",
        };
        let contradicted = predictions.iter().filter(|prediction| prediction.agrees[index] == Some(false));
        let contradicted: Vec<_> = contradicted.map(|prediction| prediction.mechanism.id().id()).collect();
        // Times imported to the second are intervals, which say nothing about latency.
        let is_interval = seen.endpoint == "imported" || seen.extra.contains_key("time_resolution_s");
        let latency_ms = (seen.finished - seen.sent).as_millis();
        Self {
            seen,
            x,
            y,
            sent: seen.sent.clock_text(),
            outcome,
            contradicts: contradicted.join(", "),
            status: seen.status.map_or_else(String::new, |status| status.to_string()),
            tokens_estimated: grouped(seen.tokens_estimated),
            tokens_used: seen.settled(1).map_or_else(String::new, grouped),
            latency: if is_interval { String::new() } else { format!("{} ms", grouped(latency_ms as u64)) },
            late: if seen.is_late() { format!("{:.1} s late", seen.late_s()) } else { String::new() },
        }
    }
}
