use super::round::Treatment;
use crate::analysis::Noise;

/// How probable it is beforehand that two targets share one quota, that each has its own, and that the use of one counts
/// for the other but not the other way round.
const ONE: f64 = 0.45;
const TWO: f64 = 0.45;
const ONE_WAY: f64 = 0.05;
/// How probable it is beforehand that a target often rejects for reasons of its own.
const BUSY: f64 = 0.1;
/// How often it then rejects: anything from never to always, in so many steps.
const STEPS: u32 = 20;

/// What was seen of one target.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Whether it admitted after a pause.
    pub controls: Vec<bool>,
    /// Whether it admitted while the other one was used up.
    pub treatments: Vec<Treatment>,
}

/// The probabilities of what two targets have in common; what is left is that use counts one way only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Odds {
    pub one: f64,
    pub two: f64,
}

impl Odds {
    /// Bayes' rule.
    pub(super) fn of(first: &Seen, second: &Seen) -> Self {
        let weigh = |prior: f64, blocked: [bool; 2]| {
            prior * first.likelihood(blocked[0]) * second.likelihood(blocked[1])
        };
        let (one, two) = (weigh(ONE, [true, true]), weigh(TWO, [false, false]));
        let one_way = weigh(ONE_WAY, [true, false]) + weigh(ONE_WAY, [false, true]);
        let all = one + two + one_way;
        Self { one: one / all, two: two / all }
    }
}

impl Seen {
    /// The probability of all this if the target is `blocked` while the other one is used up, or if it is not.
    fn likelihood(&self, blocked: bool) -> f64 {
        let unblocked = self.treatments.iter().filter(|_| !blocked).map(|seen| seen.passed);
        let on_its_own: Vec<bool> = self.controls.iter().copied().chain(unblocked).collect();
        let mut noise = Noise::default();
        let usual: f64 = on_its_own.iter().map(|passed| noise.observe(1.0, *passed)).product();
        let at_rate = |rate: f64| -> f64 {
            on_its_own.iter().map(|passed| if *passed { 1.0 - rate } else { rate }).product()
        };
        let rates = (0..STEPS).map(|step| (f64::from(step) + 0.5) / f64::from(STEPS));
        let busy = rates.map(at_rate).sum::<f64>() / f64::from(STEPS);
        let mut noise = Noise::default();
        let used_up = self.treatments.iter().filter(|_| blocked);
        let used_up: f64 = used_up.map(|seen| noise.observe(seen.fits, seen.passed)).product();
        ((1.0 - BUSY) * usual + BUSY * busy) * used_up
    }
}
