use rand::{Rng, RngExt};

use crate::{Admission, Refund};

/// Burndown factors that AWS documents.
const USUAL_BURNDOWNS: [u64; 4] = [1, 5, 10, 15];
/// Others that are thought of; 0 is output that does not count.
const OTHER_BURNDOWNS: [u64; 14] = [0, 2, 3, 4, 6, 7, 8, 9, 12, 13, 18, 20, 25, 30];
/// How probable another burndown is beforehand.
const OTHER_BURNDOWN: f64 = 0.06;
/// How probable it is beforehand that the burndown multiplies the reservation too.
const MULTIPLIED: f64 = 0.2;
/// How probable it is beforehand that a request needs only some room, not all it takes.
const UNTIL_EXHAUSTED: f64 = 0.1;
/// Delays of a refund, in seconds. A shorter one is no delay over a network, a longer one outlives the window.
const DELAYS_S: (f64, f64) = (3.0, 45.0);

/// One answer to each question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub refund: Refunds,
    pub rejected_count: bool,
    pub burndown: Burndown,
}

/// What happens to the unused part of a reservation, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refunds {
    NothingReserved,
    AtEnd,
    Never,
    Delayed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Burndown {
    Usual(u64),
    Other,
}

impl Case {
    /// Every case with its prior probability; they add up to 1.
    pub(super) fn all() -> Vec<(Self, f64)> {
        let refunds = [
            (Refunds::NothingReserved, 0.4),
            (Refunds::AtEnd, 0.3),
            (Refunds::Never, 0.15),
            (Refunds::Delayed, 0.15),
        ];
        let share = (1.0 - OTHER_BURNDOWN) / USUAL_BURNDOWNS.len() as f64;
        let burndowns = USUAL_BURNDOWNS.map(|factor| (Burndown::Usual(factor), share));
        let burndowns: Vec<_> = burndowns.into_iter().chain([(Burndown::Other, OTHER_BURNDOWN)]).collect();
        let mut cases = Vec::new();
        for (refund, refund_prior) in refunds {
            for (burndown, burndown_prior) in &burndowns {
                for rejected_count in [false, true] {
                    let case = Self { refund, rejected_count, burndown: *burndown };
                    cases.push((case, 0.5 * refund_prior * burndown_prior));
                }
            }
        }
        cases
    }

    /// Rules that agree with the case; what it leaves open is drawn.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Rules {
        // Every case makes the same draws, so that cases with the same luck differ in their answers only.
        let multiplied = rng.random_bool(MULTIPLIED);
        let (shortest, longest) = DELAYS_S;
        let delay_s = shortest * (longest / shortest).powf(rng.random::<f64>());
        let other = OTHER_BURNDOWNS[rng.random_range(0..OTHER_BURNDOWNS.len())];
        Rules {
            reserves: self.refund != Refunds::NothingReserved,
            refund: match self.refund {
                Refunds::NothingReserved | Refunds::AtEnd => Refund::AtEnd,
                Refunds::Never => Refund::Never,
                Refunds::Delayed => Refund::After(delay_s),
            },
            rejected_count: self.rejected_count,
            burndown: match self.burndown {
                Burndown::Usual(factor) => factor,
                Burndown::Other => other,
            },
            multiplied,
        }
    }
}

/// How a quota of tokens is charged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    reserves: bool,
    pub refund: Refund,
    pub rejected_count: bool,
    pub burndown: u64,
    /// Whether the burndown multiplies the reservation too.
    multiplied: bool,
}

impl Rules {
    /// Moves the delay of a refund by a share of itself.
    pub(super) fn roughen(&mut self, share: f64) {
        if let Refund::After(delay_s) = &mut self.refund {
            *delay_s = (*delay_s * share.exp()).clamp(DELAYS_S.0, DELAYS_S.1);
        }
    }

    /// What admission charges.
    pub(super) fn reserved(&self, input_tokens: u64, max_tokens: u64) -> u64 {
        match (self.reserves, self.multiplied) {
            (false, _) => input_tokens,
            (true, false) => input_tokens + max_tokens,
            (true, true) => input_tokens + max_tokens * self.burndown.max(1),
        }
    }
}

/// How much of a reservation must fit, drawn as it is thought of beforehand.
pub(super) fn admission(rng: &mut impl Rng) -> Admission {
    if rng.random_bool(UNTIL_EXHAUSTED) { Admission::UntilExhausted } else { Admission::Whole }
}
