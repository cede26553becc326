//! The instrument: paced requests that are watched, recorded and judged.

mod padding;
mod settings;
mod summary;

pub use settings::Settings;
pub use summary::{PhaseSummary, Summary};

use std::path::Path;
use std::sync::Arc;

use padding::Padding;

use serde_json::{Map, Value};

use crate::{
    Assumptions, Chart, Clock, Diagnosis, Emulator, EmulatorConfig, EmulatorServer, Endpoint, Error,
    Observation, Outcome, Report, Request, Response, Result, Target, Timestamp, Trace, Verdict, analyze,
    trace::without_account_ids,
};

/// What the tester is doing, for callers that show progress.
#[derive(Clone, Debug)]
pub enum Event {
    /// A phase begins.
    Phase(String),
    /// Nothing is sent until this instant.
    Waiting {
        /// When the wait began.
        from: Timestamp,
        /// When it ends.
        until: Timestamp,
    },
    /// A request has ended and is in the trace.
    Observed(Box<Observation>),
}

/// The endpoint's name in the trace of a tester that brought its own emulator.
pub const EMBEDDED: &str = "emulator";

/// A wait for a second that has begun this recently is over, in seconds.
const LATENESS_S: f64 = crate::LATE_AFTER_S;
/// The largest probe where a quota of requests is measured, in tokens.
const LARGEST_FOR_REQUESTS: u64 = 32;
/// The largest probe where nothing is known of the quota, in tokens.
const LARGEST_UNKNOWN: u64 = 10_000;
/// No model on Bedrock takes more tokens than this in one request.
pub(crate) const LARGEST_REQUEST_TOKENS: u64 = 1_000_000;
/// A protocol is given up after so many failures in a row.
const FAILURES_IN_A_ROW: usize = 3;

type Listener = Box<dyn FnMut(&Event) + Send>;

/// Sends requests of known size at known instants, records what becomes of them, and says what that shows.
///
/// Every observation is on disk before the next request leaves, so whatever happens, the trace is kept.
///
/// # Example
/// On the embedded emulator, a minute in a second:
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use bedrock_tpm::{BedrockTpmTester, EmulatorConfig, Mechanism, MechanismId, Settings};
///
/// let bucket = Mechanism::per_minute(MechanismId::TokenBucket, 8_000);
/// let emulator = EmulatorConfig { tokens: Some(bucket), ..Default::default() };
/// let settings = Settings { time_scale: 600, tpm: Some(8_000), ..Default::default() };
/// let mut tester = BedrockTpmTester::emulated(emulator, settings).await?;
///
/// tester.wait_until_second(35).await?;
/// tester.consume_tpm_quota(10_000, 1_000).await?;
/// let probe = tester.make_bedrock_request(500).await?;
/// tester.log_result("right after", &probe)?;
/// println!("{}", tester.summary());
/// # Ok::<(), bedrock_tpm::Error>(())
/// # }).unwrap();
/// ```
pub struct BedrockTpmTester {
    endpoint: Endpoint,
    clock: Clock,
    settings: Settings,
    trace: Trace,
    padding: Padding,
    phase: String,
    scheduled: Option<Timestamp>,
    address: String,
    /// The most that was spent so far.
    spent: u64,
    /// How often requests have failed in a row, and what to do about the last.
    failing: Option<(usize, Diagnosis)>,
    listener: Option<Listener>,
    emulator: Option<(Arc<Emulator>, Option<EmulatorServer>)>,
}

impl BedrockTpmTester {
    /// A tester for AWS or for any Bedrock-compatible endpoint.
    ///
    /// # Errors
    /// A usage error if the settings are out of range; a setup error, with its remedy, if there are no credentials or
    /// no Region; a trace or output error if the trace cannot be used.
    pub async fn connect(target: Target, settings: Settings) -> Result<Self> {
        let settings = settings.validated()?;
        let clock = Clock::scaled(settings.time_scale)?;
        let endpoint = Endpoint::connect(&target, settings.timeouts, clock).await?;
        Self::new(endpoint, clock, settings, None)
    }

