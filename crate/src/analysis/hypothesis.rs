use super::oddity::Oddity;
use super::others::Others;
use crate::{Admission, Mechanism, QuotaKind};

/// A mechanism with fixed parameters, and the circumstances under which it is watched.
#[derive(Clone, Debug)]
pub(super) struct Hypothesis {
    pub kind: QuotaKind,
    pub mechanism: Mechanism,
    pub oddity: Oddity,
    pub admission: Admission,
    pub rejected_count: bool,
    pub others: Others,
    /// Somebody used this much, this many seconds before the first observation.
    pub before: Option<(f64, u64)>,
    /// What is in force besides: a quota of another kind that rejects less often, or a second limit of the same.
    pub second: Option<(QuotaKind, Mechanism)>,
}
