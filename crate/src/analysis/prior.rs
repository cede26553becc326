//! What is thought possible before a trace is seen.
//!
//! A point of the unit cube stands for one hypothesis of a class; the prior is uniform over the cube. So a sampler
//! can wander through it symmetrically without knowing what the coordinates mean.

use super::hypothesis::{Hypothesis, Others};
use crate::{Candidate, Mechanism, MechanismId, QuotaKind};

/// Coordinates of a point.
pub(super) const DIMENSIONS: usize = 9;
pub(super) type Point = [f64; DIMENSIONS];

/// Clock error within which a window still counts as clock-aligned, in seconds.
const CLOCK_ERROR_S: f64 = 1.0;
/// How often a quota that is known applies as stated.
const AS_STATED: f64 = 0.85;
/// Estimated and charged tokens differ by up to this share.
const COUNTING_ERROR: f64 = 0.02;
/// How often others use the quota at all, and how much of it at most.
const OTHERS_ARE_ACTIVE: f64 = 0.3;
const OTHERS_SHARE: f64 = 0.1;
/// How often somebody used the quota in the minute before the first observation. Any request, however small, starts
/// an anchored window, while other mechanisms are changed only by as much as was used.
const WINDOW_STARTED_BEFORE: f64 = 0.5;
const USED_BEFORE: f64 = 0.02;
const REJECTED_COUNT: f64 = 0.2;
/// Quotas of requests that accounts really have.
const USUAL_REQUESTS: [u64; 12] = [1, 2, 4, 5, 10, 20, 30, 50, 60, 100, 200, 500];
/// Window lengths and ticks that engineers choose, in seconds.
const USUAL_WINDOWS: &[f64] = &[1.0, 2.0, 3.0, 5.0, 6.0, 10.0, 12.0, 15.0, 20.0, 30.0];
/// A bucket that ticks faster cannot be told from one that does not, over a network: it is a token bucket.
const USUAL_TICKS: &[f64] = USUAL_WINDOWS.split_at(1).1;

/// A family of hypotheses that share a mechanism and what it answers to the clock question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    ClockWindow,
    OffsetWindow,
    ShortWindow,
    AnchoredWindow,
    SlidingLog,
    SlidingCounter,
    TokenBucket,
    SteppedBucket,
    /// The day's quota is used up: nothing comes back while one watches.
    DayWindow,
}

