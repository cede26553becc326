//! Verdicts on traces: what a real run shows, and what no run can show.

use bedrock_tpm::{Assumptions, Candidate, ClockAnswer, Conclusion, MechanismId, Trace, Verdict, analyze};
use bedrock_tpm_tests::truth::{Set, Truth};
use bedrock_tpm_tests::validation::{Coverage, Figures, Run};

const NOVA_PRO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/nova-pro-2025-07.jsonl");

/// A bucket of 6 requests, refilled by 4 a minute, of which others on the account had used one just before.
const FEW_REQUESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/few-requests.jsonl");

/// A bucket of 2 requests, refilled by 2 a minute in ticks of 20 s, of which others had used one ten seconds before.
const TICKS_OF_REQUESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/ticks-of-requests.jsonl");

fn probability(verdict: &Verdict, id: MechanismId) -> f64 {
    let ranked = verdict.ranked.iter().find(|ranked| ranked.mechanism == Candidate::Known(id));
    ranked.map_or(0.0, |ranked| ranked.probability)
}

fn reason(verdict: &Verdict, id: MechanismId) -> &str {
    let ranked = verdict.ranked.iter().find(|ranked| ranked.mechanism == Candidate::Known(id));
    ranked.map_or("", |ranked| &ranked.reason)
}

/// A run against real Bedrock that was published as "absolute minutes" for tokens. It measured requests.
#[test]
fn the_published_run_does_not_show_what_was_published() {
    let trace = Trace::load(NOVA_PRO).unwrap();
    for seed in 1..=5 {
        let assumptions = Assumptions { tpm: Some(8_000), seed, ..Default::default() };
        let verdict = analyze(trace.observations(), &assumptions);
        assert_eq!(verdict.binding.id(), "requests", "{verdict}");
        assert_eq!(verdict.verdict, Conclusion::Inconclusive, "{verdict}");
        assert_eq!(verdict.clock_question, ClockAnswer::Unknown, "{verdict}");
        assert!(
            verdict.reasons.iter().any(|r| r.starts_with("Nothing can be said about the tokens")),
            "{verdict}"
        );
        // A log of two in any minute contradicts it; one of another length, or with other traffic, is only improbable.
        assert!(probability(&verdict, MechanismId::SlidingLog) < 0.05, "{verdict}");
        let log = reason(&verdict, MechanismId::SlidingLog);
        assert!(log.contains("in any 60 s would have rejected \"Test_at_next_minute_05\""), "{verdict}");
        assert!((0.02..0.2).contains(&probability(&verdict, MechanismId::AnchoredWindow)), "{verdict}");
        for possible in [MechanismId::FixedWindow, MechanismId::TokenBucket] {
            assert!(probability(&verdict, possible) > 0.1, "{verdict}");
            assert_eq!(reason(&verdict, possible), "explains every outcome", "{verdict}");
        }
        assert!((0.05..0.95).contains(&verdict.probability_absolute), "{verdict}");
    }
}

#[test]
fn probabilities_add_up_to_one() {
    let trace = Trace::load(NOVA_PRO).unwrap();
    let verdict = analyze(trace.observations(), &Assumptions::default());
    let total: f64 = verdict.ranked.iter().map(|ranked| ranked.probability).sum();
    assert!((total - 1.0).abs() < 1e-9, "{total}");
}

/// A bucket that seems to be full may have been used by others: what looks like ticks then is none for sure.
#[test]
fn a_bucket_that_others_use_is_not_ruled_out() {
    let trace = Trace::load(FEW_REQUESTS).unwrap();
    let of_seed = |seed| {
        let assumptions = Assumptions { rpm: Some(4), seed, ..Default::default() };
        probability(&analyze(trace.observations(), &assumptions), MechanismId::TokenBucket)
    };
    let found: Vec<f64> = (1..=12).map(of_seed).collect();
    assert!(found.iter().all(|probability| *probability > 0.01), "{found:?}");
}