    /// A tester for an emulator of its own, over HTTP on a free loopback port.
    ///
    /// # Errors
    /// A usage error if the settings or the emulator's are out of range; a trace or output error if the trace cannot
    /// be used.
    pub async fn emulated(emulator: EmulatorConfig, settings: Settings) -> Result<Self> {
        let settings = settings.validated()?;
        let clock = Clock::scaled(settings.time_scale)?;
        let emulator = Arc::new(Emulator::new(emulator, clock)?);
        let server = EmulatorServer::on_loopback(emulator.clone(), 0)?;
        let target = Target::Url { url: server.url().to_owned(), region: None };
        let endpoint = Endpoint::connect(&target, settings.timeouts, clock).await?;
        Self::new(endpoint, clock, settings, Some((emulator, Some(server))))
    }

    /// A tester for an emulator in the same process, without HTTP, on any clock: a virtual one needs no time at all.
    ///
    /// # Errors
    /// As [`emulated`](Self::emulated).
    pub fn simulated(emulator: EmulatorConfig, clock: Clock, settings: Settings) -> Result<Self> {
        let emulator = Arc::new(Emulator::new(emulator, clock)?);
        let endpoint = Endpoint::simulated(emulator.clone());
        Self::new(endpoint, clock, settings.validated()?, Some((emulator, None)))
    }

    fn new(
        endpoint: Endpoint,
        clock: Clock,
        settings: Settings,
        emulator: Option<(Arc<Emulator>, Option<EmulatorServer>)>,
    ) -> Result<Self> {
        let trace = settings.open_trace()?;
        let address = if emulator.is_some() { EMBEDDED } else { endpoint.name() }.to_owned();
        let tester = Self {
            endpoint,
            clock,
            settings,
            phase: trace.observations().last().map_or("requests".into(), |last| last.phase.clone()),
            scheduled: None,
            address,
            spent: trace
                .observations()
                .iter()
                .map(|o| spent(o, Padding::at_most_unmeasured(o.tokens_estimated)))
                .sum(),
            trace,
            padding: Padding::default(),
            failing: None,
            listener: None,
            emulator,
        };
        tester.check_continues()?;
        tester.restore_emulator();
        Ok(tester)
    }

    /// An emulator that starts anew forgets what a resumed run has used; it is told again.
    fn restore_emulator(&self) {
        let Some((emulator, _)) = &self.emulator else { return };
        for observation in self.trace.observations().iter().filter(|o| o.outcome().is_admitted()) {
            emulator.charge(observation.sent, observation.settled(1).unwrap_or(observation.tokens_estimated));
        }
    }

    /// A trace is of one quota, so a run that goes on with it must send to the same.
    fn check_continues(&self) -> Result<()> {
        let Some(last) = self.trace.observations().last() else { return Ok(()) };
        let pairs = [
            ("model", last.model.clone(), without_account_ids(&self.settings.model)),
            ("Region", last.region.clone(), self.endpoint.region().to_owned()),
            ("endpoint", last.endpoint.clone(), self.address.clone()),
            ("time scale", last.time_scale.to_string(), self.clock.scale().to_string()),
        ];
        if let Some((what, theirs, ours)) = pairs.into_iter().find(|(_, theirs, ours)| theirs != ours) {
            return Err(Error::usage(format!(
                "the trace is of {what} {theirs}, not {ours}; resume with the same, or begin a new trace"
            )));
        }
        if last.finished > self.clock.now() {
            return Err(Error::usage(format!(
                "the trace ends at {}, which is still to come (scaled time starts over at midnight UTC); begin a new \
                 trace",
                last.finished
            )));
        }
        Ok(())
    }

    /// Calls `listener` with everything that happens from now on.
    pub fn on_event(&mut self, listener: impl FnMut(&Event) + Send + 'static) {
        self.listener = Some(Box::new(listener));
    }

    /// Names the phase that the next requests belong to.
    pub fn begin_phase(&mut self, phase: &str) {
        self.phase = phase.to_owned();
        self.emit(&Event::Phase(phase.to_owned()));
    }

