//! What notebook cells import: the blocking tester, and two ways to make one that shows what it does.

pub use bedrock_tpm::blocking::BedrockTpmTester;
pub use bedrock_tpm::{
    Assumptions, Chart, EmulatorConfig, Error, Event, Mechanism, MechanismId, Observation, Report, Result,
    Settings, Summary, Target, Timestamp, Trace, Verdict, analyze,
};

/// Where virtual time starts: 2026-01-05, 12:00:17 UTC.
const START: Timestamp = Timestamp::from_nanos(1_767_614_417_000_000_000);
/// A minute of the emulator lasts this part of a real one.
const EMULATOR_SCALE: u32 = 60;
/// A wait shorter than this is not announced, in real seconds.
const SHORT_WAIT_S: f64 = 2.0;

/// A tester on an emulator that enforces `mechanism` with `tpm` tokens per minute; a minute lasts a second.
///
/// # Errors
/// A usage error if `tpm` is out of range.
pub fn on_emulator(mechanism: MechanismId, tpm: u64) -> Result<BedrockTpmTester> {
    let settings = Settings { tpm: Some(tpm), time_scale: EMULATOR_SCALE, ..Settings::default() };
    let tester = BedrockTpmTester::emulated(enforcing(mechanism, tpm), settings)?;
    Ok(shown(tester, f64::from(EMULATOR_SCALE)))
}

/// As [`on_emulator`], in virtual time: waits take no time, and the same cells show the same.
///
/// # Errors
/// A usage error if `tpm` is out of range.
pub fn in_virtual_time(mechanism: MechanismId, tpm: u64) -> Result<BedrockTpmTester> {
    let settings = Settings { tpm: Some(tpm), ..Settings::default() };
    let tester = BedrockTpmTester::simulated(enforcing(mechanism, tpm), START, settings)?;
    Ok(shown(tester, f64::INFINITY))
}

fn enforcing(mechanism: MechanismId, tpm: u64) -> EmulatorConfig {
    EmulatorConfig {
        tokens: Some(Mechanism::per_minute(mechanism, tpm)),
        seed: 1,
        ..EmulatorConfig::default()
    }
}

/// A tester on real AWS that never spends more than `budget_tokens` tokens and keeps its trace in `trace`, which is
/// continued if it exists. Credentials come from the default chain.
///
/// # Errors
/// A setup error, with its remedy, if there are no credentials; a trace error if the trace cannot be used.
pub fn on_aws(
    region: &str,
    model: &str,
    tpm: u64,
    budget_tokens: u64,
    trace: &str,
) -> Result<BedrockTpmTester> {
    let settings = Settings {
        model: model.into(),
        tpm: Some(tpm),
        budget_tokens: Some(budget_tokens),
        resume: std::path::Path::new(trace).exists(),
        trace: Some(trace.into()),
        ..Settings::default()
    };
    let target = Target::Aws { region: Some(region.into()) };
    BedrockTpmTester::connect(target, settings).map(|tester| shown(tester, 1.0))
}

/// A line for each request and each wait, where time passes `speed` times faster than for the reader: a cell cannot update
/// a line in place.
#[expect(clippy::print_stdout, reason = "a cell shows what is printed")]
fn shown(mut tester: BedrockTpmTester, speed: f64) -> BedrockTpmTester {
    let mut last = String::new();
    tester.on_event(move |event| match event {
        Event::Phase(phase) if *phase == last => {}
        Event::Phase(phase) => {
            println!("{phase}");
            last.clone_from(phase);
        }
        Event::Waiting { from, until } => {
            let seconds = until.seconds_since(*from) / speed;
            if seconds >= SHORT_WAIT_S {
                println!("  waiting {seconds:.0} s, until {}", until.clock_text());
            }
        }
        Event::Observed(observation) => println!("  {observation}"),
    });
    tester
}
