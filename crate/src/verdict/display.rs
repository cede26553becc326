use std::fmt;

use super::{Binding, Candidate, ClockAnswer, Conclusion, Ranked, Separation, Spent, Verdict};
use crate::Forms;
use crate::notebook;
use crate::text::{grouped, percent, requests};

/// Candidates below this probability are not named beside the likely ones.
pub(super) const WORTH_NAMING: f64 = 0.05;

impl Verdict {
    /// The verdict in one phrase, such as `inconclusive: token_bucket 52 %, fixed_window 41 %`.
    pub fn headline(&self) -> String {
        match self.verdict {
            Conclusion::Mechanism(id) => {
                let best = self.ranked.first().and_then(|ranked| ranked.parameters);
                let name = best.map_or_else(|| id.to_string(), |mechanism| mechanism.to_string());
                let limited = match self.binding {
                    Binding::Quota(kind) => format!(", limiting {kind}"),
                    Binding::None | Binding::Unknown => String::new(),
                };
                format!("{name} ({}){limited}", percent(self.probability))
            }
            Conclusion::Inconclusive => {
                let rejected = match self.binding {
                    Binding::None => ", nothing was throttled",
                    Binding::Quota(_) | Binding::Unknown => "",
                };
                format!("inconclusive{rejected}{}", self.likely(": "))
            }
            Conclusion::NoneOfThese => {
                format!("none of these mechanisms explains the trace{}", self.likely(": "))
            }
        }
    }

    /// The answer to "absolute or relative minutes?".
    pub(crate) fn clock_sentence(&self) -> String {
        let (absolute, relative) = (percent(self.probability_absolute), percent(self.probability_relative));
        match self.clock_question {
            ClockAnswer::Absolute => format!("absolute ({absolute}): it resets on the clock minute"),
            ClockAnswer::Relative => format!("relative ({relative}): its window follows your own use"),
            ClockAnswer::Neither => {
                format!("neither: it follows no minute (absolute {absolute}, relative {relative})")
            }
            ClockAnswer::Unknown => {
                format!("the trace cannot tell (absolute {absolute}, relative {relative})")
            }
        }
    }

    /// The verdict as HTML and as text.
    pub fn forms(&self) -> Forms {
        // The text alone still says everything.
        let html = crate::report::verdict_html(self).ok().map(|html| ("text/html", html));
        html.into_iter().chain([("text/plain", self.to_string())]).collect()
    }

    /// Shows the verdict in a Rust notebook.
    pub fn evcxr_display(&self) {
        notebook::display(&self.forms());
    }

    fn likely(&self, before: &str) -> String {
        let likely: Vec<_> = self
            .ranked
            .iter()
            .filter(|ranked| ranked.probability >= WORTH_NAMING)
            .map(|ranked| format!("{} {}", ranked.mechanism, percent(ranked.probability)))
            .collect();
        if likely.is_empty() { String::new() } else { format!("{before}{}", likely.join(", ")) }
    }
}

impl Ranked {
    /// What it would be, in words.
    pub(crate) fn description(&self) -> String {
        match (self.parameters, self.mechanism) {
            (Some(parameters), _) => parameters.to_string(),
            (None, Candidate::SomethingElse) => "a mechanism outside this family".into(),
            (None, Candidate::Known(_)) => String::new(),
        }
    }
}

/// A sentence.
impl fmt::Display for Separation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { between: [leader, runner_up], after_s, tokens, admitted } = self;
        let (admits, rejects) =
            if admitted[0] > admitted[1] { (leader, runner_up) } else { (runner_up, leader) };
        write!(
            f,
            "To tell {leader} from {runner_up}, send {} tokens {after_s:.1} s after the last response: {admits} would \
             admit them, {rejects} would not.",
            grouped(*tokens)
        )
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tokens, requests) = (grouped(self.tokens), requests(self.requests));
        write!(f, "{tokens} tokens in {requests} over {:.1} minutes", self.minutes)
    }
}

/// What the command line prints: the headline, the verdict in plain words, every mechanism, the reasons and the warnings.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Verdict: {}", self.headline())?;
        writeln!(f, "Absolute or relative minutes? {}", self.clock_sentence())?;
        let besides =
            self.besides.map_or_else(String::new, |other| format!("; {} rejected some too", other.id()));
        writeln!(f, "Binding quota: {}{besides}", self.binding)?;
        writeln!(f, "In plain words: {}", self.summary)?;
        for ranked in &self.ranked {
            let (probability, id) = (percent(ranked.probability), ranked.mechanism.id());
            let sentences = [ranked.description(), ranked.reason.clone()];
            let said = sentences.iter().filter(|text| !text.is_empty());
            let said = said.map(String::as_str).collect::<Vec<_>>().join("; ");
            writeln!(f, "  {probability:>7}  {id:<17}  {said}")?;
        }
        for reason in &self.reasons {
            writeln!(f, "Because: {reason}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "Warning: {warning}")?;
        }
        write!(f, "Spent: {}", self.spent)
    }
}
