//! Whether two targets share one quota: use up the one, then see at once whether the other still admits.
//!
//! It is an experiment with controls. In each round one target is used up until it rejects, twice in a row; then the
//! other is asked for half of the quota; then the first must still reject, or the round shows nothing. Each round begins
//! with a control after a pause: does a target that nobody has used up admit that much at all? Which target is used up
//! is drawn by lot, each as often as the other in every four rounds.

mod finding;
mod names;
mod obstacle;
mod odds;
mod recovery;
mod round;
mod step;
mod terms;

pub use finding::{Paired, Shares, pair};
pub use step::{Role, Side, Step};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use self::names::Names;
use self::recovery::Recovery;
use self::round::Round;
use self::terms::Terms;
use crate::{Assumptions, Observation, Outcome, Result, Timestamp, Verdict};

/// The phase, in a trace, whose requests go to two targets. The mechanism is judged by the others.
pub(crate) const PAIRING: &str = "pairing";
/// After so many rounds it gives up.
const ROUNDS: u32 = 12;

/// The next request of a pairing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedProbe {
    /// What it is for and where it goes.
    pub step: Step,
    /// When to send it.
    pub at: Timestamp,
    /// How many tokens it should reserve.
    pub tokens: u64,
}

/// Follows a pairing, and says what to send next: observations in, requests out.
#[derive(Clone, Debug)]
pub struct Pairing {
    terms: Terms,
    recovery: Recovery,
    confidence: f64,
    seed: u64,
    names: Names,
    entries: Vec<Entry>,
}

/// What one observation tells.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Its place; `None` if the first target was measured before.
    step: Option<Step>,
    sent: Timestamp,
    finished: Timestamp,
    /// In tokens or requests, whatever is used up.
    cost: u64,
    outcome: Outcome,
}

/// The observations of one target alone.
pub(crate) fn unpaired(observations: &[Observation]) -> Vec<Observation> {
    observations.iter().filter(|observation| observation.phase != PAIRING).cloned().collect()
}

impl Pairing {
    /// A pairing that knows `observations`: those of the first target, and what was paired already. What `verdict` says of
    /// the first target's quota is used; where it says nothing, the quota as `assumptions` state it.
    ///
    /// # Errors
    /// A usage error if there is no quota that requests can use up.
    pub fn new(observations: &[Observation], verdict: &Verdict, assumptions: &Assumptions) -> Result<Self> {
        let (terms, suspects) = Terms::new(verdict, assumptions)?;
        let Assumptions { confidence, seed, .. } = *assumptions;
        let recovery = Recovery::new(suspects);
        let mut pairing =
            Self { terms, recovery, confidence, seed, names: Names::default(), entries: Vec::new() };
        observations.iter().for_each(|observation| pairing.observe(observation));
        Ok(pairing)
    }

    /// Takes in the next observation.
    pub fn observe(&mut self, observation: &Observation) {
        let step = Step::of(observation);
        if let Some(step) = step {
            self.names.learn(step.side, observation);
        }
        self.entries.push(Entry {
            step,
            sent: observation.sent,
            finished: observation.finished.max(observation.sent),
            cost: self.terms.kind.cost(observation.reserved()),
            outcome: observation.outcome(),
        });
    }

    /// The next request, to be sent no earlier than `now`, unless the odds are clear or no further request would clear them.
    pub fn next(&self, now: Timestamp) -> Option<PairedProbe> {
        if let Some(side) = self.unsized_side() {
            let step = Step { round: 0, role: Role::Sizing, side };
            return Some(PairedProbe { step, at: now, tokens: self.terms.chunk });
        }
        let rounds = self.rounds();
        let open = rounds.last().and_then(|round| Some((round.number, round.filled, round.next()?)));
        let (round, filled, role) = match open {
            Some(open) => open,
            None if rounds.len() >= ROUNDS as usize || self.is_over(&rounds) => return None,
            None => {
                let round = 1 + rounds.len() as u32;
                (round, self.filled_in(round), Role::Control)
            }
        };
        let side = if role == Role::Probe { filled.other() } else { filled };
        let begins = open.is_none();
        let at = if begins { self.recovered_at(&rounds, side, now) } else { now };
        let step = Step { round, role, side };
        Some(PairedProbe { step, at, tokens: self.terms.tokens(role) })
    }

    /// The target that must still show how many tokens a prompt has: until it has admitted one, or rejected two.
    fn unsized_side(&self) -> Option<Side> {
        let is_sized = |side: Side| {
            let of_side =
                self.entries.iter().filter(|entry| entry.step.is_some_and(|step| step.side == side));
            of_side.clone().any(|entry| entry.outcome.is_admitted()) || of_side.count() >= 2
        };
        [Side::Second, Side::First].into_iter().find(|side| self.terms.sizes_matter() && !is_sized(*side))
    }

    /// When a round may begin that starts with a request to `side`: once all that is suspected has recovered, and later
    /// each time that it had not.
    fn recovered_at(&self, rounds: &[Round], side: Side, now: Timestamp) -> Timestamp {
        let rejected = rounds.iter().rev().filter(|round| round.filled == side);
        let in_vain = rejected.take_while(|round| round.control() == Some(false)).count();
        self.recovery.recovered_at(&self.entries, in_vain, now)
    }

    /// The target that is used up in a round.
    fn filled_in(&self, round: u32) -> Side {
        let (block, place) = ((round - 1) / 4, (round - 1) % 4);
        let swapped: bool = Pcg64Mcg::seed_from_u64(self.seed.wrapping_add(block.into())).random();
        let is_outer = place == 0 || place == 3;
        if is_outer == swapped { Side::Second } else { Side::First }
    }

    fn rounds(&self) -> Vec<Round> {
        let last = self.entries.iter().filter_map(|entry| entry.step).map(|step| step.round).max();
        (1..=last.unwrap_or(0)).filter_map(|round| Round::new(round, &self.entries, &self.terms)).collect()
    }
}
