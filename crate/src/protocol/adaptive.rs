use crate::{BedrockTpmTester, Inquiry, Next, Result};

/// Chooses each probe by what the ones before have shown, until a mechanism can be named, `minutes` of the endpoint's
/// time have passed or the token budget is spent.
///
/// A trace that is resumed counts as if it had been observed just now.
///
/// # Errors
/// A setup error if requests fail three times in a row; an output error if the trace cannot be written. What was
/// observed before is in the trace.
pub async fn adaptive(tester: &mut BedrockTpmTester, minutes: f64) -> Result<()> {
    let clock = tester.clock();
    let deadline = clock.now().plus_seconds(60.0 * minutes);
    let mut inquiry = Inquiry::new(tester.assumptions(), tester.largest_probe());
    tester.trace().observations().iter().for_each(|observation| inquiry.observe(observation));
    let mut thinking = std::time::Duration::ZERO;
    loop {
        let asked = clock.now();
        let next = inquiry.next(asked + thinking);
        let (phase, probe) = match next {
            Next::Search(probe) => ("search", probe),
            Next::Challenge(probe) => ("challenge", probe),
            Next::Done => return Ok(()),
        };
        if probe.at > deadline {
            return Ok(());
        }
        tester.begin_phase(phase);
        thinking = clock.now() - asked;
        if probe.at > clock.now() {
            tester.wait_until(probe.at).await;
        }
        match tester.make_bedrock_request(probe.tokens).await {
            Err(error) if error.is_budget() => return Ok(()),
            observed => inquiry.observe(&observed?),
        }
        tester.give_up_on_failures()?;
    }
}
