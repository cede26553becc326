//! Outcomes that no mechanism explains: spurious rejections and spurious admissions.

/// Rates that are thought possible, and how probable each is beforehand. Bounded, so that no amount of misfit becomes
/// cheap: what rejects or admits more often than this against its own rule is another mechanism.
const RATES: usize = 3;
const SPURIOUS_429: [f64; RATES] = [0.003, 0.02, 0.07];
const SPURIOUS_200: [f64; RATES] = [0.001, 0.005, 0.02];
const PRIOR: [f64; RATES] = [0.4, 0.45, 0.15];

/// What is known of the two rates after the outcomes so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise {
    rejecting: [f64; RATES],
    admitting: [f64; RATES],
}

impl Default for Noise {
    fn default() -> Self {
        Self { rejecting: PRIOR, admitting: PRIOR }
    }
}

impl Noise {
    /// The probability that a request that fits, or does not, is admitted, or is not; learns from it.
    pub(super) fn observe(&mut self, fits: bool, admitted: bool) -> f64 {
        let (weights, rates) = match fits {
            true => (&mut self.rejecting, SPURIOUS_429),
            false => (&mut self.admitting, SPURIOUS_200),
        };
        let as_expected = fits == admitted;
        let mut total = 0.0;
        for (weight, rate) in weights.iter_mut().zip(rates) {
            *weight *= if as_expected { 1.0 - rate } else { rate };
            total += *weight;
        }
        weights.iter_mut().for_each(|weight| *weight /= total);
        total
    }
}

/// How probable it is beforehand that a request that fits, or does not, is admitted, or is not.
pub(super) fn outcome_probability(fits: bool, admitted: bool) -> f64 {
    Noise::default().observe(fits, admitted)
}
