use std::slice;

use super::belief::Effort;
use super::evidence::Evidence;
use super::plan::{BIAS_OF_THE_BEST, Probe, SMALLEST, Terms, next_probe};
use super::posterior::Posterior;
use super::{Assumptions, MOST_REQUESTS, conclude, rank};
use crate::trace::mean_latency_s;
use crate::{Candidate, Conclusion, Observation, QuotaKind, Timestamp, Verdict};

/// While searching; the announcement is checked with other particles, drawn anew.
const SEARCH: Effort =
    Effort { prior: 2_000, replayed: 3_000, fewest: 240, of_many: 0.25, moves: 1, renewed_below: 0.5 };
/// The first probe is small, as a share of the quota and in tokens: it shows how large requests really are.
const FIRST_SHARE: f64 = 0.02;
const FIRST_AT_MOST: f64 = 200.0;
/// The seconds of the minute at which to begin: a turn of the minute soon after first use tells a window that follows
/// the clock from everything else, and the end of a minute from first use is far from both.
const GOOD_SECONDS: [f64; 2] = [39.0, 44.0];
/// The second one: large enough that the next ones meet the quota, small enough to fit.
const SECOND_SHARE: f64 = 0.5;
/// So much later the rest is used, in seconds: what comes back at once comes back at two times in a log, and what is
/// there meanwhile of a bucket shows.
const APART_S: f64 = 6.0;
/// A leader must still lead after so many probes in a row that were chosen to refute it, before it is announced. More cost
/// time and find out little: the check that follows finds more.
const CHALLENGES: usize = 1;
/// Class probabilities are raised to these powers while challenging, and once somebody is as probable as this: or else
/// little is to be found out about those that are left.
const CHALLENGE_SHARPNESS: f64 = 0.4;
const LATE_SHARPNESS: f64 = 0.5;
const LATE: f64 = 0.9;
/// Who keeps to the rate that is sure may waste so much of the quota. While it is more, probes go on to narrow it down, but
/// not more than so many.
const WASTED: f64 = 0.25;
const NARROWING: usize = 8;
/// Of the doubt that is allowed, a verdict on a quota of requests may have so much: of so few of them samplers say different
/// things.
const DOUBT_IN_REQUESTS: f64 = 0.5;
/// The longest wait for a challenge, in seconds.
const CHALLENGE_WAIT_S: f64 = 5.0;
/// The probabilities of what is left are worked out once more after so many observations without a leader.
const REFINE_EVERY: usize = 8;
/// A search of so many observations may have lost the truth, and no check would ask about it: from then on what was as good as
/// refuted is asked about again where nothing leads, and before a check, but only after so many more.
const LONG_SEARCH: usize = 30;
const RENEW_EVERY: usize = 20;

/// The phases, in a trace, whose requests an inquiry chose: to find out more, and to refute the leading mechanism.
pub(crate) const SEARCH_PHASE: &str = "search";
pub(crate) const CHALLENGE_PHASE: &str = "challenge";

/// The adaptive measurement: after each observation, the next probe, until the mechanism is known or refuted.
///
/// Pure: it reads no clock and sends nothing.
#[derive(Clone, Debug)]
pub struct Inquiry {
    assumptions: Assumptions,
    largest: u64,
    observations: Vec<Observation>,
    posterior: Option<Posterior>,
    leader: Option<Candidate>,
    led: usize,
    /// How many observations there were when what was as good as refuted was asked about again.
    renewed: usize,
    /// How many of its probes were to narrow down what is known of the leader.
    narrowed: usize,
    verdict: Option<Verdict>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Send this, to find out more.
    Search(Probe),
    /// Send this, to refute the leading mechanism if it is wrong.
    Challenge(Probe),
    /// Nothing: a mechanism can be named, or all are refuted.
    Done,
}

impl Inquiry {
    /// An inquiry that never asks for more than `largest` tokens at once.
    pub fn new(assumptions: Assumptions, largest: u64) -> Self {
        let largest = largest.max(SMALLEST);
        Self {
            assumptions,
            largest,
            observations: Vec::new(),
            posterior: None,
            leader: None,
            led: 0,
            renewed: 0,
            narrowed: 0,
            verdict: None,
        }
    }

