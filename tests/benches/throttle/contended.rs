//! Tasks that contend, on two threads.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bedrock_tpm::{Clock, Throttle};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::{RESERVED, Subject, check_n, governor, print, ratio, send, stated, timed};

/// Requests of one limiter that tasks share.
const SHARED: u64 = 65_536;

pub(crate) fn subjects() -> Vec<Subject> {
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

pub(crate) fn figures(times: &[Vec<f64>]) {
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
