//! What the throttle itself costs, beside other rate limiters in the same run.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::unwrap_used, reason = "a bench fails as a test does")]

use std::future::Future;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bedrock_tpm::{Clock, Mechanism, MechanismId, QuotaKind, Throttle, ThrottleSettings, Timestamp, Usage};
use criterion::{Criterion, SamplingMode, Throughput};
use governor::clock::{Clock as GovernorClock, DefaultClock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use throttle_net::SlidingWindowLog;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Requests of one limiter, none of which waits: as many as a busy client sends in a few minutes.
const REQUESTS: u64 = 8_192;
/// Requests of one limiter that tasks share.
const SHARED: u64 = 65_536;
/// Requests that wait at once, at most.
const MOST_WAITERS: u64 = 100_000;
/// What every quota allows a minute: never used up.
const AMPLE: u32 = u32::MAX;
/// Tokens of a request: what it reserves, and what it does not use of that.
const RESERVED: u32 = 1_000;
const UNUSED: u32 = 300;
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
    let mut subjects = [uncontended(), contended(), waiting()];
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
    uncontended_figures(&in_turn(uncontended, ROUNDS));
    contended_figures(&in_turn(contended, ROUNDS));
    waiting_figures(&in_turn(waiting, 7));
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

// Nobody waits.

fn uncontended() -> Vec<Subject> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let ours = |name: &str, settings: ThrottleSettings| {
        let runtime = runtime();
        Subject::new(name, REQUESTS, move || {
            let throttle = Throttle::new(settings.clone(), Clock::system()).unwrap();
            timed(&runtime, async {
                for _ in 0..REQUESTS {
                    send(&throttle).await;
                }
            })
        })
    };
    let [one, slow, two, bucket_of_net, log_of_net, two_of_net] = [0; 6].map(|_| runtime());
    vec![
        ours("ours, tokens", stated(true, false)),
        ours("ours, tokens known to be a bucket", bucket()),
        ours("ours, tokens and requests", stated(true, true)),
        Subject::new("governor, one limiter", REQUESTS, move || {
            let tokens = governor();
            timed(&one, async { (0..REQUESTS).for_each(|_| check_n(&tokens, RESERVED)) })
        }),
        Subject::new("governor, one limiter on the system's clock", REQUESTS, move || {
            let tokens = RateLimiter::direct_with_clock(ample(), MonotonicClock);
            timed(&slow, async { (0..REQUESTS).for_each(|_| check_n(&tokens, RESERVED)) })
        }),
        Subject::new("governor, two limiters", REQUESTS, move || {
            let (tokens, requests) = (governor(), governor());
            timed(&two, async {
                for _ in 0..REQUESTS {
                    check_n(&requests, 1);
                    check_n(&tokens, RESERVED);
                }
            })
        }),
        Subject::new("throttle-net, bucket and refund", REQUESTS, move || {
            let tokens = throttle_net::Throttle::per_minute(AMPLE);
            timed(&bucket_of_net, async {
                for _ in 0..REQUESTS {
                    tokens.acquire_with_cost(black_box(RESERVED)).await.unwrap();
                    tokens.refund(UNUSED);
                }
            })
        }),
        Subject::new("throttle-net, log and refund", REQUESTS, move || {
            let tokens = SlidingWindowLog::per_minute(AMPLE);
            timed(&log_of_net, async {
                for _ in 0..REQUESTS {
                    tokens.acquire_with_cost(black_box(RESERVED)).await.unwrap();
                    tokens.refund(UNUSED);
                }
            })
        }),
        Subject::new("throttle-net, two logs and refund", REQUESTS, move || {
            let (tokens, requests) =
                (SlidingWindowLog::per_minute(AMPLE), SlidingWindowLog::per_minute(AMPLE));
            timed(&two_of_net, async {
                for _ in 0..REQUESTS {
                    requests.acquire().await.unwrap();
                    tokens.acquire_with_cost(black_box(RESERVED)).await.unwrap();
                    tokens.refund(UNUSED);
                }
            })
        }),
    ]
}

fn uncontended_figures(times: &[Vec<f64>]) {
    let [tokens, bucket, both, one, slow, two, net_bucket, net_log, net_logs] = times else {
        unreachable!("nine subjects")
    };
    print("acquire + settle, tokens / governor's check_n", "<= 2", ratio(tokens, one));
    print("acquire + settle, tokens / check_n on the system's clock", "", ratio(tokens, slow));
    print("acquire + settle, tokens known as a bucket / check_n", "", ratio(bucket, one));
    print("acquire + settle, tokens and requests / check_n", "", ratio(both, one));
    print("acquire + settle, tokens and requests / two check_n", "<= 2", ratio(both, two));
    print("acquire + settle, tokens / throttle-net's bucket", "< 1", ratio(tokens, net_bucket));
    print("acquire + settle, tokens / throttle-net's log", "< 1", ratio(tokens, net_log));
    print("acquire + settle, tokens and requests / two of its logs", "< 1", ratio(both, net_logs));
    print("nanoseconds: ours, tokens", "", median(tokens.clone()));
    print("nanoseconds: governor's check_n", "", median(one.clone()));
}

fn stated(tokens: bool, requests: bool) -> ThrottleSettings {
    let ample = |wanted: bool| wanted.then_some(u64::from(AMPLE));
    ThrottleSettings::stated(ample(tokens), ample(requests))
}

fn bucket() -> ThrottleSettings {
    let quota = Mechanism::per_minute(MechanismId::TokenBucket, u64::from(AMPLE));
    ThrottleSettings { quotas: vec![(QuotaKind::Tokens, quota)], ..stated(false, false) }
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

// Tasks that contend, on two threads.

fn contended() -> Vec<Subject> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = Arc::new(runtime.worker_threads(2).enable_time().build().unwrap());
    let mut subjects = Vec::new();
    for tasks in [1, 64] {
        let threads = runtime.clone();
        subjects.push(Subject::new(format!("ours, tasks: {tasks}"), SHARED, move || {
            let throttle = Throttle::new(stated(true, false), Clock::system()).unwrap();
            in_tasks(&threads, tasks, |requests| {
                let throttle = throttle.clone();
                async move {
                    for _ in 0..requests {
                        send(&throttle).await;
                    }
                }
            })
        }));
        let threads = runtime.clone();
        subjects.push(Subject::new(format!("governor, tasks: {tasks}"), SHARED, move || {
            let limiter = Arc::new(governor());
            in_tasks(&threads, tasks, |requests| {
                let limiter = limiter.clone();
                async move { (0..requests).for_each(|_| check_n(&limiter, RESERVED)) }
            })
        }));
    }
    subjects
}

fn contended_figures(times: &[Vec<f64>]) {
    let [ours_1, governor_1, ours_64, governor_64] = times else { unreachable!("four subjects") };
    print("64 tasks / one task, governor", "", ratio(governor_64, governor_1));
    print("64 tasks / one task, ours", "<= that", ratio(ours_64, ours_1));
}

/// All requests, shared out among so many tasks.
fn in_tasks<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    tasks: u64,
    requests: impl Fn(u64) -> F,
) -> Duration {
    timed(runtime, async {
        let mut all = JoinSet::new();
        for _ in 0..tasks {
            all.spawn(requests(SHARED / tasks));
        }
        all.join_all().await;
    })
}

// Requests that come at once, of which a tenth passes every minute of virtual time, and as many tasks without a throttle.

fn waiting() -> Vec<Subject> {
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

fn waiting_figures(times: &[Vec<f64>]) {
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
