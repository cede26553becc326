//! Measure first, then send: a throttle that is told the verdict, in front of the service that was measured.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::{Arc, Mutex};

use bedrock_tpm::{Answer, Clock, EmulatorConfig, Service, Throttle, ThrottleSettings, Timestamp};
use bedrock_tpm_tests::truth::Set;
use bedrock_tpm_tests::validation::{Ending, Run};
use tokio::task::JoinSet;

const START: Timestamp = Timestamp::from_nanos(1_752_585_600_000_000_000);
const HOURS: f64 = 4.0;
const CLIENTS: usize = 8;

/// Sends all it can for four hours; returns tokens admitted, and requests that were rejected.
async fn sent(service: EmulatorConfig, run: &Run) -> (u64, u64) {
    let clock = Clock::virtual_from(START);
    let settings = ThrottleSettings::stated(run.truth.tpm, run.truth.rpm);
    let throttle = Throttle::from_verdict(&run.verdict, settings, clock).unwrap();
    let service = Arc::new(Mutex::new(Service::new(service).unwrap()));
    let tally = Arc::new(Mutex::new((0, 0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (throttle, service, tally) = (throttle.clone(), service.clone(), tally.clone());
        clients.spawn(async move {
            loop {
                let reservation = throttle.acquire(150, 150).await.unwrap();
                let latency = service.lock().unwrap().latency();
                clock.sleep(latency.until_admission).await;
                let answer = service.lock().unwrap().admit(clock.now(), latency.until_answer, 150, 150);
                clock.sleep(latency.until_answer).await;
                let mut tally = tally.lock().unwrap();
                match answer {
                    Answer::Admitted { usage, .. } => {
                        tally.0 += usage.input_tokens + usage.output_tokens;
                        reservation.settle(usage);
                    }
                    Answer::Throttled(kind) => {
                        tally.1 += 1;
                        reservation.throttled(Some(kind));
                    }
                    Answer::Unavailable => reservation.unknown(),
                }
            }
        });
    }
    clock.sleep_until(START.plus_seconds(3_600.0 * HOURS)).await;
    clients.shutdown().await;
    *tally.lock().unwrap()
}

#[test]
fn a_throttle_that_is_told_what_was_measured_is_not_rejected_and_wastes_little() {
    let mut measured = 0;
    for seed in 1..=14 {
        let run = Run::of(Set::Usual.truth(seed), true).unwrap();
        if run.ending() != Ending::Right {
            continue;
        }
        // Others would use what the throttle takes for its own.
        let quiet = EmulatorConfig { background: 0.0, spurious_429: 0.0, ..run.truth.emulator.clone() };
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let (tokens, throttled) = runtime.block_on(sent(quiet, &run));
        let enforced = run.truth.mechanism().unwrap();
        let share = tokens as f64 / (enforced.rate_per_s() * 3_600.0 * HOURS);
        assert!(share > 0.75, "{enforced}: {share} of it used, {:?}", run.verdict.ranked[0].intervals);
        assert_eq!(throttled, 0, "{enforced}: {:?}", run.verdict.ranked[0].intervals);
        measured += 1;
    }
    assert!(measured >= 12, "only {measured} verdicts were right");
}
