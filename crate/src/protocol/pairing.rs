use super::pace::send_at;
use crate::pairing::PAIRING;
use crate::{BedrockTpmTester, Observation, Pairing, Result, Settings, Verdict};

/// Minutes of the endpoint's time after which a pairing ends: what is open then stays open.
const MINUTES: f64 = 30.0;
/// Quotas of tokens that a pairing may need: a round takes one and a half, and most need four rounds.
const QUOTAS: u64 = 10;
/// Tokens that a pairing may need where requests are counted.
const TOKENS_FOR_REQUESTS: u64 = 10_000;

/// The pairing phase, after the mechanism is known: it tells whether a second target shares the quota.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    minutes: f64,
    tokens: u64,
}

impl Pair {
    /// A pairing of the target whose quota `settings` state with another.
    pub fn new(settings: &Settings) -> Self {
        let tokens = settings.tpm.map_or(TOKENS_FOR_REQUESTS, |tpm| QUOTAS.saturating_mul(tpm));
        Self { minutes: MINUTES, tokens }
    }

    /// How long it takes at most, in minutes of the endpoint's time, a last request aside.
    pub fn minutes_at_most(&self) -> f64 {
        self.minutes
    }

    /// The most tokens that it usually needs, of both targets together.
    pub fn tokens_at_most(&self) -> u64 {
        self.tokens
    }

    /// Whether a trace has begun with it, so that the first target need not be measured any more.
    pub fn has_begun(observations: &[Observation]) -> bool {
        observations.iter().any(|observation| observation.phase == PAIRING)
    }

    /// Sends requests to both targets until the odds are clear, or it is time to give up; none if no quota is known that
    /// requests could use up. [`BedrockTpmTester::paired`] says what was found.
    ///
    /// # Errors
    /// A usage error if there is no second target; a setup error if requests keep failing; an output error if the trace
    /// cannot be written. What was observed before is in the trace.
    pub async fn run(&self, tester: &mut BedrockTpmTester, verdict: &Verdict) -> Result<()> {
        let Ok(mut pairing) = Pairing::new(tester.trace().observations(), verdict, &tester.assumptions())
        else {
            return Ok(());
        };
        let deadline = tester.clock().now().plus_seconds(60.0 * self.minutes);
        tester.begin_phase(PAIRING);
        while let Some(probe) = pairing.next(tester.clock().now()) {
            if probe.at > deadline {
                break;
            }
            let send = async |tester: &mut BedrockTpmTester| {
                tester.make_paired_request(probe.step, probe.tokens).await
            };
            let Some(observation) = send_at(probe.at, tester, send).await? else { break };
            pairing.observe(&observation);
        }
        Ok(())
    }
}
