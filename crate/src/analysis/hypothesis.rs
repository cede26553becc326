use crate::{Admission, Mechanism, QuotaKind, Timestamp};

/// A mechanism with fixed parameters, and the circumstances under which it is watched.
#[derive(Clone, Debug)]
pub(super) struct Hypothesis {
    pub kind: QuotaKind,
    pub mechanism: Mechanism,
    /// Requests count from the start of their slot on.
    pub slots: Option<Slots>,
    pub admission: Admission,
    pub rejected_count: bool,
    pub others: Others,
    /// Admission of what fits, if that is left to chance.
    pub chance: Option<Chance>,
    /// What a rejection does besides.
    pub ban: Option<Ban>,
    /// What is in force besides: a quota of another kind that rejects less often, or a second limit of the same.
    pub second: Option<(QuotaKind, Mechanism)>,
}

/// Time is divided into slots of this length, one of which begins so long after the epoch, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slots {
    pub slot_s: f64,
    pub offset_s: f64,
}

impl Slots {
    /// When the slot of an instant began.
    pub(super) fn start(self, at: Timestamp) -> Timestamp {
        let into = (at.seconds_since(Timestamp::EPOCH) - self.offset_s).rem_euclid(self.slot_s);
        at.plus_seconds(-into)
    }
}

/// A request that fits is admitted with a probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Chance {
    /// The same for each.
    Even(f64),
    /// Certain up to this load, from there on falling in proportion to what is left.
    Falling(f64),
}

impl Chance {
    /// The probability for a request that leaves `margin` of a quota of `ceiling`.
    pub(super) fn of_admission(self, margin: f64, ceiling: f64) -> f64 {
        match self {
            Self::Even(chance) => chance,
            Self::Falling(from) => (margin / (ceiling * (1.0 - from))).clamp(0.0, 1.0),
        }
    }

    /// The margin that `luck` of 0 to 1 asks for.
    pub(super) fn least_margin(self, luck: f64, ceiling: f64) -> f64 {
        match self {
            Self::Even(chance) if luck < chance => 0.0,
            Self::Even(_) => f64::INFINITY,
            Self::Falling(from) => luck * ceiling * (1.0 - from),
        }
    }
}

/// Nothing is admitted for a while after a rejection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ban {
    pub seconds: f64,
    /// Whether a request in the meantime makes it begin anew.
    pub prolonged: bool,
}

impl Ban {
    /// Until when, after a rejection at `now`, if it held until `until` before.
    pub(super) fn after(self, now: Timestamp, until: Timestamp) -> Timestamp {
        if self.prolonged || now >= until { now.plus_seconds(self.seconds) } else { until }
    }
}

/// What others on the account do to the quota.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Others {
    /// Their use a second, in tokens or requests.
    pub use_per_s: f64,
    /// The mean cost of one of their requests.
    pub request_cost: u64,
    /// They used this much, this many seconds before the first observation.
    pub before: Option<(f64, u64)>,
}

impl Others {
    /// What one of their requests costs at least and at most, in terms of their mean.
    pub(super) const SPREAD: [f64; 2] = [0.5, 1.5];

    /// The mean time between two of their requests, in seconds, if there are any.
    pub(super) fn mean_gap_s(&self) -> f64 {
        self.request_cost as f64 / self.use_per_s
    }

    /// The probability of a request of theirs within so many seconds.
    pub(super) fn is_between(&self, seconds: f64) -> f64 {
        if self.use_per_s > 0.0 { -f64::exp_m1(-seconds / self.mean_gap_s()) } else { 0.0 }
    }

    /// The probability that a request of theirs costs more than this.
    pub(super) fn costs_more_than(&self, amount: f64) -> f64 {
        Self::SPREAD[1] - self.least_above(amount)
    }

    /// The least that such a request costs, in terms of their mean; the most if none does.
    pub(super) fn least_above(&self, amount: f64) -> f64 {
        (amount / self.request_cost.max(1) as f64).clamp(Self::SPREAD[0], Self::SPREAD[1])
    }

    pub(super) fn are_absent(&self) -> bool {
        *self == Self::default()
    }
}
