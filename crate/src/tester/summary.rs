use std::fmt;

use crate::{Forms, Observation, Outcome, notebook};

/// What happened, by phase; prints as a small table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// One row a phase, in the order in which the phases were first entered.
    pub phases: Vec<PhaseSummary>,
}

/// What happened in one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhaseSummary {
    /// The phase.
    pub phase: String,
    /// Requests that passed.
    pub admitted: usize,
    /// Requests that a quota rejected.
    pub throttled: usize,
    /// Requests that failed for other reasons.
    pub failed: usize,
    /// Tokens that the admitted requests used.
    pub tokens: u64,
    /// Requests that left more than 250 ms late.
    pub late: usize,
}

impl Summary {
    pub(super) fn of(observations: &[Observation]) -> Self {
        let mut summary = Self::default();
        for observation in observations {
            let row = summary.row(&observation.phase);
            match observation.outcome() {
                Outcome::Admitted => {
                    row.admitted += 1;
                    row.tokens += observation.used();
                }
                Outcome::Throttled(_) => row.throttled += 1,
                Outcome::Failed => row.failed += 1,
            }
            row.late += usize::from(observation.is_late());
        }
        summary
    }

    /// The table as text.
    pub fn forms(&self) -> Forms {
        vec![("text/plain", self.to_string())]
    }

    /// Shows the table in a Rust notebook.
    pub fn evcxr_display(&self) {
        notebook::display(&self.forms());
    }

    fn row(&mut self, phase: &str) -> &mut PhaseSummary {
        let index = self.phases.iter().position(|row| row.phase == phase).unwrap_or_else(|| {
            self.phases.push(PhaseSummary { phase: phase.to_owned(), ..PhaseSummary::default() });
            self.phases.len() - 1
        });
        &mut self.phases[index]
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.phases.iter().map(|row| row.phase.len()).max().unwrap_or(0).max("phase".len());
        writeln!(
            f,
            "{:width$}  {:>5}  {:>5}  {:>6}  {:>9}  {:>4}",
            "phase", "200", "429", "failed", "tokens", "late"
        )?;
        for row in &self.phases {
            let PhaseSummary { phase, admitted, throttled, failed, tokens, late } = row;
            writeln!(
                f,
                "{phase:width$}  {admitted:>5}  {throttled:>5}  {failed:>6}  {tokens:>9}  {late:>4}"
            )?;
        }
        Ok(())
    }
}
