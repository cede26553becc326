use std::f64::consts::FRAC_1_SQRT_2;

use crate::{Admission, AnyLimiter, Limiter, Mechanism, QuotaKind, Timestamp};

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

/// What a quota does besides what its limiter does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Oddity {
    /// Nothing.
    None,
    /// Requests count from the start of their slot on.
    Slotted(Slots),
    /// The limit is lower at times.
    Shifting(Shift),
    /// Admission of what fits is left to chance.
    AtRandom(Chance),
    /// A rejection has others follow.
    Banning(Ban),
    /// A rejection has the window last longer.
    Doubling(Doubling),
}

impl Oddity {
    /// From when on a request counts that was decided on at `at`.
    pub(super) fn counted_from(self, at: Timestamp, penalty: Penalty) -> Timestamp {
        if let Self::Slotted(slots) = self { slots.start(at) } else { self.seen(at, penalty) }
    }

    /// What the limiter takes for the time.
    pub(super) fn seen(self, at: Timestamp, penalty: Penalty) -> Timestamp {
        match self {
            Self::Doubling(doubling) if at < penalty.until => at.min(doubling.end_of_first(penalty.since)),
            _ => at,
        }
    }

    /// What is withheld at an instant of a limit of `ceiling`.
    pub(super) fn withheld(self, at: Timestamp, ceiling: u64) -> f64 {
        if let Self::Shifting(shift) = self { shift.withheld(at, ceiling) } else { 0.0 }
    }

    /// What is left of the limit at the lowest, as a share.
    pub(super) fn lowest_share(self) -> f64 {
        if let Self::Shifting(shift) = self { 1.0 - shift.withheld } else { 1.0 }
    }

    /// Whether nothing is admitted at an instant, whatever the limiter says.
    pub(super) fn is_closed(self, at: Timestamp, penalty: Penalty) -> bool {
        matches!(self, Self::Banning(_)) && at < penalty.until
    }

    /// What follows from a rejection at `now` by `limiter`.
    pub(super) fn penalty(self, now: Timestamp, before: Penalty, limiter: &AnyLimiter) -> Penalty {
        match self {
            Self::Banning(ban) => ban.after(now, before),
            Self::Doubling(doubling) => doubling.after(now, before, limiter),
            _ => before,
        }
    }
}

/// Time is divided into slots of this length, one of which begins so long after the epoch, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slots {
    pub slot_s: f64,
    pub offset_s: f64,
}

impl Slots {
    /// When the slot of an instant began.
    fn start(self, at: Timestamp) -> Timestamp {
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
    fn after(self, now: Timestamp, before: Penalty) -> Penalty {
        match self.prolonged || now >= before.until {
            true => Penalty { since: now, until: now.plus_seconds(self.seconds) },
            false => before,
        }
    }
}

/// A window from first use lasts twice as long after each rejection in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Doubling {
    pub window_s: f64,
    /// It does not become longer than this.
    pub longest_s: f64,
}

impl Doubling {
    fn after(self, now: Timestamp, before: Penalty, limiter: &AnyLimiter) -> Penalty {
        let (since, length_s) = match now < before.until {
            true => (before.since, before.until.seconds_since(before.since)),
            false => (limiter.remembers_since(now), self.window_s),
        };
        Penalty { since, until: since.plus_seconds((2.0 * length_s).min(self.longest_s)) }
    }

    /// The last instant at which the limiter knows of a window without rejections.
    fn end_of_first(self, since: Timestamp) -> Timestamp {
        since.plus_seconds(self.window_s).minus_nanos(1)
    }
}

/// What rejections had follow, and how long that lasts: at first, nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Penalty {
    since: Timestamp,
    pub until: Timestamp,
}

impl Default for Penalty {
    fn default() -> Self {
        Self { since: Timestamp::EPOCH, until: Timestamp::EPOCH }
    }
}

/// The limit is lower in every other period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shift {
    /// What is withheld of the limit, as a share.
    pub withheld: f64,
    pub period_s: f64,
    /// When a period with the whole limit begins, after the epoch, in seconds.
    pub offset_s: f64,
}

impl Shift {
    fn withheld(self, at: Timestamp, ceiling: u64) -> f64 {
        let into = (at.seconds_since(Timestamp::EPOCH) - self.offset_s).rem_euclid(2.0 * self.period_s);
        if into < self.period_s { 0.0 } else { self.withheld * ceiling as f64 }
    }
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
