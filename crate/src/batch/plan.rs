use super::job::Job;
use super::lines::Lines;
use crate::Result;

/// What the input asks for, and what of it is answered: 16 bytes a line.
#[derive(Debug, Default)]
pub(super) struct Plan {
    lines: Vec<Planned>,
    /// Lines that are not blank.
    pub(super) requests: u64,
    pub(super) answered: u64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Planned {
    digest: u64,
    tokens_at_most: u32,
    is_answered: bool,
}

impl Plan {
    /// Reads the whole input once.
    ///
    /// # Errors
    /// A trace error if it cannot be read.
    pub(super) fn read(lines: &mut Lines, model: &str) -> Result<Self> {
        let mut plan = Self::default();
        while let Some(line) = lines.next()? {
            let job = Job::parse(&line, model);
            plan.lines.resize(line.number as usize, Planned::default());
            if let Some(planned) = plan.lines.last_mut() {
                planned.digest = job.digest;
                planned.tokens_at_most = u32::try_from(job.tokens_at_most()).unwrap_or(u32::MAX);
            }
            plan.requests += 1;
        }
        Ok(plan)
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines.len() as u64
    }

    pub(super) fn digest(&self, line: u64) -> Option<u64> {
        self.planned(line).map(|planned| planned.digest)
    }

    /// Whether a line need not be sent: it is answered, or was not there when the input was read.
    pub(super) fn is_done(&self, line: u64) -> bool {
        self.planned(line).is_none_or(|planned| planned.is_answered)
    }

    /// A line that was answered with so many tokens.
    pub(super) fn answered(&mut self, line: u64, input_tokens: u64, output_tokens: u64) {
        let planned = (line as usize).checked_sub(1).and_then(|index| self.lines.get_mut(index));
        if let Some(planned) = planned.filter(|planned| !planned.is_answered) {
            planned.is_answered = true;
            self.answered += 1;
            self.input_tokens += input_tokens;
            self.output_tokens += output_tokens;
        }
    }

    /// The most tokens that the requests which are not answered can use.
    pub(super) fn tokens_at_most(&self) -> u64 {
        let open = self.lines.iter().filter(|planned| !planned.is_answered);
        open.map(|planned| u64::from(planned.tokens_at_most)).sum()
    }

    fn planned(&self, line: u64) -> Option<&Planned> {
        (line as usize).checked_sub(1).and_then(|index| self.lines.get(index))
    }
}
