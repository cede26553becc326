use bedrock_tpm::{Binding, Candidate, ClockAnswer, Conclusion, Mechanism, MechanismId, Verdict};
use serde::Serialize;
use serde_json::Value;

use crate::truth::{CLOCK_ERROR_S, Set, Truth};

/// Ticks up to this long cannot be seen over a network, in seconds.
const BLURRED_TICK_S: f64 = 2.0;

/// How a measurement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// What is enforced is named; outside the family, that nothing of the family is.
    Right,
    /// Something else is named.
    Wrong,
    /// "None of these", though it is one of these.
    None,
    /// "I cannot tell".
    Inconclusive,
}

impl Ending {
    /// How a measurement of `truth` that concluded `verdict` ended.
    pub fn of(truth: &Truth, verdict: &Verdict) -> Self {
        if is_right(truth, verdict) {
            return Self::Right;
        }
        match (truth.set, verdict.binding, verdict.verdict) {
            (Set::Binding, Binding::Quota(_), _) => Self::Wrong,
            (Set::Binding, ..) => Self::Inconclusive,
            (_, _, Conclusion::Mechanism(_)) => Self::Wrong,
            (_, _, Conclusion::NoneOfThese) => Self::None,
            (_, _, Conclusion::Inconclusive) => Self::Inconclusive,
        }
    }
}

/// Whether `verdict` names what `truth` enforces, as well as it can be known:
///
/// - where two quotas compete, the one that binds is named;
/// - outside the family, no mechanism is named;
/// - of a pair that nothing can separate, neither is named without the other;
/// - of such a pair, a window that resets within the clock error of the full minute is not said to reset elsewhere;
/// - otherwise the mechanism is named, or one that is [the same](is_same) over a network.
pub fn is_right(truth: &Truth, verdict: &Verdict) -> bool {
    if truth.set == Set::Binding {
        return verdict.binding == Binding::Quota(truth.binding);
    }
    let named = match verdict.verdict {
        Conclusion::Mechanism(id) => Some(id),
        Conclusion::NoneOfThese | Conclusion::Inconclusive => None,
    };
    match (truth.mechanism(), named) {
        (None, named) => named.is_none(),
        (Some(_), None) => false,
        (Some(mechanism), Some(id)) => {
            let astray = is_alone(&mechanism, verdict) || is_clock_wrong(truth, verdict);
            is_same(&mechanism, id, verdict) && !(truth.set == Set::Pairs && astray)
        }
    }
}

/// Whether the candidate that leads is what is enforced, named or not.
pub(super) fn leads(truth: &Truth, verdict: &Verdict) -> bool {
    match (truth.mechanism(), verdict.ranked.first().map(|ranked| ranked.mechanism)) {
        (None, leader) => leader == Some(Candidate::SomethingElse),
        (Some(mechanism), Some(Candidate::Known(id))) => is_same(&mechanism, id, verdict),
        (Some(_), _) => false,
    }
}

/// Whether a mechanism is named that is not enforced.
pub(super) fn is_misnamed(truth: &Truth, verdict: &Verdict) -> bool {
    matches!(verdict.verdict, Conclusion::Mechanism(_)) && !leads(truth, verdict)
}

/// Whether `id` is the id of `mechanism`, or of one that cannot be told from it over a network:
///
/// - a bucket with ticks of up to 2 s, or a window as short, which is such a bucket refilled to the brim, is a token
///   bucket;
/// - a bucket refilled to the brim by each tick is a fixed window and the other way round, if the verdict says so.
fn is_same(mechanism: &Mechanism, id: MechanismId, verdict: &Verdict) -> bool {
    let blurred = match *mechanism {
        Mechanism::SteppedBucket { tick_s, .. } => tick_s <= BLURRED_TICK_S,
        Mechanism::FixedWindow { window_s, .. } => window_s <= BLURRED_TICK_S,
        _ => false,
    };
    let twin = match mechanism.id() {
        MechanismId::FixedWindow => MechanismId::SteppedBucket,
        _ => MechanismId::FixedWindow,
    };
    id == mechanism.id()
        || (blurred && id == MechanismId::TokenBucket)
        || (has_twin(mechanism) && id == twin && names_twin(verdict))
}

/// Whether it is one of the pair of a short fixed window and a bucket refilled to the brim as often.
fn has_twin(mechanism: &Mechanism) -> bool {
    match *mechanism {
        Mechanism::FixedWindow { window_s, .. } => window_s < 60.0,
        Mechanism::SteppedBucket { capacity, refill_per_s, tick_s, .. } => {
            refill_per_s * tick_s >= capacity as f64
        }
        _ => false,
    }
}

/// Whether one of a pair is named without the other.
fn is_alone(mechanism: &Mechanism, verdict: &Verdict) -> bool {
    has_twin(mechanism) && !names_twin(verdict)
}

/// Whether the verdict says what the mechanism that it names cannot be told from: in its field `twins`, once there is
/// one.
fn names_twin(verdict: &Verdict) -> bool {
    let twins = serde_json::to_value(verdict).map(|verdict| verdict["twins"].clone());
    matches!(twins, Ok(Value::Array(twins)) if !twins.is_empty())
}

/// Whether the clock question is answered with what is not so. A short window may be called absolute or neither.
pub(super) fn is_clock_wrong(truth: &Truth, verdict: &Verdict) -> bool {
    use ClockAnswer::{Absolute, Neither, Relative};
    let wrong: &[ClockAnswer] = match truth.mechanism() {
        None => &[],
        Some(Mechanism::FixedWindow { window_s, offset_s, .. }) if window_s == 60.0 => {
            let from_full = offset_s.min(window_s - offset_s);
            if from_full <= CLOCK_ERROR_S { &[Relative, Neither] } else { &[Absolute, Relative] }
        }
        Some(Mechanism::FixedWindow { .. }) => &[Relative],
        Some(Mechanism::AnchoredWindow { .. } | Mechanism::SlidingLog { .. }) => &[Absolute, Neither],
        Some(_) => &[Absolute, Relative],
    };
    wrong.contains(&verdict.clock_question)
}
