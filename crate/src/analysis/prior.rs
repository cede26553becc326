//! What is thought possible before a trace is seen.
//!
//! A point of the unit cube stands for one hypothesis of a class; the prior is uniform over the cube. So a sampler
//! can wander through it symmetrically without knowing what the coordinates mean.

mod before;
mod bucket;
mod odd;
mod spread;

use super::draw::{
    A_MINUTE, CLOCK_ERROR_S, Length, Stated, USUAL_MECHANISMS, USUAL_PERIOD, USUAL_TICKS, USUAL_WINDOWS,
    burst_limit, clock_error, limit, log_uniform, mixed, period_of, pick, scaled, second_quota,
};
use super::hypothesis::Hypothesis;
use super::others::Others;
use crate::{Admission, Candidate, Mechanism, MechanismId, QuotaKind};

pub(super) use spread::spread;

/// Coordinates of a point.
pub(super) const DIMENSIONS: usize = 13;
pub(super) type Point = [f64; DIMENSIONS];

/// Coordinates that only make sense together.
pub(super) const TOGETHER: [&[usize]; 11] =
    [&[0], &[1], &[4], &[0, 1, 2], &[2], &[3], &[3, 4], &[5, 10], &[6, 7], &[8, 9], &[11, 12]];

/// How often others use the quota at all, which is the account's and not one program's, and how much of it at most. Who takes
/// them to be absent takes what they do for another mechanism.
const OTHERS_ARE_ACTIVE: f64 = 0.8;
const OTHERS_SHARE: f64 = 0.4;
const REJECTED_COUNT: f64 = 0.2;
/// How often a request is admitted as long as anything is left.
const UNTIL_EXHAUSTED: f64 = 0.15;
/// How often a bucket holds what comes in a minute, and how often a minute is the time constant of a decay.
const CAPACITY_OF_A_MINUTE: f64 = 0.5;
const DECAY_OF_A_MINUTE: f64 = 0.6;
/// How often logs are kept in slots.
const SLOTTED: f64 = 0.15;
/// How often the windows of a counter begin with a request.
const BEGUN: f64 = 0.1;
/// How often there are two limits at once, as against any one mechanism's seventh.
const TWO_AT_ONCE: f64 = 0.01;
/// How often a rejection has others follow for a while, as against the same.
const BANS: f64 = 0.002;
/// How often a rejection has a window last twice as long, as against the same.
const DOUBLES: f64 = 0.002;
/// How often the limit is lower in every other period, as against the same.
const SHIFTS: f64 = 0.012;
/// How often admission is left to chance, as against the same.
const AT_RANDOM: f64 = 0.004;

/// A family of hypotheses that share a mechanism and what it answers to the clock question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    ClockWindow,
    /// Of the usual length of this index, or of any if there is none.
    ShortWindow(usize),
    /// Of a minute that does not begin on the clock, or of another length.
    OffsetWindow(Length),
    /// Of a minute, or of another length.
    AnchoredWindow(Length),
    SlidingLog(Length),
    /// A log that only knows in which slot a request came.
    SlottedLog,
    SlidingCounter(Length),
    /// A counter whose windows begin with a request.
    BegunCounter,
    /// With the capacity of a minute, or another.
    TokenBucket(Length),
    /// With the usual tick of this index, or with any if there is none.
    SteppedBucket(usize),
    /// With a time constant of a minute, or another.
    ExponentialDecay(Length),
    /// Two limits of the same quota at once, of which the shorter one is for bursts: none of the mechanisms by itself.
    TwoAtOnce,
    /// What fits is admitted with a probability: none of the mechanisms either.
    AtRandom,
    /// Nothing is admitted for a while after a rejection.
    Banning,
    /// Each rejection has a window from first use last twice as long.
    Doubling,
    /// The limit is lower in every other period.
    Shifting,
    /// The day's quota is used up: nothing comes back while one watches.
    DayWindow,
}