#[test]
fn a_request_of_others_just_before_is_not_taken_for_a_log() {
    let trace = Trace::load(TICKS_OF_REQUESTS).unwrap();
    let named = |seed| {
        let assumptions = Assumptions { rpm: Some(2), seed, ..Default::default() };
        analyze(trace.observations(), &assumptions).verdict
    };
    let named: Vec<Conclusion> = (1..=12).map(named).collect();
    // A trace that names neither. Samplers of one seed lose the truth all the same, and of six if hardly anybody is thought to
    // have come before.
    assert!(named.iter().filter(|it| **it != Conclusion::Inconclusive).count() <= 1, "{named:?}");
}

/// However improbable a mechanism is, a verdict says what it would be.
#[test]
fn every_mechanism_has_parameters() {
    for seed in 0..6 {
        let run = Run::of(Set::Binding.truth(seed), false).unwrap();
        for ranked in &run.verdict.ranked {
            let is_known = matches!(ranked.mechanism, Candidate::Known(_));
            assert_eq!(ranked.parameters.is_some(), is_known, "{ranked:?} of {}", run.truth);
        }
    }
}

#[test]
fn same_seed_same_verdict() {
    let trace = Trace::load(NOVA_PRO).unwrap();
    let json = || serde_json::to_string(&analyze(trace.observations(), &Assumptions::default())).unwrap();
    assert_eq!(json(), json());
}

#[test]
fn an_adaptive_trace_shows_what_was_announced() {
    for seed in 0..4 {
        let (run, observations) = Run::traced(Set::Usual.truth(seed), true).unwrap();
        let Truth { tpm, rpm, seed, .. } = run.truth;
        let again = analyze(&observations, &Assumptions { tpm, rpm, seed, ..Default::default() });
        assert_eq!(serde_json::to_value(again).unwrap(), serde_json::to_value(run.verdict).unwrap());
    }
}

#[test]
fn where_nothing_was_rejected_nothing_is_claimed() {
    let trace = Trace::load(NOVA_PRO).unwrap();
    let admitted: Vec<_> =
        trace.observations().iter().filter(|o| o.outcome().is_admitted()).cloned().collect();
    for observations in [&admitted[..], &[]] {
        let verdict = analyze(observations, &Assumptions { tpm: Some(8_000), ..Default::default() });
        assert_eq!(verdict.binding.id(), "none");
        assert_eq!(verdict.verdict, Conclusion::Inconclusive);
        assert_eq!(verdict.clock_question, ClockAnswer::Unknown);
    }
}

#[test]
fn the_words_of_the_error_do_not_outweigh_what_was_admitted() {
    let trace = Trace::load(NOVA_PRO).unwrap();
    let mut observations = trace.observations().to_vec();
    for observation in &mut observations {
        observation.error =
            observation.error.as_ref().map(|error| error.replace("requests", "tokens per day"));
    }
    let verdict = analyze(&observations, &Assumptions { tpm: Some(8_000), ..Default::default() });
    assert_ne!(
        verdict.binding.id(),
        "tokens_per_day",
        "a used-up day admits nothing half a minute later: {verdict}"
    );
}

/// What refills, for its capacity and its rate are what a trace says least about.
#[test]
fn intervals_hold_what_is_enforced() {
    let is_level = |truth: &Truth| {
        let id = truth.mechanism().map(|mechanism| mechanism.id());
        matches!(id, Some(MechanismId::TokenBucket | MechanismId::ExponentialDecay))
    };
    let truths = (200..).map(|seed| Set::Usual.truth(seed)).filter(is_level).take(12);
    let runs: Vec<Run> = truths.map(|truth| Run::of(truth, true).unwrap()).collect();
    let coverage = Figures::of(&runs).coverage;
    let sum = |of: fn(&Coverage) -> usize| coverage.values().map(of).sum::<usize>();
    let (held, count) = (sum(|it| it.held), sum(|it| it.count));
    assert!(count >= 20, "{count} intervals");
    assert!(held as f64 > 0.8 * count as f64, "{held} of {count} intervals of 95 % hold it: {coverage:?}");
}
