//! What the throttle itself costs, beside other rate limiters in the same run.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::unwrap_used, reason = "a bench fails as a test does")]

mod contended;
mod uncontended;
mod waiting;

use std::future::Future;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bedrock_tpm::{Throttle, ThrottleSettings, Usage};
use criterion::{Criterion, SamplingMode, Throughput};
use governor::clock::{Clock as GovernorClock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::runtime::Runtime;

/// What every quota allows a minute: never used up.
const AMPLE: u32 = u32::MAX;
/// Tokens that a request reserves.
const RESERVED: u32 = 1_000;
/// How often everything is measured in turn, so that what else the machine does changes all of it alike.
const ROUNDS: usize = 101;

/// Something that is measured: makes what it needs anew, and returns how long its requests took.
struct Subject {
    name: String,
    requests: u64,
    run: Box<dyn FnMut() -> Duration>,
}

impl Subject {
    fn new(name: impl Into<String>, requests: u64, run: impl FnMut() -> Duration + 'static) -> Self {
        Self { name: name.into(), requests, run: Box::new(run) }
    }
}

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let mut subjects = [uncontended::subjects(), contended::subjects(), waiting::subjects()];
    for (group, subjects) in ["uncontended", "contended", "waiting"].into_iter().zip(&mut subjects) {
        let mut group = criterion.benchmark_group(group);
        group.sampling_mode(SamplingMode::Flat);
        for subject in subjects {
            group.throughput(Throughput::Elements(subject.requests));
            group.bench_function(&subject.name, |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| (subject.run)()).sum());
            });
        }
        group.finish();
    }
    criterion.final_summary();
    println!("{:<60} {:>9} {:>9}", "medians of ratios in turn", "required", "measured");
    let [uncontended, contended, waiting] = &mut subjects;
    uncontended::figures(&in_turn(uncontended, ROUNDS));
    contended::figures(&in_turn(contended, ROUNDS));
    waiting::figures(&in_turn(waiting, 7));
}

/// Nanoseconds a request, of each subject in each round.
fn in_turn(subjects: &mut [Subject], rounds: usize) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::new(); subjects.len()];
    for _ in 0..rounds {
        for (times, subject) in times.iter_mut().zip(&mut *subjects) {
            times.push((subject.run)().as_nanos() as f64 / subject.requests as f64);
        }
    }
    times
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn ratio(ours: &[f64], other: &[f64]) -> f64 {
    median(ours.iter().zip(other).map(|(ours, other)| ours / other).collect())
}

fn print(figure: &str, required: &str, measured: f64) {
    println!("{figure:<60} {required:>9} {measured:>9.2}");
}

fn stated(tokens: bool, requests: bool) -> ThrottleSettings {
    let ample = |wanted: bool| wanted.then_some(u64::from(AMPLE));
    ThrottleSettings::stated(ample(tokens), ample(requests))
}

async fn send(throttle: &Throttle) {
    let reservation = throttle.acquire(black_box(200), 800).await.unwrap();
    reservation.settle(Usage { input_tokens: 200, output_tokens: 500, ..Usage::default() });
}

type Governor<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as GovernorClock>::Instant>>;

fn governor() -> Governor<DefaultClock> {
    RateLimiter::direct(ample())
}

fn ample() -> Quota {
    Quota::per_minute(NonZeroU32::new(AMPLE).unwrap())
}

fn check_n<C: GovernorClock>(limiter: &Governor<C>, cost: u32) {
    black_box(limiter.check_n(NonZeroU32::new(black_box(cost)).unwrap())).unwrap().unwrap();
}

fn timed(runtime: &Runtime, requests: impl Future<Output = ()>) -> Duration {
    let begun = Instant::now();
    runtime.block_on(requests);
    begun.elapsed()
}
