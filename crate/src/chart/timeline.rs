//! Status against time in characters, for terminals.

use super::axis::TimeAxis;
use crate::{Observation, Outcome};

const COLUMNS: usize = 96;
const LABEL: usize = 10;

/// A row for each outcome that was seen; in a column, `*` is one request and a digit how many there were.
pub(super) fn drawn(observations: &[Observation], axis: &TimeAxis) -> String {
    let is_failed = |outcome| outcome == Outcome::Failed;
    let rows = [
        ("admitted", Outcome::is_admitted as fn(Outcome) -> bool),
        ("throttled", Outcome::is_throttled),
        ("failed", is_failed),
    ];
    let span_s = axis.to.seconds_since(axis.from);
    let mut lines = Vec::new();
    for (label, is_of_row) in rows {
        let mut counts = [0; COLUMNS];
        for observation in observations.iter().filter(|observation| is_of_row(observation.outcome())) {
            let share = observation.sent.seconds_since(axis.from) / span_s;
            counts[((share * COLUMNS as f64) as usize).min(COLUMNS - 1)] += 1;
        }
        if counts != [0; COLUMNS] {
            lines.push(format!("{label:LABEL$}|{}|", counts.map(symbol).iter().collect::<String>()));
        }
    }
    let (from, to) = (axis.from.clock_text(), axis.to.clock_text());
    lines.push(format!("{:LABEL$} {from}{to:>width$}", "", width = COLUMNS - from.len()));
    lines.join("\n")
}

fn symbol(count: u32) -> char {
    match count {
        0 => ' ',
        1 => '*',
        few => char::from_digit(few, 10).unwrap_or('#'),
    }
}
