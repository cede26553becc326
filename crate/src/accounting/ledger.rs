use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::nearby::varied;
use super::rules::{Rules, admission};
use crate::{
    Admission, AnyLimiter, Decision, Limiter, Mechanism, Observation, Outcome, Refund, Timestamp, Usage,
    settled_tokens,
};

/// How often a request that fits is rejected all the same.
const SPURIOUS_429: f64 = 0.025;
/// How often a request that does not fit is admitted all the same.
const SPURIOUS_200: f64 = 0.01;
/// Half of the failures are charged; so may be a 429 without cause.
const CHARGED_ALL_THE_SAME: f64 = 0.5;
/// By what shares of the ceiling, and of themselves, unknown parameters move when a ledger is drawn again.
const ROUGHENED_EXCESS: f64 = 0.003;
const ROUGHENED_SHARE: f64 = 0.1;
/// Others on the account use up to this share of the quota, or nothing, half of the time each.
const OTHERS_AT_MOST: f64 = 0.1;
/// The requests of others take this share of the ceiling on average.
const SHARE_OF_OTHERS: f64 = 1.0 / 40.0;
/// Others had been sending for so long when our first request came, in seconds.
const LEAD_S: f64 = 90.0;
/// What others did longer ago than this no longer matters, in seconds.
const MEMORY_S: f64 = 900.0;
/// A long answer takes long, but its request was admitted within so many seconds.
const ADMITTED_WITHIN_S: f64 = 5.0;
/// Output of an answer that nobody has seen, in tokens.
const UNSEEN_OUTPUT: u64 = 256;

/// What one observation tells, whatever the rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub sent: Timestamp,
    pub finished: Timestamp,
    pub input_tokens: u64,
    pub max_tokens: u64,
    /// Output tokens, if the answer was seen.
    pub output_tokens: Option<u64>,
    pub outcome: Outcome,
}

impl From<&Observation> for Entry {
    fn from(seen: &Observation) -> Self {
        Self {
            sent: seen.sent,
            finished: seen.finished.max(seen.sent),
            input_tokens: seen.reserved().saturating_sub(seen.max_tokens),
            max_tokens: seen.max_tokens,
            output_tokens: seen.output_tokens,
            outcome: seen.outcome(),
        }
    }
}

/// A limiter that is charged by some rules, along what was observed: the outcomes drive its state.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub rules: Rules,
    admission: Admission,
    limiter: AnyLimiter,
    rng: Pcg64Mcg,
    now: Timestamp,
    others: Others,
    /// The measured ceiling, and by how much the real one exceeds what the limiter enforces, in tokens.
    ceiling: f64,
    excess: f64,
    /// What is still to be charged or given back.
    due: Vec<Due>,
}

#[derive(Clone, Copy, Debug)]
struct Others {
    /// Requests a second; 0 if there are none.
    per_s: f64,
    mean_tokens: f64,
    next: Timestamp,
}

/// The end of a reservation.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Timestamp,
    charged_at: Timestamp,
    reserved: u64,
    actual: u64,
}

impl Ledger {
    /// A ledger whose parameters and circumstances are drawn with `seed`, for observations from `first` on.
    pub(super) fn new(mechanism: Mechanism, rules: Rules, first: Timestamp, seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let share = (OTHERS_AT_MOST * rng.random_range(-1.0..1.0_f64)).max(0.0);
        let mechanism = varied(mechanism, &mut rng);
        let mean_tokens = (mechanism.ceiling() as f64 * SHARE_OF_OTHERS).max(1.0);
        let start = first.plus_seconds(-LEAD_S);
        let per_s = share * mechanism.rate_per_s() / mean_tokens;
        let mut ledger = Self {
            rules,
            admission: admission(&mut rng),
            limiter: mechanism.limiter(),
            rng,
            now: start,
            others: Others { per_s, mean_tokens, next: start },
            ceiling: mechanism.ceiling() as f64,
            excess: 0.0,
            due: Vec::new(),
        };
        ledger.others.next = ledger.next_of_others(start);
        ledger
    }

    /// From here on, `seed` decides what is uncertain; what is fixed but unknown moves a little, so that ledgers that were
    /// drawn again and again do not end up with one value between them.
    ///
    /// Source: Gordon, Salmond and Smith (1993), "roughening".
    pub(super) fn renew(&mut self, seed: u64) {
        self.rng = Pcg64Mcg::seed_from_u64(seed);
        let mut step = || (0..3).map(|_| self.rng.random_range(-1.0..1.0)).sum::<f64>();
        self.excess += ROUGHENED_EXCESS * self.ceiling * step();
        self.others.per_s *= (ROUGHENED_SHARE * step()).exp();
        self.rules.roughen(ROUGHENED_SHARE * step());
    }

