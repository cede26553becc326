use crate::{BedrockTpmTester, Clock, Observation, Result, Timestamp};

/// The pace of requests of which each is chosen by what the ones before have shown.
pub(super) struct Pace {
    clock: Clock,
    /// How long it took to choose the last request, in seconds: the next one will take as long.
    thinking_s: f64,
}

impl Pace {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, thinking_s: 0.0 }
    }

    /// What `choose` comes to for the time at which it is expected to be done.
    pub(super) fn think<T>(&mut self, choose: impl FnOnce(Timestamp) -> T) -> T {
        let asked = self.clock.now();
        let chosen = choose(asked.plus_seconds(self.thinking_s));
        self.thinking_s = self.clock.now().seconds_since(asked);
        chosen
    }
}

/// Sends a request at `at`, or now if that is over; `None` if the budget has no room for another.
///
/// # Errors
/// A budget error if the budget does not allow a single request; a setup error if requests keep failing; an output error
/// if the trace cannot be written.
pub(super) async fn send_at(
    at: Timestamp,
    tester: &mut BedrockTpmTester,
    send: impl AsyncFnOnce(&mut BedrockTpmTester) -> Result<Observation>,
) -> Result<Option<Observation>> {
    if at > tester.clock().now() {
        tester.wait_until(at).await;
    }
    let observed = match send(tester).await {
        Err(error) if error.is_budget() && !tester.trace().observations().is_empty() => return Ok(None),
        observed => observed?,
    };
    tester.give_up_on_failures()?;
    Ok(Some(observed))
}
