use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::evidence::Evidence;
use super::hypothesis::{Ban, Chance, Hypothesis, Others, Slots};
use super::noise::{self, Noise};
use crate::{Admission, AnyLimiter, Limiter, Mechanism, Outcome, QuotaKind, Timestamp};

/// A level this far below the cost still admits it, in tokens or requests.
pub(super) const ROUNDING: f64 = 1e-6;
/// How often a request that failed, with a 5xx or without an answer, was charged.
const FAILED_IS_CHARGED: f64 = 0.5;
/// Traffic of others starts this long before the first observation, so that their use is in the state.
const WARM_UP_S: f64 = 120.0;

/// Where chance decides, nothing is more certain than this.
const LEAST_CHANCE: f64 = 0.02;

/// What others did longer ago than this no longer matters, and a trace may pause for days.
const MEMORY_S: f64 = 3_600.0;

/// A quota in force.
#[derive(Clone, Debug)]
pub(super) struct Enforced {
    pub kind: QuotaKind,
    pub limiter: AnyLimiter,
    pub ceiling: u64,
    slots: Option<Slots>,
}

impl Enforced {
    fn new((kind, mechanism): (QuotaKind, Mechanism), slots: Option<Slots>) -> Self {
        Self { kind, limiter: mechanism.limiter(), ceiling: mechanism.ceiling(), slots }
    }

    pub(super) fn charge(&mut self, at: Timestamp, cost: u64) {
        self.limiter.charge(self.counted_from(at), cost);
    }

    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64) {
        self.limiter.refund(now, self.counted_from(charged_at), amount);
    }

    fn counted_from(&self, at: Timestamp) -> Timestamp {
        self.slots.map_or(at, |slots| slots.start(at))
    }

    /// What a request leaves of the quota; less than nothing if it does not fit.
    fn margin(&self, now: Timestamp, cost: u64, admission: Admission) -> f64 {
        self.limiter.remaining(now) - admission.needs(cost) as f64
    }

    /// How surely a request fits that leaves `margin`. Requests are counted exactly, tokens are not.
    fn fits(&self, margin: f64) -> f64 {
        match self.kind {
            QuotaKind::Requests => f64::from(u8::from(margin > -ROUNDING)),
            QuotaKind::Tokens | QuotaKind::TokensPerDay => noise::fit(margin, self.ceiling as f64),
        }
    }
}

/// A hypothesis replayed along a trace: the observed outcomes, not its own predictions, drive its state.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    admission: Admission,
    rejected_count: bool,
    others: Others,
    chance: Option<Chance>,
    ban: Option<Ban>,
    banned_until: Timestamp,
    first: Enforced,
    second: Option<Enforced>,
    noise: Noise,
    rng: Pcg64Mcg,
    now: Timestamp,
    next_of_others: Option<Timestamp>,
    /// Rejections that the first quota explains, less those that only the second does.
    blame: i32,
}

impl Replay {
    /// `seed` decides everything uncertain: instants of admission, the others' requests, what failures cost.
    pub(super) fn new(hypothesis: &Hypothesis, start: Timestamp, seed: u64) -> Self {
        let mut replay = Self {
            admission: hypothesis.admission,
            rejected_count: hypothesis.rejected_count,
            others: hypothesis.others,
            chance: hypothesis.chance,
            ban: hypothesis.ban,
            banned_until: Timestamp::EPOCH,
            first: Enforced::new((hypothesis.kind, hypothesis.mechanism), hypothesis.slots),
            second: hypothesis.second.map(|second| Enforced::new(second, None)),
            noise: Noise::default(),
            rng: Pcg64Mcg::seed_from_u64(seed),
            now: start.plus_seconds(-WARM_UP_S),
            next_of_others: None,
            blame: 0,
        };
        replay.next_of_others = replay.next_after(replay.now);
        if let Some((seconds, used)) = replay.others.before {
            replay.now = start.plus_seconds(-seconds);
            replay.first.charge(replay.now, used);
        }
        replay
    }

    /// Moves on by one observation and returns the probability of its outcome; 1 if that is no evidence.
    pub(super) fn step(&mut self, evidence: &Evidence) -> f64 {
        let span = evidence.latest.seconds_since(evidence.earliest);
        let at = evidence.earliest.plus_seconds(self.rng.random::<f64>() * span);
        let before = self.now;
        self.advance(at);
        let (now, admission) = (self.now, self.admission);
        let margin = self.first.margin(now, evidence.reserved(self.first.kind), admission);
        let fits_first = self.first.fits(margin);
        let fits_second = |it: &Enforced| it.fits(it.margin(now, evidence.reserved(it.kind), admission));
        let mut fits = fits_first * self.second.as_ref().map_or(1.0, fits_second);
        if now < self.banned_until {
            fits = 0.0;
        }
        match evidence.outcome {
            Outcome::Admitted => {
                self.charge(evidence, 1);
                self.settle(evidence, now);
            }
            Outcome::Throttled(_) => {
                let (by_first, by_any) = (fits_first < 0.5, fits < 0.5);
                let other_quota = self.second.as_ref().is_some_and(|second| second.kind != self.first.kind);
                self.blame += i32::from(by_first) - i32::from(other_quota && by_any && !by_first);
                if let Some(ban) = self.ban {
                    self.banned_until = ban.after(now, self.banned_until);
                }
                if self.rejected_count {
                    self.charge(evidence, evidence.attempts);
                }
            }
            Outcome::Failed => {
                if self.rng.random_bool(FAILED_IS_CHARGED) {
                    self.charge(evidence, 1);
                }
                return 1.0;
            }
        }
        let admitted = evidence.outcome.is_admitted();
        match evidence.informative {
            true if fits > 0.5 && self.chance.is_some() => {
                let chance = self.chance.map_or(1.0, |it| it.of_admission(margin, self.first.ceiling as f64));
                let passes = fits * chance.clamp(LEAST_CHANCE, 1.0 - LEAST_CHANCE);
                if admitted { passes } else { 1.0 - passes }
            }
            true if fits > 0.5 && !admitted => {
                self.rejected_without_cause(fits, margin, now.seconds_since(before))
            }
            true => self.noise.observe(fits, admitted),
            false => 1.0,
        }
    }

