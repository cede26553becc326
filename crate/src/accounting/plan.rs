//! Which request next: the time, input and `max_tokens` whose outcome, with that of the request after it, is expected to
//! tell most about the rules for its cost.
//!
//! The gain is the mutual information between outcomes and rules. Source: Lindley, "On a measure of the information
//! provided by an experiment", Ann. Math. Stat. 27 (1956).

use rayon::prelude::*;

use super::belief::Belief;
use super::ledger::{Entry, Ledger};
use crate::{Outcome, ThrottleMessage, Timestamp};

/// Ledgers that are imagined forward, shared among the cases, and the fewest of a case.
const LEDGERS: usize = 320;
const LEDGERS_OF_A_CASE: usize = 8;
/// A case below this probability is not worth a request.
const NEGLIGIBLE: f64 = 1e-3;
/// Probabilities of cases are raised to this power: what is left to exclude is worth more than what is already known.
const SHARPNESS: f64 = 0.5;
/// Delays that are considered, in seconds from now, beside the one after which a large request fits; and of a second
/// request after the first.
const DELAYS_S: [f64; 5] = [0.0, 5.0, 12.0, 25.0, 45.0];
const SECOND_DELAYS_S: [f64; 4] = [0.0, 5.0, 15.0, 40.0];
/// Shares of the ceiling to use up: that tells nothing by itself, and everything afterwards.
const FILLS: [f64; 5] = [0.0, 0.3, 0.5, 0.7, 0.88];
/// A small request with ordinary output is also thought of so many times in a row, for their outputs add up.
const ROWS: [u32; 3] = [3, 6, 12];
/// Sizes that separate these shares of the ledgers, by what they have room for.
const QUANTILES: [f64; 5] = [0.08, 0.3, 0.5, 0.7, 0.92];
/// First requests that are followed by a second one in thought, beside those that fill.
const LOOKED_AHEAD: usize = 6;
/// What a request and a whole quota of tokens cost, in seconds of waiting.
const REQUEST_COST_S: f64 = 10.0;
const QUOTA_COST_S: f64 = 25.0;
/// Where no request is expected to tell so many bits, none is sent.
const LEAST_GAIN: f64 = 0.0005;
/// A gain must exceed this many times what chance is expected to feign: among hundreds of requests some are lucky.
const BEYOND_CHANCE: f64 = 1.0;
/// A large request, as a share of the largest; nobody waits longer for one to fit, in seconds.
const LARGE: f64 = 0.9;
const LONGEST_WAIT_S: f64 = 600.0;
/// A request that leaves so many seconds after it fits is not decided before.
const READY_AFTER_S: f64 = 0.5;

/// A request to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Probe {
    /// When it should leave.
    pub at: Timestamp,
    pub input_tokens: u64,
    pub max_tokens: u32,
}

/// What limits the choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The earliest instant.
    pub from: Timestamp,
    /// How long requests take on average, in seconds.
    pub latency_s: f64,
    /// The least input of a request, in tokens.
    pub smallest: u64,
    /// The most that a request may reserve, in tokens.
    pub largest: u64,
    /// The most that a request may cost at worst, in tokens.
    pub budget: u64,
    /// What each output token costs at worst, in tokens.
    pub burndown_at_worst: u64,
}

#[derive(Clone, Copy, Debug)]
struct Choice {
    probe: Probe,
    gain: f64,
    cost_s: f64,
}

impl Choice {
    fn rate(&self) -> f64 {
        self.gain / self.cost_s
    }
}

/// Possible futures, and what the cases are worth.
#[derive(Clone)]
struct Imagined {
    futures: Vec<Future>,
    shares: Vec<f64>,
    /// How many futures each case has.
    each: f64,
}

#[derive(Clone)]
struct Future {
    case: usize,
    ledger: Ledger,
    /// How probable it is that the request before was admitted; 1 if there was none.
    before: f64,
}

