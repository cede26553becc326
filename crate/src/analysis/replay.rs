use super::draw::quarter;
use super::enforced::Enforced;
use super::evidence::Evidence;
use super::hypothesis::Hypothesis;
use super::noise::Noise;
use super::oddity::{Aftermath, Oddity};
use super::others::{Others, Unseen};
use super::words::Words;
use crate::{Admission, AnyLimiter, Limiter, Outcome, QuotaKind, Timestamp};

/// How often a request that failed, with a 5xx or without an answer, was charged.
const FAILED_IS_CHARGED: f64 = 0.5;
/// How often the limiter knows of a request that was rejected although it fits, and others had not used what it needed: what
/// rejects for no reason mostly asks no limiter.
const SPURIOUS_IS_KNOWN: f64 = 0.1;
/// As much for one that does not fit: it may have been rejected for no reason, too.
pub(super) const REJECTED_IS_KNOWN: f64 = 0.98;
/// The quarter of luck that decides about it.
pub(super) const KNOWN: u32 = 3;
/// What others used longer before the first observation than this has come back.
const MEMORY_S: f64 = 60.0;
/// What others have used meanwhile is charged in so many parts at most.
const MOST_PARTS: u64 = 8;

/// Where chance decides, nothing is more certain than this.
const LEAST_CHANCE: f64 = 0.02;

/// A hypothesis replayed along a trace: the observed outcomes, not its own predictions, drive its state.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    admission: Admission,
    rejected_count: bool,
    others: Others,
    oddity: Oddity,
    aftermath: Aftermath,
    first: Enforced,
    second: Option<Enforced>,
    noise: Noise,
    words: Words,
    now: Timestamp,
    /// From when on nothing is known of what others have used.
    unwatched_from: Timestamp,
    /// Rejections that the first quota explains, and those that only the second does.
    explained: [u32; 2],
    /// What rejected the latest request, as far as that is known.
    rejected_by: [Option<QuotaKind>; 2],
    /// Whether the second quota was named for a request that it rejects.
    second_is_named: bool,
    /// Rejections of what would have fitted had the limit not been lower.
    by_shift: u32,
}

impl Replay {
    /// Nothing observed yet; the first request will leave at `start`.
    pub(super) fn new(hypothesis: &Hypothesis, start: Timestamp) -> Self {
        let mut replay = Self {
            admission: hypothesis.admission,
            rejected_count: hypothesis.rejected_count,
            others: hypothesis.others,
            oddity: hypothesis.oddity,
            aftermath: hypothesis.oddity.beforehand(),
            first: Enforced::new((hypothesis.kind, hypothesis.mechanism)),
            second: hypothesis.second.map(Enforced::new),
            noise: Noise::default(),
            words: Words::default(),
            rejected_by: [None; 2],
            now: start.plus_seconds(-MEMORY_S),
            unwatched_from: start.plus_seconds(-MEMORY_S),
            explained: [0; 2],
            second_is_named: false,
            by_shift: 0,
        };
        if let Some((seconds, used)) = hypothesis.before {
            replay.now = start.plus_seconds(-seconds);
            replay.charge_first(replay.now, used);
        }
        replay
    }

    /// Moves on by one observation and returns the probability of its outcome and of its words; 1 if that is no
    /// evidence. `luck` decides everything uncertain: the instant of admission, what a failure costs, what others did.
    pub(super) fn likelihood(&mut self, evidence: &Evidence, luck: u64) -> f64 {
        let outcome = self.step(evidence, luck);
        match evidence.outcome.named().filter(|_| evidence.informative) {
            Some(named) => {
                self.second_is_named |= self.rejected_by[1] == Some(named);
                outcome * self.words.hear(named, self.rejected_by)
            }
            None => outcome,
        }
    }