    /// Waits until the clock reads `second` seconds past a full minute, 0 to 59; returns at once if it is that second
    /// now. The next request counts as scheduled for that instant.
    ///
    /// # Errors
    /// A usage error if `second` is out of range.
    pub async fn wait_until_second(&mut self, second: u32) -> Result<Timestamp> {
        if second > 59 {
            return Err(Error::usage(format!("second {second} is out of range: use 0 to 59")));
        }
        let now = self.clock.now();
        let until = now.plus_seconds(-LATENESS_S).next_second(f64::from(second));
        self.wait_until(until).await;
        Ok(until)
    }

    /// Waits until `until`, and schedules the next request for that instant.
    pub async fn wait_until(&mut self, until: Timestamp) {
        let from = self.clock.now();
        if from < until {
            self.emit(&Event::Waiting { from, until });
            self.clock.sleep_until(until).await;
        }
        self.scheduled = Some(until);
    }

    /// Sends requests of `chunk_tokens` tokens each, back to back, until `total_tokens` tokens were admitted or a
    /// request was throttled. Returns what was observed.
    ///
    /// # Errors
    /// A usage error if a number is zero, or a chunk is larger than the total or than the stated quota, which no
    /// waiting could ever admit; a setup error if the endpoint keeps failing; else as
    /// [`make_bedrock_request`](Self::make_bedrock_request).
    pub async fn consume_tpm_quota(
        &mut self,
        total_tokens: u64,
        chunk_tokens: u64,
    ) -> Result<Vec<Observation>> {
        if chunk_tokens == 0 || chunk_tokens > total_tokens {
            return Err(Error::usage(format!(
                "a chunk of {chunk_tokens} tokens does not fit a total of {total_tokens}: use 1 to {total_tokens}"
            )));
        }
        let mut observed: Vec<Observation> = Vec::new();
        let mut admitted = 0;
        while admitted < total_tokens {
            let observation = self.make_bedrock_request(chunk_tokens).await?;
            let outcome = observation.outcome();
            if outcome.is_admitted() {
                admitted += observation.reserved();
            }
            observed.push(observation);
            if outcome.is_throttled() {
                break;
            }
            self.give_up_on_failures()?;
        }
        Ok(observed)
    }

    /// A setup error with the remedy if the last few requests all failed.
    pub(crate) fn give_up_on_failures(&self) -> Result<()> {
        match &self.failing {
            Some((count, Diagnosis { what, remedy })) if *count >= FAILURES_IN_A_ROW => {
                Err(Error::setup(format!("{count} requests failed in a row: {what}; {remedy}")))
            }
            _ => Ok(()),
        }
    }

    /// Sends one request that reserves about `tokens` tokens, `max_tokens` included, and records what becomes of it.
    /// Being throttled is an outcome, not an error.
    ///
    /// # Errors
    /// A usage error if `tokens` is zero, more than the stated quota or more than 1,000,000; a budget error if the request might pass the
    /// token budget; an output error if the trace cannot be written.
    pub async fn make_bedrock_request(&mut self, tokens: u64) -> Result<Observation> {
        let scheduled = self.scheduled.take();
        let max_tokens = self.settings.max_tokens;
        self.check_size(tokens)?;
        let words = self.padding.words(tokens.saturating_sub(u64::from(max_tokens)));
        let tokens_estimated = self.padding.estimate(words) + u64::from(max_tokens);
        let tokens_at_most = self.padding.at_most(words) + u64::from(max_tokens);
        self.check_budget(tokens_at_most)?;
        let request =
            Request { model: self.settings.model.clone(), prompt: Padding::prompt(words), max_tokens };
        let response = self.endpoint.send(&request).await;
        if let Some(usage) = response.usage {
            self.padding.learn(words, usage.input_tokens);
        }
        let diagnosis = self.endpoint.diagnose(&self.settings.model, &response);
        let observation = self.observation(response, scheduled, tokens_estimated);
        self.spent += spent(&observation, tokens_at_most);
        self.failing = diagnosis
            .filter(|_| observation.outcome() == Outcome::Failed)
            .map(|diagnosis| (1 + self.failing.as_ref().map_or(0, |(count, _)| *count), diagnosis));
        let written = self.trace.append(observation.clone());
        self.emit(&Event::Observed(Box::new(observation.clone())));
        written.map(|()| observation)
    }

