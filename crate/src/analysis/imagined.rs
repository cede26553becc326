//! Worlds as they may be, to try probes in.

use super::belief::Belief;
use super::draw::uniform;
use super::enforced::{Enforced, ROUNDING};
use super::noise;
use super::oddity::{Aftermath, Oddity};
use super::prior::Class;
use super::quantile::quantile;
use super::replay::Replay;
use crate::{Admission, Decision, Limiter, QuotaKind, Timestamp};

/// Particles that are imagined forward, shared by the groups of classes that are left.
const PARTICLES: usize = 400;
/// A class below this probability is not worth a probe.
const NEGLIGIBLE: f64 = 1e-4;

/// One way the world may be, to be imagined forward.
#[derive(Clone, Debug)]
pub(super) struct Imagined {
    first: Enforced,
    second: Option<Enforced>,
    admission: Admission,
    rejected_count: bool,
    oddity: Oddity,
    aftermath: Aftermath,
    /// Relative probability.
    pub weight: f64,
    pub class: usize,
    /// A uniform number that tells its luck.
    luck: u64,
}

/// Worlds of every group of classes that is worth a probe, as many of each group; in a group, by its shares. Each class is
/// one of its own if they are to be told apart `finely`.
pub(super) fn imagine<'a>(
    beliefs: impl Iterator<Item = (&'a Belief, f64)>,
    sharpness: f64,
    finely: bool,
) -> Vec<Imagined> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (belief, share) in beliefs {
        let key = (belief.kind, if finely { belief.class } else { belief.class.group() });
        match groups.iter_mut().find(|group| group.key == key) {
            Some(group) => group.beliefs.push((belief, share)),
            None => groups.push(Group { key, beliefs: vec![(belief, share)] }),
        }
    }
    let likeliest = groups.iter().map(Group::share).fold(f64::MIN_POSITIVE, f64::max);
    groups.retain(|group| group.share() > NEGLIGIBLE * likeliest);
    let of_group = (PARTICLES / groups.len().max(1)) as f64;
    let worlds = groups.iter().enumerate().flat_map(|(index, group)| {
        let all = group.share();
        let weight = (all / likeliest).powf(sharpness);
        group.beliefs.iter().enumerate().flat_map(move |(part, (belief, share))| {
            let count = (of_group * share / all).round() as usize;
            let weight = weight * share / all / count.max(1) as f64;
            let replays = belief.sample(count).zip(((64 * index + part) as u64) << 32..);
            replays.map(move |(replay, luck)| Imagined::new(replay, index, weight, luck))
        })
    });
    worlds.collect()
}

/// What is there with this probability, by what each world has.
pub(super) fn surely(imagined: &[Imagined], probability: f64, of: impl Fn(&Imagined) -> f64) -> f64 {
    let mut amounts: Vec<(f64, f64)> = imagined.iter().map(|one| (of(one), one.weight)).collect();
    amounts.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    quantile(&amounts, probability).map_or(0.0, |amount| amount.max(0.0))
}

/// Beliefs that a probe need not tell apart.
struct Group<'a> {
    key: (QuotaKind, Class),
    beliefs: Vec<(&'a Belief, f64)>,
}

impl Group<'_> {
    fn share(&self) -> f64 {
        self.beliefs.iter().map(|(_, share)| share).sum()
    }
}

impl Imagined {
    pub(super) fn new(replay: &Replay, class: usize, weight: f64, luck: u64) -> Self {
        let (first, second) = replay.enforced();
        let (first, second) = (first.clone(), second.cloned());
        let (admission, rejected_count) = replay.rules();
        let (oddity, aftermath) = replay.oddity();
        Self { first, second, admission, rejected_count, oddity, aftermath, weight, class, luck }
    }

    /// The same world, counted with another class.
    pub(super) fn of_class(self, class: usize) -> Self {
        Self { class, ..self }
    }

