mod display;
mod plain;
mod read;
mod summary;

pub(crate) use summary::summary;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::{Mechanism, MechanismId, Observation, QuotaKind};

/// What a trace shows, how sure that is, and what it cannot tell.
///
/// Reads back from its JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// Which quota rejected requests.
    pub binding: Binding,
    /// Another quota that more likely than not rejected some of the requests too.
    #[serde(default)]
    pub besides: Option<QuotaKind>,
    /// The mechanism, or why none is named.
    pub verdict: Conclusion,
    /// Does the quota reset on the clock minute or relative to use?
    pub clock_question: ClockAnswer,
    /// Probability of the first of `ranked`, 0 to 1.
    pub probability: f64,
    /// Probability that the quota resets at clock-aligned instants, 0 to 1.
    pub probability_absolute: f64,
    /// Probability that the quota's windows are relative to use, 0 to 1.
    pub probability_relative: f64,
    /// What no probing can tell from the mechanism that is named, in words: the verdict is of all of them.
    pub twins: Vec<String>,
    /// The observation that would separate the two most probable mechanisms, if a single one would.
    pub separation: Option<Separation>,
    /// Every mechanism, the most probable first; probabilities add up to 1.
    pub ranked: Vec<Ranked>,
    /// What the observations cost.
    pub spent: Spent,
    /// What makes the verdict weaker than it looks.
    pub warnings: Vec<String>,
    /// What it comes to in plain words, for somebody who knows nothing of rate limiters: one paragraph.
    pub summary: String,
    /// What it rests on, in sentences.
    pub reasons: Vec<String>,
}

/// One mechanism's share of the verdict.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "read::RankedRecord")]
pub struct Ranked {
    /// Which.
    pub mechanism: Candidate,
    /// Posterior probability, 0 to 1.
    pub probability: f64,
    /// The parameters that explain the trace best; `None` for [`Candidate::SomethingElse`].
    #[serde(serialize_with = "parameters_only")]
    pub parameters: Option<Mechanism>,
    /// Intervals that hold each parameter with probability 0.95, by its name.
    pub intervals: BTreeMap<String, [f64; 2]>,
    /// What speaks for or against it, as a sentence.
    pub reason: String,
}

impl Ranked {
    /// The lowest rate that the intervals allow, as a share of the highest.
    pub(crate) fn sure_share(&self) -> f64 {
        let decides =
            |name: &str| matches!(name, "limit" | "refill_per_s" | "window_s" | "time_constant_s" | "tick_s");
        let intervals = self.intervals.iter().filter(|(name, _)| decides(name));
        intervals.map(|(_, [low, high])| low / high).product()
    }
}

/// A request whose outcome would separate two mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Separation {
    /// Which two.
    pub between: [Candidate; 2],
    /// When to send it, in seconds after the last response of the trace.
    pub after_s: f64,
    /// How many tokens it should reserve.
    pub tokens: u64,
    /// How probable each of the two makes it that the request is admitted.
    pub admitted: [f64; 2],
}

/// A mechanism of the family, or anything outside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Candidate {
    /// A mechanism that can be replayed.
    Known(MechanismId),
    /// A mechanism that is not among those.
    SomethingElse,
}

/// Which quota rejected requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// This one.
    Quota(QuotaKind),
    /// None did: nothing was rejected.
    None,
    /// The trace cannot tell.
    Unknown,
}

/// What a verdict names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// This mechanism.
    Mechanism(MechanismId),
    /// More than one mechanism explains the trace.
    Inconclusive,
    /// No mechanism of the family explains the trace.
    NoneOfThese,
}

/// The answer to "absolute or relative minutes?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockAnswer {
    /// Resets on the clock minute.
    Absolute,
    /// Resets relative to use: anchored at first use, or a sliding log.
    Relative,
    /// Neither: a bucket, a sliding counter, windows of another phase.
    Neither,
    /// The trace cannot tell.
    Unknown,
}

/// What observations cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Tokens charged by answered requests.
    pub tokens: u64,
    /// Requests sent.
    pub requests: u64,
    /// Minutes of the endpoint's time, from the first request to the last response.
    pub minutes: f64,
}

impl Spent {
    pub(crate) fn of(observations: &[Observation]) -> Self {
        let admitted = observations.iter().filter(|observation| observation.outcome().is_admitted());
        let first = observations.iter().map(|observation| observation.sent).min();
        let last = observations.iter().map(|observation| observation.finished).max();
        Self {
            tokens: admitted.map(Observation::used).sum(),
            requests: observations.iter().map(|o| 1 + u64::from(o.hidden_retries)).sum(),
            minutes: first.zip(last).map_or(0.0, |(first, last)| last.seconds_since(first) / 60.0),
        }
    }
}

impl Candidate {
    /// The id in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Known(id) => id.id(),
            Self::SomethingElse => "something_else",
        }
    }
}

impl Binding {
    /// The id in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Quota(kind) => kind.id(),
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

impl Conclusion {
    /// The id in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Mechanism(id) => id.id(),
            Self::Inconclusive => "inconclusive",
            Self::NoneOfThese => "none_of_these",
        }
    }
}

impl ClockAnswer {
    /// The id in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Absolute => "absolute",
            Self::Relative => "relative",
            Self::Neither => "neither",
            Self::Unknown => "unknown",
        }
    }
}

macro_rules! shown_by_id {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.id())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.id())
            }
        }
    )*};
}

shown_by_id!(Candidate, Binding, Conclusion, ClockAnswer);

/// Without the mechanism's id, which stands beside it.
fn parameters_only<S: Serializer>(mechanism: &Option<Mechanism>, serializer: S) -> Result<S::Ok, S::Error> {
    let value = mechanism.and_then(|mechanism| serde_json::to_value(mechanism).ok());
    value.map_or(Value::Null, |mut value| value["parameters"].take()).serialize(serializer)
}
