//! Outcomes that no mechanism explains: spurious rejections and spurious admissions.

use crate::Mechanism;

/// Rates that are thought possible, and how probable each is beforehand. What rejects or admits as often as the last of
/// them against its own rule is another mechanism.
const RATES: usize = 4;
const SPURIOUS_429: [f64; RATES] = [0.003, 0.02, 0.07, 0.25];
const SPURIOUS_200: [f64; RATES] = [0.001, 0.005, 0.02, 0.2];
const PRIOR: [f64; RATES] = [0.4, 0.448, 0.15, 0.002];

/// Width of the edge between fitting and not, as a share of the quota. What counts in whole windows only shows its limit
/// by probes close to the edge, and with a sharper one a few of them leave no particle; what refills shows its rate, and
/// a wider one would hide ticks.
const EDGE_OF_WINDOWS: f64 = 0.005;
const EDGE_OF_LEVELS: f64 = 0.002;

/// So many widths away from the edge, nothing is uncertain.
const FAR: f64 = 10.0;
/// A product of probabilities that is about to vanish.
pub(super) const SMALL: f64 = 1e-100;

/// What is known of the two rates after the outcomes so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    rejecting: Rates,
    admitting: Rates,
}

/// How well each rate has explained the outcomes, and all of them together.
#[derive(Clone, Copy, Debug)]
struct Rates {
    weights: [f64; RATES],
    total: f64,
}

impl Default for Noise {
    fn default() -> Self {
        let prior = Rates { weights: PRIOR, total: 1.0 };
        Self { rejecting: prior, admitting: prior }
    }
}

impl Noise {
    /// The probability that outcomes contradict the rule as often as only those of another mechanism would.
    pub(super) fn misfit(&self) -> f64 {
        1.0 - (1.0 - self.rejecting.highest()) * (1.0 - self.admitting.highest())
    }

    /// The probability that a request that fits with probability `fits` is admitted, or is not; learns from it.
    pub(crate) fn observe(&mut self, fits: f64, admitted: bool) -> f64 {
        let outcome = |passes: f64| if admitted { passes } else { 1.0 - passes };
        let passes = |spurious_429: f64, spurious_200: f64| {
            outcome(fits * (1.0 - spurious_429) + (1.0 - fits) * spurious_200)
        };
        if fits == 1.0 {
            self.rejecting.update(SPURIOUS_429.map(|rate| outcome(1.0 - rate)))
        } else if fits >= 0.5 {
            let spurious_200 = self.admitting.mean(SPURIOUS_200);
            self.rejecting.update(SPURIOUS_429.map(|rate| passes(rate, spurious_200)))
        } else if fits > 0.0 {
            let spurious_429 = self.rejecting.mean(SPURIOUS_429);
            self.admitting.update(SPURIOUS_200.map(|rate| passes(spurious_429, rate)))
        } else {
            self.admitting.update(SPURIOUS_200.map(outcome))
        }
    }
}

impl Rates {
    /// The probability of the last rate.
    fn highest(&self) -> f64 {
        self.weights[RATES - 1] / self.total
    }

    fn mean(&self, rates: [f64; RATES]) -> f64 {
        self.weights.iter().zip(rates).map(|(weight, rate)| weight * rate).sum::<f64>() / self.total
    }

    /// Bayes' rule; returns the marginal likelihood.
    fn update(&mut self, likelihoods: [f64; RATES]) -> f64 {
        self.weights.iter_mut().zip(likelihoods).for_each(|(weight, likelihood)| *weight *= likelihood);
        let total: f64 = self.weights.iter().sum();
        let marginal = total / self.total;
        self.total = total;
        if total < SMALL {
            self.weights.iter_mut().for_each(|weight| *weight /= total);
            self.total = 1.0;
        }
        marginal
    }
}

/// How probable it is beforehand that a request that fits, or does not, is admitted, or is not.
pub(super) fn outcome_probability(fits: bool, admitted: bool) -> f64 {
    Noise::default().observe(f64::from(u8::from(fits)), admitted)
}

/// Width of the edge between fitting and not, in tokens.
pub(super) fn edge(mechanism: Mechanism) -> f64 {
    let share = if mechanism.is_level() { EDGE_OF_LEVELS } else { EDGE_OF_WINDOWS };
    share * mechanism.ceiling() as f64
}

/// How surely a request fits that leaves `margin`, where the edge is `width` wide.
///
/// Not a sharp edge: what a request costs is known to about a percent before it is admitted, and what others use is
/// not known at all. Without it a hypothesis would live or die by a handful of tokens.
pub(super) fn fit(margin: f64, width: f64) -> f64 {
    if margin > FAR * width {
        1.0
    } else if margin < -FAR * width {
        0.0
    } else {
        1.0 / (1.0 + (-margin / width).exp())
    }
}

/// A margin that [`fit`] turns into `u`: drawn uniformly, it blurs a sharp edge just as much.
pub(super) fn blur(u: f64, width: f64) -> f64 {
    width * (u / (1.0 - u)).ln()
}
