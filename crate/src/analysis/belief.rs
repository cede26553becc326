mod moves;
mod pooling;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::draw::Stated;
use super::evidence::Evidence;
use super::hypothesis::Hypothesis;
use super::likelihood::Likelihood;
use super::prior::{Class, Point, spread};
use super::replay::Replay;
use crate::{QuotaKind, Timestamp};

/// The prior's particles are thinned out after so many observations at the latest.
pub(super) const THINNED_AFTER: usize = 12;

/// Metropolis steps that each particle tries at most after it was drawn anew, however few of them are taken.
const MOST_STEPS: usize = 5;

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
    /// Of the particles.
    points: Vec<Point>,
    /// Of the particles; they add up to 1.
    weights: Vec<f64>,
    /// What decided everything uncertain: for each observation, in each particle.
    luck: Vec<Vec<u64>>,
    shares: Shares,
    /// Log of the marginal likelihood of the trace so far.
    log_evidence: f64,
    /// How many samplers it stands for.
    samplers: f64,
    /// The sum of the squares of what each of them found, in terms of their mean.
    squares: f64,
    rng: Pcg64Mcg,
}

/// How much work goes into a belief.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Particles of the prior: enough that some come near the truth.
    pub prior: usize,
    /// Observations that are replayed if each particle moves once. While the trace is short there are many particles, for the
    /// truth is found then or lost; the longer it gets, the fewer have to follow it.
    pub replayed: usize,
    /// Particles, once they were drawn anew, at least.
    pub fewest: usize,
    /// Each of many classes, which are smaller, has this share of all that.
    pub of_many: f64,
    /// How often each moves, on average, after they were drawn anew.
    pub moves: usize,
    /// They are drawn anew once fewer than this share of them carries the weight.
    pub renewed_below: f64,
}

impl Effort {
    /// The effort that a belief in `class` is worth.
    fn of(self, class: Class) -> Self {
        let share = if class.is_one_of_many() { self.of_many } else { 1.0 };
        let scaled = |count: usize| (count as f64 * share) as usize;
        let Self { prior, replayed, fewest, .. } = self;
        Self { prior: scaled(prior), replayed: scaled(replayed), fewest: scaled(fewest), ..self }
    }

    /// Particles that are left if they are drawn anew after so many observations.
    fn particles(self, observations: usize) -> usize {
        (self.replayed / observations).clamp(self.fewest, self.prior)
    }
}

/// How probable it is, in the class, that this is what rejected.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shares {
    pub fits: f64,
    /// That it is this but for outcomes that contradict it too often.
    pub contradicted: f64,
}

