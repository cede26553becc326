use std::path::Path;

use bedrock_tpm::{
    Accounting, Binding, Clock, Conclusion, Error, Refund, Result, Throttle, ThrottleSettings, Verdict,
};
use serde::Deserialize;

/// What `measure --json` has printed, as far as a throttle can use it.
#[derive(Deserialize)]
pub(super) struct Known {
    #[serde(flatten)]
    verdict: Verdict,
    accounting: Option<Accounting>,
}

impl Known {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let unusable = |cause: String| {
            let advice = "name a file with what `measure --json` has printed";
            Error::usage(format!("cannot use the verdict {} ({advice}): {cause}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|cause| unusable(cause.to_string()))?;
        serde_json::from_str(&text).map_err(|cause| unusable(cause.to_string()))
    }

    /// Whether it says how a quota works.
    pub(super) fn names_a_mechanism(&self) -> bool {
        let Verdict { binding, verdict, .. } = &self.verdict;
        matches!((binding, verdict), (Binding::Quota(_), Conclusion::Mechanism(_)))
    }

    /// A throttle that knows it. What was measured of the accounting counts where it is the stricter.
    pub(super) fn throttle(&self, stated: ThrottleSettings, clock: Clock) -> Result<Throttle> {
        let mut settings = stated;
        if let Some(accounting) = &self.accounting {
            settings.burndown = settings.burndown.max(accounting.burndown.answer.parse().unwrap_or(1));
            if matches!(accounting.refund.answer.as_str(), "never" | "delayed") {
                settings.refund = Refund::Never;
            }
        }
        Throttle::from_verdict(&self.verdict, settings, clock)
    }
}
