use super::noise;
use crate::{Admission, AnyLimiter, Limiter, Mechanism, QuotaKind, Timestamp};

/// A level this far below the cost still admits it, in tokens or requests.
pub(super) const ROUNDING: f64 = 1e-6;

/// A quota in force.
#[derive(Clone, Debug)]
pub(super) struct Enforced {
    pub kind: QuotaKind,
    pub limiter: AnyLimiter,
    pub ceiling: u64,
    /// Width of the edge between fitting and not, in tokens.
    pub edge: f64,
    pub is_level: bool,
}

impl Enforced {
    pub(super) fn new((kind, mechanism): (QuotaKind, Mechanism)) -> Self {
        Self {
            kind,
            limiter: mechanism.limiter(),
            ceiling: mechanism.ceiling(),
            edge: noise::edge(mechanism),
            is_level: mechanism.is_level(),
        }
    }

    pub(super) fn is_full(&self, now: Timestamp) -> bool {
        self.limiter.remaining(now) >= self.ceiling as f64
    }

    /// What a request leaves of the quota, of which something is withheld; less than nothing if it does not fit.
    pub(super) fn margin(&self, now: Timestamp, withheld: f64, cost: u64, admission: Admission) -> f64 {
        self.limiter.remaining(now) - withheld - admission.needs(cost) as f64
    }

    /// How surely a request fits that leaves `margin`. Requests are counted exactly, tokens are not.
    pub(super) fn fits(&self, margin: f64) -> f64 {
        match self.kind {
            QuotaKind::Requests => f64::from(u8::from(margin > -ROUNDING)),
            QuotaKind::Tokens | QuotaKind::TokensPerDay => noise::fit(margin, self.edge),
        }
    }
}
