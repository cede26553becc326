use crate::{Admission, Mechanism, QuotaKind};

/// A mechanism with fixed parameters, and the circumstances under which it is watched.
#[derive(Clone, Debug)]
pub(super) struct Hypothesis {
    pub kind: QuotaKind,
    pub mechanism: Mechanism,
    pub admission: Admission,
    pub rejected_count: bool,
    pub others: Others,
    /// A quota of another kind that is in force besides, and rejects less often.
    pub second: Option<(QuotaKind, Mechanism)>,
}

/// What others on the account do to the quota.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Others {
    /// Their use a second, in tokens or requests.
    pub use_per_s: f64,
    /// The mean cost of one of their requests, which cost half to one and a half times as much.
    pub request_cost: u64,
    /// They used this much, this many seconds before the first observation.
    pub before: Option<(f64, u64)>,
}

impl Others {
    pub(super) fn are_absent(&self) -> bool {
        *self == Self::default()
    }
}
