use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{Belief, Particle};
use crate::analysis::draw::{quarter, with_quarter};
use crate::analysis::evidence::Evidence;
use crate::analysis::likelihood::Likelihood;
use crate::analysis::prior::{DIMENSIONS, Point, TOGETHER};
use crate::analysis::replay::{KNOWN, REJECTED_IS_KNOWN, Replay};

/// At most so many observations at a time are thought to have been decided otherwise.
const LUCK_CHANGED: usize = 3;
/// How often all that was uncertain about one of them changes, instead of a quarter: when it was decided, what it cost if it
/// failed or what others had used, when they did, whether the limiter knew of a rejection.
const WHOLE_LUCK: f64 = 0.25;

/// How often a step that changes what was uncertain concerns whether the limiter knew of a rejection, where that counts: a long
/// trace has many, of which few were unknown.
const KNOWN_OTHERWISE: f64 = 0.5;

impl Belief {
    /// One Metropolis step for each particle, and how many of them were taken. The prior is uniform and the steps
    /// symmetric but for one, so only likelihoods decide. A step changes the hypothesis, or what was uncertain about some
    /// observations, or both.
    pub(super) fn move_all(&mut self, history: &[Evidence]) -> usize {
        let mut moves = 0;
        let mut rng = Pcg64Mcg::seed_from_u64(self.rng.random());
        let mut luck: Vec<u64> = Vec::with_capacity(history.len());
        let is_rejected = |index: &usize| history[*index].outcome.is_throttled();
        let rejected: Vec<usize> = (0..history.len()).filter(is_rejected).collect();
        for index in 0..self.particles.len() {
            let old = &self.points[index];
            let what = rng.random_range(0..3);
            let point = if what == 0 { *old } else { self.proposal(old, &mut rng) };
            luck.clear();
            luck.extend(self.luck.iter().map(|of_observation| of_observation[index]));
            let mut log_odds = 0.0;
            let counts = self.particles[index].replay.rules().1;
            if what == 0 && counts && rng.random_bool(KNOWN_OTHERWISE) {
                if let Some(of) = rejected.choose(&mut rng) {
                    log_odds = known_otherwise(&mut luck[*of], &mut rng);
                }
            } else if what != 1 {
                for _ in 0..rng.random_range(1..=LUCK_CHANGED) {
                    let luck = &mut luck[rng.random_range(0..history.len())];
                    let changed = if rng.random_bool(WHOLE_LUCK) {
                        u64::MAX
                    } else {
                        0xffff << (16 * rng.random_range(0..4))
                    };
                    *luck ^= rng.random::<u64>() & changed;
                }
            }
            let acceptable = self.particles[index].likelihood.ln() + rng.random::<f64>().ln() - log_odds;
            if let Some((replay, likelihood)) = self.replayed(&point, &luck, history, acceptable) {
                self.particles[index] = Particle { replay, likelihood };
                self.points[index] = point;
                self.luck
                    .iter_mut()
                    .zip(&luck)
                    .for_each(|(of_observation, luck)| of_observation[index] = *luck);
                moves += 1;
            }
        }
        moves
    }

    /// Where to go from a point, as probably as back. The cube has no walls, it wraps around.
    ///
    /// Coordinates that only make sense together are drawn anew together; or a point moves by the difference of two
    /// others, which has the posterior's own scale; or one or two coordinates move a little. Source of the second: ter
    /// Braak, "A Markov chain Monte Carlo version of the genetic algorithm differential evolution" (2006).
    fn proposal(&self, point: &Point, rng: &mut impl Rng) -> Point {
        let mut moved = *point;
        match rng.random_range(0..3) {
            0 => {
                let group = TOGETHER[rng.random_range(0..TOGETHER.len())];
                group.iter().for_each(|coordinate| moved[*coordinate] = rng.random());
            }
            1 => {
                let [one, other] = [(); 2].map(|()| &self.points[rng.random_range(0..self.points.len())]);
                let share = if rng.random_bool(0.2) { 1.0 } else { rng.random_range(0.1..0.9) };
                for (coordinate, (one, other)) in moved.iter_mut().zip(one.iter().zip(other)) {
                    *coordinate += share * (one - other);
                }
            }
            _ => {
                for _ in 0..rng.random_range(1..=2) {
                    let reach = 10_f64.powf(rng.random_range(-3.5..-1.0));
                    moved[rng.random_range(0..DIMENSIONS)] += reach * rng.random_range(-1.0..1.0);
                }
            }
        }
        moved.map(wrapped)
    }

    /// A hypothesis replayed over the whole history, unless its log likelihood falls below `acceptable`: it only ever
    /// falls, so a hopeless replay stops early.
    fn replayed(
        &self,
        point: &Point,
        luck: &[u64],
        history: &[Evidence],
        acceptable: f64,
    ) -> Option<(Replay, Likelihood)> {
        let mut replay = Replay::new(&self.hypothesis(point), self.first);
        let mut likelihood = Likelihood::default();
        let mut floor = likelihood.product_of(acceptable);
        for (evidence, luck) in history.iter().zip(luck) {
            if likelihood.times(replay.likelihood(evidence, *luck)) {
                floor = likelihood.product_of(acceptable);
            }
            if likelihood.is_below(floor) {
                return None;
            }
        }
        Some((replay, likelihood))
    }
}

/// Has it that the limiter did not know of a rejection, or that it did, whichever was not so. Returns the log of how much more
/// probable the way there is than back, beforehand: the correction of Hastings, Biometrika 57 (1970).
fn known_otherwise(luck: &mut u64, rng: &mut impl Rng) -> f64 {
    let odds = REJECTED_IS_KNOWN / (1.0 - REJECTED_IS_KNOWN);
    let (to, odds) = if quarter(*luck, KNOWN) < REJECTED_IS_KNOWN {
        (REJECTED_IS_KNOWN..1.0, 1.0 / odds)
    } else {
        (0.0..REJECTED_IS_KNOWN, odds)
    };
    *luck = with_quarter(*luck, KNOWN, rng.random_range(to));
    odds.ln()
}

/// By hand where nothing is to be done: the remainder is a call into libm, and most coordinates stay where they are.
fn wrapped(coordinate: f64) -> f64 {
    if (0.0..1.0).contains(&coordinate) { coordinate } else { coordinate.rem_euclid(1.0) }
}
