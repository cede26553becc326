//! What the accounting phase finds out, on the emulator in virtual time.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use bedrock_tpm::protocol::{Adaptive, Audit};
use bedrock_tpm::{
    Accounting, Answer, Assumptions, BedrockTpmTester, Binding, Candidate, Clock, ClockAnswer, Conclusion,
    EmulatorConfig, Mechanism, MechanismId, QuotaKind, Ranked, Refund, RejectedCost, Result, Service,
    Settings, Spent, Timestamp, Verdict, account,
};
use bedrock_tpm_tests::truth::{Set, TPM};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

/// A random mechanism with random rules, at the usual noise and 5 % background.
fn truth(seed: u64) -> EmulatorConfig {
    let mut rng = StdRng::seed_from_u64(seed);
    EmulatorConfig {
        reserves: rng.random_bool(0.6),
        refund: match rng.random_range(0..3) {
            0 => Refund::AtEnd,
            1 => Refund::Never,
            _ => Refund::After(rng.random_range(8.0..40.0)),
        },
        rejected: if rng.random_bool(0.5) { RejectedCost::Nothing } else { RejectedCost::Everything },
        burndown: [1, 5, 10, 15][rng.random_range(0..4)],
        ..Set::Usual.truth(seed).emulator
    }
}

/// The right answers, in the order of the questions.
fn answers(truth: &EmulatorConfig) -> [String; 4] {
    let yes_or_no = |yes| if yes { "yes" } else { "no" };
    let refund = match truth.refund {
        _ if !truth.reserves => "nothing_reserved",
        Refund::AtEnd => "at_end",
        Refund::Never => "never",
        Refund::After(_) => "delayed",
    };
    let counts = yes_or_no(truth.rejected == RejectedCost::Everything);
    [yes_or_no(truth.reserves).into(), refund.into(), counts.into(), truth.burndown.to_string()]
}

/// A verdict that names `mechanism`, its ceiling measured to 1.5 % and its rate too.
fn named(mechanism: Mechanism, seed: u64) -> Verdict {
    let mut rng = StdRng::seed_from_u64(!seed);
    let mut parameters = json!(mechanism);
    for name in ["limit", "capacity", "refill_per_s", "time_constant_s"] {
        let mut near = |value: f64| value * rng.random_range(0.985..1.015);
        match parameters["parameters"].get_mut(name) {
            Some(Value::Number(whole)) if whole.is_u64() => {
                *whole = (near(whole.as_f64().unwrap()) as u64).into();
            }
            Some(value) => *value = json!(near(value.as_f64().unwrap())),
            None => {}
        }
    }
    Verdict {
        binding: Binding::Quota(QuotaKind::Tokens),
        besides: None,
        verdict: Conclusion::Mechanism(mechanism.id()),
        clock_question: ClockAnswer::Unknown,
        probability: 1.0,
        probability_absolute: 0.0,
        probability_relative: 0.0,
        twins: Vec::new(),
        separation: None,
        ranked: vec![Ranked {
            mechanism: Candidate::Known(mechanism.id()),
            probability: 1.0,
            parameters: serde_json::from_value(parameters).unwrap(),
            intervals: Default::default(),
            reason: String::new(),
        }],
        spent: Spent::default(),
        warnings: Vec::new(),
        summary: String::new(),
        reasons: Vec::new(),
    }
}

fn tester(truth: EmulatorConfig, seed: u64, budget_tokens: u64) -> Result<BedrockTpmTester> {
    let clock = Clock::virtual_from(Timestamp::EPOCH.plus_seconds(86_400.0 + (seed % 60) as f64));
    let settings =
        Settings { tpm: Some(TPM), seed, budget_tokens: Some(budget_tokens), ..Settings::default() };
    BedrockTpmTester::simulated(truth, clock, settings)
}

/// What is found out about a truth whose mechanism is known.
async fn audited(truth: EmulatorConfig, seed: u64, budget: u64) -> Result<(BedrockTpmTester, Accounting)> {
    let verdict = named(truth.tokens.unwrap(), seed);
    let mut tester = tester(truth, seed, budget)?;
    tester.make_bedrock_request(24).await?;
    Audit::new(tester.settings()).run(&mut tester, &verdict).await?;
    let assumptions = Assumptions { tpm: Some(TPM), seed, ..Assumptions::default() };
    let accounting = account(tester.trace().observations(), &verdict, &assumptions);
    Ok((tester, accounting))
}

