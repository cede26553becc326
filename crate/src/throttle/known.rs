//! What is known of the quotas beforehand, taken at its safe ends.

use super::guard::Guard;
use crate::error::check_range;
use crate::verdict::{Binding, Conclusion, Ranked, Verdict};
use crate::{Mechanism, MechanismId, QuotaKind, Refund, Result};

/// A bucket that refills in ticks of up to 2 s is named a token bucket: half of that, in seconds.
const HALF_A_HIDDEN_TICK_S: f64 = 1.0;

/// What a throttle is told.
#[derive(Clone, Debug, PartialEq)]
pub struct ThrottleSettings {
    /// The quotas, each at most once, and how they are enforced as far as that is known.
    pub quotas: Vec<(QuotaKind, Mechanism)>,
    /// How many tokens each output token counts for, 1 to 100: a property of the model.
    pub burndown: u64,
    /// When the unused part of a reservation comes back.
    pub refund: Refund,
    /// How far the clocks of client and service may differ, in seconds, 0 to 30.
    pub clock_error_s: f64,
    /// Whether the quotas may be used up when it starts, for instance by a measurement, or by the client before it was
    /// restarted. Then it lets them recover first; otherwise it takes them for unused.
    pub is_used_up: bool,
}

impl ThrottleSettings {
    /// Quotas of `tpm` tokens and `rpm` requests a minute, enforced in nobody knows which way: as sliding logs of 60 s.
    /// That is safe for every mechanism of 60 s but the sliding counter and the exponential decay, of which one 429 tells.
    ///
    /// A burndown of 1, refunds at the end, clocks that differ by up to 0.25 s, nothing used yet.
    pub fn stated(tpm: Option<u64>, rpm: Option<u64>) -> Self {
        let log = |limit| Mechanism::per_minute(MechanismId::SlidingLog, limit);
        let quotas = [(QuotaKind::Requests, rpm), (QuotaKind::Tokens, tpm)];
        Self {
            quotas: quotas.into_iter().filter_map(|(kind, limit)| Some((kind, log(limit?)))).collect(),
            burndown: 1,
            refund: Refund::AtEnd,
            clock_error_s: 0.25,
            is_used_up: false,
        }
    }

    pub(super) fn quotas(&self) -> Result<Vec<(QuotaKind, Guard)>> {
        check_range("burndown", self.burndown as f64, 1.0, 100.0)?;
        check_range("clock error (seconds)", self.clock_error_s, 0.0, 30.0)?;
        self.refund.validated()?;
        let guard = |(kind, mechanism): &(QuotaKind, Mechanism)| {
            Ok((*kind, Guard::new(mechanism.validated()?, self.clock_error_s)))
        };
        self.quotas.iter().map(guard).collect()
    }
}

/// The quotas of `settings`, but the one that `verdict` is about as it names it.
pub(super) fn quotas(verdict: &Verdict, settings: &ThrottleSettings) -> Result<Vec<(QuotaKind, Guard)>> {
    let mut quotas = settings.quotas()?;
    if let (Binding::Quota(binding), Conclusion::Mechanism(_), Some(leader)) =
        (verdict.binding, verdict.verdict, verdict.ranked.first())
        && let Some((mechanism, error_s)) = safe(leader)
    {
        quotas.retain(|(kind, _)| *kind != binding);
        quotas.push((binding, Guard::new(mechanism.validated()?, settings.clock_error_s + error_s)));
    }
    Ok(quotas)
}

/// The tightest mechanism that the intervals allow, and how uncertain its clock is, in seconds.
///
/// A window of a length that is not exactly known loses its phase, so it is taken for what is safe in any phase.
fn safe(leader: &Ranked) -> Option<(Mechanism, f64)> {
    let interval = |name: &str, value: f64| leader.intervals.get(name).copied().unwrap_or([value; 2]);
    let least = |name, value: u64| (interval(name, value as f64)[0].floor() as u64).max(1);
    let slowest = |refill_per_s| interval("refill_per_s", refill_per_s)[0];
    let longest = |name, seconds| interval(name, seconds)[1];
    let is_exact = |name, seconds| interval(name, seconds) == [seconds; 2];
    // The interval may lie a whole period beside the offset.
    let phase_error_s = |offset_s: f64, period_s: f64| {
        let away = |end: f64| (end - offset_s + period_s / 2.0).rem_euclid(period_s) - period_s / 2.0;
        interval("offset_s", offset_s).map(|end| away(end).abs()).into_iter().fold(0.0, f64::max)
    };
    Some(match leader.parameters? {
        Mechanism::FixedWindow { limit, window_s, offset_s } if is_exact("window_s", window_s) => {
            let limit = least("limit", limit);
            (Mechanism::FixedWindow { limit, window_s, offset_s }, phase_error_s(offset_s, window_s))
        }
        Mechanism::FixedWindow { limit, window_s, .. }
        | Mechanism::AnchoredWindow { limit, window_s }
        | Mechanism::SlidingLog { limit, window_s } => {
            let (limit, window_s) = (least("limit", limit), longest("window_s", window_s));
            (Mechanism::SlidingLog { limit, window_s }, 0.0)
        }
        Mechanism::SlidingCounter { limit, window_s, offset_s } if is_exact("window_s", window_s) => {
            let limit = least("limit", limit);
            (Mechanism::SlidingCounter { limit, window_s, offset_s }, phase_error_s(offset_s, window_s))
        }
        // Half of the limit in this window and in the one before: whenever they begin.
        Mechanism::SlidingCounter { limit, window_s, .. } => {
            let (limit, window_s) = ((least("limit", limit) / 2).max(1), longest("window_s", window_s));
            (Mechanism::SlidingLog { limit, window_s }, 0.0)
        }
        Mechanism::TokenBucket { capacity, refill_per_s } => {
            let capacity = least("capacity", capacity);
            let refill_per_s = slowest(refill_per_s);
            (Mechanism::TokenBucket { capacity, refill_per_s }, HALF_A_HIDDEN_TICK_S)
        }
        Mechanism::SteppedBucket { capacity, refill_per_s, tick_s, offset_s } => {
            let (capacity, refill_per_s) = (least("capacity", capacity), slowest(refill_per_s));
            if is_exact("tick_s", tick_s) {
                let mechanism = Mechanism::SteppedBucket { capacity, refill_per_s, tick_s, offset_s };
                (mechanism, phase_error_s(offset_s, tick_s))
            } else {
                // What a tick brings may come a whole tick later than in a bucket that refills continuously.
                (Mechanism::TokenBucket { capacity, refill_per_s }, longest("tick_s", tick_s) / 2.0)
            }
        }
        Mechanism::ExponentialDecay { limit, time_constant_s } => {
            let limit = least("limit", limit);
            let time_constant_s = longest("time_constant_s", time_constant_s);
            (Mechanism::ExponentialDecay { limit, time_constant_s }, 0.0)
        }
    })
}
