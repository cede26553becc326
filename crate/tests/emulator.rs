//! The emulated service and the endpoint that calls it in-process.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;
use std::time::Duration;

use bedrock_tpm::{
    Answer, BedrockTpmTester, Clock, Emulator, EmulatorConfig, Endpoint, Latency, Mechanism, MechanismId,
    Outcome, Pools, QuotaKind, Request, Service, Settings, ThrottleMessage, Timestamp, Wording,
    emulated_input_tokens,
};

const START: Timestamp = Timestamp::from_nanos(1_752_585_600_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn per_minute(tokens: u64, requests: Option<u64>) -> EmulatorConfig {
    let window = |limit| Mechanism::per_minute(MechanismId::FixedWindow, limit);
    EmulatorConfig {
        tokens: Some(window(tokens)),
        requests: requests.map(window),
        ..EmulatorConfig::default()
    }
}

fn service(config: EmulatorConfig) -> Service {
    Service::new(config).unwrap()
}

fn is_admitted(answer: Answer) -> bool {
    matches!(answer, Answer::Admitted { .. })
}

/// How many of `count` requests, a second apart from `START` on, get an answer that `wanted` accepts.
fn count(service: &mut Service, count: u32, tokens: u64, wanted: impl Fn(Answer) -> bool) -> usize {
    let answers = (0..count).map(|second| service.admit(START + SECOND * second, SECOND, tokens, 1));
    answers.filter(|answer| wanted(*answer)).count()
}

#[test]
fn the_reservation_counts_until_the_answer_is_complete() {
    for (burndown, at_the_end_fits) in [(1, true), (100, false)] {
        let mut service = service(EmulatorConfig { burndown, ..per_minute(1_000, None) });
        assert!(is_admitted(service.admit(START, SECOND * 10, 100, 900)));
        let during = service.admit(START + SECOND * 9, SECOND, 1, 1);
        assert_eq!(during, Answer::Throttled(QuotaKind::Tokens));
        let after = service.admit(START + SECOND * 10, SECOND, 100, 500);
        assert_eq!(is_admitted(after), at_the_end_fits, "burndown {burndown}: {after:?}");
    }
}

#[test]
fn the_first_exhausted_quota_is_named_and_the_day_outlasts_the_minute() {
    let mut service = service(EmulatorConfig { tokens_per_day: Some(2_000), ..per_minute(1_000, Some(2)) });
    let mut answer = |minute: u32, input: u64| service.admit(START + SECOND * 60 * minute, SECOND, input, 1);
    assert_eq!(answer(0, 1_000), Answer::Throttled(QuotaKind::Tokens));
    assert!(is_admitted(answer(0, 100)) && is_admitted(answer(0, 800)));
    assert_eq!(answer(0, 1_000), Answer::Throttled(QuotaKind::Requests));
    assert!(is_admitted(answer(1, 900)));
    assert_eq!(answer(2, 900), Answer::Throttled(QuotaKind::TokensPerDay));
    assert!(is_admitted(answer(24 * 60, 900)));
}

#[test]
fn a_restored_past_counts_as_if_it_had_been_sent() {
    let mut service = service(per_minute(1_000, Some(2)));
    service.charge(START, 600);
    assert_eq!(service.admit(START + SECOND, SECOND, 400, 1), Answer::Throttled(QuotaKind::Tokens));
    assert!(is_admitted(service.admit(START + SECOND, SECOND, 399, 1)));
    assert_eq!(service.admit(START + SECOND, SECOND, 0, 1), Answer::Throttled(QuotaKind::Requests));
}

#[test]
fn same_seed_and_times_give_the_same_answers() {
    let config = EmulatorConfig {
        error_rate: 0.2,
        spurious_429: 0.2,
        background: 0.5,
        seed: 7,
        ..per_minute(5_000, Some(40))
    };
    let run = |seed| {
        let mut service = service(EmulatorConfig { seed, ..config.clone() });
        let answers = (0..500_u32).map(|second| {
            let (id, latency) = (service.request_id(), service.latency());
            (id, latency, service.admit(START + SECOND * second, latency.until_answer, 200, 50))
        });
        answers.collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn latency_is_within_its_range_and_admission_anywhere_inside() {
    let mut service = service(EmulatorConfig { latency_s: (0.3, 1.5), ..EmulatorConfig::default() });
    let draws: Vec<_> = (0..1_000).map(|_| service.latency()).collect();
    let share = |latency: &Latency| {
        let whole_s = (latency.until_admission + latency.until_answer).as_secs_f64();
        assert!((0.299..=1.501).contains(&whole_s), "{whole_s} s");
        latency.until_admission.as_secs_f64() / whole_s
    };
    let mean = draws.iter().map(share).sum::<f64>() / 1_000.0;
    assert!((0.45..0.55).contains(&mean), "admission at {mean} of the latency");
}

#[test]
fn faults_come_as_often_as_asked_and_half_of_the_failures_are_charged() {
    let mut failing = service(EmulatorConfig { error_rate: 0.4, ..EmulatorConfig::default() });
    assert!((350..450).contains(&count(&mut failing, 1_000, 10, |answer| answer == Answer::Unavailable)));

    let day = Mechanism::FixedWindow { limit: 10_000, window_s: 86_400.0, offset_s: 0.0 };
    let requests = Some(day);
    let mut always = service(EmulatorConfig { error_rate: 1.0, requests, ..EmulatorConfig::default() });
    // Once the charged half has used up the quota, that half is throttled.
    let before_throttled = (0..50_000_u32)
        .take_while(|second| always.admit(START + SECOND * *second, SECOND, 10, 1) == Answer::Unavailable)
        .count();
    assert!((19_000..21_000).contains(&before_throttled), "{before_throttled}");

    let spurious = EmulatorConfig { spurious_429: 0.3, ..per_minute(1_000_000_000, None) };
    let throttled =
        count(&mut service(spurious), 1_000, 10, |answer| answer == Answer::Throttled(QuotaKind::Tokens));
    assert!((250..350).contains(&throttled), "{throttled}");
}

#[test]
fn others_in_the_account_use_their_share() {
    for requests in [None, Some(120)] {
        // Ours ask for 1.2 times the quota. Others ask for half of it, and get it as long as there is any.
        let share = |background| {
            let mut service = service(EmulatorConfig { background, ..per_minute(100_000, requests) });
            count(&mut service, 3_600, 1_999, is_admitted) as f64 * 2_000.0 / (60.0 * 100_000.0)
        };
        let (alone, together) = (share(0.0), share(0.5));
        assert!((0.99..=1.0).contains(&alone), "alone {alone}, {requests:?} requests");
        assert!((0.6..0.8).contains(&together), "together {together}, {requests:?} requests");
    }
}

#[test]
fn parameters_out_of_range_are_named() {
    let bad = |change: fn(&mut EmulatorConfig)| {
        let mut config = per_minute(1_000, None);
        change(&mut config);
        let error = Service::new(config).unwrap_err();
        assert!(error.is_usage());
        error.to_string()
    };
    for (error, name) in [
        (bad(|config| config.burndown = 0), "burndown"),
        (bad(|config| config.latency_s = (2.0, 1.0)), "longest latency"),
        (bad(|config| config.latency_s = (-1.0, 1.0)), "shortest latency"),
        (bad(|config| config.error_rate = 1.1), "error rate"),
        (bad(|config| config.spurious_429 = f64::NAN), "spurious"),
        (bad(|config| config.background = -0.1), "background"),
        (bad(|config| config.tokens_per_day = Some(u64::MAX)), "tokens per day"),
        (bad(|config| config.tokens = Some(Mechanism::per_minute(MechanismId::SlidingLog, 0))), "limit"),
    ] {
        assert!(error.contains(name) && error.contains("use "), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_simulated_endpoint_lives_on_a_virtual_clock() {
    let clock = Clock::virtual_from(START);
    let config = per_minute(1_000, None);
    let emulator = Arc::new(Emulator::new(config.clone(), clock).unwrap());
    assert_eq!(emulator.config(), config);
    let endpoint = Endpoint::simulated(emulator.clone());
    let outcome = async |max_tokens| {
        let request = Request { model: "any".into(), prompt: "p".repeat(320), max_tokens };
        let response = endpoint.send(&request).await;
        let took_s = response.finished.seconds_since(response.sent);
        assert!(max_tokens == 0 || (0.3..1.51).contains(&took_s), "{took_s} s");
        let outcome = Outcome::of(response.status, response.error_type.as_deref(), response.error.as_deref());
        assert_eq!(response.usage.is_some(), outcome.is_admitted());
        assert!(response.usage.is_none_or(|usage| usage.input_tokens == emulated_input_tokens(320)));
        outcome
    };
    assert_eq!(outcome(0).await, Outcome::Failed);
    assert!(outcome(893).await.is_admitted(), "107 input tokens and 893 fill the quota");
    assert!(outcome(893).await.is_throttled());
    clock.sleep_until(START + Duration::from_secs(60)).await;
    assert!(outcome(1).await.is_admitted());
    emulator.charge("any", "local", clock.now(), 900);
    assert!(outcome(1).await.is_throttled());
}

#[tokio::test(start_paused = true)]
async fn limiters_may_be_given_instead_of_quotas() {
    let clock = Clock::virtual_from(START);
    let window = |limit, window_s| {
        let mechanism = Mechanism::FixedWindow { limit, window_s, offset_s: 0.0 };
        (QuotaKind::Tokens, Box::new(mechanism.limiter()) as _)
    };
    let limiters = vec![window(1_000, 10.0), window(1_500, 60.0)];
    let emulator = Emulator::enforcing(per_minute(9, None), limiters, clock).unwrap();
    let mut tester = BedrockTpmTester::simulated_by(Arc::new(emulator), Settings::default()).unwrap();
    let mut admitted = Vec::new();
    for second in [0.0, 3.0, 11.0, 14.0, 21.0] {
        tester.wait_until(START.plus_seconds(second)).await;
        admitted.push(tester.make_bedrock_request(700).await.unwrap().outcome().is_admitted());
    }
    assert_eq!(admitted, [true, false, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_429_is_worded_as_asked() {
    for (wording, expected) in [
        (Wording::Named, ThrottleMessage::Tokens),
        (Wording::Swapped, ThrottleMessage::Requests),
        (Wording::Neutral, ThrottleMessage::Requests),
    ] {
        let config = EmulatorConfig { wording, ..per_minute(100, Some(9)) };
        let clock = Clock::virtual_from(START);
        let mut tester = BedrockTpmTester::simulated(config, clock, Settings::default()).unwrap();
        let rejected = tester.make_bedrock_request(300).await.unwrap();
        assert_eq!(rejected.outcome(), Outcome::Throttled(expected), "{wording:?}");
        let neutral = rejected.error.unwrap().contains("request rate is too high");
        assert_eq!(neutral, wording == Wording::Neutral);
    }
}

/// By default all share one pool; if each has its own, model and Region tell which.
#[tokio::test(start_paused = true)]
async fn models_share_a_pool_or_have_their_own() {
    for pools in [Pools::One, Pools::Each] {
        let clock = Clock::virtual_from(START);
        let emulator =
            Arc::new(Emulator::new(EmulatorConfig { pools, ..per_minute(1_000, None) }, clock).unwrap());
        let endpoint = Endpoint::simulated(emulator.clone());
        let admitted = async |model: &str| {
            let request = Request { model: model.into(), prompt: "p".repeat(2_400), max_tokens: 1 };
            endpoint.send(&request).await.status == Some(200)
        };
        assert!(admitted("one").await);
        assert!(!admitted("one").await);
        assert_eq!(admitted("other").await, pools == Pools::Each);
        emulator.charge("third", "local", clock.now(), 900);
        emulator.charge("fourth", "elsewhere", clock.now(), 900);
        assert!(!admitted("third").await);
        assert_eq!(admitted("fourth").await, pools == Pools::Each);
    }
}
