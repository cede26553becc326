//! Which probe next: the time and size whose outcome is expected to tell most about the mechanism for its cost.
//!
//! The gain is the mutual information between the outcome and the class, over particles of the posterior. Source:
//! Lindley, "On a measure of the information provided by an experiment", Ann. Math. Stat. 27 (1956).

use super::hypothesis::{SPURIOUS_200, SPURIOUS_429};
use super::posterior::Posterior;
use super::sweep::{Imagined, Sweep, best_size};
use crate::{Limiter, Timestamp};

/// Particles a class that are imagined forward.
const PARTICLES: usize = 40;
/// A class below this probability is not worth a probe.
const NEGLIGIBLE: f64 = 1e-4;
/// Delays that are considered, in seconds from now; the turn of the minute is tried besides.
const DELAYS_S: [f64; 11] = [0.0, 1.0, 2.5, 4.5, 7.0, 11.0, 16.0, 23.0, 32.0, 44.0, 62.0];
/// Just before and after the clock minute, beyond the clock error.
const AROUND_THE_MINUTE_S: [f64; 2] = [-2.0, 1.5];
/// Delays of a second probe after the first.
const SECOND_DELAYS_S: [f64; 6] = [0.0, 3.0, 8.0, 18.0, 35.0, 60.0];
/// First probes that are followed by a second one in thought.
const LOOKED_AHEAD: usize = 6;
/// What a request and a whole quota of tokens cost, in seconds of waiting.
const REQUEST_COST_S: f64 = 1.0;
const QUOTA_COST_S: f64 = 25.0;

/// When to send a request of how many tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// When it should leave.
    pub at: Timestamp,
    /// Tokens it should reserve.
    pub tokens: u64,
}

/// What limits the choice of a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// The earliest instant.
    pub from: Timestamp,
    /// How long requests take on average, in seconds.
    pub latency_s: f64,
    /// The smallest and the largest request, in tokens.
    pub sizes: (u64, u64),
    /// What one quota of tokens is taken to be.
    pub quota: f64,
    /// Class probabilities are raised to this power: below 1, to challenge the leader.
    pub sharpness: f64,
}

#[derive(Clone, Copy)]
struct Choice {
    at: Timestamp,
    sweep: Sweep,
    cost_s: f64,
}

impl Choice {
    fn rate(&self) -> f64 {
        self.sweep.gain / self.cost_s
    }
}

/// The probe that tells most for its cost, looking one and two probes ahead.
pub(super) fn next_probe(posterior: &Posterior, terms: &Terms) -> Probe {
    let imagined = imagine(posterior, terms.sharpness);
    let mut choices: Vec<Choice> =
        times(terms.from).map(|at| terms.choice(&imagined, at, terms.from, None)).collect();
    // What uses the quota up tells nothing by itself, and everything afterwards.
    let filling = [0.3, 0.6, 0.93].map(|share| (terms.quota * share) as u64);
    choices.extend(filling.map(|size| terms.choice(&imagined, terms.from, terms.from, Some(size))));
    choices[..times(terms.from).count()].sort_by(|a, b| b.rate().total_cmp(&a.rate()));
    let fills = choices.len() - filling.len();
    let ahead = (0..choices.len()).filter(|index| *index < LOOKED_AHEAD || *index >= fills);
    let scored = ahead.map(|index| (choices[index], terms.rate_of_two(&imagined, &choices[index])));
    let best = scored.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(choices[0], |(choice, _)| choice);
    Probe { at: best.at, tokens: best.sweep.size }
}

fn times(from: Timestamp) -> impl Iterator<Item = Timestamp> {
    let turn = from.next_second(0.0);
    let around = AROUND_THE_MINUTE_S.map(|offset_s| turn.plus_seconds(offset_s));
    DELAYS_S
        .into_iter()
        .map(move |delay_s| from.plus_seconds(delay_s))
        .chain(around)
        .filter(move |at| *at >= from)
}

fn imagine(posterior: &Posterior, sharpness: f64) -> Vec<Imagined> {
    let mut imagined = Vec::new();
    for (class, (belief, share)) in posterior.beliefs().enumerate() {
        if share > NEGLIGIBLE {
            let weight = share.powf(sharpness) / PARTICLES as f64;
            let replays = belief.sample(PARTICLES);
            imagined.extend(replays.map(|replay| Imagined::new(replay, class, weight)));
        }
    }
    imagined
}

impl Terms {
    /// The best size at an instant, or the one that is given.
    fn choice(&self, imagined: &[Imagined], at: Timestamp, from: Timestamp, size: Option<u64>) -> Choice {
        let sweep = best_size(imagined, at.plus_seconds(self.latency_s / 2.0), self.sizes, size);
        let tokens_s = QUOTA_COST_S * sweep.admitted * sweep.size as f64 / self.quota;
        let cost_s = at.seconds_since(from) + self.latency_s + REQUEST_COST_S + tokens_s;
        Choice { at, sweep, cost_s }
    }

    /// Information a second of a probe together with the best that can follow it.
    fn rate_of_two(&self, imagined: &[Imagined], first: &Choice) -> f64 {
        let decided = first.at.plus_seconds(self.latency_s / 2.0);
        let (mut gain, mut cost_s) = (first.sweep.gain, first.cost_s);
        for admitted in [true, false] {
            let mut after = imagined.to_vec();
            for one in &mut after {
                let fits = one.fits(decided, first.sweep.size);
                one.weight *= match (fits, admitted) {
                    (true, true) => 1.0 - SPURIOUS_429,
                    (true, false) => SPURIOUS_429,
                    (false, true) => SPURIOUS_200,
                    (false, false) => 1.0 - SPURIOUS_200,
                };
                if admitted {
                    one.limiter.charge(decided, one.kind.cost(first.sweep.size));
                }
            }
            let branch = if admitted { first.sweep.admitted } else { 1.0 - first.sweep.admitted };
            let from = first.at.plus_seconds(self.latency_s);
            let seconds = SECOND_DELAYS_S.map(|delay_s| from.plus_seconds(delay_s));
            let seconds = seconds.map(|at| self.choice(&after, at, from, None));
            if let Some(second) = seconds.into_iter().max_by(|a, b| a.rate().total_cmp(&b.rate())) {
                gain += branch * second.sweep.gain;
                cost_s += branch * second.cost_s;
            }
        }
        first.rate().max(gain / cost_s)
    }
}
