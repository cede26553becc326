//! Quotas and periods as they are drawn from a prior: each takes a uniform number to a value.

use crate::{Mechanism, MechanismId, QuotaKind};

/// Lengths of windows and slots, and ticks, that engineers choose, in seconds.
pub(super) const USUAL_WINDOWS: &[f64] = &[1.0, 2.0, 3.0, 5.0, 6.0, 10.0, 12.0, 15.0, 20.0, 30.0];
pub(super) const USUAL_TICKS: &[f64] = &[3.0, 5.0, 6.0, 10.0, 12.0, 15.0, 20.0, 30.0];
pub(super) const USUAL_PERIOD: f64 = 0.8;
/// Clock error within which a window still counts as clock-aligned, in seconds.
pub(super) const CLOCK_ERROR_S: f64 = 1.0;
/// How often a quota that is known applies as stated, and how often nearly so.
const AS_STATED: f64 = 0.75;
const NEARLY_AS_STATED: f64 = 0.15;
/// How often it was raised since to a multiple of what is stated.
const RAISED: f64 = 0.02;
/// Estimated and charged tokens differ by up to this share.
const COUNTING_ERROR: f64 = 0.02;
/// What is nearly as stated differs by up to this share.
const NEARLY: f64 = 0.15;
pub(super) const USUAL_MECHANISMS: [MechanismId; 4] = [
    MechanismId::FixedWindow,
    MechanismId::AnchoredWindow,
    MechanismId::SlidingLog,
    MechanismId::TokenBucket,
];
/// How often a quota of requests and one of tokens are in force together: where both are stated, and where not.
const BOTH_IF_STATED: f64 = 0.6;
const BOTH_IF_UNSTATED: f64 = 0.08;
/// How often windows have the usual length.
pub(super) const A_MINUTE: f64 = 0.95;
/// How often the quota of a day is none at all.
const NOTHING_A_DAY: f64 = 0.2;
/// Quotas of requests that accounts really have.
const USUAL_REQUESTS: [u64; 12] = [1, 2, 4, 5, 10, 20, 30, 50, 60, 100, 200, 500];

/// The quotas a minute that are stated, if they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stated {
    pub tpm: Option<u64>,
    pub rpm: Option<u64>,
}

impl Stated {
    pub(super) fn of(self, kind: QuotaKind) -> Option<u64> {
        match kind {
            QuotaKind::Tokens => self.tpm,
            QuotaKind::Requests => self.rpm,
            QuotaKind::TokensPerDay => None,
        }
    }

    /// Whether a quota of this kind is one of requests, and stated.
    pub(super) fn is_of_requests(self, kind: QuotaKind) -> bool {
        kind == QuotaKind::Requests && self.rpm.is_some()
    }
}

/// The other quota a minute: as often as not of the same mechanism as the first, or of a usual one.
pub(super) fn second_quota(
    kind: QuotaKind,
    first: Mechanism,
    stated: Stated,
    [u, size]: [f64; 2],
) -> Option<(QuotaKind, Mechanism)> {
    let other = match kind {
        QuotaKind::Tokens => QuotaKind::Requests,
        QuotaKind::Requests => QuotaKind::Tokens,
        QuotaKind::TokensPerDay => return None,
    };
    let share = if stated.of(other).is_some() { BOTH_IF_STATED } else { BOTH_IF_UNSTATED };
    (u < share).then(|| {
        let limit = limit(other, stated.of(other), size);
        let mechanism = match 2.0 * u / share {
            alike if alike < 1.0 => first.of_limit(limit),
            usual => Mechanism::per_minute(pick(&USUAL_MECHANISMS, usual - 1.0), limit),
        };
        (other, mechanism)
    })
}

/// A limit of a few seconds beside that of a minute, which is `ceiling`.
pub(super) fn burst_limit(ceiling: u64, [share, length, phase, which]: [f64; 4]) -> Mechanism {
    let limit = scaled(ceiling, log_uniform(share, 0.1, 0.9));
    let index = (length / USUAL_PERIOD * USUAL_WINDOWS.len() as f64) as usize;
    let window_s = period_of(index, (length - USUAL_PERIOD) / (1.0 - USUAL_PERIOD), USUAL_WINDOWS);
    if which < 0.5 {
        Mechanism::SlidingLog { limit, window_s }
    } else {
        Mechanism::FixedWindow { limit, window_s, offset_s: phase * window_s }
    }
}

