//! What the throttle itself costs, beside other rate limiters in the same run.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::unwrap_used, reason = "a bench fails as a test does")]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bedrock_tpm::{Clock, Mechanism, MechanismId, QuotaKind, Throttle, ThrottleSettings, Timestamp, Usage};
use criterion::{BatchSize, Criterion, Throughput};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use throttle_net::SlidingWindowLog;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Requests of one limiter, none of which waits: as many as a busy client sends in a few minutes.
const REQUESTS: u64 = 8_192;
/// Tasks that contend.
const TASKS: u64 = 64;
/// What every quota allows a minute: never used up.
const AMPLE: u32 = u32::MAX;
/// Tokens of a request: what it reserves, and what it used.
const RESERVED: u32 = 1_000;
const USED: u32 = 700;
/// Requests of one limiter that tasks share.
const CONTENDED: u64 = 65_536;

const GOVERNOR: &str = "governor, one limiter";
const TWO_GOVERNORS: &str = "governor, two limiters";
const ONE: &str = "ours, one quota";
const BUCKET: &str = "ours, one quota known to be a bucket";
const TWO: &str = "ours, tokens and requests";
const NET_BUCKET: &str = "throttle-net, bucket";
const NET_LOG: &str = "throttle-net, log";

fn main() {
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join("criterion");
    let mut criterion = Criterion::default()
        .output_directory(&results)
        .measurement_time(Duration::from_secs(3))
        .warm_up_time(Duration::from_secs(1))
        .configure_from_args();
    uncontended(&mut criterion);
    contended(&mut criterion);
    waiting(&mut criterion);
    criterion.final_summary();
    figures(&results);
}

// What is compared.

fn ours(settings: ThrottleSettings) -> Throttle {
    Throttle::new(settings, Clock::system()).unwrap()
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

fn governor() -> DefaultDirectRateLimiter {
    RateLimiter::direct(Quota::per_minute(NonZeroU32::new(AMPLE).unwrap()))
}

fn check_n(limiter: &DefaultDirectRateLimiter, cost: u32) {
    black_box(limiter.check_n(NonZeroU32::new(black_box(cost)).unwrap())).unwrap().unwrap();
}

fn uncontended(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut group = criterion.benchmark_group("uncontended");
    group.throughput(Throughput::Elements(REQUESTS));
    group.bench_function(GOVERNOR, |bencher| {
        let requests =
            |limiter: &mut DefaultDirectRateLimiter| (0..REQUESTS).for_each(|_| check_n(limiter, RESERVED));
        bencher.iter_batched_ref(governor, requests, BatchSize::PerIteration);
    });
    for (name, settings) in [(ONE, stated(true, false)), (BUCKET, bucket()), (TWO, stated(true, true))] {
        group.bench_function(name, |bencher| {
            let requests = |throttle: &mut Throttle| {
                runtime.block_on(async {
                    for _ in 0..REQUESTS {
                        send(throttle).await;
                    }
                });
            };
            bencher.iter_batched_ref(|| ours(settings.clone()), requests, BatchSize::PerIteration);
        });
    }
    group.bench_function(TWO_GOVERNORS, |bencher| {
        let requests = |[requests, tokens]: &mut [DefaultDirectRateLimiter; 2]| {
            for _ in 0..REQUESTS {
                check_n(requests, 1);
                check_n(tokens, RESERVED);
            }
        };
        bencher.iter_batched_ref(|| [governor(), governor()], requests, BatchSize::PerIteration);
    });
    group.bench_function(NET_BUCKET, |bencher| {
        let requests = |limiter: &mut throttle_net::Throttle| {
            runtime.block_on(async {
                for _ in 0..REQUESTS {
                    limiter.acquire_with_cost(black_box(RESERVED)).await.unwrap();
                    limiter.refund(RESERVED - USED);
                }
            });
        };
        bencher.iter_batched_ref(
            || throttle_net::Throttle::per_minute(AMPLE),
            requests,
            BatchSize::PerIteration,
        );
    });
    group.bench_function(NET_LOG, |bencher| {
        let requests = |limiter: &mut SlidingWindowLog| {
            runtime.block_on(async {
                for _ in 0..REQUESTS {
                    limiter.acquire_with_cost(black_box(RESERVED)).await.unwrap();
                    limiter.refund(RESERVED - USED);
                }
            });
        };
        bencher.iter_batched_ref(|| SlidingWindowLog::per_minute(AMPLE), requests, BatchSize::PerIteration);
    });
    group.finish();
}

/// All requests of `tasks` tasks, on two threads.
fn in_tasks<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    tasks: u64,
    requests: impl Fn(u64) -> F,
) {
    runtime.block_on(async {
        let mut all = JoinSet::new();
        for _ in 0..tasks {
            all.spawn(requests(CONTENDED / tasks));
        }
        all.join_all().await;
    });
}

