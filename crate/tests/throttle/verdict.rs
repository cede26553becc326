//! What the throttle makes of a verdict.

use bedrock_tpm::{
    Binding, Candidate, ClockAnswer, Conclusion, Mechanism, MechanismId, QuotaKind, Ranked, Spent, Throttle,
    ThrottleSettings, Verdict,
};

use crate::{START, clock, used};

/// A verdict that names `parameters`, each known to lie in one of `intervals`.
fn verdict(parameters: Mechanism, intervals: &[(&str, [f64; 2])]) -> Verdict {
    let leader = Ranked {
        mechanism: Candidate::Known(parameters.id()),
        probability: 0.999,
        parameters: Some(parameters),
        intervals: intervals.iter().map(|(name, interval)| ((*name).to_owned(), *interval)).collect(),
        reason: String::new(),
    };
    Verdict {
        binding: Binding::Quota(QuotaKind::Requests),
        besides: None,
        verdict: Conclusion::Mechanism(parameters.id()),
        clock_question: ClockAnswer::Unknown,
        probability: 0.999,
        probability_absolute: 0.0,
        probability_relative: 0.0,
        twins: Vec::new(),
        separation: None,
        ranked: vec![leader],
        spent: Spent::default(),
        warnings: Vec::new(),
        summary: String::new(),
        reasons: Vec::new(),
    }
}

/// When requests pass, in seconds, if each takes no time.
async fn passes(verdict: &Verdict, requests: usize) -> Vec<f64> {
    let clock = clock();
    let stated = ThrottleSettings::stated(Some(1_000_000), Some(60));
    let settings = ThrottleSettings { clock_error_s: 0.5, ..stated };
    let throttle = Throttle::from_verdict(verdict, settings, clock).unwrap();
    let mut times = Vec::new();
    for _ in 0..requests {
        throttle.acquire(1, 1).await.unwrap().settle(used(1, 1));
        times.push((10.0 * clock.now().seconds_since(START)).round() / 10.0);
    }
    times
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_taken_at_its_safe_ends() {
    let window = Mechanism::FixedWindow { limit: 4, window_s: 60.0, offset_s: 20.0 };
    let exact = ("window_s", [60.0, 60.0]);
    // Four until second 20, of which 0.5 s may be the clock's and 2.0 the verdict's.
    let phase = verdict(window, &[("limit", [3.0, 5.0]), exact, ("offset_s", [18.0, 21.0])]);
    assert_eq!(passes(&phase, 7).await, [0.0, 0.0, 0.0, 22.5, 22.5, 22.5, 82.5]);
    // An interval goes round the clock with the window: 61.0 is second 1.0. The first may be admitted after the turn.
    let turn = Mechanism::FixedWindow { limit: 4, window_s: 60.0, offset_s: 0.5 };
    let turn = verdict(turn, &[("limit", [1.0, 5.0]), exact, ("offset_s", [59.0, 61.0])]);
    assert_eq!(passes(&turn, 3).await, [0.0, 62.5, 122.5]);
    // A window of unknown length is anywhere after a while.
    let length = verdict(window, &[("limit", [3.0, 5.0]), ("window_s", [59.0, 61.0])]);
    assert_eq!(passes(&length, 4).await, [0.0, 0.0, 0.0, 61.0]);
    let anchored = verdict(Mechanism::AnchoredWindow { limit: 2, window_s: 10.0 }, &[]);
    assert_eq!(passes(&anchored, 3).await, [0.0, 0.0, 10.0]);
    let counter = Mechanism::SlidingCounter { limit: 4, window_s: 60.0, offset_s: 20.0 };
    let counter = verdict(counter, &[("window_s", [59.0, 61.0])]);
    assert_eq!(passes(&counter, 3).await, [0.0, 0.0, 61.0]);
    let bucket = Mechanism::TokenBucket { capacity: 3, refill_per_s: 1.0 };
    let bucket = verdict(bucket, &[("capacity", [2.0, 3.0]), ("refill_per_s", [0.1, 2.0])]);
    // The third comes 10 s after the first is surely charged; the bucket may refill in ticks of 2 s.
    assert_eq!(passes(&bucket, 4).await, [0.0, 0.0, 13.0, 23.0]);
    let ticks = Mechanism::SteppedBucket { capacity: 2, refill_per_s: 0.1, tick_s: 10.0, offset_s: 0.0 };
    assert_eq!(passes(&verdict(ticks, &[]), 3).await, [0.0, 0.0, 10.5]);
    let decay = Mechanism::ExponentialDecay { limit: 2, time_constant_s: 10.0 };
    let decay = verdict(decay, &[("time_constant_s", [8.0, 20.0])]);
    assert_eq!(passes(&decay, 3).await, [0.0, 0.0, 13.9], "20 s x ln 2");
}

#[tokio::test(start_paused = true)]
async fn without_a_mechanism_in_the_verdict_the_stated_quotas_hold() {
    let mut open = verdict(Mechanism::per_minute(MechanismId::TokenBucket, 9_000), &[]);
    open.verdict = Conclusion::Inconclusive;
    let times = passes(&open, 61).await;
    assert_eq!((times[59], times[60]), (0.0, 60.0));
}
