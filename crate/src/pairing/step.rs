use serde::{Deserialize, Serialize};

use crate::Observation;

/// The field of a trace that says what a request of that phase is for.
const STEP: &str = "pairing";

/// One of two targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The one whose quota is known.
    First,
    /// The one that may share it.
    Second,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Before the first round: it shows how many tokens a prompt has.
    Sizing,
    /// Asks a target for half of the quota after a pause.
    Control,
    /// Uses that target up.
    Fill,
    /// Asks the other target for half of the quota.
    Probe,
    /// Makes sure that the first of them is still used up.
    Check,
}

/// A request's place in a pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The round, from 1 on; 0 before the first.
    pub round: u32,
    /// What it is for.
    pub role: Role,
    /// Where it goes.
    pub side: Side,
}

impl Side {
    /// The other of the two.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

impl Step {
    /// Notes in `observation`, before it goes into a trace, what it is for.
    pub fn note(self, observation: &mut Observation) {
        let noted = serde_json::to_value(self).unwrap_or_default();
        observation.extra.insert(STEP.into(), noted);
    }

    /// What a request was for, if it was one of a pairing.
    pub(crate) fn of(observation: &Observation) -> Option<Self> {
        Self::deserialize(observation.extra.get(STEP)?).ok()
    }
}
