use std::f64::consts::FRAC_1_SQRT_2;

use super::oddity::Oddity;
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

/// What others on the account do to the quota.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Others {
    /// Their use a second, in tokens or requests.
    pub use_per_s: f64,
    /// The mean cost of one of their requests.
    pub request_cost: u64,
}

impl Others {
    /// What one of their requests costs at least and at most, in terms of their mean.
    const SPREAD: [f64; 2] = [0.5, 1.5];
    /// Numbers of their requests, each with its reciprocal and that of its root. More, and the number hardly matters.
    const COUNTS: [[f64; 3]; 6] = [
        [1.0, 1.0, 1.0],
        [2.0, 1.0 / 2.0, FRAC_1_SQRT_2],
        [3.0, 1.0 / 3.0, 0.577_350_269_189_625_8],
        [4.0, 1.0 / 4.0, 0.5],
        [5.0, 1.0 / 5.0, 0.447_213_595_499_957_9],
        [6.0, 1.0 / 6.0, 0.408_248_290_463_863],
    ];

    /// The mean time between two of their requests, in seconds, if there are any.
    pub(super) fn mean_gap_s(&self) -> f64 {
        self.request_cost as f64 / self.use_per_s
    }

    /// What a request of theirs costs at least.
    pub(super) fn least(&self) -> f64 {
        Self::SPREAD[0] * self.request_cost as f64
    }

    /// The probability that they use more than `amount` within so many seconds: their requests are a Poisson process,
    /// each costs from half to one and a half times their mean. The sum of more than one is taken as evenly spread too.
    pub(super) fn use_more_than(&self, amount: f64, seconds: f64) -> f64 {
        let expected = self.use_per_s * seconds / self.request_cost.max(1) as f64;
        if expected <= 0.0 {
            return 0.0;
        }
        let times = amount / self.request_cost as f64;
        let spread = Self::SPREAD[1] - Self::SPREAD[0];
        let mut exactly = (-expected).exp();
        let mut below = exactly;
        for [count, reciprocal, of_root] in Self::COUNTS {
            exactly *= expected * reciprocal;
            let share = 0.5 + (times - count) * of_root / spread;
            below += exactly * share.clamp(0.0, 1.0);
        }
        (1.0 - below).clamp(0.0, 1.0)
    }

    /// What they have used if it is more than `amount`, as `luck` of 0 to 1 has it: one request if one is enough.
    pub(super) fn use_of_more_than(&self, amount: f64, luck: f64) -> f64 {
        let mean = self.request_cost as f64;
        let least = amount.max(self.least());
        let most = (Self::SPREAD[1] * mean).max(least + Self::SPREAD[0] * mean);
        least + luck * (most - least)
    }

    pub(super) fn are_absent(&self) -> bool {
        *self == Self::default()
    }
}
