use std::path::PathBuf;

use crate::error::check_range;
use crate::trace::WITHOUT_ACCOUNT;
use crate::{Assumptions, Error, Result, Timeouts, Trace};

/// How a tester measures.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Model id, inference profile or provisioned-throughput ARN.
    pub model: String,
    /// The stated quota of tokens per minute, if known; 1 to 10^12.
    pub tpm: Option<u64>,
    /// The stated quota of requests per minute, if known; 1 to 10^12.
    pub rpm: Option<u64>,
    /// Cap on output tokens. 1, so that reservation and charge are the same, unless that is what is measured.
    pub max_tokens: u32,
    /// No request is sent that might bring the tokens spent above this, those of a continued trace included.
    pub budget_tokens: Option<u64>,
    /// How many times faster than real time the endpoint lives, 1 to 3,600; 1 for anything but an emulator.
    pub time_scale: u32,
    /// How long to wait for the endpoint.
    pub timeouts: Timeouts,
    /// A verdict is named at this probability or more, 0.5 to 0.9999.
    pub confidence: f64,
    /// Seed of every random choice.
    pub seed: u64,
    /// Where the trace is kept; in memory if `None`.
    pub trace: Option<PathBuf>,
    /// Continue the trace instead of creating it.
    pub resume: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: "amazon.nova-pro-v1:0".into(),
            tpm: None,
            rpm: None,
            max_tokens: 1,
            budget_tokens: None,
            time_scale: 1,
            timeouts: Timeouts::default(),
            confidence: 0.99,
            seed: 1,
            trace: None,
            resume: false,
        }
    }
}

impl Settings {
    /// Checks every range.
    ///
    /// # Errors
    /// A usage error that names the setting and its range.
    pub fn validated(self) -> Result<Self> {
        self.assumptions().validated()?;
        check_range("max_tokens", f64::from(self.max_tokens), 1.0, 1e6)?;
        check_range("token budget", self.budget_tokens.unwrap_or(1) as f64, 1.0, 1e12)?;
        if self.model.trim().is_empty() {
            return Err(Error::usage("the model is empty; name a model id, inference profile or ARN"));
        }
        if self.model.contains(WITHOUT_ACCOUNT) {
            return Err(Error::usage(
                "the account id of the model's ARN is not in the trace; name the model again",
            ));
        }
        Ok(self)
    }

    pub(super) fn assumptions(&self) -> Assumptions {
        let Self { tpm, rpm, confidence, seed, .. } = *self;
        Assumptions { tpm, rpm, confidence, seed }
    }

    pub(super) fn open_trace(&self) -> Result<Trace> {
        match &self.trace {
            Some(path) if self.resume => Trace::resume(path),
            Some(path) => Trace::create(path),
            None => Ok(Trace::in_memory()),
        }
    }
}
