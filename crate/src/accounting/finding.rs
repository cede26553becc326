use std::fmt;

use serde::{Deserialize, Serialize};

use super::belief::Belief;
use super::ledger::Ledger;
use super::rules::{Burndown, Case, Refunds};
use crate::Refund;
use crate::text::percent;

/// How a quota of tokens is charged: each question by itself, with its own probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accounting {
    /// Whether admission reserves `max_tokens`: `yes` or `no`.
    pub reserved: Finding,
    /// When the unused part of a reservation comes back: `at_end` of the request, `never` (it stays as long as the window
    /// counts it), `delayed`, or `nothing_reserved`.
    pub refund: Finding,
    /// Whether rejected requests consume quota: `yes` or `no`.
    pub rejected_count: Finding,
    /// How many tokens an output token is charged as: `1`, `5`, `10`, `15` or `other`.
    pub burndown: Finding,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The answer, or `unknown`.
    pub answer: String,
    /// The likeliest answer, sure or not; `unknown` if nothing was measured.
    pub likeliest: String,
    /// Probability of the likeliest answer, 0 to 1.
    pub probability: f64,
    /// The same as a sentence.
    pub sentence: String,
}

const UNKNOWN: &str = "unknown";

impl Accounting {
    /// Whether every question is answered.
    pub fn is_complete(&self) -> bool {
        self.findings().iter().all(|(_, finding)| finding.answer != UNKNOWN)
    }

    /// The probability of the answer that is least sure.
    pub(super) fn least_probability(&self) -> f64 {
        self.findings().iter().map(|(_, finding)| finding.probability).fold(1.0, f64::min)
    }

    /// The questions in words, each with what was found.
    pub fn findings(&self) -> [(&'static str, &Finding); 4] {
        [
            ("Is max_tokens reserved at admission?", &self.reserved),
            ("When does its unused part come back?", &self.refund),
            ("Do rejected requests consume quota?", &self.rejected_count),
            ("What does an output token count for?", &self.burndown),
        ]
    }

    /// Every question open, because `reason`.
    pub(super) fn open(reason: &str) -> Self {
        let finding = Finding {
            answer: UNKNOWN.into(),
            likeliest: UNKNOWN.into(),
            probability: 0.0,
            sentence: format!("cannot tell, because {reason}"),
        };
        Self {
            reserved: finding.clone(),
            refund: finding.clone(),
            rejected_count: finding.clone(),
            burndown: finding,
        }
    }

    /// What beliefs come to on average.
    pub(super) fn of(beliefs: &[&Belief], confidence: f64) -> Self {
        let count = beliefs.len() as f64;
        let find = |id: fn(Case) -> String, say: &dyn Fn(&str) -> String| {
            let mut shares: Vec<(String, f64)> = Vec::new();
            for (case, share) in beliefs.iter().flat_map(|belief| belief.cases()) {
                let share = share / count;
                match shares.iter_mut().find(|(known, _)| *known == id(case)) {
                    Some((_, sum)) => *sum += share,
                    None => shares.push((id(case), share)),
                }
            }
            shares.sort_by(|a, b| b.1.total_cmp(&a.1));
            Finding::of(&shares, confidence, say)
        };
        let mean = |wanted: fn(Case) -> bool, value: fn(&Ledger) -> f64| {
            beliefs.iter().map(|belief| belief.mean(wanted, value)).sum::<f64>() / count
        };
        let delay_s = || {
            mean(
                |case| case.refund == Refunds::Delayed,
                |ledger| if let Refund::After(delay_s) = ledger.rules.refund { delay_s } else { 0.0 },
            )
        };
        let other = || mean(|case| case.burndown == Burndown::Other, |ledger| ledger.rules.burndown as f64);
        Self {
            reserved: find(reserved, &|answer| match answer {
                "yes" => "yes: a request must find room for its input and all of max_tokens".into(),
                _ => "no: a request must find room for its input only".into(),
            }),
            refund: find(refund, &|answer| match answer {
                "at_end" => "when the request ends".into(),
                "never" => "not at all: it stays charged as long as the window counts it".into(),
                "delayed" => format!("about {:.0} s after the request has ended", delay_s()),
                _ => "nothing is reserved, so nothing comes back".into(),
            }),
            rejected_count: find(rejected_count, &|answer| match answer {
                "yes" => "yes: a rejected request is charged like an admitted one".into(),
                _ => "no: a rejected request costs nothing".into(),
            }),
            burndown: find(burndown, &|answer| match answer {
                "other" => format!("something else than 1, 5, 10 or 15 tokens: about {:.0}", other()),
                "1" => "1 token".into(),
                factor => format!("{factor} tokens"),
            }),
        }
    }
}

impl Finding {
    /// `shares` are the answers with their probabilities, the likeliest first.
    fn of(shares: &[(String, f64)], confidence: f64, say: &dyn Fn(&str) -> String) -> Self {
        let Some((likeliest, probability)) = shares.first().cloned() else {
            return Accounting::open("nothing was observed").reserved;
        };
        let known = probability >= confidence;
        let sentence = if known {
            format!("{} ({})", say(&likeliest), percent(probability))
        } else {
            let shares: Vec<_> = shares
                .iter()
                .take(3)
                .map(|(answer, share)| format!("{answer} {}", percent(*share)))
                .collect();
            format!("cannot tell, because the requests fit more than one answer: {}", shares.join(", "))
        };
        let answer = if known { likeliest.clone() } else { UNKNOWN.into() };
        Self { answer, likeliest, probability, sentence }
    }
}

fn reserved(case: Case) -> String {
    yes_or_no(case.refund != Refunds::NothingReserved)
}

fn refund(case: Case) -> String {
    match case.refund {
        Refunds::NothingReserved => "nothing_reserved",
        Refunds::AtEnd => "at_end",
        Refunds::Never => "never",
        Refunds::Delayed => "delayed",
    }
    .into()
}

fn rejected_count(case: Case) -> String {
    yes_or_no(case.rejected_count)
}

fn burndown(case: Case) -> String {
    match case.burndown {
        Burndown::Usual(factor) => factor.to_string(),
        Burndown::Other => "other".into(),
    }
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.into()
}

/// A question and its answer a line.
impl fmt::Display for Accounting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accounting:")?;
        for (question, finding) in self.findings() {
            write!(f, "\n  {question} {}", finding.sentence)?;
        }
        Ok(())
    }
}
