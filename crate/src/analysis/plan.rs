//! Which probe next: the time and size whose outcome is expected to tell most about the mechanism for its cost.
//!
//! The gain is the mutual information between the outcome and the class, over particles of the posterior. Source:
//! Lindley, "On a measure of the information provided by an experiment", Ann. Math. Stat. 27 (1956).

use super::imagined::{Imagined, imagine, surely};
use super::posterior::Posterior;
use super::sweep::{Sweep, best_size};
use super::{MOST_REQUESTS, moments};
use crate::trace::USUAL_LATENCY_S;
use crate::{Candidate, Timestamp};

/// Delays that are considered, in seconds from now; the turn of the minute and other moments are tried besides.
const DELAYS_S: [f64; 11] = [0.0, 1.0, 2.5, 4.5, 7.0, 11.0, 16.0, 23.0, 32.0, 44.0, 62.0];
/// Probes in a row that are thought through, and the delays of the later ones, in seconds.
const STEPS: usize = 4;
const LATER_DELAYS_S: [f64; 6] = [0.0, 3.0, 9.0, 20.0, 38.0, 61.0];
/// In a course, a later probe is chosen as if each cost this much more, in seconds: or else many that tell next to nothing
/// would come before one that is worth a wait.
const PATIENCE_S: f64 = 20.0;
/// What is less probable than this to happen in a course is not thought through.
const UNLIKELY: f64 = 0.02;
/// First probes whose course is thought through.
const LOOKED_AHEAD: usize = 6;
/// When to use up how much of what is surely there: that tells nothing by itself, and everything afterwards.
const FILLS: [(f64, f64); 5] = [(0.0, 0.4), (0.0, 1.0), (8.0, 1.0), (16.0, 1.0), (35.0, 1.0)];
/// What fits with this probability is surely there.
const SURELY: f64 = 0.8;
/// Nats over the number of samples by which information is overestimated on average (Miller, "Note on the bias of
/// information estimates", 1955), and by which that of the best of many probes is.
pub(super) const BIAS: f64 = 0.5;
pub(super) const BIAS_OF_THE_BEST: f64 = 1.0;
/// Where a larger request tells as much, because any is admitted that finds something left, this share of the quota is
/// tried too: what comes back after an overdraft shows how.
const OVERDRAFT: f64 = 0.07;
/// A probe tells two candidates apart if their predictions differ by more than this.
const TELLING: f64 = 0.5;
/// What a whole quota of tokens costs, in seconds of waiting.
const QUOTA_COST_S: f64 = 6.0;
/// What it costs that a whole quota is rejected, if rejected requests count, in seconds: what refills has to make up for it.
const DEBT_COST_S: f64 = 45.0;
/// What a request costs, in seconds of waiting, and twice as much after so many. It grows with their cube: an analysis follows
/// only so many, and who does not get on must not waste them.
const REQUEST_COST_S: f64 = 0.3;
const REQUESTS: f64 = 40.0;

/// The smallest request that makes sense, in tokens.
pub(super) const SMALLEST: u64 = 24;

/// When to send a request of how many tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// When it should leave.
    pub at: Timestamp,
    /// Tokens it should reserve.
    pub tokens: u64,
    /// How many of them, one right after the other until one is rejected: more than one where only their number counts.
    pub times: u64,
}

/// What limits the choice of a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// The earliest instant.
    pub from: Timestamp,
    /// How long requests take on average, in seconds.
    pub latency_s: f64,
    /// How many there have been.
    pub requests: usize,
    /// The smallest and the largest request, in tokens.
    pub sizes: (u64, u64),
    /// What one quota of tokens is taken to be.
    pub quota: f64,
    /// How probably rejected requests count.
    pub rejected_count: f64,
    /// How much apparent information is taken for noise, in nats over the number of samples.
    pub scepticism: f64,
    /// Class probabilities are raised to this power: below 1, to challenge the leader.
    pub sharpness: f64,
    /// Whether to tell apart what is the same mechanism with other periods, too.
    pub finely: bool,
    /// The longest wait, in seconds.
    pub wait_s: f64,
}

#[derive(Clone, Copy)]
struct Choice {
    at: Timestamp,
    sweep: Sweep,
    /// How many such requests, one after the other, for as long as they are admitted.
    times: u64,
    cost_s: f64,
}

impl Choice {
    fn rate(&self) -> f64 {
        self.sweep.gain / self.cost_s
    }

    fn patient_rate(&self) -> f64 {
        self.sweep.gain / (self.cost_s + PATIENCE_S)
    }
}

