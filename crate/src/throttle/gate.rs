use serde::{Deserialize, Serialize};

use super::ThrottleSettings;
use super::guard::Guard;
use super::trust::Trust;
use crate::{Error, QuotaKind, Refund, Result, Timestamp, Usage, reserved_tokens, settled_tokens};

/// All quotas of one client, as a state machine: the times go in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Gate {
    quotas: Vec<(QuotaKind, Trust)>,
    burndown: u64,
    /// After how many nanoseconds what was not used comes back, if it does.
    refund: Option<i64>,
    stats: ThrottleStats,
}

/// What a throttle has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThrottleStats {
    /// Requests that were let through.
    pub sent: u64,
    /// Requests that were reported as throttled all the same.
    pub throttled: u64,
    /// When the last of those was reported.
    pub last_throttled: Option<Timestamp>,
    /// Until when a quota is trusted less, because of a 429.
    pub cautious_until: Option<Timestamp>,
}

/// What a request needs of every quota.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Cost {
    /// The tokens that the service reserves.
    reserved: u64,
    /// The most tokens that it may charge, while the request runs or at its end.
    most: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    NotSent,
    Used(Usage),
    Unknown,
    Throttled { by: Option<QuotaKind>, sent: Timestamp },
}

impl Gate {
    pub(super) fn new(quotas: Vec<(QuotaKind, Guard)>, settings: &ThrottleSettings) -> Self {
        let refund = match settings.refund {
            Refund::AtEnd => Some(0),
            Refund::After(delay_s) => Some(Timestamp::EPOCH.plus_seconds(delay_s).as_nanos()),
            Refund::Never => None,
        };
        let stats = ThrottleStats::default();
        let quotas = quotas.into_iter().map(|(kind, guard)| (kind, Trust::new(guard))).collect();
        Self { quotas, burndown: settings.burndown, refund, stats }
    }

    /// # Errors
    /// A usage error if the request is larger than a quota.
    #[inline]
    pub(super) fn cost(&self, input_tokens: u64, max_tokens: u64) -> Result<Cost> {
        let reserved = reserved_tokens(input_tokens, max_tokens);
        let all_output = Usage { input_tokens, output_tokens: max_tokens, ..Usage::default() };
        for (kind, trust) in &self.quotas {
            if kind.cost(reserved) > trust.ceiling() {
                return Err(Error::usage(format!(
                    "a request that reserves {reserved} tokens ({input_tokens} input, max_tokens {max_tokens}) can never \
                     pass a quota of {} {kind}: lower max_tokens or shorten the prompt",
                    trust.ceiling()
                )));
            }
        }
        Ok(Cost { reserved, most: reserved.max(settled_tokens(all_output, self.burndown)) })
    }

    /// When a request of `cost` may be worth another look: now if it is safe under all quotas, `None` if only the end of
    /// another request helps.
    #[inline]
    pub(super) fn opens_at(&mut self, now: Timestamp, cost: Cost) -> Option<Timestamp> {
        let opens = |(kind, trust): &mut (QuotaKind, Trust)| trust.opens_at(now, cost.held(*kind, trust));
        self.quotas.iter_mut().map(opens).try_fold(now, |latest, at| Some(latest.max(at?)))
    }

    pub(super) fn reserve(&mut self, cost: Cost) {
        self.stats.sent += 1;
        self.hold(cost);
    }

    /// Counts a request that was let through before, and of which it does not know.
    pub(super) fn hold(&mut self, cost: Cost) {
        for (kind, trust) in &mut self.quotas {
            trust.hold(cost.held(*kind, trust));
        }
    }

    #[inline]
    pub(super) fn end(&mut self, now: Timestamp, cost: Cost, end: End) {
        for (kind, trust) in &mut self.quotas {
            let held = cost.held(*kind, trust);
            match end {
                End::NotSent => trust.forget(held),
                End::Used(usage) => {
                    let settled = kind.cost(settled_tokens(usage, self.burndown));
                    match self.refund {
                        Some(delay) => trust.end(now, held, settled, now.plus_nanos(delay)),
                        None => trust.end(now, held, settled.max(kind.cost(cost.reserved)), now),
                    }
                    trust.admitted();
                }
                End::Unknown => trust.end(now, held, held, now),
                End::Throttled { by, sent } => {
                    // Whether a rejected request counts is not known either.
                    trust.end(now, held, held, now);
                    if by.is_none_or(|by| by == *kind) {
                        trust.rejected(now, sent);
                    }
                }
            }
        }
        match end {
            End::NotSent => self.stats.sent -= 1,
            End::Throttled { .. } => {
                self.stats.throttled += 1;
                self.stats.last_throttled = Some(now);
            }
            End::Used(_) | End::Unknown => {}
        }
    }

    /// What was used up to `at` is not known: all of it, as late as that.
    pub(super) fn use_up(&mut self, at: Timestamp) {
        for (_, trust) in &mut self.quotas {
            trust.use_up(at);
        }
    }

    /// Lets nothing pass before `until`.
    pub(super) fn close(&mut self, until: Timestamp) {
        for (_, trust) in &mut self.quotas {
            trust.close(until);
        }
    }

    pub(super) fn largest_request(&self) -> Option<u64> {
        let of_tokens = self.quotas.iter().filter(|(kind, _)| *kind != QuotaKind::Requests);
        of_tokens.map(|(_, trust)| trust.ceiling()).min()
    }

    pub(super) fn seconds_for(&self, requests: u64, tokens: u64) -> f64 {
        let seconds = |(kind, trust): &(QuotaKind, Trust)| {
            let amount = if *kind == QuotaKind::Requests { requests } else { tokens };
            amount as f64 / trust.rate_per_s()
        };
        self.quotas.iter().map(seconds).fold(0.0, f64::max)
    }

    pub(super) fn stats(&self, now: Timestamp) -> ThrottleStats {
        let until = self.quotas.iter().filter_map(|(_, trust)| trust.cautious_until());
        ThrottleStats { cautious_until: until.filter(|until| *until > now).max(), ..self.stats }
    }
}

impl Cost {
    /// What has to be held. A request that the quota may admit must be let through, even where its answer may cost more.
    fn held(self, kind: QuotaKind, trust: &Trust) -> u64 {
        kind.cost(self.most).min(trust.ceiling())
    }
}
