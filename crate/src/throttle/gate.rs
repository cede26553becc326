use serde::{Deserialize, Serialize};

use super::ThrottleSettings;
use super::credit::{Lot, TakenBack};
use super::guard::Guard;
use super::trust::Trust;
use crate::{Error, QuotaKind, Refund, Result, Timestamp, Usage, reserved_tokens, settled_tokens};

/// All quotas of one client, as a state machine: the times go in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Gate {
    quotas: Vec<(QuotaKind, Trust)>,
    charging: Charging,
    stats: ThrottleStats,
}

/// How requests are charged.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Charging {
    burndown: u64,
    /// After how many nanoseconds what was not used comes back, if it does.
    refund: Option<i64>,
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
        let quotas = quotas.into_iter().map(|(kind, guard)| (kind, Trust::new(guard))).collect();
        Self { quotas, charging: Charging::new(settings), stats: ThrottleStats::default() }
    }

    pub(super) fn charging(&self) -> Charging {
        self.charging
    }

    /// The quotas, with the largest cost that each can ever let pass.
    pub(super) fn ceilings(&self) -> impl Iterator<Item = (QuotaKind, u64)> {
        self.quotas.iter().map(|(kind, trust)| (*kind, trust.ceiling()))
    }

    /// # Errors
    /// A usage error if the request is larger than a quota.
    #[inline]
    pub(super) fn cost(&self, input_tokens: u64, max_tokens: u64) -> Result<Cost> {
        let cost = self.charging.cost(input_tokens, max_tokens);
        let reserved = cost.reserved;
        for (kind, ceiling) in self.ceilings() {
            if kind.cost(reserved) > ceiling {
                return Err(Error::usage(format!(
                    "a request that reserves {reserved} tokens ({input_tokens} input, max_tokens {max_tokens}) can never \
                     pass a quota of {ceiling} {kind}: lower max_tokens or shorten the prompt"
                )));
            }
        }
        Ok(cost)
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
            trust.hold(1, cost.held(*kind, trust));
        }
    }

    /// Reserves `lot` for requests that are still to come, if there is plenty of every quota.
    pub(super) fn reserve_lot(&mut self, now: Timestamp, lot: Lot) -> bool {
        let is_plenty = self.quotas.iter_mut().all(|(kind, trust)| trust.has_plenty(now, lot.of(*kind)));
        if is_plenty {
            self.stats.sent += lot.requests;
            self.quotas.iter_mut().for_each(|(kind, trust)| trust.hold(lot.requests, lot.of(*kind)));
        }
        is_plenty
    }

    /// What has become of such a lot.
    pub(super) fn take_back(&mut self, now: Timestamp, taken_back: TakenBack) {
        let TakenBack { unspent, ended, charged } = taken_back;
        let charged = Lot { tokens: charged, ..ended };
        self.stats.sent -= unspent.requests;
        for (kind, trust) in &mut self.quotas {
            trust.forget(unspent.requests, unspent.of(*kind));
            let refunded = self.charging.refunded(now);
            trust.end(now, ended.requests, ended.of(*kind), charged.of(*kind), refunded);
            trust.admitted(ended.requests);
        }
    }

    #[inline]
    pub(super) fn end(&mut self, now: Timestamp, cost: Cost, end: End) {
        for (kind, trust) in &mut self.quotas {
            let held = cost.held(*kind, trust);
            match end {
                End::NotSent => trust.forget(1, held),
                End::Used(usage) => {
                    let charged = kind.cost(self.charging.charged(cost, usage));
                    trust.end(now, 1, held, charged, self.charging.refunded(now));
                    trust.admitted(1);
                }
                End::Unknown => trust.end(now, 1, held, held, now),
                End::Throttled { by, sent } => {
                    // Whether a rejected request counts is not known either.
                    trust.end(now, 1, held, held, now);
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
        let lot = Lot { requests, tokens };
        let seconds = |(kind, trust): &(QuotaKind, Trust)| lot.of(*kind) as f64 / trust.rate_per_s();
        self.quotas.iter().map(seconds).fold(0.0, f64::max)
    }

    pub(super) fn stats(&self, now: Timestamp) -> ThrottleStats {
        let until = self.quotas.iter().filter_map(|(_, trust)| trust.cautious_until());
        ThrottleStats { cautious_until: until.filter(|until| *until > now).max(), ..self.stats }
    }
}

impl Charging {
    fn new(settings: &ThrottleSettings) -> Self {
        let refund = match settings.refund {
            Refund::AtEnd => Some(0),
            Refund::After(delay_s) => Some(Timestamp::EPOCH.plus_seconds(delay_s).as_nanos()),
            Refund::Never => None,
        };
        Self { burndown: settings.burndown, refund }
    }

    #[inline]
    pub(super) fn cost(self, input_tokens: u64, max_tokens: u64) -> Cost {
        let reserved = reserved_tokens(input_tokens, max_tokens);
        let all_output = Usage { input_tokens, output_tokens: max_tokens, ..Usage::default() };
        Cost { reserved, most: reserved.max(settled_tokens(all_output, self.burndown)) }
    }

    /// The tokens that a request of `cost` is charged in the end.
    #[inline]
    pub(super) fn charged(self, cost: Cost, usage: Usage) -> u64 {
        let settled = settled_tokens(usage, self.burndown);
        if self.refund.is_some() { settled } else { settled.max(cost.reserved) }
    }

    /// When a request that ends at `now` has what it did not use back.
    fn refunded(self, now: Timestamp) -> Timestamp {
        now.plus_nanos(self.refund.unwrap_or_default())
    }
}

impl Cost {
    /// The most tokens that it may be charged.
    pub(super) fn most(self) -> u64 {
        self.most
    }

    /// What has to be held. A request that the quota may admit must be let through, even where its answer may cost more.
    fn held(self, kind: QuotaKind, trust: &Trust) -> u64 {
        kind.cost(self.most).min(trust.ceiling())
    }
}
