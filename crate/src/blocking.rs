//! The same tester without async, for notebooks and scripts.
//!
//! One runtime serves every tester of the process. In a notebook it must outlive the cell that made the tester, so
//! cells share it through one dynamic library.

use std::future::Future;
use std::path::Path;
use std::sync::LazyLock;

use tokio::runtime::Runtime;

use crate::{
    Chart, EmulatorConfig, Error, Event, Observation, Result, Settings, Summary, Target, Timestamp, Trace,
    Verdict, protocol,
};

static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(Runtime::new);

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match &*RUNTIME {
        Ok(runtime) => runtime.block_on(future),
        Err(cause) => Err(Error::setup(format!(
            "cannot start the threads that requests run on; end other programs and restart: {cause}"
        ))),
    }
}

/// [`crate::BedrockTpmTester`] with blocking calls.
pub struct BedrockTpmTester(crate::BedrockTpmTester);

impl BedrockTpmTester {
    /// See [`crate::BedrockTpmTester::connect`].
    ///
    /// # Errors
    /// As there.
    pub fn connect(target: Target, settings: Settings) -> Result<Self> {
        block_on(crate::BedrockTpmTester::connect(target, settings)).map(Self)
    }

    /// See [`crate::BedrockTpmTester::emulated`].
    ///
    /// # Errors
    /// As there.
    pub fn emulated(emulator: EmulatorConfig, settings: Settings) -> Result<Self> {
        block_on(crate::BedrockTpmTester::emulated(emulator, settings)).map(Self)
    }

    /// See [`crate::BedrockTpmTester::on_event`].
    pub fn on_event(&mut self, listener: impl FnMut(&Event) + Send + 'static) {
        self.0.on_event(listener);
    }

    /// See [`crate::BedrockTpmTester::begin_phase`].
    pub fn begin_phase(&mut self, phase: &str) {
        self.0.begin_phase(phase);
    }

    /// See [`crate::BedrockTpmTester::wait_until_second`].
    ///
    /// # Errors
    /// As there.
    pub fn wait_until_second(&mut self, second: u32) -> Result<Timestamp> {
        block_on(self.0.wait_until_second(second))
    }

    /// See [`crate::BedrockTpmTester::consume_tpm_quota`].
    ///
    /// # Errors
    /// As there.
    pub fn consume_tpm_quota(&mut self, total_tokens: u64, chunk_tokens: u64) -> Result<Vec<Observation>> {
        block_on(self.0.consume_tpm_quota(total_tokens, chunk_tokens))
    }

    /// See [`crate::BedrockTpmTester::make_bedrock_request`].
    ///
    /// # Errors
    /// As there.
    pub fn make_bedrock_request(&mut self, tokens: u64) -> Result<Observation> {
        block_on(self.0.make_bedrock_request(tokens))
    }

    /// Runs the whole classic protocol, or what a resumed trace has left of it.
    ///
    /// # Errors
    /// As [`protocol::Schedule::run`].
    pub fn run_classic(&mut self) -> Result<()> {
        let phases = protocol::classic(self.0.settings().tpm, self.0.settings().rpm)?;
        let schedule = protocol::Schedule::new(phases, self.0.trace(), self.0.clock().now());
        block_on(schedule.run(&mut self.0))
    }

    /// See [`crate::BedrockTpmTester::log_result`].
    ///
    /// # Errors
    /// As there.
    pub fn log_result(&mut self, name: &str, observation: &Observation) -> Result<()> {
        self.0.log_result(name, observation)
    }

    /// See [`crate::BedrockTpmTester::summary`].
    pub fn summary(&self) -> Summary {
        self.0.summary()
    }

    /// See [`crate::BedrockTpmTester::verdict`].
    pub fn verdict(&self) -> Verdict {
        self.0.verdict()
    }

    /// See [`crate::BedrockTpmTester::chart`].
    pub fn chart(&self) -> Chart {
        self.0.chart()
    }

    /// See [`crate::BedrockTpmTester::save_report`].
    ///
    /// # Errors
    /// As there.
    pub fn save_report(&self, path: impl AsRef<Path>) -> Result<()> {
        self.0.save_report(path)
    }

    /// See [`crate::BedrockTpmTester::trace`].
    pub fn trace(&self) -> &Trace {
        self.0.trace()
    }

    /// See [`crate::BedrockTpmTester::enforced`].
    pub fn enforced(&self) -> Option<EmulatorConfig> {
        self.0.enforced()
    }
}