fn contended(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let mut group = criterion.benchmark_group("contended");
    group.throughput(Throughput::Elements(CONTENDED));
    group.sample_size(50);
    for tasks in [1, TASKS] {
        group.bench_function(format!("governor, {tasks} tasks"), |bencher| {
            let requests = |limiter: &mut Arc<DefaultDirectRateLimiter>| {
                in_tasks(&runtime, tasks, |requests| {
                    let limiter = limiter.clone();
                    async move { (0..requests).for_each(|_| check_n(&limiter, RESERVED)) }
                });
            };
            bencher.iter_batched_ref(|| Arc::new(governor()), requests, BatchSize::PerIteration);
        });
        group.bench_function(format!("ours, {tasks} tasks"), |bencher| {
            let requests = |throttle: &mut Throttle| {
                in_tasks(&runtime, tasks, |requests| {
                    let throttle = throttle.clone();
                    async move {
                        for _ in 0..requests {
                            send(&throttle).await;
                        }
                    }
                });
            };
            bencher.iter_batched_ref(|| ours(stated(true, false)), requests, BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// So many requests that come at once, of which a tenth passes every minute of virtual time.
fn waiting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("waiting");
    group.sample_size(10);
    for waiters in [1_000, 10_000, 100_000] {
        group.throughput(Throughput::Elements(waiters));
        group.bench_function(format!("{waiters} waiters"), |bencher| {
            bencher.iter(|| {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = runtime.enable_time().start_paused(true).build().unwrap();
                runtime.block_on(async {
                    let clock = Clock::virtual_from(Timestamp::EPOCH);
                    let throttle =
                        Throttle::new(ThrottleSettings::stated(None, Some(waiters / 10)), clock).unwrap();
                    let mut all = JoinSet::new();
                    for index in 0..waiters {
                        let throttle = throttle.clone();
                        all.spawn(async move {
                            let reservation = throttle.acquire(1, 1).await.unwrap();
                            clock.sleep(Duration::from_millis(index % 30_000)).await;
                            reservation.settle(Usage::default());
                        });
                    }
                    all.join_all().await;
                });
            });
        });
    }
    group.finish();
}

/// What is required of the medians of this run, as far as it measured them, and what they are.
fn figures(results: &Path) {
    let median = |id: &str, elements: u64| {
        let text = std::fs::read_to_string(results.join(id).join("new/estimates.json")).ok()?;
        let estimates: serde_json::Value = serde_json::from_str(&text).unwrap();
        Some(estimates["median"]["point_estimate"].as_f64().unwrap() / elements as f64)
    };
    let uncontended = |name: &str| median(&format!("uncontended/{name}"), REQUESTS);
    let scaling = |name: &str| {
        let contended = |tasks| median(&format!("contended/{name}, {tasks} tasks"), CONTENDED);
        Some(contended(TASKS)? / contended(1)?)
    };
    let waiter = |waiters: u64| median(&format!("waiting/{waiters} waiters"), waiters);
    let ratio = |ours: Option<f64>, other: Option<f64>| Some(ours? / other?);
    let print = |figure: &str, required: &str, measured: Option<f64>| {
        let measured = measured.map_or("not run".into(), |measured| format!("{measured:.2}"));
        println!("{figure:<66} {required:>9} {measured:>9}");
    };
    let (one, two) = (uncontended(ONE), uncontended(TWO));
    let governor = uncontended(GOVERNOR);
    println!("\n{:<66} {:>9} {:>9}", "figure", "required", "measured");
    print("acquire + settle, one quota / governor's check_n", "<= 2", ratio(one, governor));
    print(
        "acquire + settle, a known bucket / governor's check_n",
        "<= 2",
        ratio(uncontended(BUCKET), governor),
    );
    print("acquire + settle, tokens and requests / governor's check_n", "", ratio(two, governor));
    print(
        "acquire + settle, tokens and requests / two check_n",
        "<= 2",
        ratio(two, uncontended(TWO_GOVERNORS)),
    );
    print(
        "acquire + settle, one quota / throttle-net's bucket and refund",
        "< 1",
        ratio(one, uncontended(NET_BUCKET)),
    );
    print(
        "acquire + settle, one quota / throttle-net's log and refund",
        "< 1",
        ratio(one, uncontended(NET_LOG)),
    );
    print("64 tasks / one task, governor", "", scaling("governor"));
    print("64 tasks / one task, ours", "<= that", scaling("ours"));
    print("a waiter of 10,000 / of 1,000 (log n: 1.33)", "", ratio(waiter(10_000), waiter(1_000)));
    print("a waiter of 100,000 / of 1,000 (log n: 1.67)", "<= 1.67", ratio(waiter(100_000), waiter(1_000)));
}