/// Right, wrong and open answers.
fn count(counts: &mut [usize; 3], accounting: &Accounting, truth: &EmulatorConfig) {
    for ((_, finding), right) in accounting.findings().into_iter().zip(answers(truth)) {
        let index = match finding.answer.as_str() {
            "unknown" => 2,
            answer if answer == right => 0,
            _ => 1,
        };
        counts[index] += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn of_random_rules_most_are_found_out_and_hardly_any_wrongly() -> Result<()> {
    let mut counts = [0; 3];
    for seed in 1..=20 {
        let truth = truth(seed);
        let (_, accounting) = audited(truth.clone(), seed, 40 * TPM).await?;
        count(&mut counts, &accounting, &truth);
    }
    let [right, wrong, open] = counts;
    // 1 % of 80 answers may be wrong, and chance may double it.
    assert!(wrong <= 1 && right >= 68, "right {right}, wrong {wrong}, open {open}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_whole_measurement_finds_mechanism_and_accounting() -> Result<()> {
    let window = Mechanism::per_minute(MechanismId::FixedWindow, TPM);
    let truth = EmulatorConfig { tokens: Some(window), burndown: 5, seed: 4, ..Default::default() };
    let mut tester = tester(truth.clone(), 4, 40 * TPM)?;
    Adaptive::new(tester.settings(), tester.clock().now())?.run(&mut tester).await?;
    let before = tester.verdict();
    Audit::new(tester.settings()).run(&mut tester, &before).await?;
    let (verdict, accounting) = tester.findings();
    assert_eq!(verdict.verdict, Conclusion::Mechanism(MechanismId::FixedWindow));
    assert_eq!(verdict.ranked[0].parameters, before.ranked[0].parameters, "the audit must not confound it");
    assert_eq!(verdict.spent.requests as usize, tester.trace().observations().len());
    let accounting = accounting.unwrap();
    let found = accounting.findings().map(|(_, finding)| finding.answer.clone());
    assert_eq!(found, answers(&truth), "{accounting}");
    let json = json!(accounting);
    assert_eq!((&json["burndown"]["answer"], &json["refund"]["answer"]), (&json!("5"), &json!("at_end")));
    assert!(json["reserved"]["probability"].as_f64().unwrap() >= 0.99);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_where_nothing_was_measured() -> Result<()> {
    let window = Mechanism::per_minute(MechanismId::FixedWindow, TPM);
    let mut tester = tester(EmulatorConfig { tokens: Some(window), ..Default::default() }, 1, 40 * TPM)?;
    for _ in 0..3 {
        tester.make_bedrock_request(24).await?;
    }
    let observations = tester.trace().observations();
    let known = named(window, 1);
    let unknown = Verdict { verdict: Conclusion::Inconclusive, ..known.clone() };
    let of_requests = Verdict { binding: Binding::Quota(QuotaKind::Requests), ..known.clone() };
    for (observations, verdict) in
        [(observations, &known), (&[], &known), (observations, &unknown), (observations, &of_requests)]
    {
        let accounting = account(observations, verdict, &Assumptions::default());
        for (question, finding) in accounting.findings() {
            assert_eq!(finding.answer, "unknown", "{question} {}", finding.sentence);
            assert!(finding.sentence.starts_with("cannot tell, because "), "{}", finding.sentence);
        }
    }
    assert!(tester.findings().1.is_none());
    Audit::new(tester.settings()).run(&mut tester, &of_requests).await?;
    assert_eq!(tester.trace().observations().len(), 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_budget_holds_even_where_output_costs_the_most() -> Result<()> {
    let bucket = Mechanism::per_minute(MechanismId::TokenBucket, TPM);
    let truth = EmulatorConfig { tokens: Some(bucket), burndown: 15, seed: 3, ..Default::default() };
    for budget in [2_000, 9_000, 20_000] {
        let (tester, _) = audited(truth.clone(), 3, budget).await?;
        let observations = tester.trace().observations();
        let used: u64 = observations.iter().filter_map(|observation| observation.settled(15)).sum();
        assert!(used <= budget && tester.spent_at_most() <= budget, "{used} of {budget}");
        let mut spent = 0;
        for observation in observations {
            let input = observation.reserved() - observation.max_tokens;
            assert!(spent + input + 15 * observation.max_tokens <= budget + 14, "{observation}");
            spent += observation.settled(15).unwrap_or(0);
        }
    }
    Ok(())
}

#[test]
fn the_emulator_reserves_and_refunds_as_it_is_told() -> Result<()> {
    // Of a quota of 1,000: input 100 with max_tokens 600 ends after 1 s, then input 100 with max_tokens 600 is tried.
    let cases = [
        (true, Refund::AtEnd, [false, true, true]),
        (true, Refund::After(10.0), [false, false, true]),
        (true, Refund::Never, [false, false, false]),
        (false, Refund::AtEnd, [true, true, true]),
    ];
    for (reserves, refund, admitted) in cases {
        for (after_s, expected) in [0.5, 2.0, 12.0].into_iter().zip(admitted) {
            let tokens = Some(Mechanism::SlidingLog { limit: 1_000, window_s: 60.0 });
            let mut service =
                Service::new(EmulatorConfig { tokens, reserves, refund, ..Default::default() })?;
            let start = Timestamp::EPOCH.plus_seconds(86_400.0);
            let second = Duration::from_secs(1);
            assert!(matches!(service.admit(start, second, 100, 600), Answer::Admitted { .. }));
            let again = service.admit(start.plus_seconds(after_s), second, 100, 600);
            let is_admitted = matches!(again, Answer::Admitted { .. });
            assert_eq!(is_admitted, expected, "{reserves} {refund:?} after {after_s} s");
        }
    }
    Ok(())
}