impl Class {
    /// The classes of a quota, with prior probabilities that add up to 1.
    pub(super) fn of(kind: QuotaKind) -> &'static [(Self, f64)] {
        const SIXTH: f64 = 1.0 / 6.0;
        match kind {
            QuotaKind::TokensPerDay => &[(Self::DayWindow, 1.0)],
            QuotaKind::Tokens | QuotaKind::Requests => &[
                (Self::ClockWindow, 0.5 * SIXTH),
                (Self::OffsetWindow, 0.3 * SIXTH),
                (Self::ShortWindow, 0.2 * SIXTH),
                (Self::AnchoredWindow, SIXTH),
                (Self::SlidingLog, SIXTH),
                (Self::SlidingCounter, SIXTH),
                (Self::TokenBucket, SIXTH),
                (Self::SteppedBucket, SIXTH),
            ],
        }
    }

    pub(super) fn candidate(self) -> Candidate {
        Candidate::Known(match self {
            Self::ClockWindow | Self::OffsetWindow | Self::ShortWindow | Self::DayWindow => {
                MechanismId::FixedWindow
            }
            Self::AnchoredWindow => MechanismId::AnchoredWindow,
            Self::SlidingLog => MechanismId::SlidingLog,
            Self::SlidingCounter => MechanismId::SlidingCounter,
            Self::TokenBucket => MechanismId::TokenBucket,
            Self::SteppedBucket => MechanismId::SteppedBucket,
        })
    }

    /// The hypothesis at `point`, for a quota stated as `stated` a minute, if it is known.
    pub(super) fn hypothesis(self, kind: QuotaKind, stated: Option<u64>, point: &Point) -> Hypothesis {
        let [size, rate, phase, period, rejected, active, share, before, used] = *point;
        let limit = limit(kind, stated, size);
        let window_s = 60.0;
        let mechanism = match self {
            Self::ClockWindow => Mechanism::FixedWindow { limit, window_s, offset_s: clock_error(phase) },
            Self::OffsetWindow => {
                let offset_s = CLOCK_ERROR_S + phase * (60.0 - 2.0 * CLOCK_ERROR_S);
                Mechanism::FixedWindow { limit, window_s, offset_s }
            }
            Self::ShortWindow => {
                let window_s = usual_period(period, USUAL_WINDOWS);
                let share = mixed(rate, 0.7, window_s / 60.0, 0.05, 1.0);
                Mechanism::FixedWindow { limit: scaled(limit, share), window_s, offset_s: phase * window_s }
            }
            Self::AnchoredWindow => Mechanism::AnchoredWindow { limit, window_s },
            Self::SlidingLog => Mechanism::SlidingLog { limit, window_s },
            Self::SlidingCounter => {
                let offset_s = if phase < 0.8 { clock_error(phase / 0.8) } else { (phase - 0.8) * 300.0 };
                Mechanism::SlidingCounter { limit, window_s, offset_s }
            }
            Self::TokenBucket | Self::SteppedBucket => {
                let per_minute = stated.map_or(limit, |stated| stated.max(1)) as f64;
                let refill_per_s = per_minute / 60.0 * mixed(rate, 0.7, 1.0, 0.1, 4.0);
                let capacity = match stated {
                    Some(stated) => scaled(stated, mixed(size, 0.5, 1.0, 0.05, 4.0)),
                    None => limit,
                };
                if self == Self::TokenBucket {
                    Mechanism::TokenBucket { capacity, refill_per_s }
                } else {
                    let tick_s = usual_period(period, USUAL_TICKS);
                    Mechanism::SteppedBucket { capacity, refill_per_s, tick_s, offset_s: phase * tick_s }
                }
            }
            Self::DayWindow => Mechanism::FixedWindow { limit, window_s: 86_400.0, offset_s: 0.0 },
        };
        let ceiling = mechanism.ceiling();
        let others = if active < OTHERS_ARE_ACTIVE {
            // In a large quota of requests these are bursts, so that no quota means more events than another.
            let request_cost = scaled(ceiling, 0.01 + 0.09 * active / OTHERS_ARE_ACTIVE);
            Others { use_per_s: share * OTHERS_SHARE * limit as f64 / 60.0, request_cost, before: None }
        } else {
            Others::default()
        };
        let exposed = if self == Self::AnchoredWindow { WINDOW_STARTED_BEFORE } else { USED_BEFORE };
        let before = (before < exposed)
            .then(|| (60.0 * before / exposed, (used.powi(3) * (ceiling + 1) as f64) as u64));
        Hypothesis {
            kind,
            mechanism,
            rejected_count: rejected < REJECTED_COUNT,
            others: Others { before, ..others },
        }
    }
}

fn limit(kind: QuotaKind, stated: Option<u64>, u: f64) -> u64 {
    match (kind, stated) {
        (QuotaKind::Requests, Some(stated)) if u < AS_STATED => stated,
        (_, Some(stated)) if u < AS_STATED => {
            scaled(stated, 1.0 + COUNTING_ERROR * (2.0 * u / AS_STATED - 1.0))
        }
        (_, Some(stated)) => scaled(stated, log_uniform((u - AS_STATED) / (1.0 - AS_STATED), 0.02, 4.0)),
        (QuotaKind::Requests, None) if u < AS_STATED => pick(&USUAL_REQUESTS, u / AS_STATED),
        (QuotaKind::Requests, None) => scaled(1, log_uniform((u - AS_STATED) / (1.0 - AS_STATED), 1.0, 1e4)),
        (QuotaKind::Tokens, None) => scaled(1, log_uniform(u, 100.0, 1e8)),
        (QuotaKind::TokensPerDay, None) => scaled(1, log_uniform(u, 100.0, 1e11)),
    }
}

/// `usual` with probability `share`, with the rest spread log-uniformly from `low` to `high`.
fn mixed(u: f64, share: f64, usual: f64, low: f64, high: f64) -> f64 {
    if u < share { usual } else { log_uniform((u - share) / (1.0 - share), low, high) }
}

/// One of the usual periods, or any from the shortest to the longest of them.
fn usual_period(u: f64, usual: &[f64]) -> f64 {
    if u < 0.8 {
        pick(usual, u / 0.8)
    } else {
        log_uniform((u - 0.8) / 0.2, usual[0], usual[usual.len() - 1])
    }
}

fn clock_error(u: f64) -> f64 {
    (CLOCK_ERROR_S * (2.0 * u - 1.0)).rem_euclid(60.0)
}

fn log_uniform(u: f64, low: f64, high: f64) -> f64 {
    low * (high / low).powf(u)
}

fn scaled(amount: u64, factor: f64) -> u64 {
    ((amount as f64 * factor).round() as u64).max(1)
}

fn pick<T: Copy>(choices: &[T], u: f64) -> T {
    choices[((u * choices.len() as f64) as usize).min(choices.len() - 1)]
}
