use super::TINY_TOKENS;
use super::pace::{Pace, send_at};
use crate::accounting::{ACCOUNTING, Auditor, Terms};
use crate::tester::BURNDOWN_AT_WORST;
use crate::trace::mean_latency_s;
use crate::{BedrockTpmTester, Observation, Result, Settings, Timestamp, Verdict};

/// Minutes of the endpoint's time, and requests, after which an audit ends: what is open then stays open.
const MINUTES: f64 = 12.0;
const REQUESTS: usize = 60;
/// Quotas of tokens that an audit may need, output that costs what it may at worst included.
const QUOTAS: u64 = 12;

/// The accounting phase, after the mechanism is known: each request is chosen by what the ones before have shown, until
/// every question is answered or no request is expected to tell more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Audit {
    minutes: f64,
    tokens: u64,
}

impl Audit {
    /// An audit of the quota that `settings` state.
    pub fn new(settings: &Settings) -> Self {
        Self { minutes: MINUTES, tokens: settings.tpm.map_or(0, |tpm| QUOTAS.saturating_mul(tpm)) }
    }

    /// How long it takes at most, in minutes of the endpoint's time, a last request aside.
    pub fn minutes_at_most(&self) -> f64 {
        self.minutes
    }

    /// The most tokens that it usually needs, those that output may cost at worst included.
    pub fn tokens_at_most(&self) -> u64 {
        self.tokens
    }

    /// Whether a trace has begun with it, so that the mechanism need not be measured any more.
    pub fn has_begun(observations: &[Observation]) -> bool {
        observations.iter().any(|observation| observation.phase == ACCOUNTING)
    }

    /// Sends requests until every question is answered, or it is time to give up; none if `verdict` names no mechanism of
    /// a quota of tokens. [`BedrockTpmTester::findings`] says what was found.
    ///
    /// # Errors
    /// A setup error if requests keep failing; an output error if the trace cannot be written. What was observed
    /// before is in the trace.
    pub async fn run(&self, tester: &mut BedrockTpmTester, verdict: &Verdict) -> Result<()> {
        let Ok(mut auditor) = Auditor::new(tester.trace().observations(), verdict, &tester.assumptions())
        else {
            return Ok(());
        };
        let clock = tester.clock();
        let deadline = clock.now().plus_seconds(60.0 * self.minutes);
        let mut pace = Pace::new(clock);
        tester.begin_phase(ACCOUNTING);
        for _ in 0..REQUESTS {
            let probe = pace.think(|from| auditor.next(&terms(tester, &auditor, from)));
            let Some(probe) = probe.filter(|probe| probe.at <= deadline) else { break };
            let send = async |tester: &mut BedrockTpmTester| {
                tester.make_request_with(probe.input_tokens, probe.max_tokens).await
            };
            let Some(observation) = send_at(probe.at, tester, send).await? else { break };
            auditor.observe(&observation);
        }
        Ok(())
    }
}

fn terms(tester: &BedrockTpmTester, auditor: &Auditor, from: Timestamp) -> Terms {
    Terms {
        from,
        latency_s: mean_latency_s(tester.trace().observations()),
        smallest: TINY_TOKENS,
        largest: auditor.ceiling().min(tester.largest_probe()),
        budget: tester.budget_left(),
        burndown_at_worst: BURNDOWN_AT_WORST,
    }
}
