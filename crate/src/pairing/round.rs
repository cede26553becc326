use super::recovery::Recovery;
use super::terms::Terms;
use super::{Entry, Role, Side};
use crate::Outcome;

/// A fill of more requests than this does not reach the quota.
const MOST_OF_A_FILL: usize = 40;
/// A target is used up once it has rejected so many requests in a row: one may be rejected for no reason.
const REJECTED_IN_A_ROW: usize = 2;
/// A fill that was not rejected has gone past the other target's quota if it took this much more than that admitted.
const PAST: f64 = 1.2;
/// Where the quota may have recovered enough in the meantime with a higher probability than this, a round shows nothing.
const RECOVERED: f64 = 0.3;

/// One round, as far as it has got.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub number: u32,
    /// The target that is used up.
    pub filled: Side,
    entries: Vec<(Role, Entry)>,
    terms: Terms,
}

/// What became of a probe while the other target was used up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Treatment {
    /// The probability that it fitted into the very quota that was used up.
    pub fits: f64,
    pub passed: bool,
}

impl Round {
    /// `None` if it has not begun.
    pub(super) fn new(number: u32, entries: &[Entry], terms: &Terms) -> Option<Self> {
        let of_round = entries.iter().filter_map(|entry| Some((entry.step?, *entry)));
        let of_round: Vec<_> = of_round.filter(|(step, _)| step.round == number).collect();
        let filled = of_round.first()?.0.side;
        let entries = of_round.into_iter().map(|(step, entry)| (step.role, entry)).collect();
        Some(Self { number, filled, entries, terms: *terms })
    }

    /// What its next request is for; `None` if it is over.
    pub(super) fn next(&self) -> Option<Role> {
        match self.control() {
            None => return Some(Role::Control),
            Some(false) => return None,
            Some(true) => {}
        }
        if !self.is_filled() {
            return Some(Role::Fill);
        }
        if self.probe().is_none() {
            return Some(Role::Probe);
        }
        (self.is_used_up() && self.check().is_none()).then_some(Role::Check)
    }

    /// Whether the target that is used up admitted the control before; `None` if that is open.
    pub(super) fn control(&self) -> Option<bool> {
        self.group(Role::Control)
    }

    /// Whether the target was used up until it rejected.
    pub(super) fn is_used_up(&self) -> bool {
        let fills = self.of(Role::Fill).filter(|entry| entry.outcome != Outcome::Failed);
        let rejected = fills.rev().take_while(|entry| entry.outcome.is_throttled());
        rejected.count() >= REJECTED_IN_A_ROW
    }

    /// What the target admitted until then, in tokens or requests.
    pub(super) fn used(&self) -> u64 {
        let used = self.of(Role::Control).chain(self.of(Role::Fill));
        used.filter(|entry| entry.outcome.is_admitted()).map(|entry| entry.cost).sum()
    }

    /// What the round shows, if it does. `reached` is what the other target has admitted until it was used up.
    pub(super) fn treatment(
        &self,
        all: &[Entry],
        recovery: &Recovery,
        reached: Option<u64>,
    ) -> Option<Treatment> {
        let passed = self.probe()?;
        if !self.is_used_up() {
            let is_past = self.used() as f64 >= PAST * reached? as f64;
            return is_past.then_some(Treatment { fits: 0.0, passed });
        }
        if self.check()? {
            return None;
        }
        let rejected = self.of(Role::Fill).rfind(|entry| entry.outcome.is_throttled())?;
        let asked =
            self.of(Role::Probe).map(|entry| entry.cost).max()? * self.terms.group(Role::Probe) as u64;
        let gain = recovery.gain(all, rejected.sent, self.of(Role::Probe).next_back()?.finished);
        // Less than the rejected cost was left, nobody knows how much.
        let missing = asked as f64 - rejected.cost as f64;
        let fits = ((gain - missing) / rejected.cost as f64).clamp(0.0, 1.0);
        (fits <= RECOVERED).then_some(Treatment { fits, passed })
    }

    fn probe(&self) -> Option<bool> {
        self.group(Role::Probe)
    }

    /// Whether the target that was used up admits again; `None` if that is open.
    fn check(&self) -> Option<bool> {
        self.group(Role::Check)
    }

    fn is_filled(&self) -> bool {
        let is_past = self.used() >= self.terms.fill_at_most;
        is_past || self.is_used_up() || self.of(Role::Fill).count() >= MOST_OF_A_FILL
    }

    /// Whether all requests of a control, probe or check were admitted; `None` if that is open.
    fn group(&self, role: Role) -> Option<bool> {
        if self.of(role).any(|entry| entry.outcome.is_throttled()) {
            return Some(false);
        }
        let admitted = self.of(role).filter(|entry| entry.outcome.is_admitted()).count();
        (admitted >= self.terms.group(role)).then_some(true)
    }

    fn of(&self, role: Role) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().filter(move |(of, _)| *of == role).map(|(_, entry)| entry)
    }
}
