//! What `measure` prints and leaves behind. `wire.rs` has its verdicts about an emulator in another process.

use bedrock_tpm::protocol::{Adaptive, Plan, Schedule, classic};
use bedrock_tpm::{
    BedrockTpmTester, Clock, EmulatorConfig, Mechanism, MechanismId, Outcome, Settings, ThrottleMessage,
    Timestamp,
};
use bedrock_tpm_tests::{Finished, Program};
use proptest::prelude::*;
use serde_json::Value;

use super::{CLASSIC, FAILURE, INCONCLUSIVE, VERDICT};

const MECHANISMS: [&str; 7] = [
    "fixed_window",
    "anchored_window",
    "sliding_log",
    "sliding_counter",
    "token_bucket",
    "stepped_bucket",
    "exponential_decay",
];

/// Checks every field that is promised, and that the exit status says the same.
fn checked(finished: &Finished) -> Value {
    let measured = finished.json();
    let one_of = |field: &str, allowed: &[&str]| {
        let value = measured[field].as_str().unwrap();
        assert!(allowed.contains(&value), "{field}: {value}");
        value.to_owned()
    };
    one_of("binding", &["tokens", "requests", "tokens_per_day", "none", "unknown"]);
    one_of("clock_question", &["absolute", "relative", "neither", "unknown"]);
    let named = one_of("verdict", &[&MECHANISMS[..], &["inconclusive", "none_of_these"]].concat());
    let expected = if MECHANISMS.contains(&named.as_str()) { VERDICT } else { INCONCLUSIVE };
    assert_eq!(finished.status, Some(expected), "{named}");

    let ranked = measured["ranked"].as_array().unwrap();
    let probabilities: Vec<_> = ranked.iter().map(|one| one["probability"].as_f64().unwrap()).collect();
    assert!(probabilities.is_sorted_by(|a, b| a >= b), "{probabilities:?}");
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{probabilities:?}");
    assert_eq!(measured["probability"].as_f64().unwrap(), probabilities[0]);
    for one in ranked {
        let is_known = MECHANISMS.contains(&one["mechanism"].as_str().unwrap());
        assert_eq!(one["parameters"].is_object(), is_known, "{one}");
    }
    assert!(measured["spent"]["tokens"].as_u64().unwrap() > 0);
    assert!(measured["spent"]["requests"].as_u64().unwrap() > 0);
    assert!(measured["spent"]["minutes"].as_f64().unwrap() > 0.0);
    assert!(measured["warnings"].is_array());
    measured
}

/// One document, nothing else, and no wrong verdict. The seed chooses the mechanism.
async fn is_never_wrong(seed: &str, mechanism: &str) {
    let program = Program::default();
    let finished = program.run(&["--json", "--seed", seed, "--trace", "t.jsonl"]).await;
    let measured = checked(&finished);
    assert_eq!(finished.stderr, "");
    assert_eq!(measured["enforced"]["mechanism"], mechanism);
    assert_ne!(measured["enforced"]["verdict_is"], "wrong", "{measured}");
    let mut files = program.files();
    files.sort();
    assert_eq!(files, ["report.html", "t.jsonl"]);
}

#[tokio::test]
async fn fixed_window() {
    is_never_wrong("0", "fixed_window").await;
}

#[tokio::test]
async fn anchored_window() {
    is_never_wrong("1", "anchored_window").await;
}

#[tokio::test]
async fn sliding_log() {
    is_never_wrong("2", "sliding_log").await;
}

#[tokio::test]
async fn sliding_counter() {
    is_never_wrong("3", "sliding_counter").await;
}

#[tokio::test]
async fn token_bucket() {
    is_never_wrong("4", "token_bucket").await;
}

#[tokio::test]
async fn stepped_bucket() {
    is_never_wrong("5", "stepped_bucket").await;
}

#[tokio::test]
async fn a_budget_that_is_used_up_ends_the_run() {
    let program = Program::default();
    let none = program.run(&["measure", "--budget-tokens", "1", "--trace", "none.jsonl"]).await;
    none.assert_failure(FAILURE, "raise --budget-tokens");
    let some =
        program.run(&[&CLASSIC[..], &["--budget-tokens", "4000", "--trace", "some.jsonl"]].concat()).await;
    assert_eq!(some.status, Some(FAILURE), "{some:?}");
    assert!(some.stderr.contains("raise --budget-tokens"), "{some:?}");
    let spent = some.json()["spent"]["tokens"].as_u64().unwrap();
    assert!((1_000..=4_000).contains(&spent), "{spent}");

    let enough =
        program.run(&["measure", "--json", "--budget-tokens", "16000", "--trace", "enough.jsonl"]).await;
    let spent = checked(&enough)["spent"]["tokens"].as_u64().unwrap();
    assert!((1_000..=16_000).contains(&spent), "{spent}");
}

