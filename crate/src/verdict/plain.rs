//! Mechanisms in plain words.

use super::{Candidate, Ranked};
use crate::text::grouped;
use crate::{Mechanism, MechanismId, QuotaKind};

/// A kind of limit, without its numbers.
pub(super) fn name(candidate: Candidate) -> &'static str {
    match candidate {
        Candidate::Known(id) => match id {
            MechanismId::FixedWindow => "a limit that starts afresh at fixed times",
            MechanismId::AnchoredWindow => "a limit that starts afresh some time after first use",
            MechanismId::SlidingLog => "a limit on every stretch of time of one length",
            MechanismId::SlidingCounter => "a limit on an estimate of recent use",
            MechanismId::TokenBucket => "an allowance that refills steadily",
            MechanismId::SteppedBucket => "an allowance that refills in steps",
            MechanismId::ExponentialDecay => "a limit on past use that fades",
        },
        Candidate::SomethingElse => "something that was not compared",
    }
}

/// A mechanism with its numbers, and how surely they are known.
pub(super) struct Limit<'a> {
    ranked: &'a Ranked,
    mechanism: Mechanism,
    unit: &'static str,
}

impl<'a> Limit<'a> {
    /// `None` if the mechanism has no numbers.
    pub(super) fn new(ranked: &'a Ranked, kind: QuotaKind) -> Option<Self> {
        let unit = match kind {
            QuotaKind::Tokens | QuotaKind::TokensPerDay => "token",
            QuotaKind::Requests => "request",
        };
        Some(Self { ranked, mechanism: ranked.parameters?, unit })
    }

    /// What it does, as a clause.
    pub(super) fn behaviour(&self) -> String {
        let most = self.most();
        match self.mechanism {
            Mechanism::FixedWindow { .. } if self.mechanism.is_clock_minute() => {
                format!("it allows {most} in each minute of the clock and starts afresh with the next")
            }
            Mechanism::FixedWindow { window_s, offset_s, .. } => format!(
                "it allows {most} in each period of {window_s:.0} seconds and starts afresh with the next; one began {:.0} \
                 seconds past a full minute",
                offset_s.rem_euclid(60.0)
            ),
            Mechanism::AnchoredWindow { window_s, .. } => format!(
                "it allows {most} in a period of {window_s:.0} seconds, which begins with the first request; the first \
                 request after its end begins the next"
            ),
            Mechanism::SlidingLog { window_s, .. } => format!(
                "it allows {most} in any {window_s:.0} seconds, so what a request takes is available again \
                 {window_s:.0} seconds later"
            ),
            Mechanism::SlidingCounter { window_s, .. } => format!(
                "it allows about {most} in any {window_s:.0} seconds, which it estimates from the totals of this period \
                 of {window_s:.0} seconds and the one before"
            ),
            Mechanism::TokenBucket { .. } => {
                format!(
                    "it allows {most} at once, and {} become available every minute, steadily",
                    self.rate()
                )
            }
            Mechanism::SteppedBucket { tick_s, .. } => format!(
                "it allows {most} at once, and {} become available every minute, in steps of {tick_s:.0} seconds",
                self.rate()
            ),
            Mechanism::ExponentialDecay { time_constant_s, .. } => format!(
                "it allows {most} at once and forgets what was used little by little, two thirds in {time_constant_s:.0} \
                 seconds"
            ),
        }
    }

    /// What to do to stay under it, as a clause.
    pub(super) fn advice(&self) -> String {
        let most = self.amount(self.ceiling().map_or(self.mechanism.ceiling(), |[low, _]| low as u64));
        match self.mechanism {
            Mechanism::FixedWindow { .. } | Mechanism::AnchoredWindow { .. } => {
                format!("send at most {most} in such a period, and after a rejection wait for its end")
            }
            Mechanism::SlidingLog { window_s, .. } | Mechanism::SlidingCounter { window_s, .. } => {
                format!("send at most {most} in any {window_s:.0} seconds")
            }
            Mechanism::TokenBucket { .. }
            | Mechanism::SteppedBucket { .. }
            | Mechanism::ExponentialDecay { .. } => format!(
                "send at most {most} at once, and in the long run no more than {} a minute",
                self.rate()
            ),
        }
    }

    /// The most that it ever allows, with how surely that is known.
    fn most(&self) -> String {
        let most = self.amount(self.mechanism.ceiling());
        match self.ceiling() {
            Some([low, high]) if low < high => {
                let [low, high] = [low, high].map(|bound| grouped(bound as u64));
                format!("{most} (95 % certain: {low} to {high})")
            }
            _ => most,
        }
    }

    fn amount(&self, count: u64) -> String {
        format!("{} {}{}", grouped(count), self.unit, if count == 1 { "" } else { "s" })
    }

    fn ceiling(&self) -> Option<[f64; 2]> {
        let intervals = &self.ranked.intervals;
        intervals.get("limit").or(intervals.get("capacity")).copied()
    }

    /// What it allows a minute in the long run.
    fn rate(&self) -> String {
        grouped((60.0 * self.mechanism.rate_per_s()).round() as u64)
    }
}