    /// The inquiry that chose the probes of a trace, as it was after them: `None` if none did, or if the trace is too long.
    pub(super) fn retraced(observations: &[Observation], assumptions: &Assumptions) -> Option<Self> {
        let is_chosen = |it: &Observation| matches!(&*it.phase, SEARCH_PHASE | CHALLENGE_PHASE);
        let is_one = observations.len() <= MOST_REQUESTS && observations.iter().any(is_chosen);
        is_one.then(|| Self::new(assumptions.clone(), SMALLEST).resumed(observations))
    }

    /// The same after what was observed before it began, one after the other.
    pub(crate) fn resumed<'a>(mut self, observations: impl IntoIterator<Item = &'a Observation>) -> Self {
        observations.into_iter().for_each(|observation| self.observe(slice::from_ref(observation)));
        self
    }

    /// Takes in what was observed since the last time, in order: what is said of a leader is said of all of it.
    pub fn observe(&mut self, observations: &[Observation]) {
        let Some(first) = observations.first() else { return };
        self.verdict = None;
        let before = self.observations.len();
        self.observations.extend_from_slice(observations);
        let posterior = self
            .posterior
            .get_or_insert_with(|| Posterior::new(&self.assumptions, Evidence::from(first).earliest, SEARCH));
        observations.iter().for_each(|observation| posterior.observe(&[observation.into()]));
        let observed = self.observations.len();
        self.note_leader();
        if self.led == 0 && before / REFINE_EVERY < observed / REFINE_EVERY {
            self.posterior.iter_mut().for_each(|posterior| posterior.refine());
            self.note_leader();
        }
        let refuted_all = self.led == 1 && self.leader == Some(Candidate::SomethingElse);
        if refuted_all || (self.led == 0 && self.may_be_lost()) {
            self.renew();
            self.note_leader();
        }
        if self.led == 1 {
            self.posterior.iter_mut().for_each(|posterior| posterior.refine());
            self.led = 0;
            self.note_leader();
        }
        if self.led > CHALLENGES && !self.narrows_down() {
            self.check();
        }
    }

    /// What it announces once it is done, and before what can be said so far: what other samplers find in what was observed, if
    /// the search has not found otherwise.
    pub fn verdict(&self) -> Verdict {
        self.verdict.clone().unwrap_or_else(|| {
            let evidence = Evidence::from_observations(&self.observations);
            let anew = Posterior::agreed(&evidence, &self.assumptions);
            let posterior = match self.posterior.clone() {
                Some(followed) => followed.counted_as_one().pooled(anew),
                None => anew,
            };
            self.concluded(&evidence, &posterior)
        })
    }

    /// Whether the search is long enough to have lost the truth, and what was as good as refuted was not asked about lately.
    fn may_be_lost(&self) -> bool {
        self.observations.len() >= LONG_SEARCH.max(self.renewed + RENEW_EVERY)
    }

    fn renew(&mut self) {
        self.posterior.iter_mut().for_each(|posterior| posterior.renew());
        self.renewed = self.observations.len();
    }

    fn note_leader(&mut self) {
        let Some(posterior) = &self.posterior else { return };
        let leader = self.sure_of(posterior);
        self.led = match leader {
            Some(_) if self.leader == leader => self.led + 1,
            Some(_) => 1,
            None => 0,
        };
        self.leader = leader;
    }

    /// The probe to send at `now` or later.
    pub fn next(&self, now: Timestamp) -> Next {
        let Some(posterior) = &self.posterior else {
            let tokens =
                ((self.quota() * FIRST_SHARE).min(FIRST_AT_MOST) as u64).max(SMALLEST.min(self.largest));
            let [from, until] = GOOD_SECONDS;
            let good = (from..until).contains(&now.second_of_minute());
            let at = if good { now } else { now.next_second(from) };
            return Next::Search(Probe { at, tokens, times: 1 });
        };
        if let [only] = &self.observations[..]
            && only.outcome().is_admitted()
        {
            let tokens = (self.quota() * SECOND_SHARE) as u64;
            return Next::Search(Probe { at: now, tokens, times: 1 });
        }
        if self.verdict.is_some() {
            return Next::Done;
        }
        let from = match &self.observations[..] {
            [_, second] => now.max(second.sent.plus_seconds(APART_S)),
            _ => now,
        };
        let has_rejected = self.observations.iter().any(|it| it.outcome().is_throttled());
        if let (false, Some(times)) = (has_rejected, self.requests_to_use_up()) {
            return Next::Search(Probe { at: from, tokens: SMALLEST.min(self.largest), times });
        }
        let (sharpness, wait_s) = match posterior.candidates()[0] {
            // Until the quota is used up nothing is told apart, however long one waits.
            _ if !has_rejected => (1.0, 0.0),
            _ if self.led > 0 && self.narrowed == 0 => (CHALLENGE_SHARPNESS, CHALLENGE_WAIT_S),
            (_, probability) if probability > LATE => (LATE_SHARPNESS, f64::INFINITY),
            _ => (1.0, f64::INFINITY),
        };
        let probe = next_probe(
            posterior,
            &Terms {
                from,
                latency_s: mean_latency_s(&self.observations),
                requests: self.observations.len(),
                sizes: (SMALLEST.min(self.largest), self.largest),
                quota: self.quota(),
                rejected_count: posterior.rejected_count(),
                scepticism: BIAS_OF_THE_BEST,
                sharpness,
                finely: self.narrowed > 0,
                wait_s,
            },
        );
        if self.led > 0 { Next::Challenge(probe) } else { Next::Search(probe) }
    }

    /// Whether the leader was found before, and one more probe is to narrow it down: a check would find it vague again.
    fn narrows_down(&mut self) -> bool {
        let is_open = (1..NARROWING).contains(&self.narrowed);
        let Some(posterior) = self.posterior.as_ref().filter(|_| is_open) else { return false };
        let evidence = Evidence::from_observations(&self.observations);
        let is_vague = self.is_vague(&evidence, posterior);
        self.narrowed += usize::from(is_vague);
        is_vague
    }

    /// Asks particles drawn anew about what is left, where what the search has followed counts as one sampler: few others find
    /// the truth in a long trace. If all of them then agree, it is announced; or else the search goes on from what they think.
    fn check(&mut self) {
        if self.may_be_lost() {
            self.renew();
        }
        let Some(followed) = self.posterior.take() else { return };
        let evidence = Evidence::from_observations(&self.observations);
        let posterior = followed.counted_as_one().settled();
        if self.leader.is_some() && self.leader == self.sure_of(&posterior) {
            if self.narrowed < NARROWING && self.is_vague(&evidence, &posterior) {
                self.narrowed += 1;
            } else {
                let verdict = self.concluded(&evidence, &posterior);
                self.verdict = Some(verdict).filter(|it| it.verdict != Conclusion::Inconclusive);
            }
        }
        self.posterior = Some(posterior.with_effort(SEARCH));
        if self.verdict.is_none() {
            self.led = 0;
            self.note_leader();
        }
    }

    fn concluded(&self, evidence: &[Evidence], posterior: &Posterior) -> Verdict {
        conclude(&self.observations, &self.assumptions, evidence, posterior)
    }

    /// Requests that are missing until the quota of requests, if only that is known, should reject one.
    fn requests_to_use_up(&self) -> Option<u64> {
        let rpm = self.assumptions.rpm.filter(|_| self.assumptions.tpm.is_none())?;
        let followed = MOST_REQUESTS.saturating_sub(self.observations.len()) as u64;
        let missing = (rpm + 1).saturating_sub(self.observations.len() as u64).min(followed);
        (missing > 0).then_some(missing)
    }

    /// Whether much of the quota would be wasted by who keeps to the rate that is sure.
    fn is_vague(&self, evidence: &[Evidence], posterior: &Posterior) -> bool {
        rank(posterior, evidence, &self.observations)[0].sure_share() < 1.0 - WASTED
    }

    /// What leads, if it is as probable as a verdict must be.
    fn sure_of(&self, posterior: &Posterior) -> Option<Candidate> {
        let (leader, probability) = posterior.candidates()[0];
        let part = match posterior.likeliest_kind().0 {
            QuotaKind::Requests => DOUBT_IN_REQUESTS,
            QuotaKind::Tokens | QuotaKind::TokensPerDay => 1.0,
        };
        (probability >= 1.0 - part * (1.0 - self.assumptions.confidence)).then_some(leader)
    }

    fn quota(&self) -> f64 {
        self.assumptions.tpm.unwrap_or(self.largest).min(self.largest) as f64
    }
}
