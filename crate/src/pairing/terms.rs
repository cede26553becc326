use super::Role;
use crate::quota::reached_first;
use crate::tester::LARGEST_REQUEST_TOKENS;
use crate::text::{grouped, requests};
use crate::{Assumptions, Binding, Error, Mechanism, MechanismId, QuotaKind, Result, Verdict};

/// Tokens of a request where requests are counted: as few as a request can have.
const TINY_TOKENS: u64 = 24;
/// A quota of fewer tokens does not hold what a round sends.
const SMALLEST_TPM: u64 = 6 * TINY_TOKENS;
/// Controls and probes ask for this share of the quota; fills for this share of that at a time, and checks for that one.
const ASKED: f64 = 0.5;
const FILLED_AT_ONCE: f64 = 0.4;
const CHECKED: f64 = 0.8;
/// Where requests are counted, a probe is so many of them at most.
const MOST_REQUESTS: u64 = 4;
/// A fill goes on to this multiple of the quota: windows start afresh and buckets refill meanwhile.
const FILL_AT_MOST: f64 = 2.2;
/// What a verdict finds less probable than this is not suspected.
const WORTH_SUSPECTING: f64 = 0.02;

/// What a pairing sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// What is counted.
    pub kind: QuotaKind,
    /// Tokens of a request of a control or probe.
    pub asked: u64,
    /// Tokens of a request of a fill.
    pub chunk: u64,
    /// Tokens of a request of a check.
    checked: u64,
    /// A control or probe is so many requests.
    group: usize,
    /// A fill ends after so many tokens or requests.
    pub fill_at_most: u64,
}

impl Terms {
    /// What to send, and the mechanisms that the first target's quota may have.
    ///
    /// # Errors
    /// A usage error if no quota is known that requests can use up.
    pub(super) fn new(verdict: &Verdict, assumptions: &Assumptions) -> Result<(Self, Vec<Mechanism>)> {
        let (kind, suspects) = suspects(verdict, assumptions)
            .ok_or_else(|| Error::usage("no quota is known that could be used up; give --tpm or --rpm"))?;
        let least = suspects.iter().map(Mechanism::ceiling).min().unwrap_or(1);
        let most = suspects.iter().map(Mechanism::ceiling).max().unwrap_or(1);
        let fill_at_most = (FILL_AT_MOST * most as f64).ceil() as u64;
        let terms = match kind {
            QuotaKind::Requests => {
                let group = (least / 2).clamp(1, MOST_REQUESTS) as usize;
                let [asked, chunk, checked] = [TINY_TOKENS; 3];
                Self { kind, asked, chunk, checked, group, fill_at_most }
            }
            _ if least < SMALLEST_TPM => {
                return Err(Error::usage(format!(
                    "a quota of {least} tokens is too small to be used up step by step; pair targets with \
                     {SMALLEST_TPM} or more"
                )));
            }
            _ => {
                let asked = ((ASKED * least as f64) as u64).min(LARGEST_REQUEST_TOKENS);
                let [chunk, checked] = [FILLED_AT_ONCE, CHECKED].map(|share| (share * asked as f64) as u64);
                Self { kind, asked, chunk, checked, group: 1, fill_at_most }
            }
        };
        Ok((terms, suspects))
    }

    pub(super) fn tokens(&self, role: Role) -> u64 {
        match role {
            Role::Control | Role::Probe => self.asked,
            Role::Sizing | Role::Fill => self.chunk,
            Role::Check => self.checked,
        }
    }

    /// How many requests are sent where all have to be admitted. A check is smaller than a probe, so that it passes where a
    /// window has started afresh and the probe has taken its part; and larger than what a fill may leave, with what a bucket
    /// brings in the meantime.
    pub(super) fn group(&self, role: Role) -> usize {
        match role {
            Role::Control | Role::Probe => self.group,
            Role::Check => (self.group / 2).max(1),
            Role::Sizing | Role::Fill => 1,
        }
    }

    /// Whether it matters how many tokens a request has.
    pub(super) fn sizes_matter(&self) -> bool {
        self.kind != QuotaKind::Requests
    }

    /// What a control or probe asks for.
    pub(super) fn asked_in_words(&self) -> String {
        self.in_words(if self.sizes_matter() { self.asked } else { self.group as u64 })
    }

    pub(super) fn in_words(&self, amount: u64) -> String {
        if self.sizes_matter() { format!("{} tokens", grouped(amount)) } else { requests(amount) }
    }
}

/// The quota to use up, and how it may work: as the verdict has it or, if that knows nothing, in any way.
fn suspects(verdict: &Verdict, assumptions: &Assumptions) -> Option<(QuotaKind, Vec<Mechanism>)> {
    if let Binding::Quota(kind @ (QuotaKind::Tokens | QuotaKind::Requests)) = verdict.binding {
        let likely = verdict.ranked.iter().filter(|ranked| ranked.probability >= WORTH_SUSPECTING);
        let likely: Vec<_> = likely.filter_map(|ranked| ranked.parameters).collect();
        if !likely.is_empty() {
            return Some((kind, likely));
        }
    }
    let (kind, limit) = reached_first(assumptions.tpm, assumptions.rpm)?;
    Some((kind, MechanismId::ALL.map(|id| Mechanism::per_minute(id, limit)).into()))
}
