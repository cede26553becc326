use rand::RngExt;

use super::Belief;

impl Belief {
    /// The prior again, for another sampler.
    pub(in crate::analysis) fn anew(&mut self) -> Self {
        Self::new((self.class, self.kind), self.stated, self.first, self.effort, self.rng.random())
    }

    /// Puts together what independent samplers have found in the same trace. Each estimates the marginal likelihood
    /// without bias, so their mean does; the particles of each weigh as much as its estimate.
    pub(in crate::analysis) fn pool(&mut self, other: Self) {
        let samplers = self.samplers + other.samplers;
        let highest = self.log_evidence.max(other.log_evidence);
        let weight = |of: &Self| of.samplers * (of.log_evidence - highest).exp();
        let (own, others) = (weight(self), weight(&other));
        let mean = (own + others) / samplers;
        let squares = |of: &Self| of.squares * ((of.log_evidence - highest).exp() / mean).powi(2);
        let squares = squares(self) + squares(&other);
        // One that was given up has not followed the trace to its end.
        if self.log_evidence == f64::NEG_INFINITY {
            let rng = self.rng.clone();
            *self = Self { rng, ..other };
        } else if other.log_evidence > f64::NEG_INFINITY {
            let share = others / (own + others);
            self.weights.iter_mut().for_each(|weight| *weight *= 1.0 - share);
            self.weights.extend(other.weights.into_iter().map(|weight| weight * share));
            self.particles.extend(other.particles);
            self.points.extend(other.points);
            self.luck.iter_mut().zip(other.luck).for_each(|(luck, others)| luck.extend(others));
            self.shares = self.share_out();
        }
        self.samplers = samplers;
        if highest.is_finite() {
            self.squares = squares;
            self.log_evidence = highest + mean.ln();
        }
    }

    /// What it has found counts as much as what one sampler does.
    pub(in crate::analysis) fn count_as_one(&mut self) {
        (self.samplers, self.squares) = (1.0, 1.0);
    }

    pub(in crate::analysis) fn samplers(&self) -> f64 {
        self.samplers
    }

    /// The relative standard error of the marginal likelihood, by how the samplers differ; infinite if there is but one.
    pub(in crate::analysis) fn error(&self) -> f64 {
        let variance = (self.squares / self.samplers - 1.0).max(0.0);
        if self.samplers > 1.0 { (variance / (self.samplers - 1.0)).sqrt() } else { f64::INFINITY }
    }
}
