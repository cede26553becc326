//! Eight processes, one Redis: what they reach together, when one dies, and when the server does.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_tpm::{Clock, Emulator, EmulatorConfig, EmulatorServer, Mechanism, QuotaKind, Timestamp};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const PROCESSES: usize = 8;
const PERIOD_S: f64 = 5.0;
/// About 250 tokens a request: the tokens are used up first, and the requests are not far from it.
const TOKENS: u64 = 20_000;
const REQUESTS: u64 = 120;
/// A worker that is not heard of for so long is taken for dead.
const LEASE_S: f64 = 6.0;

/// Status and tokens of each request, and when it was heard of.
type Heard = Arc<Mutex<Vec<(Timestamp, u16, u64)>>>;

struct Fleet {
    clock: Clock,
    heard: Heard,
    processes: Vec<Child>,
}

fn quotas() -> [(QuotaKind, Mechanism); 2] {
    let tokens = Mechanism::FixedWindow { limit: TOKENS, window_s: PERIOD_S, offset_s: 0.0 };
    let requests = Mechanism::SlidingLog { limit: REQUESTS, window_s: PERIOD_S };
    [(QuotaKind::Tokens, tokens), (QuotaKind::Requests, requests)]
}

fn worker(redis: &str, endpoint: &str) -> Child {
    let quotas = quotas().map(|quota| format!("--quota={}", serde_json::to_string(&quota).unwrap()));
    Command::new(env!("CARGO_BIN_EXE_fleet-worker"))
        .args(["--redis", redis, "--name", "account/region/model", "--endpoint-url", endpoint])
        .args(quotas)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

impl Fleet {
    fn start(redis: &str, endpoint: &str) -> Self {
        let (clock, heard) = (Clock::system(), Heard::default());
        let mut processes: Vec<Child> = (0..PROCESSES).map(|_| worker(redis, endpoint)).collect();
        for process in &mut processes {
            let (mut lines, heard) = (BufReader::new(process.stdout.take().unwrap()).lines(), heard.clone());
            tokio::spawn(async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    let (status, tokens) = line.split_once(' ').unwrap();
                    let request = (clock.now(), status.parse().unwrap(), tokens.parse().unwrap());
                    heard.lock().unwrap().push(request);
                }
            });
        }
        Self { clock, heard, processes }
    }

    /// Waits until an answer comes, and says for how long, in seconds.
    async fn until_answer(&self, at_most_s: f64) -> f64 {
        let (began, before) = (self.clock.now(), self.heard.lock().unwrap().len());
        while self.heard.lock().unwrap().len() == before {
            let waited_s = self.clock.now().seconds_since(began);
            assert!(waited_s < at_most_s, "no answer for {waited_s} s");
            self.clock.sleep(Duration::from_millis(20)).await;
        }
        self.clock.now().seconds_since(began)
    }

    /// The share of the quota of tokens that is used in two periods, from shortly before the end of the next one on, when
    /// all that it allows has been used.
    async fn share(&self) -> f64 {
        let from = self.in_next_period(0.95);
        let until = from.plus_seconds(2.0 * PERIOD_S);
        self.clock.sleep_until(until).await;
        let heard = self.heard.lock().unwrap();
        let within = heard.iter().filter(|(at, ..)| (from..until).contains(at));
        within.map(|(.., tokens)| tokens).sum::<u64>() as f64 / (2 * TOKENS) as f64
    }

    /// The instant at which `part` of the next period is over.
    fn in_next_period(&self, part: f64) -> Timestamp {
        let now = self.clock.now();
        let into_period = now.as_nanos().rem_euclid((PERIOD_S * 1e9) as i64);
        now.minus_nanos(into_period).plus_seconds((1.0 + part) * PERIOD_S)
    }

    /// How many requests there were, and how many of them were not admitted.
    fn tally(&self) -> (usize, usize) {
        let heard = self.heard.lock().unwrap();
        (heard.len(), heard.iter().filter(|(_, status, _)| *status != 200).count())
    }
}

#[tokio::test]
async fn eight_processes_use_the_quota_up_and_never_pass_it_whoever_dies() {
    let Some(mut redis) = crate::redis() else { return };
    let [(_, tokens), (_, requests)] = quotas();
    let config = EmulatorConfig {
        tokens: Some(tokens),
        requests: Some(requests),
        latency_s: (0.02, 0.1),
        ..EmulatorConfig::default()
    };
    // It judges by itself: whatever passes a quota gets a 429.
    let emulator = Emulator::new(config, Clock::system()).unwrap();
    let service = EmulatorServer::on_loopback(Arc::new(emulator), 0).unwrap();
    let mut fleet = Fleet::start(&redis.url(), service.url());

    // Nobody knows what was used before the server started.
    let first_s = fleet.until_answer(60.0).await;
    let share = fleet.share().await;
    println!("first answer after {first_s:.1} s; then {:.1} % of the quota used", 100.0 * share);
    assert!(share >= 0.95, "8 processes: {share}");

    redis.command("SCRIPT FLUSH").unwrap();
    fleet.processes.pop().unwrap().kill().await.unwrap();
    println!("one killed; next answer after {:.1} s", fleet.until_answer(PERIOD_S + 2.0).await);
    fleet.clock.sleep(Duration::from_secs_f64(LEASE_S + PERIOD_S)).await;
    let share = fleet.share().await;
    println!("7 processes: {:.1} % of the quota used", 100.0 * share);
    assert!(share >= 0.95, "7 processes: {share}");

    // The quota of this period is used up, and a server that believed itself new would let all of it pass again.
    fleet.clock.sleep_until(fleet.in_next_period(0.5)).await;
    redis.kill();
    fleet.clock.sleep(Duration::from_millis(200)).await;
    let before = fleet.heard.lock().unwrap().len();
    fleet.clock.sleep(Duration::from_millis(300)).await;
    assert_eq!(fleet.heard.lock().unwrap().len(), before, "without the server nothing goes out");
    redis.run();
    let first_s = fleet.until_answer(LEASE_S + 2.0 * PERIOD_S + 5.0).await;
    assert!(first_s > LEASE_S - 0.1, "all is used up at first: {first_s} s");
    let share = fleet.share().await;
    println!(
        "server restarted; next answer after {first_s:.1} s; then {:.1} % of the quota used",
        100.0 * share
    );
    assert!(share >= 0.95, "after the restart: {share}");

    let (requests, rejected) = fleet.tally();
    println!("{requests} requests, {rejected} rejected");
    assert_eq!(rejected, 0);
}