#[derive(Clone, Debug)]
struct Particle {
    replay: Replay,
    likelihood: Likelihood,
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
        let (points, weights) = spread(class, stated.is_of_requests(kind), effort.of(class).prior, &mut rng);
        let replayed = |point| Replay::new(&class.hypothesis(kind, stated, point), first);
        let particles = points
            .iter()
            .map(|point| Particle { replay: replayed(point), likelihood: Likelihood::default() })
            .collect();
        let mut belief = Self {
            class,
            kind,
            stated,
            first,
            effort,
            particles,
            points,
            weights,
            luck: Vec::new(),
            shares: Shares::default(),
            log_evidence: 0.0,
            samplers: 1.0,
            squares: 1.0,
            rng,
        };
        belief.shares = belief.shares_beforehand();
        belief
    }

    /// Whatever comes, the class does not come back.
    pub(super) fn give_up(&mut self) {
        self.log_evidence = f64::NEG_INFINITY;
    }

    /// Takes in what is new in `history`: all that has not been taken in before. Particles that have lost their weight are
    /// then drawn anew if the belief is `worth_it`, and move if that is `worth_moving`.
    pub(super) fn update(&mut self, history: &[Evidence], worth_it: bool, worth_moving: bool) {
        let latest = &history[self.luck.len()..];
        let mut luck_of_all = || self.particles.iter().map(|_| self.rng.random()).collect();
        let luck: Vec<Vec<u64>> = latest.iter().map(|_| luck_of_all()).collect();
        for (index, (particle, weight)) in self.particles.iter_mut().zip(&mut self.weights).enumerate() {
            for (evidence, luck) in latest.iter().zip(&luck) {
                let probability = particle.replay.likelihood(evidence, luck[index]);
                particle.likelihood.times(probability);
                *weight *= probability;
            }
        }
        self.luck.extend(luck);
        let total: f64 = self.weights.iter().sum();
        self.log_evidence += total.ln();
        self.weights.iter_mut().for_each(|weight| *weight /= total);
        let effective = 1.0 / self.weights.iter().map(|weight| weight.powi(2)).sum::<f64>();
        let effort = self.effort.of(self.class);
        let unthinned =
            self.particles.len() > effort.particles(THINNED_AFTER) && history.len() >= THINNED_AFTER;
        if unthinned || (worth_it && effective < effort.renewed_below * self.particles.len() as f64) {
            self.resample(effort.particles(history.len()));
            let wanted = if worth_moving { effort.moves * self.particles.len() } else { 0 };
            let mut moved = 0;
            for _ in 0..MOST_STEPS {
                if moved >= wanted {
                    break;
                }
                moved += self.move_all(history);
            }
        }
        self.shares = self.share_out();
    }

    /// Log of the marginal likelihood of the trace.
    pub(super) fn log_evidence(&self) -> f64 {
        self.log_evidence
    }

    /// How much of the class may rest on it: as much as its particles show, or at least what they can show.
    pub(super) fn at_stake(&self) -> f64 {
        (self.shares.fits + self.shares.contradicted).max(1.0 / self.particles.len() as f64)
    }

    pub(super) fn shares(&self) -> Shares {
        self.shares
    }

    /// Before anything is observed, one particle of a class is like the other.
    fn shares_beforehand(&self) -> Shares {
        let misfit = self.particles.first().filter(|it| it.replay.is_shown()).map(|it| it.replay.misfit());
        misfit.map_or_else(Shares::default, |misfit| Shares { fits: 1.0 - misfit, contradicted: misfit })
    }

    fn share_out(&self) -> Shares {
        self.shown().fold(Shares::default(), |sum, (particle, weight)| {
            let misfit = particle.replay.misfit();
            Shares {
                fits: sum.fits + weight * (1.0 - misfit),
                contradicted: sum.contradicted + weight * misfit,
            }
        })
    }

    /// The hypotheses with their relative weights: all of them, if it is another quota that rejected in each.
    pub(super) fn hypotheses(&self) -> impl Iterator<Item = (Hypothesis, f64)> {
        let is_shown = self.shown().any(|(_, weight)| weight > 0.0);
        let possible = self.weighted().zip(&self.points);
        let possible = possible.filter(move |((it, _), _)| !is_shown || it.replay.is_shown());
        possible.map(|((_, weight), point)| (self.hypothesis(point), weight))
    }

    /// How probable it is, if it is this, that a quota of another kind rejected some of the requests too.
    pub(super) fn besides(&self, other: QuotaKind) -> f64 {
        let all: f64 = self.shown().map(|(_, weight)| weight).sum();
        let both = self.shown().filter(|(particle, _)| particle.replay.besides() == Some(other));
        both.map(|(_, weight)| weight).sum::<f64>() / all.max(f64::MIN_POSITIVE)
    }

    /// How probable it is, if it is this, that rejected requests count.
    pub(super) fn rejected_count(&self) -> f64 {
        self.weighted().filter(|(particle, _)| particle.replay.rules().1).map(|(_, weight)| weight).sum()
    }

    /// The particles whose own quota is the one that rejected, as far as the trace shows; what others say is of another.
    fn shown(&self) -> impl Iterator<Item = (&Particle, f64)> {
        self.weighted().filter(|(particle, _)| particle.replay.is_shown())
    }

    fn weighted(&self) -> impl Iterator<Item = (&Particle, f64)> {
        self.particles.iter().zip(self.weights.iter().copied())
    }

    /// `count` replays, each drawn as often as its weight says.
    pub(super) fn sample(&self, count: usize) -> impl Iterator<Item = &Replay> {
        let step = 1.0 / count as f64;
        let (mut position, mut cumulated) = (step / 2.0, 0.0);
        self.weighted().flat_map(move |(particle, weight)| {
            cumulated += weight;
            let drawn = ((cumulated - position) / step).ceil().max(0.0) as usize;
            position += drawn as f64 * step;
            std::iter::repeat_n(&particle.replay, drawn)
        })
    }

    fn hypothesis(&self, point: &Point) -> Hypothesis {
        self.class.hypothesis(self.kind, self.stated, point)
    }

    /// Systematic resampling: each particle is kept as often as its weight says, up to rounding.
    fn resample(&mut self, count: usize) {
        let weight = 1.0 / count as f64;
        let mut position = self.rng.random::<f64>() * weight;
        let mut cumulated = 0.0;
        let mut drawn = Vec::with_capacity(count);
        for (index, own) in self.weights.iter().enumerate() {
            cumulated += own;
            while position < cumulated && drawn.len() < count {
                drawn.push(index);
                position += weight;
            }
        }
        self.particles = drawn.iter().map(|index| self.particles[*index].clone()).collect();
        self.points = drawn.iter().map(|index| self.points[*index]).collect();
        self.weights = vec![weight; drawn.len()];
        for luck in &mut self.luck {
            *luck = drawn.iter().map(|index| luck[*index]).collect();
        }
    }
}
