use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::draw::Stated;
use super::evidence::Evidence;
use super::hypothesis::Hypothesis;
use super::likelihood::Likelihood;
use super::prior::{Class, DIMENSIONS, Point, TOGETHER};
use super::replay::Replay;
use crate::{QuotaKind, Timestamp};

/// Particles are drawn anew once fewer than this share of them carries the weight.
const RESAMPLE_BELOW: f64 = 0.5;

/// At most so many observations at a time are thought to have been decided otherwise.
const LUCK_CHANGED: usize = 3;

/// The prior's particles are thinned out after so many observations at the latest.
const THINNED_AFTER: usize = 12;

/// The posterior of one class, as weighted particles, and how well the class has predicted the trace so far.
///
/// Sequential Monte Carlo with resample-move. Source: Chopin, "A sequential particle filter method for static
/// models", Biometrika 89 (2002).
#[derive(Clone, Debug)]
pub(super) struct Belief {
    pub class: Class,
    pub kind: QuotaKind,
    stated: Stated,
    first: Timestamp,
    pub effort: Effort,
    particles: Vec<Particle>,
    /// Log of the marginal likelihood of the trace so far.
    log_evidence: f64,
    /// How many samplers it stands for.
    samplers: f64,
    rng: Pcg64Mcg,
}

/// How much work goes into a belief.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Particles of the prior: enough that some come near the truth.
    pub prior: usize,
    /// Particles once observations have narrowed them down, and they were drawn anew.
    pub particles: usize,
    /// Metropolis steps that each particle tries after it was drawn anew, fewer once they have moved once on average.
    pub moves: usize,
}

impl Effort {
    /// Particles of the prior and later ones: fewer for each of many classes, which are smaller.
    fn of(self, class: Class) -> (usize, usize) {
        match class.is_one_of_many() {
            true => (self.prior / 4, self.particles / 2),
            false => (self.prior, self.particles),
        }
    }
}

#[derive(Clone, Debug)]
struct Particle {
    point: Point,
    /// What decided everything uncertain, for each observation.
    luck: Vec<u64>,
    replay: Replay,
    likelihood: Likelihood,
    weight: f64,
}