/// The request that tells most for its cost, or none if none tells enough.
pub(super) fn next_probe(belief: &Belief, terms: &Terms) -> Option<Probe> {
    let likely = belief.cases().filter(|(_, share)| *share >= NEGLIGIBLE).count().max(1);
    let each = (LEDGERS / likely).max(LEDGERS_OF_A_CASE);
    let cases = belief.sample(each, NEGLIGIBLE);
    let flattened = |share: f64| share.powf(SHARPNESS);
    let total: f64 = cases.iter().map(|(share, _)| flattened(*share)).sum();
    let shares = cases.iter().map(|(share, _)| flattened(*share) / total).collect();
    let futures = cases.into_iter().enumerate().flat_map(|(case, (_, ledgers))| {
        ledgers.into_iter().map(move |ledger| Future { case, ledger, before: 1.0 })
    });
    let now = Imagined { futures: futures.collect(), shares, each: each as f64 };

    let later = DELAYS_S.map(|delay_s| terms.from.plus_seconds(delay_s)).into_iter().chain(now.ready(terms));
    let mut alone: Vec<Choice> = later.flat_map(|at| now.choices(at, terms)).collect();
    alone.sort_by(|a, b| b.rate().total_cmp(&a.rate()));
    let fills = [terms.from].into_iter().chain(now.ready(terms)).flat_map(|at| terms.fills(at));
    let once =
        alone.iter().take(LOOKED_AHEAD).map(|choice| choice.probe).chain(fills).map(|probe| (probe, 1));
    let in_a_row = terms.fills(terms.from).into_iter().filter(|probe| probe.input_tokens == terms.smallest);
    let in_a_row = in_a_row.flat_map(|probe| ROWS.map(|times| (probe, times)));
    let ahead: Vec<(Probe, u32)> = once.chain(in_a_row).collect();
    let followed = ahead.into_par_iter().filter_map(|(probe, times)| now.followed(probe, times, terms));
    let followed: Vec<Choice> = followed.collect();
    let best = alone.into_iter().chain(followed).max_by(|a, b| a.rate().total_cmp(&b.rate()))?;
    (best.gain >= LEAST_GAIN).then_some(best.probe)
}

impl Probe {
    fn admitted(&self, ledger: &Ledger) -> f64 {
        Ledger::admitted(ledger.fits(self.input_tokens, self.max_tokens.into()))
    }

    /// Sends it, with the likelier outcome only.
    fn happen(&self, future: &mut Future, terms: &Terms) {
        future.before = self.admitted(&future.ledger);
        let likelier =
            if future.before > 0.5 { Outcome::Admitted } else { Outcome::Throttled(ThrottleMessage::Tokens) };
        future.ledger.step(&Entry {
            sent: self.at,
            finished: self.at.plus_seconds(terms.latency_s),
            input_tokens: self.input_tokens,
            max_tokens: self.max_tokens.into(),
            output_tokens: None,
            outcome: likelier,
        });
    }
}

impl Terms {
    /// Caps on output that are worth trying: none to speak of, an ordinary one, and a large one.
    fn max_tokens(&self) -> impl Iterator<Item = u32> {
        let (ordinary, large) = ((self.largest / 8).min(256), self.largest / 4);
        let mut caps = vec![1, ordinary, large];
        caps.dedup();
        caps.into_iter().filter(|cap| *cap > 0).filter_map(|cap| u32::try_from(cap).ok())
    }

    /// Requests at `at` that use up parts of the quota.
    fn fills(&self, at: Timestamp) -> Vec<Probe> {
        let sizes = |max_tokens| {
            let wanted = FILLS.map(|share| (self.largest as f64 * share) as u64);
            let allowed = wanted.into_iter().filter_map(move |wanted| self.allowed(wanted, max_tokens));
            allowed.map(move |input_tokens| Probe { at, input_tokens, max_tokens })
        };
        self.max_tokens().flat_map(sizes).collect()
    }

    /// The input as near to `wanted` as a request may have, if it may be sent at all.
    fn allowed(&self, wanted: u64, max_tokens: u32) -> Option<u64> {
        let max_tokens = u64::from(max_tokens);
        let most = self
            .largest
            .saturating_sub(max_tokens)
            .min(self.budget.saturating_sub(max_tokens * self.burndown_at_worst));
        (most >= self.smallest).then(|| wanted.clamp(self.smallest, most))
    }

    fn cost_s(&self, probe: &Probe) -> f64 {
        probe.at.seconds_since(self.from) + self.latency_s + self.own_cost_s(probe)
    }

    /// What it costs beside time.
    fn own_cost_s(&self, probe: &Probe) -> f64 {
        REQUEST_COST_S + QUOTA_COST_S * probe.input_tokens as f64 / self.largest as f64
    }
}

impl Imagined {
    /// When a large request fits in most futures, unless that is now or too far off.
    fn ready(&self, terms: &Terms) -> Option<Timestamp> {
        let large = (terms.largest as f64 * LARGE) as u64;
        let mut ready: Vec<_> =
            self.futures.iter().filter_map(|future| future.ledger.fits_from(terms.from, large)).collect();
        ready.sort();
        let most = *ready.get((ready.len() as f64 * LARGE) as usize)?;
        let wait_s = most.seconds_since(terms.from);
        (wait_s > 0.0 && wait_s < LONGEST_WAIT_S).then(|| most.plus_seconds(READY_AFTER_S))
    }