pub(super) fn limit(kind: QuotaKind, stated: Option<u64>, u: f64) -> u64 {
    const REST: f64 = 1.0 - AS_STATED - NEARLY_AS_STATED;
    const NOT_RAISED: f64 = REST - RAISED;
    match (kind, stated) {
        (_, Some(stated)) if u < NOT_RAISED => scaled(stated, log_uniform(u / NOT_RAISED, 0.1, 3.0)),
        (_, Some(stated)) if u < REST => scaled(stated, log_uniform((u - NOT_RAISED) / RAISED, 3.0, 20.0)),
        (_, Some(stated)) if u < 1.0 - AS_STATED => {
            scaled(stated, 1.0 + NEARLY * (2.0 * (u - REST) / NEARLY_AS_STATED - 1.0))
        }
        (QuotaKind::Requests, Some(stated)) => stated,
        (_, Some(stated)) => scaled(stated, 1.0 + COUNTING_ERROR * (1.0 - 2.0 * (1.0 - u) / AS_STATED)),
        (QuotaKind::Requests, None) if u < AS_STATED => pick(&USUAL_REQUESTS, u / AS_STATED),
        (QuotaKind::Requests, None) => scaled(1, log_uniform((u - AS_STATED) / (1.0 - AS_STATED), 1.0, 1e4)),
        (QuotaKind::Tokens, None) => scaled(1, log_uniform(u, 100.0, 1e8)),
        (QuotaKind::TokensPerDay, None) if u < NOTHING_A_DAY => 0,
        (QuotaKind::TokensPerDay, None) => {
            scaled(1, log_uniform((u - NOTHING_A_DAY) / (1.0 - NOTHING_A_DAY), 100.0, 1e11))
        }
    }
}

/// How long a window is that runs from use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Minute,
    Other,
}

impl Length {
    /// The length in seconds and the limit, which is that of a minute or in proportion.
    pub(super) fn of_window(self, u: f64, proportion: f64, limit: u64) -> (f64, u64) {
        if self == Self::Minute {
            return (60.0, limit);
        }
        let window_s = log_uniform(u, 5.0, 300.0);
        (window_s, if proportion < 0.5 { limit } else { scaled(limit, window_s / 60.0) })
    }
}

/// `usual` with probability `share`, with the rest spread log-uniformly from `low` to `high`.
pub(super) fn mixed(u: f64, share: f64, usual: f64, low: f64, high: f64) -> f64 {
    if u < share { usual } else { log_uniform((u - share) / (1.0 - share), low, high) }
}

/// The usual period of this index, or any from the shortest to the longest of them.
pub(super) fn period_of(index: usize, u: f64, usual: &[f64]) -> f64 {
    usual.get(index).copied().unwrap_or_else(|| log_uniform(u, usual[0], usual[usual.len() - 1]))
}

pub(super) fn clock_error(u: f64) -> f64 {
    (CLOCK_ERROR_S * (2.0 * u - 1.0)).rem_euclid(60.0)
}

pub(super) fn log_uniform(u: f64, low: f64, high: f64) -> f64 {
    low * (high / low).powf(u)
}

pub(super) fn scaled(amount: u64, factor: f64) -> u64 {
    ((amount as f64 * factor).round() as u64).max(1)
}

pub(super) fn pick<T: Copy>(choices: &[T], u: f64) -> T {
    choices[((u * choices.len() as f64) as usize).min(choices.len() - 1)]
}

/// The uniform number of this index, in (0, 1), that `luck` stands for. The mixing is that of splitmix64.
pub(super) fn uniform(luck: u64, index: u64) -> f64 {
    let state = luck.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (((mixed ^ (mixed >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// A uniform number in (0, 1): the quarter of this index, 0 to 3, of `luck`. Each can be drawn anew by itself.
pub(super) fn quarter(luck: u64, index: u32) -> f64 {
    (f64::from((luck >> (16 * index)) as u16) + 0.5) / 65_536.0
}

/// `luck` with another quarter of this index.
pub(super) fn with_quarter(luck: u64, index: u32, u: f64) -> u64 {
    let shift = 16 * index;
    luck & !(0xffff << shift) | ((u * 65_536.0) as u64) << shift
}