impl Belief {
    /// Particles of the prior, for a trace whose first request leaves at `first`.
    pub(super) fn new(
        (class, kind): (Class, QuotaKind),
        stated: Stated,
        first: Timestamp,
        effort: Effort,
        seed: u64,
    ) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let (prior, _) = effort.of(class);
        let weight = 1.0 / prior as f64;
        let particles = (0..prior)
            .map(|_| {
                let point = rng.random();
                let replay = Replay::new(&class.hypothesis(kind, stated, &point), first);
                Particle {
                    point,
                    luck: Vec::with_capacity(THINNED_AFTER),
                    replay,
                    likelihood: Likelihood::default(),
                    weight,
                }
            })
            .collect();
        Self { class, kind, stated, first, effort, particles, log_evidence: 0.0, samplers: 1.0, rng }
    }

    /// The prior again, for another sampler.
    pub(super) fn anew(&mut self) -> Self {
        Self::new((self.class, self.kind), self.stated, self.first, self.effort, self.rng.random())
    }

    /// Puts together what independent samplers have found in the same trace. Each estimates the marginal likelihood
    /// without bias, so their mean does; the particles are those of the one that explains the trace best.
    pub(super) fn pool(&mut self, other: Self) {
        let (own, others) = (self.samplers, other.samplers);
        let highest = self.log_evidence.max(other.log_evidence);
        let sum = own * (self.log_evidence - highest).exp() + others * (other.log_evidence - highest).exp();
        let rng = self.rng.clone();
        if other.log_evidence > self.log_evidence {
            *self = other;
        }
        self.rng = rng;
        self.samplers = own + others;
        if highest.is_finite() {
            self.log_evidence = highest + (sum / self.samplers).ln();
        }
    }

    /// Whatever comes, the class does not come back.
    pub(super) fn give_up(&mut self) {
        self.log_evidence = f64::NEG_INFINITY;
    }

    /// Takes in the last of `history`; the ones before it must have been taken in already. Particles that have lost their
    /// weight are drawn anew if the belief is `worth_it`, and then move if that is `worth_moving`.
    pub(super) fn update(&mut self, history: &[Evidence], worth_it: bool, worth_moving: bool) {
        let Some(latest) = history.last() else { return };
        for particle in &mut self.particles {
            let luck = self.rng.random();
            let probability = particle.replay.step(latest, luck);
            particle.luck.push(luck);
            particle.likelihood.times(probability);
            particle.weight *= probability;
        }
        let total: f64 = self.particles.iter().map(|particle| particle.weight).sum();
        self.log_evidence += total.ln();
        self.particles.iter_mut().for_each(|particle| particle.weight /= total);
        let effective = 1.0 / self.particles.iter().map(|particle| particle.weight.powi(2)).sum::<f64>();
        let unthinned = self.particles.len() > self.effort.of(self.class).1 && history.len() >= THINNED_AFTER;
        if unthinned || (worth_it && effective < RESAMPLE_BELOW * self.particles.len() as f64) {
            self.resample();
            let moves = if worth_moving { self.effort.moves } else { 0 };
            let mut moved = 0;
            for _ in 0..moves {
                moved += self.move_all(history);
                if moved >= self.particles.len() {
                    break;
                }
            }
        }
    }

    /// Log of the marginal likelihood of the trace.
    pub(super) fn log_evidence(&self) -> f64 {
        self.log_evidence
    }

    /// How probable it is, in the class, that this is what rejected, and that it is this but for outcomes that contradict it
    /// too often.
    pub(super) fn shares(&self) -> (f64, f64) {
        self.shown().fold((0.0, 0.0), |(fits, contradicted), Particle { weight, replay, .. }| {
            let misfit = replay.misfit();
            (fits + weight * (1.0 - misfit), contradicted + weight * misfit)
        })
    }

    /// The hypotheses with their relative weights: all of them, if it is another quota that rejected in each.
    pub(super) fn hypotheses(&self) -> impl Iterator<Item = (Hypothesis, f64)> {
        let is_shown = self.shown().any(|particle| particle.weight > 0.0);
        let possible = self.particles.iter().filter(move |it| !is_shown || it.replay.is_shown());
        possible.map(|particle| (self.hypothesis(&particle.point), particle.weight))
    }

    /// The particles whose own quota is the one that rejected, as far as the trace shows; what others say is of another.
    fn shown(&self) -> impl Iterator<Item = &Particle> {
        self.particles.iter().filter(|particle| particle.replay.is_shown())
    }

    /// `count` replays, each drawn as often as its weight says.
    pub(super) fn sample(&self, count: usize) -> impl Iterator<Item = &Replay> {
        let step = 1.0 / count as f64;
        let (mut position, mut cumulated) = (step / 2.0, 0.0);
        self.particles.iter().flat_map(move |particle| {
            cumulated += particle.weight;
            let drawn = ((cumulated - position) / step).ceil().max(0.0) as usize;
            position += drawn as f64 * step;
            std::iter::repeat_n(&particle.replay, drawn)
        })
    }

    fn hypothesis(&self, point: &Point) -> Hypothesis {
        self.class.hypothesis(self.kind, self.stated, point)
    }

    /// Systematic resampling: each particle is kept as often as its weight says, up to rounding.
    fn resample(&mut self) {
        let (_, count) = self.effort.of(self.class);
        let weight = 1.0 / count as f64;
        let mut position = self.rng.random::<f64>() * weight;
        let mut cumulated = 0.0;
        let mut drawn = Vec::with_capacity(count);
        for particle in &self.particles {
            cumulated += particle.weight;
            while position < cumulated && drawn.len() < count {
                drawn.push(Particle { weight, ..particle.clone() });
                position += weight;
            }
        }
        self.particles = drawn;
    }

    /// One Metropolis step for each particle, and how many of them were taken. The prior is uniform and the steps
    /// symmetric, so only likelihoods decide. A step changes the hypothesis, or what was uncertain about some
    /// observations, or both.
    fn move_all(&mut self, history: &[Evidence]) -> usize {
        let mut moves = 0;
        let mut rng = Pcg64Mcg::seed_from_u64(self.rng.random());
        let mut luck = Vec::with_capacity(history.len());
        for index in 0..self.particles.len() {
            let old = &self.particles[index];
            let what = rng.random_range(0..3);
            let point = if what == 0 { old.point } else { self.proposal(&old.point, &mut rng) };
            luck.clone_from(&old.luck);
            if what != 1 {
                for _ in 0..rng.random_range(1..=LUCK_CHANGED) {
                    luck[rng.random_range(0..history.len())] = rng.random();
                }
            }
            let acceptable = old.likelihood.ln() + rng.random::<f64>().ln();
            if let Some((replay, likelihood)) = self.replayed(&point, &luck, history, acceptable) {
                let moved = &mut self.particles[index];
                (moved.point, moved.replay, moved.likelihood) = (point, replay, likelihood);
                moved.luck.clone_from(&luck);
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
                let [one, other] = [(); 2].map(|()| rng.random_range(0..self.particles.len()));
                let (one, other) = (&self.particles[one].point, &self.particles[other].point);
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
        moved.map(|coordinate| coordinate.rem_euclid(1.0))
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
            if likelihood.times(replay.step(evidence, *luck)) {
                floor = likelihood.product_of(acceptable);
            }
            if likelihood.is_below(floor) {
                return None;
            }
        }
        Some((replay, likelihood))
    }
}
