use std::collections::HashMap;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use bedrock_tpm::blocking::BedrockTpmTester;
use bedrock_tpm::{
    Assumptions, EMBEDDED, EmulatorConfig, Error, Mechanism, MechanismId, Result, Settings, Target, Throttle,
    Timestamp, Trace,
};
use serde::Deserialize;

use crate::show::with_progress;

/// Where virtual time starts: 2026-01-05, 12:00:17 UTC.
const START: Timestamp = Timestamp::from_nanos(1_767_614_417_000_000_000);
/// A minute of the emulator lasts this part of a real one.
const EMULATOR_SCALE: u32 = 60;

/// How a tester begins.
#[derive(Deserialize)]
#[serde(tag = "on", rename_all = "snake_case")]
pub enum Start {
    /// An emulator of its own.
    Emulator { mechanism: String, tpm: u64, is_virtual: bool, trace: Option<String> },
    /// Real AWS.
    Aws { region: String, model: String, tpm: u64, budget_tokens: u64, trace: String },
    /// The emulator of a trace, from where the trace ends.
    Resumed { trace: String },
}

#[derive(Default)]
struct Testers {
    count: u64,
    open: HashMap<u64, BedrockTpmTester>,
}

static TESTERS: LazyLock<Mutex<Testers>> = LazyLock::new(Mutex::default);
/// Few and small: they stay until the kernel ends.
static THROTTLES: Mutex<Vec<Throttle>> = Mutex::new(Vec::new());

/// A panic in a call leaves the testers as they were.
fn testers() -> MutexGuard<'static, Testers> {
    TESTERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number for a new tester.
pub fn open(start: Start) -> Result<u64> {
    let tester = start.tester()?;
    let mut testers = testers();
    testers.count += 1;
    let number = testers.count;
    testers.open.insert(number, tester);
    Ok(number)
}

/// The tester of this number is not needed any more.
pub fn close(number: u64) {
    testers().open.remove(&number);
}

fn throttles() -> MutexGuard<'static, Vec<Throttle>> {
    THROTTLES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number for a throttle.
pub fn keep(throttle: Throttle) -> usize {
    let mut throttles = throttles();
    throttles.push(throttle);
    throttles.len() - 1
}

/// The throttle of this number.
pub fn throttle(number: usize) -> Result<Throttle> {
    let throttle = throttles().get(number).cloned();
    throttle.ok_or_else(|| Error::usage("this throttle is gone; run the cell that made it again"))
}

/// What `call` makes of the tester of this number.
pub fn with_tester<T>(number: u64, call: impl FnOnce(&mut BedrockTpmTester) -> Result<T>) -> Result<T> {
    match testers().open.get_mut(&number) {
        Some(tester) => call(tester),
        None => Err(Error::usage("this tester is gone; run the configuration cell again")),
    }
}

impl Start {
    fn tester(self) -> Result<BedrockTpmTester> {
        match self {
            Self::Emulator { mechanism, tpm, is_virtual, trace } => {
                let id = MechanismId::ALL.into_iter().find(|id| id.id() == mechanism);
                let id = id.ok_or_else(|| Error::usage(format!("no mechanism is called {mechanism}")))?;
                let tokens = Some(Mechanism::per_minute(id, tpm));
                let emulator = EmulatorConfig { tokens, seed: 1, ..EmulatorConfig::default() };
                trace.as_deref().map_or(Ok(()), make_room)?;
                let trace = trace.map(Into::into);
                let settings = Settings { tpm: Some(tpm), trace, ..Settings::default() };
                emulated(emulator, settings, is_virtual.then_some(START))
            }
            Self::Aws { region, model, tpm, budget_tokens, trace } => {
                let settings = Settings {
                    model,
                    tpm: Some(tpm),
                    budget_tokens: Some(budget_tokens),
                    resume: Path::new(&trace).exists(),
                    trace: Some(trace.into()),
                    ..Settings::default()
                };
                let target = Target::Aws { region: Some(region) };
                BedrockTpmTester::connect(target, settings).map(|tester| with_progress(tester, 1.0))
            }
            Self::Resumed { trace } => resumed(&trace),
        }
    }
}

/// In virtual time from `start` on, or else a minute in a second.
fn emulated(
    emulator: EmulatorConfig,
    settings: Settings,
    start: Option<Timestamp>,
) -> Result<BedrockTpmTester> {
    match start {
        Some(start) => {
            let tester = BedrockTpmTester::simulated(emulator, start, settings)?;
            Ok(with_progress(tester, f64::INFINITY))
        }
        None => {
            let settings = Settings { time_scale: EMULATOR_SCALE, ..settings };
            let tester = BedrockTpmTester::emulated(emulator, settings)?;
            Ok(with_progress(tester, f64::from(EMULATOR_SCALE)))
        }
    }
}

/// The trace of an earlier run on an emulator cost nothing and gives way; any other is kept.
fn make_room(path: &str) -> Result<()> {
    if !Path::new(path).exists() {
        return Ok(());
    }
    let is_emulated = |trace: &Trace| trace.observations().iter().all(|seen| seen.endpoint == EMBEDDED);
    if Trace::resume(path).is_ok_and(|trace| is_emulated(&trace)) {
        return std::fs::remove_file(path).map_err(|cause| {
            Error::output(format!("cannot replace the trace {path}; name another file: {cause}"))
        });
    }
    Err(Error::usage(format!("{path} is not the trace of an emulator, so it is kept; name another file")))
}

fn resumed(path: &str) -> Result<BedrockTpmTester> {
    let trace = Trace::resume(path)?;
    let Some(last) = trace.observations().last() else {
        return Err(Error::usage(format!("{path} holds no request yet; run the configuration cell again")));
    };
    let Some(emulator) = trace.emulator() else {
        return Err(Error::usage(format!(
            "{path} is not the trace of an emulator; on_aws(...) with the same file goes on with a trace of AWS"
        )));
    };
    let noted = Assumptions::noted(trace.observations());
    let settings = Settings {
        model: last.model.clone(),
        tpm: noted.tpm,
        rpm: noted.rpm,
        seed: noted.seed,
        trace: Some(path.into()),
        resume: true,
        ..Settings::default()
    };
    let start = (last.time_scale == 1).then_some(last.finished);
    emulated(emulator, settings, start)
}
