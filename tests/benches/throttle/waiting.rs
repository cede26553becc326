//! Requests that come at once, of which a tenth passes every minute of virtual time, and as many tasks without a throttle.

use std::time::Duration;

use bedrock_tpm::{Clock, Throttle, ThrottleSettings, Timestamp, Usage};
use tokio::task::JoinSet;

use super::{Subject, median, print, timed};

/// Requests that wait at once, at most.
const MOST_WAITERS: u64 = 100_000;

pub(crate) fn subjects() -> Vec<Subject> {
    let subject = |waiters: u64, throttled: bool| {
        let name = if throttled { "waiters" } else { "tasks that do not wait" };
        Subject::new(format!("{name}: {waiters}"), MOST_WAITERS, move || {
            (0..MOST_WAITERS / waiters).map(|_| wait(waiters, throttled)).sum()
        })
    };
    [1_000, 10_000, MOST_WAITERS]
        .into_iter()
        .flat_map(|waiters| [subject(waiters, true), subject(waiters, false)])
        .collect()
}

pub(crate) fn figures(times: &[Vec<f64>]) {
    let [thousand, ten_thousand, hundred_thousand] = [0, 2, 4]
        .map(|n| median(times[n].iter().zip(&times[n + 1]).map(|(with, without)| with - without).collect()));
    print("nanoseconds a waiter: 1,000 that wait", "", thousand);
    print("nanoseconds a waiter: 10,000 that wait (log n: 1.33 times)", "", ten_thousand);
    print("nanoseconds a waiter: 100,000 that wait (log n: 1.67 times)", "", hundred_thousand);
    print("a waiter of 100,000 / of 1,000", "<= 1.67", hundred_thousand / thousand);
}

fn wait(waiters: u64, throttled: bool) -> Duration {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    timed(&runtime, async {
        let clock = Clock::virtual_from(Timestamp::EPOCH);
        let throttle = Throttle::new(ThrottleSettings::stated(None, Some(waiters / 10)), clock).unwrap();
        let mut all = JoinSet::new();
        for index in 0..waiters {
            let throttle = throttle.clone();
            all.spawn(async move {
                let reservation = if throttled { Some(throttle.acquire(1, 1).await.unwrap()) } else { None };
                clock.sleep(Duration::from_millis(index % 1_000)).await;
                reservation.into_iter().for_each(|reservation| reservation.settle(Usage::default()));
            });
        }
        all.join_all().await;
    })
}
