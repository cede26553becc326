use rayon::prelude::*;

use super::{HOPELESS, Posterior, follow, stages, worth_moving};
use crate::Candidate;
use crate::analysis::Assumptions;
use crate::analysis::belief::{Belief, Effort};
use crate::analysis::evidence::Evidence;

/// Enough to find out which beliefs are left.
const SCREENING: Effort =
    Effort { prior: 2_000, replayed: 3_000, fewest: 240, of_many: 0.25, moves: 2, renewed_below: 0.2 };
/// Beliefs with less at stake than this after it are not.
const LEFT: f64 = 1e-5;
/// Of each sampler that is asked about what is left. They are drawn anew later than those that probes are chosen by, and then
/// move more often: for the same number of replays samplers scatter less.
const EFFORT: Effort =
    Effort { prior: 2_500, replayed: 4_500, fewest: 270, of_many: 0.5, moves: 2, renewed_below: 0.2 };
/// More samplers are asked about beliefs with more at stake than this: so many in all at least, and at most.
const CONTENDING: f64 = 1e-4;
const FEWEST: usize = 3;
const MOST: usize = 8;
/// In a trace of so many requests, which narrows the parameters down so far that few particles come near the truth, few
/// samplers may all have missed it, and agree.
const LONG_TRACE: usize = 50;
const FEWEST_IF_LONG: usize = 4;
/// Samplers agree once the leader's odds are known up to about this share.
const AGREEMENT: f64 = 0.3;
/// Somebody who leads may be announced.
const LEADING: f64 = 0.8;

impl Posterior {
    /// What several samplers make of the same evidence: a quick one of every belief, and others of those that are left.
    pub(in crate::analysis) fn agreed(evidence: &[Evidence], assumptions: &Assumptions) -> Self {
        Self::of(evidence, assumptions, SCREENING).settled()
    }

    /// The same, with as many other samplers of the beliefs that are left as it takes for them to agree. One, of those that are
    /// worked on, has to do where nothing leads, for then it does not matter by how much; unless it is for want of particles.
    pub(in crate::analysis) fn settled(mut self) -> Self {
        self = self.with_effort(EFFORT);
        let is_long = self.evidence.len() >= LONG_TRACE && worth_moving(&self.evidence);
        let fewest = if is_long { FEWEST_IF_LONG } else { FEWEST };
        let left = if self.candidates()[0].1 > LEADING { LEFT } else { HOPELESS };
        self.ask(1, |_, share| share > left);
        for round in 0..=MOST - fewest {
            let (leader, probability) = self.candidates()[0];
            if probability <= LEADING && !is_long {
                break;
            }
            let is_open = |belief: &Belief, share: f64| {
                let error = belief.error() * weight_in_odds(belief, share, leader, probability);
                share > CONTENDING && (belief.samplers() < fewest as f64 || error > AGREEMENT)
            };
            if !self.ask(if round == 0 { fewest - 2 } else { 1 }, is_open) {
                break;
            }
        }
        self
    }

    /// Asks one more sampler about the beliefs that are worked on.
    pub(in crate::analysis) fn refine(&mut self) {
        self.ask(1, |_, share| share > HOPELESS);
    }

    /// Asks one more sampler about the others, too: the particles that were moved along may have lost the truth.
    pub(in crate::analysis) fn renew(&mut self) {
        self.ask(1, |_, share| share <= HOPELESS);
    }

    /// Asks so many more samplers about each belief that is `wanted`, with what is at stake; whether there was one.
    fn ask(&mut self, samplers: usize, wanted: impl Fn(&Belief, f64) -> bool) -> bool {
        let beliefs = self.beliefs.iter_mut().zip(&self.at_stake).enumerate();
        let wanted = beliefs.filter(|(_, ((belief, _), share))| wanted(belief, **share));
        let anew: Vec<(usize, Belief)> = wanted
            .flat_map(|(index, ((belief, _), _))| (0..samplers).map(move |_| (index, belief.anew())))
            .collect();
        let followed = |(index, mut belief): (usize, Belief)| {
            let prior = self.beliefs[index].1.ln();
            let mut so_far = f64::NEG_INFINITY;
            for end in stages(&self.evidence) {
                let share = (prior + belief.log_evidence() - so_far).exp();
                let at_stake = share * belief.at_stake();
                follow(&mut belief, &self.evidence[..end], share, at_stake);
                so_far = self.so_far[end - 1];
            }
            (index, belief)
        };
        let asked: Vec<_> = anew.into_par_iter().map(followed).collect();
        let any = !asked.is_empty();
        asked.into_iter().for_each(|(index, belief)| self.beliefs[index].0.pool(belief));
        self.share_out();
        any
    }
}

/// By how much, relatively, the odds of the leader change if what was found for a belief does.
fn weight_in_odds(belief: &Belief, share: f64, leader: Candidate, probability: f64) -> f64 {
    let of_side = if belief.class.candidate() == leader { probability } else { 1.0 - probability };
    (share / of_side.max(f64::MIN_POSITIVE)).min(1.0)
}