    /// Whether what was used comes back at a rate.
    pub(super) fn is_level(&self) -> bool {
        self.first.is_level
    }

    pub(super) fn fits(&self, at: Timestamp, tokens: u64) -> bool {
        self.room(at) >= tokens as f64
    }

    pub(super) fn charge(&mut self, at: Timestamp, tokens: u64) {
        self.aftermath = self.oddity.requested(at, self.aftermath);
        self.first.limiter.charge(self.oddity.counted_from(at, self.aftermath), self.first.kind.cost(tokens));
        if let Some(second) = &mut self.second {
            second.limiter.charge(at, second.kind.cost(tokens));
        }
    }

    pub(super) fn reject(&mut self, at: Timestamp, tokens: u64) {
        if self.rejected_count {
            self.charge(at, tokens);
        }
        self.aftermath = self.oddity.rejected(at, self.aftermath, &self.first.limiter);
    }

    /// When `share` of the quota fits again, if nothing else is charged; `None` if it does now, or never will.
    pub(super) fn returns_at(&self, now: Timestamp, share: f64) -> Option<Timestamp> {
        let cost = (share * self.first.ceiling as f64) as u64;
        let from = now.max(self.oddity.is_over_at(self.aftermath));
        let seen = self.oddity.seen(from, self.aftermath);
        match self.first.limiter.check(seen, cost) {
            Decision::Admitted => (from > now).then_some(from),
            Decision::Throttled { retry_at } => {
                retry_at.map(|at| from.plus_nanos(at.as_nanos() - seen.as_nanos()))
            }
        }
    }

    /// How many requests would be admitted at once, as far as that does not depend on their size.
    pub(super) fn requests(&self, at: Timestamp) -> f64 {
        let left = |quota: &Enforced, at, withheld| match quota.kind {
            QuotaKind::Requests => quota.limiter.remaining(at) - withheld,
            QuotaKind::Tokens | QuotaKind::TokensPerDay => f64::INFINITY,
        };
        let seen = self.oddity.seen(at, self.aftermath);
        let of_first = left(&self.first, seen, self.oddity.withheld(at, self.first.ceiling));
        self.second.as_ref().map_or(of_first, |second| of_first.min(left(second, at, 0.0)))
    }

    /// The largest request that would be admitted, in tokens; infinite where size does not matter.
    pub(super) fn room(&self, at: Timestamp) -> f64 {
        if self.oddity.is_closed(at, self.aftermath) {
            return f64::NEG_INFINITY;
        }
        // Other luck at another instant.
        let luck = self.luck ^ at.as_nanos() as u64;
        let ceiling = self.first.ceiling;
        let seen = self.oddity.seen(at, self.aftermath);
        let room_of = |quota: &Enforced, at, withheld| quota.room(at, withheld, self.admission, luck);
        let kept_free = match self.oddity {
            Oddity::AtRandom(chance) => chance.least_margin(uniform(luck, 1), ceiling as f64),
            oddity => oddity.withheld(at, ceiling),
        };
        let of_first = room_of(&self.first, seen, kept_free);
        self.second.as_ref().map_or(of_first, |second| of_first.min(room_of(second, at, 0.0)))
    }
}

impl Enforced {
    /// What `luck` makes of the blurred edge. A quota that asks for less than the whole cost, as one of requests does, admits any size or none.
    fn room(&self, at: Timestamp, withheld: f64, admission: Admission, luck: u64) -> f64 {
        let blur = match self.kind {
            QuotaKind::Requests => ROUNDING,
            QuotaKind::Tokens | QuotaKind::TokensPerDay => noise::blur(uniform(luck, 0), self.edge),
        };
        match (self.kind, admission, self.limiter.remaining(at) - withheld + blur) {
            (QuotaKind::Tokens | QuotaKind::TokensPerDay, Admission::Whole, remaining) => remaining,
            (_, _, remaining) if remaining >= 1.0 => f64::INFINITY,
            _ => f64::NEG_INFINITY,
        }
    }
}