/// The probe that tells most for its cost, looking some probes ahead.
pub(super) fn next_probe(posterior: &Posterior, terms: &Terms) -> Probe {
    let imagined = imagine(posterior.beliefs(), terms.sharpness, terms.finely);
    let mut choices: Vec<Choice> = moments::usual(terms.from, &DELAYS_S)
        .chain(moments::returns(&imagined, terms.decided(terms.from)).map(|at| terms.left(at)))
        .filter(|at| at.seconds_since(terms.from) <= terms.wait_s)
        .map(|at| terms.choice(&imagined, at, terms.from, None))
        .collect();
    choices.sort_by(|a, b| b.rate().total_cmp(&a.rate()));
    choices.truncate(LOOKED_AHEAD);
    let larger = (terms.quota * OVERDRAFT) as u64;
    let larger = choices.iter().filter(|choice| choice.sweep.size < larger).filter_map(|choice| {
        let other = terms.choice(&imagined, choice.at, terms.from, Some(larger));
        (other.sweep.gain >= choice.sweep.gain).then_some(other)
    });
    choices.extend(larger.collect::<Vec<_>>());
    let fills = FILLS.into_iter().filter(|(delay_s, _)| *delay_s <= terms.wait_s);
    choices.extend(fills.map(|(delay_s, share)| terms.fill(&imagined, delay_s, share)));
    let distinct = choices.iter().enumerate().filter(|(index, choice)| {
        let what = |choice: &Choice| (choice.at, choice.sweep.size, choice.times);
        !choices[index + 1..].iter().any(|other| what(other) == what(choice))
    });
    let scored =
        distinct.map(|(_, choice)| choice).map(|choice| (choice, terms.rate_of_course(&imagined, choice)));
    let best = scored.max_by(|(_, a), (_, b)| a.total_cmp(b));
    match best {
        // Nothing stands out from the noise: then what may be noise has to do.
        Some((_, rate)) if rate <= 0.0 && terms.scepticism > BIAS => {
            next_probe(posterior, &Terms { scepticism: BIAS, ..*terms })
        }
        best => {
            let best = best.map_or(&choices[0], |(choice, _)| choice);
            let (from, at) = (terms.decided(terms.from), terms.decided(best.at));
            let before = moments::before_an_end(&imagined, from).filter(|before| *before < at);
            let best = before.map_or(*best, |it| terms.choice(&imagined, terms.left(it), terms.from, None));
            Probe { at: best.at, tokens: best.sweep.size, times: best.times }
        }
    }
}

/// The probe that tells most between two candidates, taken to be equally probable, and how probable each holds it to be
/// admitted; `None` if no single probe tells them apart.
pub(super) fn separating_probe(
    posterior: &Posterior,
    rivals: [Candidate; 2],
    terms: &Terms,
) -> Option<(Probe, [f64; 2])> {
    let worlds: [Vec<Imagined>; 2] = rivals.map(|rival| {
        let share = posterior.of_candidate(rival).map(|(_, share)| share).sum::<f64>().max(f64::MIN_POSITIVE);
        let beliefs = posterior.of_candidate(rival).map(|(belief, own)| (belief, own / share));
        imagine(beliefs, 1.0, false)
            .into_iter()
            .map(|one| one.of_class(usize::from(rival != rivals[0])))
            .collect()
    });
    let imagined: Vec<Imagined> = worlds.concat();
    let choices =
        moments::usual(terms.from, &DELAYS_S).map(|at| terms.choice(&imagined, at, terms.from, None));
    let best = choices.max_by(|a, b| a.sweep.gain.total_cmp(&b.sweep.gain))?;
    let admitted = worlds.map(|worlds| admitted_share(&worlds, terms.decided(best.at), best.sweep.size));
    let differ = (admitted[0] - admitted[1]).abs() > TELLING;
    differ.then_some((Probe { at: best.at, tokens: best.sweep.size, times: 1 }, admitted))
}

fn admitted_share(worlds: &[Imagined], at: Timestamp, size: u64) -> f64 {
    let total: f64 = worlds.iter().map(|one| one.weight).sum();
    worlds.iter().filter(|one| one.fits(at, size)).map(|one| one.weight).sum::<f64>() / total
}

impl Terms {
    /// Any probe after `last`, of up to `largest` tokens, whatever they cost.
    pub(super) fn at_the_end(last: Timestamp, largest: u64) -> Self {
        let sizes = (SMALLEST.min(largest), largest);
        Self {
            from: last,
            latency_s: USUAL_LATENCY_S,
            requests: 0,
            sizes,
            quota: f64::INFINITY,
            rejected_count: 0.0,
            scepticism: BIAS,
            sharpness: 1.0,
            finely: false,
            wait_s: f64::INFINITY,
        }
    }

