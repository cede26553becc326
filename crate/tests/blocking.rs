//! The tester without async.

use std::time::Duration;

use bedrock_tpm::blocking::BedrockTpmTester;
use bedrock_tpm::{EmulatorConfig, Mechanism, MechanismId, Observation, Result, Settings, Timestamp};

const NOON: Timestamp = Timestamp::from_nanos(1_752_494_400_000_000_000);

fn simulated() -> Result<BedrockTpmTester> {
    let bucket = Mechanism::per_minute(MechanismId::TokenBucket, 8_000);
    let emulator = EmulatorConfig { tokens: Some(bucket), seed: 7, ..EmulatorConfig::default() };
    let settings = Settings { tpm: Some(8_000), ..Settings::default() };
    BedrockTpmTester::simulated(emulator, NOON, settings)
}

/// Classic phases, with `pause` of real time in between.
fn observed(pause: Duration) -> Result<Vec<Observation>> {
    let mut tester = simulated()?;
    tester.wait_until_second(35)?;
    tester.consume_tpm_quota(12_000, 1_000)?;
    std::thread::park_timeout(pause);
    tester.wait_until_second(5)?;
    tester.make_bedrock_request(4_000)?;
    tester.run_classic()?;
    Ok(tester.trace().observations().to_vec())
}

#[test]
fn virtual_time_passes_in_waits_only() {
    let run = observed(Duration::ZERO).unwrap();
    assert!((35.0..35.01).contains(&run[0].sent.seconds_since(NOON)), "{}", run[0].sent);
    let (first, last) = (run[0].sent, run[run.len() - 1].sent);
    assert!(last.seconds_since(first) > 100.0, "minutes of virtual time: {first} to {last}");
    assert!(run.iter().all(|seen| seen.late_s() < 0.01), "nothing is late: {run:?}");
    assert_eq!(run, observed(Duration::from_millis(300)).unwrap(), "whatever happens between two calls");
}

#[test]
fn the_adaptive_protocol_goes_on_from_what_was_observed() {
    let mut tester = simulated().unwrap();
    tester.wait_until_second(36).unwrap();
    tester.make_bedrock_request(160).unwrap();
    tester.make_bedrock_request(7_200).unwrap();
    tester.run_adaptive().unwrap();
    let verdict = tester.verdict();
    assert_eq!(verdict.verdict.id(), "token_bucket", "{verdict}");
    let phases: Vec<_> = tester.summary().phases.into_iter().map(|row| (row.phase, row.admitted)).collect();
    assert_eq!(phases[0], ("requests".into(), 2));
}
