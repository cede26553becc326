use bedrock_tpm::protocol::{Audit, Pair, Plan};
use bedrock_tpm::{BedrockTpmTester, Result, Timestamp};

/// What is sent, one after the other.
pub(super) struct Plans {
    pub mechanism: Plan,
    pub accounting: Option<Audit>,
    pub pairing: Option<Pair>,
}

impl Plans {
    /// The most tokens that they usually need.
    pub(super) fn tokens_at_most(&self) -> u64 {
        let accounting = self.accounting.map_or(0, |audit| audit.tokens_at_most());
        let pairing = self.pairing.map_or(0, |pair| pair.tokens_at_most());
        self.mechanism.tokens_at_most().saturating_add(accounting).saturating_add(pairing)
    }

    /// When they end at the latest.
    pub(super) fn ends_by(&self) -> Timestamp {
        let accounting = self.accounting.map_or(0.0, |audit| audit.minutes_at_most());
        let pairing = self.pairing.map_or(0.0, |pair| pair.minutes_at_most());
        self.mechanism.ends_by().plus_seconds(60.0 * (accounting + pairing))
    }

    /// Runs one after the other. A trace that has begun with one of them is done with those before.
    pub(super) async fn run(&self, tester: &mut BedrockTpmTester) -> Result<()> {
        let is_paired = Pair::has_begun(tester.trace().observations());
        if !is_paired && !Audit::has_begun(tester.trace().observations()) {
            self.mechanism.run(tester).await?;
        }
        if let Some(audit) = self.accounting.filter(|_| !is_paired) {
            let verdict = tester.verdict();
            audit.run(tester, &verdict).await?;
        }
        if let Some(pair) = self.pairing {
            let verdict = tester.verdict();
            pair.run(tester, &verdict).await?;
        }
        Ok(())
    }
}
