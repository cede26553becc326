//! Clients of a service that enforces quotas.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_tpm::{
    Answer, Clock, EmulatorConfig, Mechanism, MechanismId, QuotaKind, Refund, Service, Throttle,
    ThrottleSettings,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tokio::task::JoinSet;

use crate::{START, clock, in_virtual_time, mechanisms, stated};

/// How requests ended.
#[derive(Debug, Default)]
struct Tally {
    admitted: u64,
    throttled: u64,
}

impl Tally {
    fn count(&mut self, answer: Answer) {
        match answer {
            Answer::Throttled(_) => self.throttled += 1,
            Answer::Admitted { .. } | Answer::Unavailable => self.admitted += 1,
        }
    }
}

/// A client whose requests are all alike: input, max_tokens, and seconds of rest after each.
type Habit = (u64, u64, f64);

/// What clients of these `habits` reach in so many minutes.
async fn reached(
    config: EmulatorConfig,
    skew_s: f64,
    throttle: Throttle,
    habits: Vec<Habit>,
    minutes: f64,
) -> Tally {
    let (client, server) = (clock(), Clock::virtual_from(START.plus_seconds(skew_s)));
    let service = Arc::new(Mutex::new(Service::new(config).unwrap()));
    let tally = Arc::new(Mutex::new(Tally::default()));
    let until = START.plus_seconds(60.0 * minutes);
    let mut clients = JoinSet::new();
    for (input, max_tokens, rest_s) in habits {
        let (throttle, service, tally) = (throttle.clone(), service.clone(), tally.clone());
        clients.spawn(async move {
            while client.now() < until {
                let reservation = throttle.acquire(input, max_tokens).await.unwrap();
                let latency = service.lock().unwrap().latency();
                server.sleep(latency.until_admission).await;
                let answer =
                    service.lock().unwrap().admit(server.now(), latency.until_answer, input, max_tokens);
                server.sleep(latency.until_answer).await;
                match answer {
                    Answer::Admitted { usage, .. } => reservation.settle(usage),
                    Answer::Throttled(kind) => reservation.throttled(Some(kind)),
                    Answer::Unavailable => reservation.unknown(),
                }
                tally.lock().unwrap().count(answer);
                client.sleep(Duration::from_secs_f64(rest_s)).await;
            }
        });
    }
    tokio::time::timeout(Duration::from_secs_f64(180.0 * minutes + 1_000.0), clients.join_all())
        .await
        .unwrap();
    std::mem::take(&mut tally.lock().unwrap())
}

fn rests() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0..100.0_f64]
}

fn refunds() -> impl Strategy<Value = Refund> {
    prop_oneof![Just(Refund::AtEnd), Just(Refund::Never), (0.0..20.0_f64).prop_map(Refund::After)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the mechanism, the sizes, the latency, the skew and the refunds; and it goes on sending.
    #[test]
    fn a_throttle_that_knows_the_mechanism_is_never_rejected(
        requests in mechanisms(2..30),
        tokens in mechanisms(8_000..40_000),
        habits in proptest::collection::vec((1..1_000_u64, 1..1_000_u64, rests()), 1..20),
        latency_s in (0.0..2.0_f64, 0.0..8.0_f64).prop_map(|(least, more)| (least, least + more)),
        (skew_s, burndown, refund, seed) in (-0.5..0.5_f64, 1..6_u64, refunds(), any::<u64>()),
    ) {
        let quotas = vec![(QuotaKind::Requests, requests), (QuotaKind::Tokens, tokens)];
        let settings = ThrottleSettings {
            quotas, burndown, refund, clock_error_s: 0.5, ..ThrottleSettings::stated(None, None)
        };
        let config = EmulatorConfig {
            requests: Some(requests), tokens: Some(tokens), latency_s, burndown, refund, seed, error_rate: 0.02,
            ..EmulatorConfig::default()
        };
        in_virtual_time(async {
            let throttle = Throttle::new(settings, clock()).unwrap();
            let tally = reached(config, skew_s, throttle.clone(), habits, 10.0).await;
            prop_assert_eq!(tally.throttled, 0);
            prop_assert_eq!(throttle.stats().sent, tally.admitted);
            // At worst one request a period of the quotas of at most 90 s, each of which may take all of it for two.
            prop_assert!(tally.admitted >= 3, "{tally:?}");
            TestCaseResult::Ok(())
        })?;
    }
}

/// Requests in an hour of a quota of 100 a minute, beside the most that a client can reach whose requests take 0.9 s on
/// average and may be admitted anywhere within.
#[test]
fn a_throttle_that_knows_the_mechanism_wastes_almost_nothing() {
    for id in MechanismId::ALL {
        let quota = Mechanism::per_minute(id, 100);
        let most = match id {
            MechanismId::AnchoredWindow | MechanismId::SlidingLog => 60.0 / 60.9,
            MechanismId::SlidingCounter => 0.99,
            _ => 1.0,
        };
        let config = EmulatorConfig { requests: Some(quota), ..EmulatorConfig::default() };
        let quotas = vec![(QuotaKind::Requests, quota)];
        let settings = ThrottleSettings { quotas, ..ThrottleSettings::stated(None, None) };
        let tally = in_virtual_time(async {
            let throttle = Throttle::new(settings, clock()).unwrap();
            reached(config, 0.2, throttle, vec![(1, 1, 0.0); 120], 60.0).await
        });
        let share = tally.admitted as f64 / 6_000.0;
        assert!(share >= 0.97 * most && tally.throttled == 0, "{id}: {share} of {most}, {tally:?}");
    }
}

/// The sliding counter and the decay are stricter than what it assumes: it learns that from a 429 or two.
#[test]
fn a_throttle_that_does_not_know_the_mechanism_learns_from_429s() {
    for id in MechanismId::ALL {
        let requests = Some(Mechanism::per_minute(id, 20));
        let config = EmulatorConfig { requests, ..EmulatorConfig::default() };
        let tally = in_virtual_time(async {
            reached(config, 0.0, stated(None, Some(20)), vec![(1, 1, 0.0); 30], 360.0).await
        });
        let is_stricter = matches!(id, MechanismId::SlidingCounter | MechanismId::ExponentialDecay);
        let (at_most, at_least) = if is_stricter { (3, 0.93) } else { (0, 0.97) };
        let share = tally.admitted as f64 / (20.0 * 360.0);
        assert!(tally.throttled <= at_most && share > at_least, "{id}: {share}, {tally:?}");
        assert_eq!(tally.throttled > 0, is_stricter, "{id}");
    }
}
