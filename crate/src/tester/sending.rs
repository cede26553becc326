use serde_json::{Map, Value};

use super::limits::{BURNDOWN, spent};
use super::{BedrockTpmTester, EMBEDDED, Event, Settings};
use crate::accounting::is_about_mechanism;
use crate::trace::without_account_ids;
use crate::{Observation, Response, Result, Side, Step, Timestamp};

/// One request, and what is kept of it.
impl BedrockTpmTester {
    /// Sends a request each of whose output tokens costs `burndown` tokens at worst.
    pub(super) async fn send(
        &mut self,
        input_tokens: u64,
        max_tokens: u32,
        burndown: u64,
        step: Option<Step>,
    ) -> Result<Observation> {
        self.check_time()?;
        let scheduled = self.scheduled.take();
        let side = step.map_or(Side::First, |step| step.side);
        let size = self.destination(side)?.size(input_tokens);
        let tokens_at_most = size.at_most + burndown * u64::from(max_tokens);
        self.check_budget(tokens_at_most)?;
        let destination = self.destination(side)?;
        let response = destination.send(size, max_tokens).await;
        let diagnosis = destination.diagnose(&response);
        let tokens_estimated = size.estimated + u64::from(max_tokens);
        let mut observation = self.observation(side, response, scheduled, tokens_estimated)?;
        observation.max_tokens = max_tokens.into();
        if let Some(step) = step {
            step.note(&mut observation);
        }
        if burndown > 1 {
            observation.extra.insert(BURNDOWN.into(), burndown.into());
        }
        self.spent += spent(&observation, tokens_at_most);
        self.note_failure(&observation, diagnosis);
        let written = self.record(observation.clone());
        self.emit(&Event::Observed(Box::new(observation.clone())));
        written.map(|()| observation)
    }

    fn observation(
        &mut self,
        side: Side,
        response: Response,
        scheduled: Option<Timestamp>,
        tokens_estimated: u64,
    ) -> Result<Observation> {
        let (model, region, endpoint) = self.destination(side)?.place();
        let number = 1 + self.trace.observations().iter().filter(|o| o.phase == self.phase).count();
        Ok(Observation {
            phase: self.phase.clone(),
            name: format!("{} {number}", self.phase),
            scheduled,
            sent: response.sent,
            finished: response.finished,
            tokens_estimated,
            max_tokens: u64::from(self.settings.max_tokens),
            input_tokens: response.usage.map(|usage| usage.input_tokens),
            output_tokens: response.usage.map(|usage| usage.output_tokens),
            status: response.status,
            error_type: response.error_type,
            error: response.error.as_deref().map(without_account_ids),
            request_id: response.request_id,
            model,
            region,
            endpoint,
            time_scale: self.clock.scale(),
            hidden_retries: 0,
            extra: self.extra_fields(),
        })
    }

    /// Gives an observation the name under which charts and tables show it.
    ///
    /// # Errors
    /// An output error if the trace cannot be written.
    pub fn log_result(&mut self, name: &str, observation: &Observation) -> Result<()> {
        self.record(Observation { name: name.to_owned(), ..observation.clone() })
    }

    fn record(&mut self, observation: Observation) -> Result<()> {
        self.findings.take();
        self.found.take_if(|_| is_about_mechanism(&observation));
        self.trace.append(observation)
    }

    /// What an analysis or a resumed run needs to know again. The emulator is described once, in the first line.
    fn extra_fields(&self) -> Map<String, Value> {
        let Settings { tpm, rpm, seed, .. } = self.settings;
        let fields = [("tpm", tpm), ("rpm", rpm), ("seed", Some(seed))];
        let emulator = self.enforced().filter(|_| self.trace.observations().is_empty());
        let emulator = emulator.and_then(|config| serde_json::to_value(config).ok());
        fields
            .into_iter()
            .filter_map(|(name, number)| Some((name, number?.into())))
            .chain(emulator.map(|config| (EMBEDDED, config)))
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}
