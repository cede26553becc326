use std::fmt;
use std::path::Path;

use bedrock_tpm::{
    Accounting, BedrockTpmTester, Binding, Candidate, Conclusion, EmulatorConfig, Mechanism, Paired,
    QuotaKind, Verdict,
};
use serde::Serialize;

/// What `measure` prints.
#[derive(Serialize)]
pub(super) struct Measured {
    #[serde(flatten)]
    pub verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounting: Option<Accounting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paired: Option<Paired>,
    partial: bool,
    pub trace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enforced: Option<Enforced>,
}

/// What the embedded emulator really enforced, next to what was concluded.
#[derive(Serialize)]
struct Enforced {
    kind: QuotaKind,
    #[serde(flatten)]
    mechanism: Mechanism,
    verdict_is: &'static str,
    probability: f64,
}

impl Measured {
    pub(super) fn new(tester: &BedrockTpmTester, partial: bool, report: Option<&Path>) -> Self {
        let ((mut verdict, accounting), paired) = (tester.findings(), tester.paired());
        verdict.warnings.extend(paired.as_ref().and_then(Paired::warning));
        let shown = |path: &Path| path.display().to_string();
        Self {
            enforced: tester.enforced().and_then(|config| Enforced::of(&config, &verdict)),
            verdict,
            accounting,
            paired,
            partial,
            trace: tester.trace().path().map(shown).unwrap_or_default(),
            report: report.map(shown),
        }
    }
}

impl Enforced {
    fn of(config: &EmulatorConfig, verdict: &Verdict) -> Option<Self> {
        let kind = match verdict.binding {
            Binding::Quota(QuotaKind::Requests) => QuotaKind::Requests,
            _ if config.tokens.is_none() => QuotaKind::Requests,
            _ => QuotaKind::Tokens,
        };
        let mechanism = if kind == QuotaKind::Tokens { config.tokens } else { config.requests }?;
        let verdict_is = match verdict.verdict {
            Conclusion::Mechanism(id) if id == mechanism.id() => "right",
            Conclusion::Mechanism(_) | Conclusion::NoneOfThese => "wrong",
            Conclusion::Inconclusive => "inconclusive",
        };
        let probability = verdict.ranked.iter().find(|r| r.mechanism == Candidate::Known(mechanism.id()));
        Some(Self { kind, mechanism, verdict_is, probability: probability.map_or(0.0, |r| r.probability) })
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.partial {
            writeln!(f, "PARTIAL: the protocol did not end.\n")?;
        }
        writeln!(f, "{}", self.verdict.to_string().trim_end())?;
        if let Some(accounting) = &self.accounting {
            writeln!(f, "\n{accounting}")?;
        }
        if let Some(paired) = &self.paired {
            writeln!(f, "\n{paired}")?;
        }
        if let Some(Enforced { kind, mechanism, verdict_is, probability }) = &self.enforced {
            writeln!(f, "\nThe emulator really enforced, for {kind}: {mechanism}.")?;
            writeln!(f, "The verdict is {verdict_is}; it gave the truth a probability of {probability:.3}.")?;
        }
        writeln!(f, "\ntrace   {}", self.trace)?;
        if let Some(report) = &self.report {
            writeln!(f, "report  {report}")?;
        }
        Ok(())
    }
}
