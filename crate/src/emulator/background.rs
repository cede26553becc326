use rand::RngExt;
use rand_pcg::Pcg64;

use super::EmulatorConfig;
use crate::Timestamp;

/// With no request quota to go by, one request of others uses this part of the token quota.
const SHARE_OF_TOKENS: f64 = 1.0 / 40.0;

/// Others had been sending for this long when our first request came, in seconds.
const LEAD_S: f64 = 60.0;

/// Requests of others in the account: a Poisson process, each request half to one and a half times the mean size.
#[derive(Clone, Debug)]
pub(super) struct Background {
    requests_per_s: f64,
    mean_tokens: f64,
    next: Option<Timestamp>,
}

impl Background {
    /// Traffic that uses the configured fraction of the request quota and of the token quota alike; `None` if there is
    /// none, or no quota per minute to take a fraction of.
    pub(super) fn new(config: &EmulatorConfig) -> Option<Self> {
        let requests = config.requests.map(|mechanism| mechanism.rate_per_s());
        let tokens = config.tokens.map(|mechanism| mechanism.rate_per_s());
        let (full_requests_per_s, mean_tokens) = match (requests, tokens) {
            (Some(requests), tokens) => (requests, tokens.unwrap_or(0.0) / requests),
            (None, Some(tokens)) => {
                let mean = config.tokens?.ceiling() as f64 * SHARE_OF_TOKENS;
                (tokens / mean, mean)
            }
            (None, None) => return None,
        };
        let requests_per_s = full_requests_per_s * config.background;
        (requests_per_s > 0.0).then_some(Self { requests_per_s, mean_tokens, next: None })
    }

    pub(super) fn requests_per_s(&self) -> f64 {
        self.requests_per_s
    }

    /// The next request that came no later than `until`, with its tokens.
    pub(super) fn next_until(&mut self, until: Timestamp, rng: &mut Pcg64) -> Option<(Timestamp, u64)> {
        let at = match self.next {
            Some(at) => at,
            None => self.after(until.plus_seconds(-LEAD_S), rng),
        };
        self.next = Some(at);
        if at > until {
            return None;
        }
        self.next = Some(self.after(at, rng));
        let tokens = self.mean_tokens * rng.random_range(0.5..=1.5);
        Some((at, tokens.round() as u64))
    }

    fn after(&self, at: Timestamp, rng: &mut Pcg64) -> Timestamp {
        let gap_s = -(1.0 - rng.random::<f64>()).ln() / self.requests_per_s;
        at.plus_seconds(gap_s)
    }
}
