//! Observations as a table, for notebooks and terminals.

use std::fmt;

use askama::Template;

use crate::text::grouped;
use crate::{Forms, Observation, notebook};

/// Every request with what became of it, in the order they were sent.
#[derive(Clone, Debug)]
pub struct RequestTable {
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "requests.html")]
struct Html<'a> {
    rows: &'a [Row],
}

#[derive(Clone, Debug)]
struct Row {
    name: String,
    sent: String,
    tokens: String,
    status: String,
    latency: String,
}

impl RequestTable {
    /// A table of `observations`, in any order.
    pub fn new(observations: &[Observation]) -> Self {
        let mut observations: Vec<_> = observations.iter().collect();
        observations.sort_by_key(|observation| observation.sent);
        Self { rows: observations.into_iter().map(Row::of).collect() }
    }

    /// The table as HTML and as text.
    pub fn forms(&self) -> Forms {
        let html = Html { rows: &self.rows }.render().ok().map(|html| ("text/html", html));
        html.into_iter().chain([("text/plain", self.to_string())]).collect()
    }

    /// Shows the table in a Rust notebook.
    pub fn evcxr_display(&self) {
        notebook::display(&self.forms());
    }
}

impl Row {
    fn of(seen: &Observation) -> Self {
        Self {
            name: seen.name.clone(),
            sent: seen.sent.clock_text(),
            tokens: grouped(seen.tokens_estimated),
            status: seen
                .status
                .map_or_else(|| seen.error_type.clone().unwrap_or_default(), |status| status.to_string()),
            latency: format!("{:.2} s", (seen.finished - seen.sent).as_secs_f64()),
        }
    }
}

impl fmt::Display for RequestTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max(7);
        write!(f, "{:width$}  {:12}  {:>9}  {:>6}  {:>8}", "request", "sent", "tokens", "status", "latency")?;
        for Row { name, sent, tokens, status, latency } in &self.rows {
            write!(f, "\n{name:width$}  {sent:12}  {tokens:>9}  {status:>6}  {latency:>8}")?;
        }
        Ok(())
    }
}
