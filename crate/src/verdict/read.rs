//! Verdicts that are read back from the JSON that `measure` and `analyze` print.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::{Value, json};

use super::{Binding, Candidate, ClockAnswer, Conclusion, Ranked};
use crate::{Mechanism, MechanismId, QuotaKind};

fn mechanism(id: &str) -> Option<MechanismId> {
    MechanismId::ALL.into_iter().find(|mechanism| mechanism.id() == id)
}

impl Candidate {
    fn of_id(id: &str) -> Option<Self> {
        let something_else = (id == Self::SomethingElse.id()).then_some(Self::SomethingElse);
        mechanism(id).map(Self::Known).or(something_else)
    }
}

impl Binding {
    fn of_id(id: &str) -> Option<Self> {
        let quotas = [QuotaKind::Tokens, QuotaKind::Requests, QuotaKind::TokensPerDay].map(Self::Quota);
        quotas.into_iter().chain([Self::None, Self::Unknown]).find(|binding| binding.id() == id)
    }
}

impl Conclusion {
    fn of_id(id: &str) -> Option<Self> {
        let open = [Self::Inconclusive, Self::NoneOfThese].into_iter().find(|open| open.id() == id);
        mechanism(id).map(Self::Mechanism).or(open)
    }
}

impl ClockAnswer {
    fn of_id(id: &str) -> Option<Self> {
        [Self::Absolute, Self::Relative, Self::Neither, Self::Unknown]
            .into_iter()
            .find(|answer| answer.id() == id)
    }
}

macro_rules! read_by_id {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let id = String::deserialize(deserializer)?;
                Self::of_id(&id).ok_or_else(|| D::Error::custom(format!("`{id}` is not known here")))
            }
        }
    )*};
}

read_by_id!(Candidate, Binding, Conclusion, ClockAnswer);

/// [`Ranked`] as it stands in JSON: the mechanism's id beside its parameters.
#[derive(serde::Deserialize)]
pub(super) struct RankedRecord {
    mechanism: Candidate,
    probability: f64,
    parameters: Value,
    intervals: BTreeMap<String, [f64; 2]>,
    reason: String,
}

impl TryFrom<RankedRecord> for Ranked {
    type Error = String;

    fn try_from(record: RankedRecord) -> Result<Self, String> {
        let RankedRecord { mechanism, probability, parameters, intervals, reason } = record;
        let parameters = match parameters {
            Value::Null => None,
            parameters => {
                let whole = json!({ "mechanism": mechanism.id(), "parameters": parameters });
                let read = serde_json::from_value::<Mechanism>(whole).map_err(|cause| cause.to_string());
                Some(read?.validated().map_err(|cause| cause.to_string())?)
            }
        };
        Ok(Self { mechanism, probability, parameters, intervals, reason })
    }
}