    /// Moves on by one observation and returns the probability of its outcome; 1 if that is no evidence.
    pub(super) fn step(&mut self, entry: &Entry) -> f64 {
        let span_s = entry.finished.seconds_since(entry.sent).min(ADMITTED_WITHIN_S);
        let at = entry.sent.plus_seconds(self.rng.random::<f64>() * span_s);
        self.advance(at);
        let fits = self.fits(entry.input_tokens, entry.max_tokens);
        let reserved = self.rules.reserved(entry.input_tokens, entry.max_tokens);
        match entry.outcome {
            Outcome::Admitted => {
                self.take(entry, reserved);
                if fits { 1.0 - SPURIOUS_429 } else { SPURIOUS_200 }
            }
            Outcome::Throttled(_) => {
                let counts = self.rules.rejected_count;
                if counts && (!fits || self.rng.random_bool(CHARGED_ALL_THE_SAME)) {
                    self.limiter.charge(self.now, reserved);
                }
                if fits { SPURIOUS_429 } else { 1.0 - SPURIOUS_200 }
            }
            Outcome::Failed => {
                if self.rng.random_bool(CHARGED_ALL_THE_SAME) {
                    self.take(entry, reserved);
                }
                1.0
            }
        }
    }

    /// Lets everything happen that is due by `to`, in its order.
    pub(super) fn advance(&mut self, to: Timestamp) {
        let forgotten = to.plus_seconds(-MEMORY_S);
        if self.others.next < forgotten {
            self.others.next = self.next_of_others(forgotten);
        }
        loop {
            let due =
                self.due.iter().enumerate().min_by_key(|(_, due)| due.at).map(|(index, due)| (due.at, index));
            match due {
                Some((at, index)) if at <= to && at <= self.others.next => {
                    self.settle(index);
                }
                _ if self.others.next <= to => self.serve_others(),
                _ => break,
            }
        }
        self.now = self.now.max(to);
    }

    /// Whether a request would be admitted now.
    pub(super) fn fits(&self, input_tokens: u64, max_tokens: u64) -> bool {
        let needed = self.admission.needs(self.rules.reserved(input_tokens, max_tokens));
        let needed = (needed as f64 - self.excess).max(0.0);
        self.limiter.check(self.now, needed as u64).is_admitted()
    }

    /// The first instant from `from` on at which a request that reserves `tokens` would fit; `None` if it never can.
    pub(super) fn fits_from(&self, from: Timestamp, tokens: u64) -> Option<Timestamp> {
        match self.limiter.check(from, tokens) {
            Decision::Admitted => Some(from),
            Decision::Throttled { retry_at } => retry_at,
        }
    }

    /// The most input tokens that a request with `max_tokens` may have now; below 0 if it would not pass at all.
    pub(super) fn room(&self, max_tokens: u64) -> f64 {
        let remaining = self.limiter.remaining(self.now) + self.excess;
        match self.admission {
            Admission::Whole => remaining - self.rules.reserved(0, max_tokens) as f64,
            Admission::UntilExhausted if remaining >= 1.0 => f64::INFINITY,
            Admission::UntilExhausted => -1.0,
        }
    }

    /// How probable it is that a request which fits, or does not, is admitted.
    pub(super) fn admitted(fits: bool) -> f64 {
        if fits { 1.0 - SPURIOUS_429 } else { SPURIOUS_200 }
    }

    fn take(&mut self, entry: &Entry, reserved: u64) {
        self.limiter.charge(self.now, reserved);
        let output_tokens = entry
            .output_tokens
            .unwrap_or_else(|| self.rng.random_range(1..=UNSEEN_OUTPUT).min(entry.max_tokens));
        let usage = Usage { input_tokens: entry.input_tokens, output_tokens, cache_write_tokens: 0 };
        let actual = settled_tokens(usage, self.rules.burndown);
        let end = entry.finished.max(self.now);
        let at = match self.rules.refund {
            Refund::Never if actual < reserved => return,
            Refund::After(delay_s) if actual < reserved => end.plus_seconds(delay_s),
            Refund::AtEnd | Refund::Never | Refund::After(_) => end,
        };
        if actual != reserved {
            self.due.push(Due { at, charged_at: self.now, reserved, actual });
        }
    }

    fn settle(&mut self, index: usize) {
        let Due { at, charged_at, reserved, actual } = self.due.swap_remove(index);
        self.now = self.now.max(at);
        match reserved.checked_sub(actual) {
            Some(unused) => self.limiter.refund(self.now, charged_at, unused),
            None => self.limiter.charge(self.now, actual - reserved),
        }
    }

    fn serve_others(&mut self) {
        self.now = self.now.max(self.others.next);
        let tokens = (self.others.mean_tokens * self.rng.random_range(0.5..1.5)).round() as u64;
        let fits = self.limiter.check(self.now, self.admission.needs(tokens)).is_admitted();
        if fits || self.rules.rejected_count {
            self.limiter.charge(self.now, tokens);
        }
        self.others.next = self.next_of_others(self.now);
    }

    fn next_of_others(&mut self, from: Timestamp) -> Timestamp {
        if self.others.per_s <= 0.0 {
            return Timestamp::from_nanos(i64::MAX);
        }
        let gap_s = -(1.0 - self.rng.random::<f64>()).ln() / self.others.per_s;
        from.plus_seconds(gap_s)
    }
}
