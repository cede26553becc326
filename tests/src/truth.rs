//! Random truths: emulators with mechanisms and circumstances that a measurement has to find out.

mod family;
mod limiters;
mod outside;
mod pairs;
mod quotas;
mod set;

pub use outside::Outside;
pub use set::Set;

use std::fmt;

use bedrock_tpm::{Clock, Emulator, EmulatorConfig, Mechanism, QuotaKind, Result, Settings};
use serde::Serialize;

/// The quota that the measurement is told, in tokens per minute.
pub const TPM: u64 = 8_000;
/// Resets nearer than this to the full minute are clock-aligned, in seconds: no client knows its clock better.
pub const CLOCK_ERROR_S: f64 = 1.0;
/// Clock skew is up to this, in seconds.
const SKEW_S: f64 = 0.7;

/// How badly the endpoint behaves.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// Shortest and longest latency, in seconds.
    pub latency_s: (f64, f64),
    /// Fraction of 5xx, half of them charged.
    pub error_rate: f64,
    /// Fraction of 429s without cause.
    pub spurious_429: f64,
    /// Traffic of others, as a fraction of the quota.
    pub background: f64,
}

impl Noise {
    /// Latency 0.3 to 1.5 s, 1 % 5xx, 1 % spurious 429s, 5 % background.
    pub const USUAL: Self =
        Self { latency_s: (0.3, 1.5), error_rate: 0.01, spurious_429: 0.01, background: 0.05 };

    /// An emulator that behaves like this and enforces nothing yet.
    fn emulator(self, seed: u64) -> EmulatorConfig {
        EmulatorConfig {
            latency_s: self.latency_s,
            error_rate: self.error_rate,
            spurious_429: self.spurious_429,
            background: self.background,
            seed,
            ..EmulatorConfig::default()
        }
    }
}

/// What is enforced, and what the measurement is told of it.
#[derive(Clone, Debug, Serialize)]
pub struct Truth {
    /// The scenario it was drawn for.
    pub set: Set,
    /// What was drawn from.
    pub seed: u64,
    /// The emulator. Outside the family its quota only says how much background traffic there is.
    pub emulator: EmulatorConfig,
    /// The quota that rejects requests first.
    pub binding: QuotaKind,
    /// What is enforced instead, if that is a mechanism outside the family.
    pub outside: Option<Outside>,
    /// The quota of tokens per minute that the measurement is told.
    pub tpm: Option<u64>,
    /// The quota of requests per minute that the measurement is told.
    pub rpm: Option<u64>,
}

impl Truth {
    /// A truth of tokens per minute, the quota of which is told.
    fn of_tokens(set: Set, seed: u64, emulator: EmulatorConfig) -> Self {
        Self { set, seed, emulator, binding: QuotaKind::Tokens, outside: None, tpm: Some(TPM), rpm: None }
    }

    /// The mechanism that rejects requests first; `None` if it is outside the family.
    pub fn mechanism(&self) -> Option<Mechanism> {
        match (self.outside, self.binding) {
            (Some(_), _) => None,
            (None, QuotaKind::Requests) => self.emulator.requests,
            (None, _) => self.emulator.tokens,
        }
    }

    /// The name of what is enforced, as in confusion matrices.
    pub fn id(&self) -> &'static str {
        match self.outside {
            Some(outside) => outside.id(),
            None => self.mechanism().map_or("nothing", |mechanism| mechanism.id().id()),
        }
    }

    /// What the measurement is told.
    pub fn settings(&self) -> Settings {
        Settings { tpm: self.tpm, rpm: self.rpm, seed: self.seed, ..Settings::default() }
    }

    /// The emulator, with nothing used yet.
    ///
    /// # Errors
    /// If the truth is out of range.
    pub fn enforced(&self, clock: Clock) -> Result<Emulator> {
        match self.outside {
            Some(outside) => Emulator::enforcing(self.emulator.clone(), outside.limiters(), clock),
            None => Emulator::new(self.emulator.clone(), clock),
        }
    }
}

/// A noun phrase, such as `sliding log of 8000 in any 60 s, rejected requests count`.
impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use bedrock_tpm::{Admission, RejectedCost};
        match (self.outside, self.mechanism()) {
            (Some(outside), _) => write!(f, "{outside}")?,
            (None, Some(mechanism)) => write!(f, "{mechanism}")?,
            (None, None) => write!(f, "nothing")?,
        }
        if self.binding == QuotaKind::Requests {
            write!(f, " (requests)")?;
        }
        if self.outside.is_none() && self.emulator.rejected != RejectedCost::Nothing {
            write!(f, ", rejected requests count")?;
        }
        if self.emulator.admission == Admission::UntilExhausted {
            write!(f, ", admitted until exhausted")?;
        }
        Ok(())
    }
}
