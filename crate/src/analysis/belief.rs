use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::evidence::Evidence;
use super::hypothesis::{Hypothesis, Replay};
use super::prior::{Class, DIMENSIONS, Point};
use crate::{QuotaKind, Timestamp};

/// Particles are drawn anew once fewer than this share of them carries the weight.
const RESAMPLE_BELOW: f64 = 0.5;
/// Metropolis steps that each particle takes after it was drawn anew.
const MOVES: usize = 3;

/// The posterior of one class, as weighted particles, and how well the class has predicted the trace so far.
///
/// Sequential Monte Carlo with resample-move. Source: Chopin, "A sequential particle filter method for static
/// models", Biometrika 89 (2002).
#[derive(Clone, Debug)]
pub(super) struct Belief {
    pub class: Class,
    pub kind: QuotaKind,
    stated: Option<u64>,
    first: Timestamp,
    particles: Vec<Particle>,
    /// Log of the marginal likelihood of the trace so far.
    pub log_evidence: f64,
    rng: Pcg64Mcg,
}

#[derive(Clone, Debug)]
struct Particle {
    point: Point,
    seed: u64,
    replay: Replay,
    log_likelihood: f64,
    weight: f64,
}

impl Belief {
    /// `count` particles of the prior, for a trace whose first request leaves at `first`.
    pub(super) fn new(
        (class, kind): (Class, QuotaKind),
        stated: Option<u64>,
        first: Timestamp,
        count: usize,
        seed: u64,
    ) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let weight = 1.0 / count as f64;
        let particles = (0..count)
            .map(|_| {
                let (point, seed) = (rng.random(), rng.random());
                let replay = Replay::new(class.hypothesis(kind, stated, &point), first, seed);
                Particle { point, seed, replay, log_likelihood: 0.0, weight }
            })
            .collect();
        Self { class, kind, stated, first, particles, log_evidence: 0.0, rng }
    }

    /// Takes in the last of `history`; the ones before it must have been taken in already.
    pub(super) fn update(&mut self, history: &[Evidence]) {
        let Some(latest) = history.last() else { return };
        for particle in &mut self.particles {
            let probability = particle.replay.step(latest);
            particle.log_likelihood += probability.ln();
            particle.weight *= probability;
        }
        let total: f64 = self.particles.iter().map(|particle| particle.weight).sum();
        self.log_evidence += total.ln();
        self.particles.iter_mut().for_each(|particle| particle.weight /= total);
        let effective = 1.0 / self.particles.iter().map(|particle| particle.weight.powi(2)).sum::<f64>();
        if effective < RESAMPLE_BELOW * self.particles.len() as f64 {
            self.resample();
            for _ in 0..MOVES {
                self.move_all(history);
            }
        }
    }

    /// The hypotheses with their weights, which add up to 1.
    pub(super) fn hypotheses(&self) -> impl Iterator<Item = (Hypothesis, f64)> {
        self.particles.iter().map(|particle| (self.hypothesis(&particle.point), particle.weight))
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

    /// The hypothesis that explains the trace best.
    pub(super) fn best(&self) -> Option<Hypothesis> {
        let best = self.particles.iter().max_by(|a, b| a.log_likelihood.total_cmp(&b.log_likelihood))?;
        Some(self.hypothesis(&best.point))
    }

    fn hypothesis(&self, point: &Point) -> Hypothesis {
        self.class.hypothesis(self.kind, self.stated, point)
    }

    /// Systematic resampling: each particle is kept as often as its weight says, up to rounding.
    fn resample(&mut self) {
        let count = self.particles.len();
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

    /// One Metropolis step for each particle. The prior is uniform and the steps symmetric, so only likelihoods
    /// decide; everything uncertain about the replay is redrawn through its seed half of the time.
    fn move_all(&mut self, history: &[Evidence]) {
        for index in 0..self.particles.len() {
            let point = step(&self.particles[index].point, &mut self.rng);
            let seed = if self.rng.random() { self.rng.random() } else { self.particles[index].seed };
            let acceptable = self.particles[index].log_likelihood + self.rng.random::<f64>().ln();
            let mut replay = Replay::new(self.hypothesis(&point), self.first, seed);
            let mut log_likelihood = 0.0;
            // A likelihood only ever falls, so a hopeless replay can stop early.
            let acceptable_so_far = history.iter().all(|evidence| {
                log_likelihood += replay.step(evidence).ln();
                log_likelihood >= acceptable
            });
            if acceptable_so_far {
                let weight = self.particles[index].weight;
                self.particles[index] = Particle { point, seed, replay, log_likelihood, weight };
            }
        }
    }
}

/// A small step in some coordinates, a new start in others; the cube has no walls, it wraps around.
fn step(point: &Point, rng: &mut impl Rng) -> Point {
    let mut moved = *point;
    for coordinate in moved.iter_mut().take(DIMENSIONS) {
        match rng.random_range(0..6) {
            0 => *coordinate = rng.random(),
            1 => *coordinate = (*coordinate + rng.random_range(-0.05..0.05)).rem_euclid(1.0),
            2 => *coordinate = (*coordinate + rng.random_range(-0.005..0.005)).rem_euclid(1.0),
            _ => {}
        }
    }
    moved
}
