//! A client that always has another request, as many are and with the throttle.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use bedrock_tpm::blocking::BedrockTpmTester;
use bedrock_tpm::{EmulatorConfig, GoodputChart, Mechanism, MechanismId, Observation, Settings, Timestamp};

const START: Timestamp = Timestamp::from_nanos(1_767_614_417_000_000_000);
const TPM: u64 = 8_000;
const MINUTES: f64 = 12.0;

fn tester(id: MechanismId) -> BedrockTpmTester {
    let emulator = EmulatorConfig { tokens: Some(Mechanism::per_minute(id, TPM)), ..Default::default() };
    let settings = Settings { tpm: Some(TPM), ..Default::default() };
    BedrockTpmTester::simulated(emulator, START, settings).unwrap()
}

/// Tokens admitted a minute, and requests rejected.
fn goodput(observed: &[Observation]) -> (f64, usize) {
    let admitted = observed.iter().filter(|seen| seen.outcome().is_admitted());
    let tokens: u64 = admitted.filter_map(|seen| seen.settled(1)).sum();
    let rejected = observed.iter().filter(|seen| seen.outcome().is_throttled()).count();
    (tokens as f64 / MINUTES, rejected)
}

#[test]
fn a_throttle_that_knows_the_verdict_is_not_rejected_and_uses_the_quota() {
    for id in [MechanismId::SlidingLog, MechanismId::TokenBucket, MechanismId::FixedWindow] {
        let mut tester = tester(id);
        tester.run_adaptive().unwrap();
        assert_eq!(tester.verdict().verdict.id(), id.id());
        let throttle = tester.throttle().unwrap();
        tester.begin_phase("before");
        let (before, rejected) = goodput(&tester.send_for(MINUTES, TPM / 10, None).unwrap());
        assert!(rejected > 5, "{id:?}: {rejected}");
        tester.begin_phase("after");
        let (after, rejected) = goodput(&tester.send_for(MINUTES, TPM / 10, Some(&throttle)).unwrap());
        assert_eq!(rejected, 0, "{id:?}");
        assert!(after > 0.88 * TPM as f64 && after > 0.98 * before, "{id:?}: {before} before, {after} after");
    }
}

#[test]
fn the_chart_says_what_each_phase_reached() {
    let mut tester = tester(MechanismId::SlidingLog);
    let mut said = Vec::new();
    for phase in ["before", "after"] {
        tester.begin_phase(phase);
        let (_, rejected) = goodput(&tester.send_for(2.0, TPM / 4, None).unwrap());
        said.push(format!("tokens a minute with {rejected} rejected"));
    }
    let chart = GoodputChart::new(tester.trace().observations(), &["before", "after"], Some(TPM));
    let forms = chart.forms();
    let text = &forms.last().unwrap().1;
    assert!(text.starts_with("before ") && text.contains("\nafter "), "{text}");
    assert!(said.iter().all(|said| text.contains(said)), "{said:?}: {text}");
    let svg = roxmltree::Document::parse(&forms[0].1).unwrap();
    let words: Vec<_> = svg.descendants().filter_map(|node| node.text()).map(str::trim).collect();
    assert!(words.contains(&"what the quota allows"), "{words:?}");
    assert!(chart.svg().unwrap() == chart.svg().unwrap());
}

#[test]
fn a_time_that_is_out_of_range_is_refused() {
    let refused = tester(MechanismId::SlidingLog).send_for(0.0, 100, None).unwrap_err();
    assert_eq!(refused.to_string(), "minutes 0 is out of range: use 0.1 to 1440");
}
