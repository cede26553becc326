use super::BedrockTpmTester;
use crate::error::check_range;
use crate::{Ended, Observation, Result, Throttle, ThrottleSettings, Usage};

/// What many clients wait after one 429, two in a row, and so on, in seconds.
const PAUSES_S: [f64; 4] = [15.0, 30.0, 60.0, 120.0];
/// After this long without a request, no mechanism with a period of a minute counts what was before, in seconds.
const QUIET_S: f64 = 120.0;
/// A day, in minutes.
const LONGEST_MIN: f64 = 1_440.0;

/// A client that always has another request.
impl BedrockTpmTester {
    /// A throttle for the stated quotas that knows what the observations so far show, on the tester's clock.
    ///
    /// # Errors
    /// As [`Throttle::from_verdict`].
    pub fn throttle(&self) -> Result<Throttle> {
        let stated = ThrottleSettings::stated(self.settings.tpm, self.settings.rpm);
        Throttle::from_verdict(&self.verdict(), stated, self.clock)
    }

    /// Is quiet for two minutes, and then for `minutes` minutes sends requests of about `tokens` tokens, one after the
    /// other: each when `throttle` lets it; or without one at once, and after a 429 as many clients do in 15 seconds,
    /// after another in 30, in 60, in 120. Returns what was observed.
    ///
    /// # Errors
    /// A usage error if `minutes` is not within 0.1 to 1,440; a setup error if the endpoint keeps failing; else as
    /// [`make_bedrock_request`](Self::make_bedrock_request) and [`Throttle::acquire`].
    pub async fn send_for(
        &mut self,
        minutes: f64,
        tokens: u64,
        throttle: Option<&Throttle>,
    ) -> Result<Vec<Observation>> {
        check_range("minutes", minutes, 0.1, LONGEST_MIN)?;
        self.check_size(tokens)?;
        self.wait_until(self.clock.now().plus_seconds(QUIET_S)).await;
        let end = self.clock.now().plus_seconds(60.0 * minutes);
        let max_tokens = u64::from(self.settings.max_tokens);
        let (mut observed, mut rejected) = (Vec::new(), 0);
        while self.clock.now() < end {
            let reservation = match throttle {
                None => None,
                Some(throttle) => tokio::select! {
                    reservation = throttle.acquire(tokens.saturating_sub(max_tokens), max_tokens) => Some(reservation?),
                    () = self.clock.sleep_until(end) => break,
                },
            };
            let seen = self.make_bedrock_request(tokens).await;
            if let Some(reservation) = reservation {
                reservation.end(seen.as_ref().map_or(Ended::Unknown, ended));
            }
            let seen = seen?;
            self.give_up_on_failures()?;
            rejected = if seen.outcome().is_throttled() { rejected + 1 } else { 0 };
            if throttle.is_none() && rejected > 0 {
                let pause_s = PAUSES_S[(rejected - 1).min(PAUSES_S.len() - 1)];
                self.wait_until(end.min(self.clock.now().plus_seconds(pause_s))).await;
            }
            observed.push(seen);
        }
        Ok(observed)
    }
}

/// What the throttle has to know of a request.
fn ended(seen: &Observation) -> Ended {
    let used = || {
        let (input_tokens, output_tokens) = (seen.input_tokens?, seen.output_tokens?);
        Some(Usage { input_tokens, output_tokens, ..Usage::default() })
    };
    Ended::of(seen.outcome(), used())
}