impl Class {
    /// The classes of a quota, with prior probabilities.
    ///
    /// Periods are classes of their own: what fits one fits no other, and a sampler that has settled on the wrong one
    /// would never find its way to the right one.
    pub(super) fn of(kind: QuotaKind) -> Vec<(Self, f64)> {
        const SEVENTH: f64 = 1.0 / 7.0;
        let by_period = |class: fn(usize) -> Self, usual: &[f64], prior: f64| {
            let one_usual = USUAL_PERIOD * prior / usual.len() as f64;
            let any = (class(usual.len()), (1.0 - USUAL_PERIOD) * prior);
            (0..usual.len()).map(|index| (class(index), one_usual)).chain([any]).collect::<Vec<_>>()
        };
        let split = |class: fn(Length) -> Self, prior: f64, a_minute: f64| {
            let (minute, other) = (class(Length::Minute), class(Length::Other));
            vec![(minute, a_minute * prior), (other, (1.0 - a_minute) * prior)]
        };
        let by_length = |class, prior| split(class, prior, A_MINUTE);
        match kind {
            QuotaKind::TokensPerDay => vec![(Self::DayWindow, 1.0)],
            QuotaKind::Tokens | QuotaKind::Requests => [
                vec![
                    (Self::ClockWindow, 0.5 * SEVENTH),
                    (Self::TwoAtOnce, TWO_AT_ONCE),
                    (Self::AtRandom, AT_RANDOM),
                    (Self::Banning, BANS),
                    (Self::Doubling, DOUBLES),
                    (Self::Shifting, SHIFTS),
                ],
                split(Self::TokenBucket, SEVENTH, CAPACITY_OF_A_MINUTE),
                split(Self::ExponentialDecay, SEVENTH, DECAY_OF_A_MINUTE),
                by_length(Self::OffsetWindow, 0.3 * SEVENTH),
                by_length(Self::AnchoredWindow, SEVENTH),
                by_length(Self::SlidingLog, (1.0 - SLOTTED) * SEVENTH),
                vec![(Self::SlottedLog, SLOTTED * SEVENTH)],
                by_length(Self::SlidingCounter, (1.0 - BEGUN) * SEVENTH),
                vec![(Self::BegunCounter, BEGUN * SEVENTH)],
                by_period(Self::ShortWindow, USUAL_WINDOWS, 0.2 * SEVENTH),
                by_period(Self::SteppedBucket, USUAL_TICKS, SEVENTH),
            ]
            .concat(),
        }
    }

    /// The classes that a probe should tell apart: periods are none of them.
    pub(super) fn group(self) -> Self {
        match self {
            Self::ShortWindow(_) => Self::ShortWindow(0),
            Self::SteppedBucket(_) => Self::SteppedBucket(0),
            Self::OffsetWindow(_) => Self::OffsetWindow(Length::Minute),
            Self::AnchoredWindow(_) => Self::AnchoredWindow(Length::Minute),
            Self::SlidingLog(_) | Self::SlottedLog => Self::SlidingLog(Length::Minute),
            Self::SlidingCounter(_) | Self::BegunCounter => Self::SlidingCounter(Length::Minute),
            Self::TokenBucket(_) => Self::TokenBucket(Length::Minute),
            Self::ExponentialDecay(_) => Self::ExponentialDecay(Length::Minute),
            class => class,
        }
    }

    /// Whether there are many classes like this one, each smaller than the others.
    pub(super) fn is_one_of_many(self) -> bool {
        matches!(self, Self::ShortWindow(_) | Self::SteppedBucket(_))
    }

    pub(super) fn candidate(self) -> Candidate {
        Candidate::Known(match self {
            Self::TwoAtOnce | Self::AtRandom | Self::Banning | Self::Doubling | Self::Shifting => {
                return Candidate::SomethingElse;
            }
            Self::ClockWindow | Self::OffsetWindow(_) | Self::ShortWindow(_) | Self::DayWindow => {
                MechanismId::FixedWindow
            }
            Self::AnchoredWindow(_) => MechanismId::AnchoredWindow,
            Self::SlidingLog(_) | Self::SlottedLog => MechanismId::SlidingLog,
            Self::SlidingCounter(_) | Self::BegunCounter => MechanismId::SlidingCounter,
            Self::TokenBucket(_) => MechanismId::TokenBucket,
            Self::SteppedBucket(_) => MechanismId::SteppedBucket,
            Self::ExponentialDecay(_) => MechanismId::ExponentialDecay,
        })
    }

    /// The mechanism as a verdict names it.
    pub(super) fn named(self, mechanism: Mechanism) -> Mechanism {
        match (self, mechanism) {
            (Self::TokenBucket(_), Mechanism::SteppedBucket { capacity, refill_per_s, .. }) => {
                Mechanism::TokenBucket { capacity, refill_per_s }
            }
            (_, mechanism) => mechanism,
        }
    }