    /// The same at about `at`, when a request is decided that leaves at `at`.
    fn at(&self, at: Timestamp, latency_s: f64) -> Self {
        let mut then = self.clone();
        for (index, future) in then.futures.iter_mut().enumerate() {
            // Golden steps: whichever futures are of one case, their instants of admission are spread evenly.
            let share = (index as f64 * 0.618_034).fract();
            future.ledger.advance(at.plus_seconds(latency_s * share));
        }
        then
    }

    /// The requests at `at` that separate the futures.
    fn choices(&self, at: Timestamp, terms: &Terms) -> Vec<Choice> {
        let then = self.at(at, terms.latency_s);
        let mut choices = Vec::new();
        for max_tokens in terms.max_tokens() {
            for input_tokens in then.sizes(max_tokens, terms) {
                let probe = Probe { at, input_tokens, max_tokens };
                choices.push(Choice { probe, gain: then.gain(&probe), cost_s: terms.cost_s(&probe) });
            }
        }
        choices
    }

    /// Inputs that separate the futures, by what they have room for.
    fn sizes(&self, max_tokens: u32, terms: &Terms) -> Vec<u64> {
        let room = |future: &Future| {
            (future.ledger.room(u64::from(max_tokens)), self.shares[future.case] / self.each)
        };
        let mut rooms: Vec<(f64, f64)> = self.futures.iter().map(room).collect();
        rooms.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut sizes = Vec::new();
        let (mut below, mut quantiles) = (0.0, QUANTILES.iter().peekable());
        for (room, share) in rooms {
            below += share;
            while quantiles.next_if(|quantile| **quantile <= below).is_some() {
                sizes.extend(terms.allowed(room.max(0.0) as u64, max_tokens));
            }
        }
        sizes.dedup();
        sizes
    }

    /// Bits that the outcome of `probe` and of the request before tell about the case.
    fn gain(&self, probe: &Probe) -> f64 {
        let mut joint = vec![[0.0; 4]; self.shares.len()];
        let mut squares = vec![[0.0; 4]; self.shares.len()];
        for Future { case, ledger, before } in &self.futures {
            let admitted = probe.admitted(ledger);
            let (not_before, not_admitted) = (1.0 - before, 1.0 - admitted);
            let outcomes =
                [before * admitted, before * not_admitted, not_before * admitted, not_before * not_admitted];
            for (outcome, probability) in outcomes.into_iter().enumerate() {
                joint[*case][outcome] += probability / self.each;
                squares[*case][outcome] += probability * probability / self.each;
            }
        }
        let mut mixed = [0.0; 4];
        let mut scatter = [0.0; 4];
        let mut known = 0.0;
        for ((outcomes, squares), share) in joint.iter().zip(&squares).zip(&self.shares) {
            known += share * bits(outcomes);
            for outcome in 0..4 {
                mixed[outcome] += share * outcomes[outcome];
                let variance = squares[outcome] - outcomes[outcome].powi(2);
                scatter[outcome] += share * (1.0 - share) * variance / (self.each - 1.0);
            }
        }
        // Cases of few ledgers seem to differ where chance alone made them differ: to second order, by this much.
        let by_chance: f64 =
            scatter.iter().zip(&mixed).map(|(scatter, mixed)| scatter / mixed.max(1e-9)).sum();
        bits(&mixed) - known - BEYOND_CHANCE * by_chance / (2.0 * std::f64::consts::LN_2)
    }

    /// The best request after `first`, sent so many times in a row.
    fn followed(&self, first: Probe, times: u32, terms: &Terms) -> Option<Choice> {
        let mut after = self.at(first.at, terms.latency_s);
        let mut last = first;
        for index in 0..times {
            last.at = first.at.plus_seconds(f64::from(index) * terms.latency_s);
            after.futures.iter_mut().for_each(|future| last.happen(future, terms));
        }
        let spent_s = f64::from(times) * terms.own_cost_s(&first);
        let later = SECOND_DELAYS_S.map(|delay_s| last.at.plus_seconds(terms.latency_s + delay_s));
        let seconds = later.into_iter().flat_map(|at| after.choices(at, terms));
        let choices = seconds.map(|it| Choice { probe: first, cost_s: it.cost_s + spent_s, ..it });
        choices.max_by(|a, b| a.rate().total_cmp(&b.rate()))
    }
}

/// The entropy of a distribution.
fn bits(distribution: &[f64; 4]) -> f64 {
    distribution.iter().filter(|share| **share > 0.0).map(|share| -share * share.log2()).sum()
}
