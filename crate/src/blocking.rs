//! The same tester without async, for notebooks and scripts.
//!
//! One runtime serves every tester of the process, but those in virtual time, which have one each. In a notebook it must
//! outlive the cell that made the tester, so cells share it through one dynamic library.

use std::future::Future;
use std::path::Path;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

use crate::{
    Chart, Clock, EmulatorConfig, Error, Event, Observation, Result, Settings, Summary, Target, Throttle,
    Timestamp, Trace, Verdict, protocol,
};

static SHARED: LazyLock<std::io::Result<Runtime>> = LazyLock::new(Runtime::new);

fn block_on<T>(own: Option<&Runtime>, future: impl Future<Output = Result<T>>) -> Result<T> {
    match own {
        Some(runtime) => runtime.block_on(future),
        None => SHARED.as_ref().map_err(unstartable)?.block_on(future),
    }
}

fn unstartable(cause: impl std::fmt::Display) -> Error {
    Error::setup(format!(
        "cannot start the threads that requests run on; end other programs and restart: {cause}"
    ))
}

/// [`crate::BedrockTpmTester`] with blocking calls.
pub struct BedrockTpmTester {
    tester: crate::BedrockTpmTester,
    /// The one of virtual time, which nobody else may move on.
    runtime: Option<Runtime>,
    /// The longest that a call may take, in seconds of the endpoint's time.
    limit_s: Option<f64>,
}

impl BedrockTpmTester {
    /// See [`crate::BedrockTpmTester::connect`].
    ///
    /// # Errors
    /// As there.
    pub fn connect(target: Target, settings: Settings) -> Result<Self> {
        let tester = block_on(None, crate::BedrockTpmTester::connect(target, settings))?;
        Ok(Self { tester, runtime: None, limit_s: None })
    }

    /// See [`crate::BedrockTpmTester::emulated`].
    ///
    /// # Errors
    /// As there.
    pub fn emulated(emulator: EmulatorConfig, settings: Settings) -> Result<Self> {
        let tester = block_on(None, crate::BedrockTpmTester::emulated(emulator, settings))?;
        Ok(Self { tester, runtime: None, limit_s: None })
    }

    /// See [`crate::BedrockTpmTester::simulated`]; in virtual time from `start` on, so waits take no time, and the same
    /// seeds and calls give the same observations.
    ///
    /// # Errors
    /// As there.
    pub fn simulated(emulator: EmulatorConfig, start: Timestamp, settings: Settings) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.map_err(unstartable)?;
        let simulated =
            async { crate::BedrockTpmTester::simulated(emulator, Clock::virtual_from(start), settings) };
        Ok(Self { tester: runtime.block_on(simulated)?, runtime: Some(runtime), limit_s: None })
    }

    /// See [`crate::BedrockTpmTester::on_event`].
    pub fn on_event(&mut self, listener: impl FnMut(&Event) + Send + 'static) {
        self.tester.on_event(listener);
    }

    /// Each call from now on ends after `seconds` seconds of the endpoint's time at the latest, with a stopped error: what
    /// was observed stays in the trace, and the same call goes on. `None`: no limit.
    pub fn stop_after(&mut self, seconds: Option<f64>) {
        self.limit_s = seconds;
    }

    fn limited(&mut self) -> (&mut crate::BedrockTpmTester, Option<&Runtime>) {
        let now = self.tester.clock().now();
        self.tester.stop_at(self.limit_s.map(|limit_s| now.plus_seconds(limit_s)));
        (&mut self.tester, self.runtime.as_ref())
    }

    /// See [`crate::BedrockTpmTester::begin_phase`].
    pub fn begin_phase(&mut self, phase: &str) {
        self.tester.begin_phase(phase);
    }

    /// See [`crate::BedrockTpmTester::wait_until_second`].
    ///
    /// # Errors
    /// As there.
    pub fn wait_until_second(&mut self, second: u32) -> Result<Timestamp> {
        let (tester, runtime) = self.limited();
        block_on(runtime, tester.wait_until_second(second))
    }

    /// See [`crate::BedrockTpmTester::consume_tpm_quota`].
    ///
    /// # Errors
    /// As there.
    pub fn consume_tpm_quota(&mut self, total_tokens: u64, chunk_tokens: u64) -> Result<Vec<Observation>> {
        let (tester, runtime) = self.limited();
        block_on(runtime, tester.consume_tpm_quota(total_tokens, chunk_tokens))
    }

    /// See [`crate::BedrockTpmTester::make_bedrock_request`].
    ///
    /// # Errors
    /// As there.
    pub fn make_bedrock_request(&mut self, tokens: u64) -> Result<Observation> {
        let (tester, runtime) = self.limited();
        block_on(runtime, tester.make_bedrock_request(tokens))
    }

    /// Runs the whole classic protocol, or what a resumed trace has left of it.
    ///
    /// # Errors
    /// As [`protocol::Schedule::run`].
    pub fn run_classic(&mut self) -> Result<()> {
        let (tester, runtime) = self.limited();
        let phases = protocol::classic(tester.settings().tpm, tester.settings().rpm)?;
        block_on(runtime, async {
            protocol::Schedule::new(phases, tester.trace(), tester.clock().now()).run(tester).await
        })
    }

    /// Runs the adaptive protocol; what was observed before counts.
    ///
    /// # Errors
    /// As [`protocol::Adaptive::new`] and [`protocol::Adaptive::run`].
    pub fn run_adaptive(&mut self) -> Result<()> {
        let (tester, runtime) = self.limited();
        block_on(runtime, async {
            protocol::Adaptive::new(tester.settings(), tester.clock().now())?.run(tester).await
        })
    }

    /// See [`crate::BedrockTpmTester::throttle`].
    ///
    /// # Errors
    /// As there.
    pub fn throttle(&self) -> Result<Throttle> {
        self.tester.throttle()
    }

    /// See [`crate::BedrockTpmTester::send_for`].
    ///
    /// # Errors
    /// As there.
    pub fn send_for(
        &mut self,
        minutes: f64,
        tokens: u64,
        throttle: Option<&Throttle>,
    ) -> Result<Vec<Observation>> {
        let (tester, runtime) = self.limited();
        block_on(runtime, tester.send_for(minutes, tokens, throttle))
    }

    /// See [`crate::BedrockTpmTester::log_result`].
    ///
    /// # Errors
    /// As there.
    pub fn log_result(&mut self, name: &str, observation: &Observation) -> Result<()> {
        self.tester.log_result(name, observation)
    }

    /// See [`crate::BedrockTpmTester::summary`].
    pub fn summary(&self) -> Summary {
        self.tester.summary()
    }

    /// See [`crate::BedrockTpmTester::verdict`].
    pub fn verdict(&self) -> Verdict {
        self.tester.verdict()
    }

    /// See [`crate::BedrockTpmTester::chart`].
    pub fn chart(&self) -> Chart {
        self.tester.chart()
    }

    /// See [`crate::BedrockTpmTester::save_report`].
    ///
    /// # Errors
    /// As there.
    pub fn save_report(&self, path: impl AsRef<Path>) -> Result<()> {
        self.tester.save_report(path)
    }

    /// See [`crate::BedrockTpmTester::trace`].
    pub fn trace(&self) -> &Trace {
        self.tester.trace()
    }

    /// See [`crate::BedrockTpmTester::enforced`].
    pub fn enforced(&self) -> Option<EmulatorConfig> {
        self.tester.enforced()
    }
}
