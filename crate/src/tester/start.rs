use std::sync::{Arc, OnceLock};

use super::destination::Destination;
use super::limits::spent_before;
use super::padding::Padding;
use super::{BedrockTpmTester, EMBEDDED, Settings};
use crate::{Clock, Emulator, EmulatorConfig, EmulatorServer, Endpoint, Error, Result, Target};

/// How a tester begins: connected, or with an emulator of its own, and possibly from a trace.
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
        Self::new(endpoint, Some(target), clock, settings, None)
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
        Self::new(endpoint, Some(target), clock, settings, Some((emulator, Some(server))))
    }

    /// A tester for an emulator in the same process, without HTTP, on any clock: a virtual one needs no time at all.
    ///
    /// # Errors
    /// As [`emulated`](Self::emulated).
    pub fn simulated(emulator: EmulatorConfig, clock: Clock, settings: Settings) -> Result<Self> {
        Self::simulated_by(Arc::new(Emulator::new(emulator, clock)?), settings)
    }

    /// As [`simulated`](Self::simulated), for an emulator that was made before, on that emulator's clock.
    ///
    /// # Errors
    /// As [`emulated`](Self::emulated).
    pub fn simulated_by(emulator: Arc<Emulator>, settings: Settings) -> Result<Self> {
        let (endpoint, clock) = (Endpoint::simulated(emulator.clone()), emulator.clock());
        Self::new(endpoint, None, clock, settings.validated()?, Some((emulator, None)))
    }

    fn new(
        endpoint: Endpoint,
        target: Option<Target>,
        clock: Clock,
        settings: Settings,
        emulator: Option<(Arc<Emulator>, Option<EmulatorServer>)>,
    ) -> Result<Self> {
        let trace = settings.open_trace()?;
        let address = if emulator.is_some() { EMBEDDED } else { endpoint.name() }.to_owned();
        let (model, padding) = (settings.model.clone(), Padding::default());
        let tester = Self {
            first: Destination { endpoint, target, address, model, padding },
            second: None,
            clock,
            settings,
            phase: trace.observations().last().map_or("requests".into(), |last| last.phase.clone()),
            scheduled: None,
            stop_at: None,
            spent: trace.observations().iter().map(spent_before).sum(),
            trace,
            found: None,
            findings: OnceLock::new(),
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
            emulator.charge(&observation.model, &observation.region, observation.sent, observation.used());
        }
    }

    /// A trace is of one quota, so a run that goes on with it must send to the same.
    fn check_continues(&self) -> Result<()> {
        let Some(last) = self.trace.last_measured() else { return Ok(()) };
        let (model, region, endpoint) = self.first.place();
        let pairs = [
            ("model", last.model.clone(), model),
            ("Region", last.region.clone(), region),
            ("endpoint", last.endpoint.clone(), endpoint),
            ("time scale", last.time_scale.to_string(), self.clock.scale().to_string()),
        ];
        if let Some((what, theirs, ours)) = pairs.into_iter().find(|(_, theirs, ours)| theirs != ours) {
            return Err(Error::usage(format!(
                "the trace is of {what} {theirs}, not {ours}; resume with the same, or begin a new trace"
            )));
        }
        let last = self.trace.observations().last().unwrap_or(last);
        if last.finished > self.clock.now() {
            return Err(Error::usage(format!(
                "the trace ends at {}, which is still to come (scaled time starts over at midnight UTC); begin a new \
                 trace",
                last.finished
            )));
        }
        Ok(())
    }
}
