use super::check_quotas;
use super::pace::{Pace, send_at};
use crate::accounting::is_about_mechanism;
use crate::analysis::{CHALLENGE_PHASE, MOST_REQUESTS, SEARCH_PHASE};
use crate::{BedrockTpmTester, Inquiry, Next, Result, Settings, Timestamp};

/// Minutes of the endpoint's time after which an inquiry gives up.
const MINUTES: f64 = 12.0;
/// Quotas of tokens that an inquiry may need: 95 of 100 need fewer than six.
const QUOTAS: u64 = 8;
/// Tokens that an inquiry into a quota of requests may need.
const TOKENS_FOR_REQUESTS: u64 = 20_000;

/// The adaptive protocol: each probe is chosen by what the ones before have shown, until a mechanism can be named, the
/// time is over or the token budget is spent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptive {
    deadline: Timestamp,
    tokens: u64,
}

impl Adaptive {
    /// Begins at `now`.
    ///
    /// # Errors
    /// A usage error if a quota is too small or too large for requests that Bedrock takes.
    pub fn new(settings: &Settings, now: Timestamp) -> Result<Self> {
        check_quotas(settings.tpm, settings.rpm)?;
        let tokens = settings.tpm.map_or(TOKENS_FOR_REQUESTS, |tpm| QUOTAS.saturating_mul(tpm));
        Ok(Self { deadline: now.plus_seconds(60.0 * MINUTES), tokens })
    }

    /// When it gives up.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// The most tokens that it usually needs.
    pub fn tokens_at_most(&self) -> u64 {
        self.tokens
    }

    /// Probes until a mechanism can be named, or it is time to give up. What a resumed trace holds counts as if it had
    /// just been observed.
    ///
    /// # Errors
    /// A budget error if the budget does not allow a single request; a setup error if requests keep failing or
    /// none is answered; an output error if the trace cannot be written. What was observed before is in the trace.
    pub async fn run(&self, tester: &mut BedrockTpmTester) -> Result<()> {
        let observed = tester.trace().observations().iter().filter(|it| is_about_mechanism(it));
        let mut inquiry = Inquiry::new(tester.assumptions(), tester.largest_probe()).resumed(observed);
        let mut pace = Pace::new(tester.clock());
        let mut may_go_on = true;
        while may_go_on {
            let (phase, probe) = match pace.think(|from| inquiry.next(from)) {
                Next::Search(probe) => (SEARCH_PHASE, probe),
                Next::Challenge(probe) => (CHALLENGE_PHASE, probe),
                Next::Done => break,
            };
            if probe.at > self.deadline || tester.trace().observations().len() >= MOST_REQUESTS {
                tester.give_up_unanswered()?;
                break;
            }
            tester.begin_phase(phase);
            let send = async |tester: &mut BedrockTpmTester| tester.make_bedrock_request(probe.tokens).await;
            let mut observed = Vec::new();
            for _ in 0..probe.times {
                let observation = send_at(probe.at, tester, send).await?;
                may_go_on = observation.is_some();
                observed.extend(observation);
                if !may_go_on || observed.last().is_some_and(|latest| latest.outcome().is_throttled()) {
                    break;
                }
            }
            inquiry.observe(&observed);
        }
        tester.found(inquiry.verdict());
        Ok(())
    }
}