async fn ends(arguments: &[&str]) {
    let finished = Program::default().run(&[&["measure", "--json"], arguments].concat()).await;
    assert!([Some(VERDICT), Some(INCONCLUSIVE), Some(FAILURE)].contains(&finished.status), "{finished:?}");
    assert!(finished.json()["ranked"].is_array());
    assert!(!finished.stderr.contains("panicked"), "{finished:?}");
}

#[tokio::test]
async fn extreme_quotas() {
    for quotas in [&["--tpm", "48"][..], &["--tpm", "20000001", "--rpm", "2"], &["--rpm", "200"]] {
        ends(&[&["--time-scale", "3600"], quotas].concat()).await;
        ends(&[&["--protocol=classic", "--time-scale", "600"], quotas].concat()).await;
    }
}

#[tokio::test]
async fn extreme_circumstances() {
    ends(&["--time-scale", "3600", "--seed", "18446744073709551615"]).await;
    ends(&["--time-scale", "3600", "--background", "1", "--error-rate", "0.2", "--spurious-429", "1"]).await;
    ends(&["--time-scale", "3600", "--mechanism", "fixed_window", "--window-s", "604800", "--tpd", "0"])
        .await;
}

fn classic_plan(tester: &BedrockTpmTester) -> Plan {
    let phases = classic(tester.settings().tpm, None).unwrap();
    Plan::Classic(Schedule::new(phases, tester.trace(), tester.clock().now()))
}

fn adaptive_plan(tester: &BedrockTpmTester) -> Plan {
    Plan::Adaptive(Adaptive::new(tester.settings(), tester.clock().now()).unwrap())
}

/// The budget is the emulator's quota for the day: it would throttle what goes beyond.
fn is_never_passed(
    plan: fn(&BedrockTpmTester) -> Plan,
    quotas: (u64, u64),
    error_rate: f64,
    seed: u64,
) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(run_on_a_budget(plan, quotas, error_rate, seed))
}

async fn run_on_a_budget(
    plan: fn(&BedrockTpmTester) -> Plan,
    (budget, tpm): (u64, u64),
    error_rate: f64,
    seed: u64,
) -> Result<(), TestCaseError> {
    let id = MechanismId::ALL[seed as usize % MechanismId::ALL.len()];
    let emulator = EmulatorConfig {
        tokens: Some(Mechanism::per_minute(id, tpm)),
        tokens_per_day: Some(budget),
        error_rate,
        seed,
        ..EmulatorConfig::default()
    };
    let clock = Clock::virtual_from(Timestamp::EPOCH.plus_seconds(86_400.0));
    let settings = Settings { tpm: Some(tpm), budget_tokens: Some(budget), seed, ..Settings::default() };
    let mut tester = BedrockTpmTester::simulated(emulator, clock, settings).unwrap();
    let plan = plan(&tester);
    if let Err(error) = plan.run(&mut tester).await {
        prop_assert!(error.is_budget() || error.is_setup(), "{error}");
    }
    let over = tester.trace().count(|outcome| outcome == Outcome::Throttled(ThrottleMessage::TokensPerDay));
    prop_assert_eq!(over, 0);
    prop_assert!(tester.spent_at_most() <= budget);
    Ok(())
}

proptest! {
    #[test]
    fn the_classic_protocol_keeps_to_its_budget(
        budget in 1_u64..40_000, tpm in 48_u64..20_000, error_rate in 0.0..0.6, seed in any::<u64>(),
    ) {
        is_never_passed(classic_plan, (budget, tpm), error_rate, seed)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn the_adaptive_protocol_keeps_to_its_budget(
        budget in 1_000_u64..30_000, error_rate in 0.0..0.2, seed in any::<u64>(),
    ) {
        is_never_passed(adaptive_plan, (budget, 8_000), error_rate, seed)?;
    }
}