    /// The hypothesis at `point`, for a quota of `kind`.
    pub(super) fn hypothesis(self, kind: QuotaKind, stated: Stated, point: &Point) -> Hypothesis {
        let [size, ratio, rate, phase, period, rejected, active, share, before, used, whole, second, other] =
            *point;
        let admission = if whole < UNTIL_EXHAUSTED { Admission::UntilExhausted } else { Admission::Whole };
        let oddity = self.oddity([phase, period, second, other]);
        // Which of two limits is stated, is open.
        let stated_share = if rate < 0.5 { 1.0 } else { oddity.lowest_share() };
        let limit = scaled(limit(kind, stated.of(kind), size), 1.0 / stated_share);
        let mechanism = self.mechanism(limit, [ratio, rate, phase, period], admission);
        let ceiling = mechanism.ceiling();
        let others = if active < OTHERS_ARE_ACTIVE {
            // In a large quota of requests these are bursts, so that no quota means more events than another.
            let request_cost = scaled(ceiling, 0.01 + 0.09 * active / OTHERS_ARE_ACTIVE);
            let use_per_s = share.powi(3) * OTHERS_SHARE * mechanism.rate_per_s();
            Others { use_per_s, request_cost }
        } else {
            Others::default()
        };
        let before = self.before(stated.is_of_requests(kind), ceiling, [before, used]);
        Hypothesis {
            kind,
            mechanism,
            oddity,
            admission,
            rejected_count: rejected < REJECTED_COUNT,
            others,
            before,
            second: match self {
                Self::AtRandom | Self::Banning | Self::Doubling | Self::Shifting => None,
                Self::TwoAtOnce => Some((kind, burst_limit(ceiling, [rate, period, second, other]))),
                _ => second_quota(kind, mechanism, stated, [second, other]),
            },
        }
    }

    fn mechanism(
        self,
        limit: u64,
        [ratio, rate, phase, period]: [f64; 4],
        admission: Admission,
    ) -> Mechanism {
        let minute = 60.0;
        match self {
            Self::ClockWindow => {
                Mechanism::FixedWindow { limit, window_s: minute, offset_s: clock_error(phase) }
            }
            Self::OffsetWindow(length) => {
                let (window_s, limit) = length.of_window(period, rate, limit);
                let offset_s = match length {
                    Length::Minute => CLOCK_ERROR_S + phase * (minute - 2.0 * CLOCK_ERROR_S),
                    Length::Other => phase * window_s,
                };
                Mechanism::FixedWindow { limit, window_s, offset_s }
            }
            Self::ShortWindow(index) => {
                let window_s = period_of(index, period, USUAL_WINDOWS);
                let share = mixed(rate, 0.9, window_s / minute, 0.05, 1.0);
                Mechanism::FixedWindow { limit: scaled(limit, share), window_s, offset_s: phase * window_s }
            }
            Self::AnchoredWindow(length) => {
                let (window_s, limit) = length.of_window(period, rate, limit);
                Mechanism::AnchoredWindow { limit, window_s }
            }
            Self::SlidingLog(length) => {
                let (window_s, limit) = length.of_window(period, rate, limit);
                Mechanism::SlidingLog { limit, window_s }
            }
            Self::SlottedLog => Mechanism::SlidingLog { limit, window_s: minute },
            Self::SlidingCounter(length) => {
                let (window_s, limit) = length.of_window(period, rate, limit);
                let offset_s = match phase {
                    phase if window_s == minute && phase < 0.95 => clock_error(phase / 0.95),
                    phase => (phase * 20.0).fract() * window_s,
                };
                Mechanism::SlidingCounter { limit, window_s, offset_s }
            }
            Self::BegunCounter => {
                Mechanism::SlidingCounter { limit, window_s: minute, offset_s: phase * minute }
            }
            Self::ExponentialDecay(length) => {
                let time_constant_s = match length {
                    Length::Minute => minute,
                    Length::Other => log_uniform(period, 10.0, 200.0),
                };
                Mechanism::ExponentialDecay { limit, time_constant_s }
            }
            Self::TokenBucket(_) | Self::SteppedBucket(_) => {
                self.bucket(limit, [ratio, rate, phase, period], admission)
            }
            Self::TwoAtOnce | Self::AtRandom | Self::Banning | Self::Shifting => {
                match pick(&USUAL_MECHANISMS, ratio) {
                    MechanismId::FixedWindow => {
                        Mechanism::FixedWindow { limit, window_s: minute, offset_s: phase * minute }
                    }
                    other => Mechanism::per_minute(other, limit),
                }
            }
            Self::Doubling => odd::doubled_window(limit, rate, period),
            Self::DayWindow => Mechanism::FixedWindow { limit, window_s: 86_400.0, offset_s: 0.0 },
        }
    }
}