    /// The probability that a request is rejected that fits, `within_s` seconds after the last one: spuriously, or
    /// because of a request of others that was not foreseen. Which of both it was is then taken as certain.
    ///
    /// Without it a hypothesis would have to foresee the very traffic of others to survive.
    fn rejected_without_cause(&mut self, fits: f64, margin: f64, within_s: f64) -> f64 {
        let unforeseen = self.others.is_between(within_s) * self.others.costs_more_than(margin);
        if unforeseen == 0.0 {
            return self.noise.observe(fits, false);
        }
        let known = self.noise;
        let spurious = self.noise.observe(fits, false);
        if self.rng.random::<f64>() * (unforeseen + spurious) < unforeseen {
            self.noise = known;
            let cost = self.rng.random_range(self.others.least_above(margin)..=Others::SPREAD[1]);
            self.charge_of_others(self.now, cost);
        }
        unforeseen + spurious
    }

    fn charge(&mut self, evidence: &Evidence, times: u64) {
        let now = self.now;
        for quota in self.quotas() {
            quota.charge(now, evidence.reserved(quota.kind) * times);
        }
    }

    fn settle(&mut self, evidence: &Evidence, charged_at: Timestamp) {
        if evidence.unused(QuotaKind::Tokens) == 0 {
            return;
        }
        self.advance(evidence.latest);
        let now = self.now;
        for quota in self.quotas() {
            quota.refund(now, charged_at, evidence.unused(quota.kind));
        }
    }

    fn quotas(&mut self) -> impl Iterator<Item = &mut Enforced> {
        std::iter::once(&mut self.first).chain(&mut self.second)
    }

    /// From here on, `seed` decides what is uncertain.
    pub(super) fn reseed(&mut self, seed: u64) {
        self.rng = Pcg64Mcg::seed_from_u64(seed);
    }

    pub(super) fn chance(&self) -> Option<Chance> {
        self.chance
    }

    /// The ban after a rejection, and until when it holds.
    pub(super) fn ban(&self) -> (Option<Ban>, Timestamp) {
        (self.ban, self.banned_until)
    }

    /// How much must be free for admission, and whether rejected requests count.
    pub(super) fn rules(&self) -> (Admission, bool) {
        (self.admission, self.rejected_count)
    }

    /// The quota that the hypothesis is about, and one besides.
    pub(super) fn enforced(&self) -> (&Enforced, Option<&Enforced>) {
        (&self.first, self.second.as_ref())
    }

    /// Whether it is the first quota that explains most rejections.
    pub(super) fn first_binds(&self) -> bool {
        self.blame >= 0
    }

    fn advance(&mut self, to: Timestamp) {
        let remembered = to.plus_seconds(-MEMORY_S);
        if self.next_of_others.is_some_and(|at| at < remembered) {
            self.next_of_others = self.next_after(remembered);
        }
        while let Some(at) = self.next_of_others.filter(|at| *at <= to) {
            self.now = self.now.max(at);
            let cost = self.rng.random_range(Others::SPREAD[0]..Others::SPREAD[1]);
            self.charge_of_others(self.now, cost);
            self.next_of_others = self.next_after(at);
        }
        self.now = self.now.max(to);
    }

    /// Charges a request of others that costs `times` as much as theirs do on average.
    fn charge_of_others(&mut self, at: Timestamp, times: f64) {
        let cost = (self.others.request_cost as f64 * times).ceil() as u64;
        self.first.charge(at, cost);
        if let Some(second) = &mut self.second {
            let share = cost as f64 / self.first.ceiling.max(1) as f64;
            second.charge(at, ((share * second.ceiling as f64) as u64).max(1));
        }
    }

    /// The others' requests are a Poisson process.
    fn next_after(&mut self, at: Timestamp) -> Option<Timestamp> {
        if self.others.use_per_s <= 0.0 {
            return None;
        }
        Some(at.plus_seconds(-self.others.mean_gap_s() * (1.0 - self.rng.random::<f64>()).ln()))
    }
}
