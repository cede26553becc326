use serde::{Deserialize, Serialize};

use super::ThrottleSettings;
use super::guard::Guard;
use crate::{Error, QuotaKind, Refund, Result, Timestamp, Usage, reserved_tokens, settled_tokens};

/// All quotas of one client, as a state machine: the times go in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Gate {
    quotas: Vec<(QuotaKind, Guard)>,
    burndown: u64,
    refund: Refund,
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
        let stats = ThrottleStats::default();
        Self { quotas, burndown: settings.burndown, refund: settings.refund, stats }
    }

    /// # Errors
    /// A usage error if the request is larger than a quota.
    pub(super) fn cost(&self, input_tokens: u64, max_tokens: u64) -> Result<Cost> {
        let reserved = reserved_tokens(input_tokens, max_tokens);
        let all_output = Usage { input_tokens, output_tokens: max_tokens, ..Usage::default() };
        for (kind, guard) in &self.quotas {
            if kind.cost(reserved) > guard.ceiling() {
                return Err(Error::usage(format!(
                    "a request that reserves {reserved} tokens ({input_tokens} input, max_tokens {max_tokens}) can never \
                     pass a quota of {} {kind}: lower max_tokens or shorten the prompt",
                    guard.ceiling()
                )));
            }
        }
        Ok(Cost { reserved, most: reserved.max(settled_tokens(all_output, self.burndown)) })
    }

    /// When a request of `cost` may be worth another look: now if it is safe under all quotas, `None` if only the end of
    /// another request helps.
    pub(super) fn opens_at(&mut self, now: Timestamp, cost: Cost) -> Option<Timestamp> {
        let opens = |(kind, guard): &mut (QuotaKind, Guard)| guard.opens_at(now, cost.held(*kind, guard));
        self.quotas.iter_mut().map(opens).try_fold(now, |latest, at| Some(latest.max(at?)))
    }

    pub(super) fn reserve(&mut self, cost: Cost) {
        self.stats.sent += 1;
        self.hold(cost);
    }

    /// Counts a request that was let through before, and of which it does not know.
    pub(super) fn hold(&mut self, cost: Cost) {
        for (kind, guard) in &mut self.quotas {
            guard.hold(cost.held(*kind, guard));
        }
    }

    pub(super) fn end(&mut self, now: Timestamp, cost: Cost, end: End) {
        for (kind, guard) in &mut self.quotas {
            let held = cost.held(*kind, guard);
            match end {
                End::NotSent => guard.forget(held),
                End::Used(usage) => {
                    let settled = kind.cost(settled_tokens(usage, self.burndown));
                    match self.refund {
                        Refund::AtEnd => guard.end(now, held, settled, 0.0),
                        Refund::After(delay_s) => guard.end(now, held, settled, delay_s),
                        Refund::Never => {
                            guard.end(now, held, settled.max(kind.cost(cost.reserved)), 0.0);
                        }
                    }
                }
                End::Unknown => guard.end(now, held, held, 0.0),
                End::Throttled { by, sent } => {
                    // Whether a rejected request counts is not known either.
                    guard.end(now, held, held, 0.0);
                    if by.is_none_or(|by| by == *kind) {
                        guard.rejected(now, sent);
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
        for (_, guard) in &mut self.quotas {
            guard.use_up(at);
        }
    }

    /// Lets nothing pass before `until`.
    pub(super) fn close(&mut self, until: Timestamp) {
        for (_, guard) in &mut self.quotas {
            guard.close(until);
        }
    }

    pub(super) fn stats(&self, now: Timestamp) -> ThrottleStats {
        let until = self.quotas.iter().filter_map(|(_, guard)| guard.cautious_until());
        ThrottleStats { cautious_until: until.filter(|until| *until > now).max(), ..self.stats }
    }
}

impl Cost {
    /// What has to be held. A request that the quota may admit must be let through, even where its answer may cost more.
    fn held(self, kind: QuotaKind, guard: &Guard) -> u64 {
        kind.cost(self.most).min(guard.ceiling())
    }
}