    /// As [`likelihood`](Self::likelihood), whatever is said.
    pub(super) fn step(&mut self, evidence: &Evidence, luck: u64) -> f64 {
        self.advance(evidence.earliest.plus_seconds(quarter(luck, 0) * evidence.span_s), luck);
        let (now, admission) = (self.now, self.admission);
        self.aftermath = self.oddity.requested(now, self.aftermath);
        let withheld = self.oddity.withheld(now, self.first.ceiling);
        let seen = self.oddity.seen(now, self.aftermath);
        let margin = self.first.margin(seen, withheld, evidence.reserved(self.first.kind), admission);
        let fits_first = self.first.fits(margin);
        let fits_second = |it: &Enforced| it.fits(it.margin(now, 0.0, evidence.reserved(it.kind), admission));
        let fits_second = self.second.as_ref().map_or(1.0, fits_second);
        let mut fits = fits_first * fits_second;
        if self.oddity.is_closed(now, self.aftermath) {
            fits = 0.0;
        }
        let admitted = evidence.outcome.is_admitted();
        if evidence.outcome == Outcome::Failed {
            if quarter(luck, 1) < FAILED_IS_CHARGED {
                self.charge(evidence, 1);
            }
            return 1.0;
        }
        let needs = admission.needs(evidence.reserved(self.first.kind)) as f64;
        let (probability, by_others) = match (evidence.informative, self.oddity) {
            (true, Oddity::AtRandom(chance)) if fits > 0.5 => {
                let chance = chance.of_admission(margin, self.first.ceiling as f64);
                let passes = fits * chance.clamp(LEAST_CHANCE, 1.0 - LEAST_CHANCE);
                (if admitted { passes } else { 1.0 - passes }, false)
            }
            (true, _) if fits > 0.5 => self.fitted(fits, (margin, needs), admitted, luck),
            (true, _) => (self.noise.observe(fits, admitted), false),
            (false, _) => (1.0, false),
        };
        if admitted {
            self.charge(evidence, 1);
            self.settle(evidence, now);
        } else {
            self.note_rejection([fits_first, fits_second, fits], self.first.fits(margin + withheld));
            let known = if fits < 0.5 { REJECTED_IS_KNOWN } else { SPURIOUS_IS_KNOWN };
            if by_others || quarter(luck, KNOWN) < known {
                self.aftermath = self.oddity.rejected(now, self.aftermath, &self.first.limiter);
                if self.rejected_count {
                    self.charge(evidence, evidence.attempts);
                }
            }
        }
        probability
    }

    /// The probability of what became of a request that fits, unless others had used what it needed, and whether they had.
    /// They are not watched: what they have used since is drawn from what the outcome leaves possible.
    fn fitted(&mut self, fits: f64, (margin, needs): (f64, f64), admitted: bool, luck: u64) -> (f64, bool) {
        if self.others.use_per_s == 0.0 {
            return (self.noise.observe(fits, admitted), false);
        }
        let wanted = self.others.wanted(self.now.seconds_since(self.unwatched_from));
        let leaves = || wanted.leaves(self.first.kind, self.admission, margin + needs);
        let left = (!self.rejected_count).then(leaves);
        let unseen = Unseen::new(wanted, margin, needs, left);
        let too_much = unseen.too_much();
        let known = self.noise;
        let otherwise = (1.0 - too_much) * self.noise.observe(fits, admitted);
        let by_others = if admitted { 0.0 } else { too_much };
        let probability = by_others + otherwise;
        let cause = quarter(luck, 1) * probability;
        let was_too_much = cause < by_others;
        let used = if was_too_much {
            self.noise = known;
            unseen.used(true, cause / by_others)
        } else {
            unseen.used(false, (cause - by_others) / otherwise)
        };
        self.charge_others(used, wanted.one, quarter(luck, 2));
        (probability, was_too_much)
    }

    /// Charges what others have used since they were last watched: at some time since then where that matters, and about `one`
    /// at a time where each of their requests lapses by itself.
    fn charge_others(&mut self, used: f64, one: f64, phase: f64) {
        let unwatched_s = self.now.seconds_since(self.unwatched_from);
        let used = used.round().max(0.0) as u64;
        let (parts, spread_s) = match self.first.limiter {
            AnyLimiter::SlidingLog(_) | AnyLimiter::SlidingCounter(_) => {
                (((used as f64 / one).round() as u64).clamp(1, MOST_PARTS), unwatched_s)
            }
            AnyLimiter::TokenBucket(_) | AnyLimiter::SteppedBucket(_) => (1, unwatched_s),
            _ => (1, 0.0),
        };
        for part in 0..parts {
            let ago_s = spread_s * (1.0 - (part as f64 + phase) / parts as f64);
            let cost = used * (part + 1) / parts - used * part / parts;
            if cost > 0 {
                self.charge_first(self.now.plus_seconds(-ago_s), cost);
            }
        }
        if let Some(second) = self.second.as_mut().filter(|_| used > 0) {
            let share = used as f64 / self.first.ceiling.max(1) as f64;
            second.limiter.charge(self.now, ((share * second.ceiling as f64) as u64).max(1));
        }
        self.unwatched_from = self.now;
    }

