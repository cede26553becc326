use rayon::prelude::*;

use super::{Posterior, worth_moving};
use crate::Candidate;
use crate::analysis::Assumptions;
use crate::analysis::belief::{Belief, Effort, LONG_TRACE};
use crate::analysis::evidence::Evidence;

/// Enough to find out which beliefs are left.
const SCREENING: Effort = Effort { prior: 2_000, particles: 240, moves: 5 };
/// Beliefs that are less probable than this after it are not.
const LEFT: f64 = 1e-6;
/// More samplers are asked about beliefs that are more probable than this: so many in all at least, and at most.
const CONTENDING: f64 = 1e-4;
const FEWEST: f64 = 3.0;
const MOST: usize = 8;
/// Samplers agree once the leader's odds are known up to about this share.
const AGREEMENT: f64 = 0.3;
/// Somebody who leads may be announced.
const LEADING: f64 = 0.8;

impl Posterior {
    /// What several samplers make of the same evidence: a quick one of every belief, and as many others of those that are
    /// left as it takes for them to agree. One has to do where nothing leads, for then it does not matter by how much;
    /// unless it is for want of particles.
    pub(in crate::analysis) fn agreed(
        evidence: &[Evidence],
        assumptions: &Assumptions,
        effort: Effort,
    ) -> Self {
        let requests = evidence.len();
        let screened = Self::of(evidence, assumptions, SCREENING.on(requests));
        let mut posterior = screened.with_effort(effort.on(requests));
        posterior.ask_another(|_, share| share > LEFT);
        for _ in 2..MOST {
            let (leader, probability) = posterior.candidates()[0];
            if probability <= LEADING && requests < LONG_TRACE {
                break;
            }
            let is_open = |belief: &Belief, share: f64| {
                let error = belief.error() * weight_in_odds(belief, share, leader, probability);
                share > CONTENDING && (belief.samplers() < FEWEST || error > AGREEMENT)
            };
            if !posterior.ask_another(is_open) {
                break;
            }
        }
        posterior
    }

    /// Asks more samplers about the beliefs that contend.
    pub(in crate::analysis) fn refine(&mut self, samplers: usize) {
        for _ in 0..samplers {
            self.ask_another(|_, share| share > CONTENDING);
        }
    }

    /// Asks one more sampler about each belief that is `wanted`, with its share; whether there was one.
    fn ask_another(&mut self, wanted: impl Fn(&Belief, f64) -> bool + Sync) -> bool {
        let (evidence, shares) = (&self.evidence, &self.followed);
        let beliefs = self.beliefs.par_iter_mut().map(|(belief, _)| belief).zip(shares);
        let asked = beliefs.filter(|(belief, share)| wanted(belief, **share)).map(|(belief, _)| {
            let mut anew = belief.anew();
            for end in 1..=evidence.len() {
                anew.update(&evidence[..end], true, worth_moving(&evidence[..end]));
            }
            belief.pool(anew);
        });
        let any = asked.count() > 0;
        self.share_out();
        any
    }
}

/// By how much, relatively, the odds of the leader change if what was found for a belief does.
fn weight_in_odds(belief: &Belief, share: f64, leader: Candidate, probability: f64) -> f64 {
    let of_side = if belief.class.candidate() == leader { probability } else { 1.0 - probability };
    (share / of_side.max(f64::MIN_POSITIVE)).min(1.0)
}
