//! What quotas do besides what their limiters do.

use crate::{AnyLimiter, Limiter, Timestamp};

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
    /// Windows begin with a request instead of on the clock.
    Begun(Begun),
}

impl Oddity {
    /// From when on a request counts that was decided on at `at`.
    pub(super) fn counted_from(self, at: Timestamp, aftermath: Aftermath) -> Timestamp {
        if let Self::Slotted(slots) = self { slots.start(at) } else { self.seen(at, aftermath) }
    }

    /// What the limiter takes for the time.
    pub(super) fn seen(self, at: Timestamp, aftermath: Aftermath) -> Timestamp {
        match self {
            Self::Doubling(doubling) if at < aftermath.until => {
                at.min(doubling.end_of_first(aftermath.since))
            }
            Self::Begun(begun) => begun.seen(at, aftermath),
            _ => at,
        }
    }

    /// What is so before anything was requested.
    pub(super) fn beforehand(self) -> Aftermath {
        if let Self::Begun(begun) = self { begun.beforehand() } else { Aftermath::default() }
    }

    /// What follows from a request at `now`, whatever becomes of it.
    pub(super) fn requested(self, now: Timestamp, before: Aftermath) -> Aftermath {
        if let Self::Begun(begun) = self { begun.requested(now, before) } else { before }
    }

    /// From when on any request begins a window, if that is how windows begin.
    pub(super) fn next_begins_from(self, window: Aftermath) -> Option<Timestamp> {
        matches!(self, Self::Begun(_)).then_some(window.until)
    }

    /// When what a rejection had follow is over.
    pub(super) fn is_over_at(self, aftermath: Aftermath) -> Timestamp {
        if let Self::Begun(_) = self { Timestamp::EPOCH } else { aftermath.until }
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
    pub(super) fn is_closed(self, at: Timestamp, aftermath: Aftermath) -> bool {
        matches!(self, Self::Banning(_)) && at < aftermath.until
    }

    /// What follows from a rejection at `now` by `limiter`.
    pub(super) fn rejected(self, now: Timestamp, before: Aftermath, limiter: &AnyLimiter) -> Aftermath {
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
    fn after(self, now: Timestamp, before: Aftermath) -> Aftermath {
        match self.prolonged || now >= before.until {
            true => Aftermath { since: now, until: now.plus_seconds(self.seconds), ..before },
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
    fn after(self, now: Timestamp, before: Aftermath, limiter: &AnyLimiter) -> Aftermath {
        let (since, length_s) = match now < before.until {
            true => (before.since, before.until.seconds_since(before.since)),
            false => (limiter.remembers_since(now, 0), self.window_s),
        };
        Aftermath { since, until: since.plus_seconds((2.0 * length_s).min(self.longest_s)), ..before }
    }

    /// The last instant at which the limiter knows of a window without rejections.
    fn end_of_first(self, since: Timestamp) -> Timestamp {
        since.plus_seconds(self.window_s).minus_nanos(1)
    }
}

/// The window begins with the first request after the one before has ended. Its limiter, which knows windows on the clock,
/// is told that time stands still in between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Begun {
    pub window_s: f64,
    /// What the limiter takes for the beginning of its first window, after the epoch, in seconds.
    pub offset_s: f64,
}

impl Begun {
    fn beforehand(self) -> Aftermath {
        let delay = Timestamp::EPOCH.as_nanos() - Timestamp::EPOCH.plus_seconds(self.offset_s).as_nanos();
        Aftermath { delay, ..Aftermath::default() }
    }

    fn seen(self, at: Timestamp, window: Aftermath) -> Timestamp {
        let next = window.until.plus_seconds(self.window_s);
        let counted = if at < window.until {
            at
        } else if at < next {
            window.until
        } else {
            next
        };
        counted.minus_nanos(window.delay)
    }

    fn requested(self, now: Timestamp, window: Aftermath) -> Aftermath {
        if now < window.until {
            return window;
        }
        let delay = now.as_nanos() - self.seen(now, window).as_nanos();
        Aftermath { since: now, until: now.plus_seconds(self.window_s), delay }
    }
}

/// What requests had follow, and how long that lasts: at first, nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aftermath {
    since: Timestamp,
    until: Timestamp,
    /// How far the limiter's clock is behind, in nanoseconds.
    delay: i64,
}

impl Default for Aftermath {
    fn default() -> Self {
        Self { since: Timestamp::EPOCH, until: Timestamp::EPOCH, delay: 0 }
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
