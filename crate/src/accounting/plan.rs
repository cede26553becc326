//! Which request next: the time, input and `max_tokens` whose outcome, with that of the request after it, is expected to
//! tell most about the rules for its cost.
//!
//! The gain is the mutual information between outcomes and rules. Source: Lindley, "On a measure of the information
//! provided by an experiment", Ann. Math. Stat. 27 (1956).

use super::belief::Belief;
use super::ledger::{Entry, Ledger};
use crate::{Outcome, ThrottleMessage, Timestamp};

/// Ledgers that are imagined forward, shared among the cases, and the fewest of a case.
const LEDGERS: usize = 320;
const LEDGERS_OF_A_CASE: usize = 8;
/// A case below this probability is not worth a request.
const NEGLIGIBLE: f64 = 1e-3;
/// Delays that are considered, in seconds from now, and of a second request after the first.
const DELAYS_S: [f64; 7] = [0.0, 4.0, 9.0, 18.0, 32.0, 47.0, 62.0];
const SECOND_DELAYS_S: [f64; 4] = [0.0, 5.0, 15.0, 40.0];
/// Shares of the ceiling to use up: that tells nothing by itself, and everything afterwards.
const FILLS: [f64; 5] = [0.0, 0.3, 0.5, 0.7, 0.88];
/// Sizes that separate these shares of the ledgers, by what they have room for.
const QUANTILES: [f64; 7] = [0.06, 0.2, 0.35, 0.5, 0.65, 0.8, 0.94];
/// First requests that are followed by a second one in thought, beside those that fill.
const LOOKED_AHEAD: usize = 6;
/// What a request and a whole quota of tokens cost, in seconds of waiting.
const REQUEST_COST_S: f64 = 2.5;
const QUOTA_COST_S: f64 = 25.0;
/// Where no request is expected to tell so many bits, none is sent.
const LEAST_GAIN: f64 = 0.02;

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
struct Imagined {
    futures: Vec<Future>,
    shares: Vec<f64>,
    /// How many futures each case has.
    each: f64,
}

struct Future {
    case: usize,
    ledger: Ledger,
    /// How probable it is that the request before was admitted; 1 if there was none.
    before: f64,
}

/// The request that tells most for its cost, or none if none tells enough.
pub(super) fn next_probe(belief: &Belief, terms: &Terms, seed: u64) -> Option<Probe> {
    let likely = belief.cases().filter(|(_, share)| *share >= NEGLIGIBLE).count().max(1);
    let each = (LEDGERS / likely).max(LEDGERS_OF_A_CASE);
    let cases = belief.sample(each, NEGLIGIBLE, seed);
    let shares = cases.iter().map(|(share, _)| *share).collect();
    let futures = cases.into_iter().enumerate().flat_map(|(case, (_, ledgers))| {
        ledgers.into_iter().map(move |ledger| Future { case, ledger, before: 1.0 })
    });
    let mut now = Imagined { futures: futures.collect(), shares, each: each as f64 };

    let (mut alone, mut fills) = (Vec::new(), Vec::new());
    for delay_s in DELAYS_S {
        let at = terms.from.plus_seconds(delay_s);
        now.advance(at, terms.latency_s);
        for max_tokens in terms.max_tokens() {
            for input_tokens in now.sizes(max_tokens, terms) {
                let probe = Probe { at, input_tokens, max_tokens };
                alone.push(Choice { probe, gain: now.gain(&probe), cost_s: terms.cost_s(&probe) });
            }
            for share in FILLS {
                let input_tokens = terms.allowed((terms.largest as f64 * share) as u64, max_tokens);
                fills.extend(input_tokens.map(|input_tokens| Probe { at, input_tokens, max_tokens }));
            }
        }
    }
    alone.sort_by(|a, b| b.rate().total_cmp(&a.rate()));
    let ahead: Vec<Probe> = alone.iter().take(LOOKED_AHEAD).map(|choice| choice.probe).chain(fills).collect();
    let followed = ahead.into_iter().filter_map(|probe| now.followed(probe, terms));
    let best = alone.iter().copied().chain(followed).max_by(|a, b| a.rate().total_cmp(&b.rate()))?;
    (best.gain >= LEAST_GAIN).then_some(best.probe)
}

impl Probe {
    fn admitted(&self, ledger: &Ledger) -> f64 {
        Ledger::admitted(ledger.fits(self.input_tokens, self.max_tokens.into()))
    }

    /// The future after this request, with its likelier outcome only.
    fn followed(&self, future: &Future, terms: &Terms) -> Future {
        let (mut ledger, before) = (future.ledger.clone(), self.admitted(&future.ledger));
        let likelier =
            if before > 0.5 { Outcome::Admitted } else { Outcome::Throttled(ThrottleMessage::Tokens) };
        ledger.step(&Entry {
            sent: self.at,
            finished: self.at.plus_seconds(terms.latency_s),
            input_tokens: self.input_tokens,
            max_tokens: self.max_tokens.into(),
            output_tokens: None,
            outcome: likelier,
        });
        Future { case: future.case, ledger, before }
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
    fn advance(&mut self, at: Timestamp, latency_s: f64) {
        for (index, future) in self.futures.iter_mut().enumerate() {
            // Golden steps: whichever futures are of one case, their instants of admission are spread evenly.
            let share = (index as f64 * 0.618_034).fract();
            future.ledger.advance(at.plus_seconds(latency_s * share));
        }
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
        for Future { case, ledger, before } in &self.futures {
            let admitted = probe.admitted(ledger);
            let (not_before, not_admitted) = (1.0 - before, 1.0 - admitted);
            let outcomes =
                [before * admitted, before * not_admitted, not_before * admitted, not_before * not_admitted];
            joint[*case].iter_mut().zip(outcomes).for_each(|(sum, share)| *sum += share / self.each);
        }
        let mut mixed = [0.0; 4];
        let mut known = 0.0;
        for (outcomes, share) in joint.iter().zip(&self.shares) {
            mixed.iter_mut().zip(outcomes).for_each(|(sum, outcome)| *sum += share * outcome);
            known += share * bits(outcomes);
        }
        bits(&mixed) - known
    }

    /// The best pair of requests that begins with `first`.
    fn followed(&self, first: Probe, terms: &Terms) -> Option<Choice> {
        let mut after = Self {
            futures: self.futures.iter().map(|future| first.followed(future, terms)).collect(),
            shares: self.shares.clone(),
            each: self.each,
        };
        let mut choices = Vec::new();
        for delay_s in SECOND_DELAYS_S {
            let at = first.at.plus_seconds(terms.latency_s + delay_s);
            after.advance(at, terms.latency_s);
            for max_tokens in terms.max_tokens() {
                for input_tokens in after.sizes(max_tokens, terms) {
                    let second = Probe { at, input_tokens, max_tokens };
                    let cost_s = terms.cost_s(&second) + terms.own_cost_s(&first);
                    choices.push(Choice { probe: first, gain: after.gain(&second), cost_s });
                }
            }
        }
        choices.into_iter().max_by(|a, b| a.rate().total_cmp(&b.rate()))
    }
}

/// The entropy of a distribution.
fn bits(distribution: &[f64; 4]) -> f64 {
    distribution.iter().filter(|share| **share > 0.0).map(|share| -share * share.log2()).sum()
}