    fn check_size(&self, tokens: u64) -> Result<()> {
        match self.settings.tpm {
            _ if tokens == 0 => Err(Error::usage("a request of 0 tokens is not possible; use 1 or more")),
            _ if tokens > LARGEST_REQUEST_TOKENS => Err(Error::usage(format!(
                "a request of {tokens} tokens is more than any model on Bedrock takes; use {LARGEST_REQUEST_TOKENS} or \
                 fewer"
            ))),
            Some(tpm) if tokens > tpm => Err(Error::usage(format!(
                "a request of {tokens} tokens can never be admitted by a quota of {tpm} tokens per minute; use {tpm} \
                 or fewer"
            ))),
            _ => Ok(()),
        }
    }

    fn check_budget(&self, next: u64) -> Result<()> {
        let Some(budget) = self.settings.budget_tokens else { return Ok(()) };
        let spent = self.spent;
        if spent + next <= budget {
            return Ok(());
        }
        Err(Error::budget(format!(
            "the next request might use {next} tokens, and {spent} of the budget of {budget} are spent; raise \
             --budget-tokens to go on"
        )))
    }

    /// The largest probe that is sensible: the stated quota, a small one for a quota of requests, or else a twentieth
    /// of the token budget.
    pub(crate) fn largest_probe(&self) -> u64 {
        let largest = match self.settings {
            Settings { tpm: Some(tpm), .. } => tpm,
            Settings { rpm: Some(_), .. } => LARGEST_FOR_REQUESTS,
            Settings { budget_tokens: Some(budget), .. } => budget / 20,
            _ => LARGEST_UNKNOWN,
        };
        largest.min(LARGEST_REQUEST_TOKENS)
    }

    /// Tokens spent so far, where every request counts that may have been charged.
    pub fn spent_at_most(&self) -> u64 {
        self.spent
    }

    fn observation(
        &self,
        response: Response,
        scheduled: Option<Timestamp>,
        tokens_estimated: u64,
    ) -> Observation {
        let number = 1 + self.trace.observations().iter().filter(|o| o.phase == self.phase).count();
        Observation {
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
            model: without_account_ids(&self.settings.model),
            region: self.endpoint.region().to_owned(),
            endpoint: self.address.clone(),
            time_scale: self.clock.scale(),
            hidden_retries: 0,
            extra: self.extra_fields(),
        }
    }

    /// Gives an observation the name under which charts and tables show it.
    ///
    /// # Errors
    /// An output error if the trace cannot be written.
    pub fn log_result(&mut self, name: &str, observation: &Observation) -> Result<()> {
        self.trace.append(Observation { name: name.to_owned(), ..observation.clone() })
    }

    /// What happened so far, by phase.
    pub fn summary(&self) -> Summary {
        Summary::of(self.trace.observations())
    }

    /// What the observations so far show.
    pub fn verdict(&self) -> Verdict {
        analyze(self.trace.observations(), &self.assumptions())
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
        Report::new(self.trace.observations(), self.verdict(), false).save(path)
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
        let Settings { tpm, rpm, confidence, seed, .. } = self.settings;
        Assumptions { tpm, rpm, confidence, seed }
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

    fn emit(&mut self, event: &Event) {
        if let Some(listener) = &mut self.listener {
            listener(event);
        }
    }
}

/// What a request was charged; if nobody says, as where it failed, `at_most`.
fn spent(observation: &Observation, at_most: u64) -> u64 {
    match observation.outcome() {
        Outcome::Throttled(_) => 0,
        Outcome::Admitted | Outcome::Failed => observation.settled(1).unwrap_or(at_most),
    }
}
