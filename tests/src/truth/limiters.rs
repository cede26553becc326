//! Limiters that no mechanism of the family describes.

use bedrock_tpm::{AnyLimiter, Decision, Limiter, Mechanism, MechanismId, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const BAN_S: f64 = 20.0;
/// A window does not double beyond this length.
const LONGEST_S: f64 = 600.0;

/// Admits what fits with a probability that may fall with the load.
#[derive(Debug)]
pub(super) struct Chance {
    inner: AnyLimiter,
    limit: f64,
    /// From this load on the probability falls, to 0 at a full load; `None`: it is one half.
    from: Option<f64>,
    seed: u64,
}

impl Chance {
    pub(super) fn falling(inner: AnyLimiter, limit: u64, from: f64, seed: u64) -> Self {
        Self { inner, limit: limit as f64, from: Some(from), seed }
    }

    pub(super) fn even(inner: AnyLimiter, limit: u64, seed: u64) -> Self {
        Self { inner, limit: limit as f64, from: None, seed }
    }
}

impl Limiter for Chance {
    /// The luck of an instant is fixed, so that asking changes nothing.
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        let load = 1.0 - (self.remaining(now) - cost as f64) / self.limit;
        let chance = self.from.map_or(0.5, |from| ((1.0 - load) / (1.0 - from)).clamp(0.0, 1.0));
        let luck: f64 = StdRng::seed_from_u64(self.seed ^ now.as_nanos() as u64).random();
        match self.inner.check(now, cost) {
            Decision::Admitted if luck >= chance => Decision::Throttled { retry_at: None },
            decision => decision,
        }
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        self.inner.charge(now, cost);
    }

    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64) {
        self.inner.refund(now, charged_at, amount);
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        self.inner.remaining(now)
    }
}

/// Has one limit in one period and another in the next.
#[derive(Debug)]
pub(super) struct Shifting {
    inner: AnyLimiter,
    limits: (u64, u64),
    period_s: f64,
    offset_s: f64,
}

impl Shifting {
    pub(super) fn new(id: MechanismId, limits: (u64, u64), period_s: f64, offset_s: f64) -> Self {
        let inner = Mechanism::per_minute(id, limits.0.max(limits.1)).limiter();
        Self { inner, limits, period_s, offset_s }
    }

    /// What the larger limit would allow and that of `now` does not.
    fn withheld(&self, now: Timestamp) -> u64 {
        let (one, other) = self.limits;
        let periods = (now.seconds_since(Timestamp::EPOCH) - self.offset_s).div_euclid(self.period_s);
        one.max(other) - if periods.rem_euclid(2.0) < 1.0 { one } else { other }
    }
}

impl Limiter for Shifting {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        self.inner.check(now, cost + self.withheld(now))
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        self.inner.charge(now, cost);
    }

    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64) {
        self.inner.refund(now, charged_at, amount);
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        self.inner.remaining(now) - self.withheld(now) as f64
    }
}

/// A bucket that is closed for a while after a rejection. It must be told of the requests that it rejects.
#[derive(Debug)]
pub(super) struct Banning {
    bucket: AnyLimiter,
    /// The bucket's time stands still while it is closed: so long so far, in seconds.
    closed_s: f64,
    until: Timestamp,
    prolonged: bool,
}

impl Banning {
    pub(super) fn new(tpm: u64, prolonged: bool) -> Self {
        let bucket = Mechanism::per_minute(MechanismId::TokenBucket, tpm).limiter();
        Self { bucket, closed_s: 0.0, until: Timestamp::EPOCH, prolonged }
    }

    /// The bucket's own time: without what it was closed for, up to now or yet to come.
    fn own(&self, now: Timestamp) -> Timestamp {
        now.max(self.until).plus_seconds(-self.closed_s)
    }
}

impl Limiter for Banning {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        if now < self.until {
            return Decision::Throttled { retry_at: Some(self.until) };
        }
        self.bucket.check(self.own(now), cost)
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        if self.check(now, cost).is_admitted() {
            self.bucket.charge(self.own(now), cost);
        } else if self.prolonged || now >= self.until {
            let until = now.plus_seconds(BAN_S);
            self.closed_s += until.seconds_since(now.max(self.until));
            self.until = until;
        }
    }

    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64) {
        self.bucket.refund(self.own(now), charged_at, amount);
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        if now < self.until { 0.0 } else { self.bucket.remaining(self.own(now)) }
    }
}

/// A window from first use that doubles with each rejection in it. It must be told of the requests that it rejects.
#[derive(Debug)]
pub(super) struct Doubling {
    limit: u64,
    window_s: f64,
    started: Timestamp,
    length_s: f64,
    used: u64,
}

impl Doubling {
    pub(super) fn new(limit: u64, window_s: f64) -> Self {
        Self { limit, window_s, started: Timestamp::EPOCH, length_s: 0.0, used: 0 }
    }

    fn ends(&self) -> Timestamp {
        self.started.plus_seconds(self.length_s)
    }
}

impl Limiter for Doubling {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        if cost as f64 <= self.remaining(now) {
            Decision::Admitted
        } else {
            Decision::Throttled { retry_at: (cost <= self.limit).then(|| self.ends()) }
        }
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        let admitted = self.check(now, cost).is_admitted();
        if now >= self.ends() {
            (self.started, self.length_s, self.used) = (now, self.window_s, 0);
        }
        match admitted {
            true => self.used += cost,
            false => self.length_s = (2.0 * self.length_s).min(LONGEST_S.max(self.window_s)),
        }
    }

    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64) {
        if charged_at >= self.started && now < self.ends() {
            self.used = self.used.saturating_sub(amount);
        }
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        let used = if now < self.ends() { self.used } else { 0 };
        self.limit as f64 - used as f64
    }
}
