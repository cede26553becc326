use super::noise::SMALL;

/// A product of many probabilities. Logarithms are slow: they are taken of products, before these vanish.
#[derive(Clone, Copy, Debug)]
pub(super) struct Likelihood {
    log: f64,
    product: f64,
}

impl Default for Likelihood {
    fn default() -> Self {
        Self { log: 0.0, product: 1.0 }
    }
}

impl Likelihood {
    /// One more factor; whether the product was about to vanish and went into the logarithm.
    pub(super) fn times(&mut self, probability: f64) -> bool {
        self.product *= probability;
        let vanishing = self.product < SMALL;
        if vanishing {
            (self.log, self.product) = (self.ln(), 1.0);
        }
        vanishing
    }

    pub(super) fn ln(self) -> f64 {
        self.log + self.product.ln()
    }

    /// What its product must be for its logarithm to be `ln`.
    pub(super) fn product_of(self, ln: f64) -> f64 {
        (ln - self.log).exp()
    }

    pub(super) fn is_below(self, product: f64) -> bool {
        self.product < product
    }
}