    /// Which quota explains a rejection, by how surely the request fits each and all, and the first had its limit been whole.
    fn note_rejection(&mut self, [fits_first, fits_second, fits]: [f64; 3], fits_whole: f64) {
        let (by_first, by_second, by_any) = (fits_first < 0.5, fits_second < 0.5, fits < 0.5);
        // What neither explains met what others had used of either.
        let other = self.second.as_ref().filter(|_| by_second || !by_any);
        let first = Some(self.first.kind).filter(|_| by_first || !by_second);
        self.rejected_by = [first, other.map(|it| it.kind)];
        self.explained[0] += u32::from(by_first);
        self.explained[1] += u32::from(by_any && !by_first);
        self.by_shift += u32::from(by_first && fits_whole >= 0.5);
    }

    fn charge(&mut self, evidence: &Evidence, times: u64) {
        let cost = |kind| evidence.reserved(kind) * times;
        self.charge_first(self.now, cost(self.first.kind));
        if let Some(second) = &mut self.second {
            second.limiter.charge(self.now, cost(second.kind));
        }
    }

    fn charge_first(&mut self, at: Timestamp, cost: u64) {
        self.aftermath = self.oddity.requested(at, self.aftermath);
        self.first.limiter.charge(self.oddity.counted_from(at, self.aftermath), cost);
    }

    fn settle(&mut self, evidence: &Evidence, charged_at: Timestamp) {
        if evidence.unused(QuotaKind::Tokens) == 0 {
            return;
        }
        self.now = self.now.max(evidence.latest);
        let counted_from = self.oddity.counted_from(charged_at, self.aftermath);
        let seen = self.oddity.seen(self.now, self.aftermath);
        self.first.limiter.refund(seen, counted_from, evidence.unused(self.first.kind));
        if let Some(second) = &mut self.second {
            second.limiter.refund(self.now, charged_at, evidence.unused(second.kind));
        }
    }

    /// What is odd about the first quota, and what rejections had follow.
    pub(super) fn oddity(&self) -> (Oddity, Aftermath) {
        (self.oddity, self.aftermath)
    }

    /// How much must be free for admission, and whether rejected requests count.
    pub(super) fn rules(&self) -> (Admission, bool) {
        (self.admission, self.rejected_count)
    }

    /// The quota that the hypothesis is about, and one besides.
    pub(super) fn enforced(&self) -> (&Enforced, Option<&Enforced>) {
        (&self.first, self.second.as_ref())
    }

    /// Whether it is the first quota that explains most rejections, or its limit for bursts some: one that has rejected
    /// nothing cannot be told from none, nor a shift that never mattered.
    pub(super) fn is_shown(&self) -> bool {
        let [first, second] = self.explained;
        match &self.second {
            None if matches!(self.oddity, Oddity::Shifting(_)) => self.by_shift > 0,
            Some(other) if other.kind == self.first.kind => second > 0,
            Some(_) => first >= second,
            None => true,
        }
    }

    /// The other kind of quota, if it rejected some of the requests too.
    pub(super) fn besides(&self) -> Option<QuotaKind> {
        let other = self.second.as_ref().filter(|it| it.kind != self.first.kind);
        other.filter(|_| self.explained[1] > 0 || self.second_is_named).map(|it| it.kind)
    }

    /// The probability that outcomes contradict it too often.
    pub(super) fn misfit(&self) -> f64 {
        self.noise.misfit()
    }

    /// Lets time pass until `to`. A window that runs from use may be opened by the first request of others in the
    /// meantime: `luck` tells when.
    fn advance(&mut self, to: Timestamp, luck: u64) {
        self.now = self.now.max(to);
        if self.others.use_per_s == 0.0 {
            return;
        }
        let since = self.first.limiter.remembers_since(self.now, self.others.request_cost);
        self.unwatched_from = self.unwatched_from.max(since);
        let from = match self.oddity.next_begins_from(self.aftermath) {
            None if matches!(self.first.limiter, AnyLimiter::AnchoredWindow(_)) => {
                Some(self.unwatched_from).filter(|_| self.first.is_full(self.now))
            }
            from => from.map(|from| from.max(self.unwatched_from)),
        };
        let wait_s = || -self.others.mean_gap_s() * quarter(luck, 2).ln();
        if let Some(opened) = from.map(|from| from.plus_seconds(wait_s())).filter(|at| *at < self.now) {
            self.charge_first(opened, self.others.request_cost);
            self.unwatched_from = opened;
        }
    }
}
