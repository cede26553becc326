use std::path::Path;

use super::{BedrockTpmTester, Settings, Summary};
use crate::accounting::findings;
use crate::{
    Accounting, Assumptions, Chart, Clock, EmulatorConfig, Observation, Paired, Pairing, Report, Result,
    Trace, Verdict, analyze, pair,
};

/// What a tester has found out so far.
impl BedrockTpmTester {
    /// What happened so far, by phase.
    pub fn summary(&self) -> Summary {
        Summary::of(self.trace.observations())
    }

    /// What the observations so far show.
    pub fn verdict(&self) -> Verdict {
        self.findings().0
    }

    /// The verdict and, if requests were sent that measure it, the accounting.
    pub fn findings(&self) -> (Verdict, Option<Accounting>) {
        let assumptions = self.assumptions();
        let judge = |of_mechanism: &[Observation]| {
            self.found.clone().unwrap_or_else(|| analyze(of_mechanism, &assumptions))
        };
        let all = || findings(self.trace.observations(), &assumptions, judge);
        self.findings.get_or_init(all).clone()
    }

    /// Whether the second target shares the quota; `None` if there is none.
    pub fn paired(&self) -> Option<Paired> {
        let (observations, assumptions, verdict) =
            (self.trace.observations(), self.assumptions(), self.verdict());
        let unmeasured = || {
            let (model, region, _) = self.second.as_ref()?.place();
            let reason = Pairing::new(observations, &verdict, &assumptions).err();
            let reason = reason.map_or("no request went to it".into(), |reason| reason.to_string());
            Some(Paired::unknown(format!("{model} in {region}"), reason))
        };
        pair(observations, &verdict, &assumptions).or_else(unmeasured)
    }

    /// Takes over what was found from exactly the observations so far: it holds until one more is about the mechanism.
    pub(crate) fn found(&mut self, verdict: Verdict) {
        self.findings.take();
        self.found = Some(verdict);
    }

    /// Status against time.
    pub fn chart(&self) -> Chart {
        Chart::new(self.trace.observations(), Some(&self.verdict()))
    }

    /// Writes the verdict, the chart and the table of requests as one HTML file.
    ///
    /// # Errors
    /// An output error if the file cannot be written.
    pub fn save_report(&self, path: impl AsRef<Path>) -> Result<()> {
        let (verdict, accounting) = self.findings();
        let report = Report::new(self.trace.observations(), verdict, false);
        report.with_accounting(accounting).with_paired(self.paired()).save(path)
    }

    /// The observations so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The clock that the requests are paced by.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// What the tester's own emulator really enforces, if it has one.
    pub fn enforced(&self) -> Option<EmulatorConfig> {
        self.emulator.as_ref().map(|(emulator, _)| emulator.config())
    }

    pub(crate) fn assumptions(&self) -> Assumptions {
        self.settings.assumptions()
    }
}