    /// The best size at an instant, or the one that is given.
    fn choice<'a>(
        &self,
        imagined: impl IntoIterator<Item = &'a Imagined>,
        at: Timestamp,
        from: Timestamp,
        size: Option<u64>,
    ) -> Choice {
        let time_s = at.seconds_since(from) + self.latency_s + self.request_cost_s();
        let debt_s = DEBT_COST_S * self.rejected_count;
        let a_quota_s = |admitted: f64| QUOTA_COST_S * admitted + debt_s * (1.0 - admitted);
        let cost_s = |size: u64, admitted: f64| time_s + a_quota_s(admitted) * size as f64 / self.quota;
        let sweep = best_size(imagined, self.decided(at), self.sizes, size, self.scepticism, cost_s);
        Choice { at, sweep, times: 1, cost_s: cost_s(sweep.size, sweep.admitted) }
    }

    /// To use up a share of what is surely there after a while: with one request, or with as many as that takes where
    /// size does not matter.
    fn fill(&self, imagined: &[Imagined], delay_s: f64, share: f64) -> Choice {
        let at = self.from.plus_seconds(delay_s);
        let decided = self.decided(at);
        let of_surely = |of: &dyn Fn(&Imagined) -> f64| share * surely(imagined, SURELY, of);
        let tokens = of_surely(&|one| one.room(decided));
        let requests = of_surely(&|one| one.requests(decided));
        if tokens.is_finite() || requests.is_infinite() {
            let size = (tokens as u64).clamp(self.sizes.0, self.sizes.1);
            return self.choice(imagined, at, self.from, Some(size));
        }
        let one = self.choice(imagined, at, self.from, Some(self.sizes.0));
        let times = (requests as usize).min(MOST_REQUESTS.saturating_sub(self.requests)).max(1) as u64;
        let others_s = (times - 1) as f64 * (self.latency_s + self.request_cost_s());
        Choice { times, cost_s: one.cost_s + others_s, ..one }
    }

    fn request_cost_s(&self) -> f64 {
        REQUEST_COST_S * (1.0 + (self.requests as f64 / REQUESTS).powi(3))
    }

    /// When a request that leaves at `at` is decided on.
    fn decided(&self, at: Timestamp) -> Timestamp {
        at.plus_seconds(self.latency_s / 2.0)
    }

    /// When a request leaves that is decided on at `at`.
    fn left(&self, at: Timestamp) -> Timestamp {
        at.plus_seconds(-self.latency_s / 2.0)
    }

    /// Information a second of a probe, by itself or together with those that can follow it.
    fn rate_of_course(&self, imagined: &[Imagined], first: &Choice) -> f64 {
        let total: f64 = imagined.iter().map(|one| one.weight).sum();
        let (mut gain, mut cost_s, mut best) = (0.0, 0.0, 0.0_f64);
        let mut imagined = imagined.to_vec();
        let mut stages = vec![(imagined.iter_mut().collect::<Vec<_>>(), *first)];
        for step in 0..STEPS {
            let mut next = Vec::new();
            for (worlds, probe) in stages {
                let share = worlds.iter().map(|one| one.weight).sum::<f64>() / total;
                gain += share * probe.sweep.gain;
                cost_s += share * probe.cost_s;
                if step + 1 < STEPS {
                    let from = probe.at.plus_seconds(probe.times as f64 * self.latency_s);
                    next.extend(self.outcomes(worlds, &probe).into_iter().filter_map(|after| {
                        let worlds = || after.iter().map(|one| &**one);
                        if worlds().map(|one| one.weight).sum::<f64>() < UNLIKELY * total {
                            return None;
                        }
                        let choices = moments::usual(from, &LATER_DELAYS_S)
                            .map(|at| self.choice(worlds(), at, from, None));
                        let best = choices.max_by(|a, b| a.patient_rate().total_cmp(&b.patient_rate()))?;
                        (best.sweep.gain > 0.0).then_some((after, best))
                    }));
                }
            }
            best = best.max(gain / cost_s);
            stages = next;
        }
        best
    }

    /// The imagined worlds in which a probe is admitted, and those in which it is rejected, after it.
    fn outcomes<'a>(&self, imagined: Vec<&'a mut Imagined>, probe: &Choice) -> [Vec<&'a mut Imagined>; 2] {
        let (at, size) = (self.decided(probe.at), probe.sweep.size);
        let sent = |index| at.plus_seconds(index as f64 * self.latency_s);
        let [mut admitting, mut rejecting] = [(); 2].map(|()| Vec::with_capacity(imagined.len()));
        for one in imagined {
            if one.fits(at, size) {
                one.charge(at, size);
                for at in (1..probe.times).map(sent) {
                    if !one.fits(at, size) {
                        break;
                    }
                    one.charge(at, size);
                }
                admitting.push(one);
            } else {
                one.reject(at, size);
                rejecting.push(one);
            }
        }
        [admitting, rejecting]
    }
}
