use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bedrock_tpm::{
    Answer, Clock, EmulatorConfig, Mechanism, MechanismId, Result, Service, Timestamp, settled_tokens,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::client::{Client, ClientId, Wanted};

const START: Timestamp = Timestamp::from_nanos(1_752_585_600_000_000_000);
/// The service's clock is ahead by this much, in seconds.
const SKEW_S: f64 = 0.2;
/// A request takes this long, in seconds; it is admitted anywhere within.
const LATENCY_S: (f64, f64) = (0.3, 1.5);
/// Requests that want to be sent at any time.
const CONCURRENCY: usize = 8;
/// How often the all-knowing client looks whether it may send.
const GLANCE: Duration = Duration::from_millis(10);

/// The quotas, and how large the requests are. Input varies by half up and down; output is anything up to 256 tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Load {
    /// Requests per minute.
    pub rpm: u64,
    /// Tokens per minute.
    pub tpm: u64,
    /// The mean input of a request, in tokens.
    input: u64,
    /// What a request reserves for its output, in tokens.
    max_tokens: u64,
    /// Whether requests bind, or else tokens.
    requests_bind: bool,
}

impl Load {
    pub const ALL: [Self; 4] = [
        Self { rpm: 100, tpm: 100_000, input: 200, max_tokens: 300, requests_bind: true },
        Self { rpm: 100, tpm: 100_000, input: 2_500, max_tokens: 1_500, requests_bind: false },
        Self { rpm: 4, tpm: 4_000, input: 200, max_tokens: 300, requests_bind: true },
        Self { rpm: 4, tpm: 4_000, input: 1_200, max_tokens: 400, requests_bind: false },
    ];

    /// Seconds from one request to the next at which the mean request stays within both quotas.
    pub fn spacing_s(self) -> f64 {
        60.0 * (1.0 / self.rpm as f64).max((self.input + self.max_tokens) as f64 / self.tpm as f64)
    }

    fn input(self, rng: &mut StdRng) -> u64 {
        rng.random_range(self.input / 2..=self.input * 3 / 2)
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binds = if self.requests_bind { "requests" } else { "tokens" };
        write!(f, "{} RPM and {} TPM, {binds} bind", self.rpm, self.tpm)
    }
}

/// A service and what is asked of it.
pub struct World {
    pub load: Load,
    pub mechanism: MechanismId,
    hours: f64,
    seed: u64,
}

/// What a client did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub attempts: u64,
    pub throttled: u64,
    tokens: u64,
}

impl World {
    pub fn new(load: Load, mechanism: MechanismId, hours: f64, seed: u64) -> Self {
        Self { load, mechanism, hours, seed }
    }

    /// The quotas: requests, tokens.
    pub fn quotas(&self) -> [Mechanism; 2] {
        [self.load.rpm, self.load.tpm].map(|limit| Mechanism::per_minute(self.mechanism, limit))
    }

    /// What was used of the quota that binds, in per cent.
    pub fn goodput(&self, tally: &Tally) -> f64 {
        let (used, quota) = match self.load.requests_bind {
            true => (tally.attempts - tally.throttled, self.load.rpm),
            false => (tally.tokens, self.load.tpm),
        };
        100.0 * used as f64 / (quota as f64 * 60.0 * self.hours)
    }

    /// The most that a client can use that keeps the order of its requests, in per cent: what one uses that sees into the
    /// service and is admitted the instant it fits. Where a window begins with an admission, a client that does not see it loses the latency of one
    /// request a window.
    pub fn bound(&self) -> Result<f64> {
        let (mut service, mut rng, mut tally) = (self.service()?, self.rng(), Tally::default());
        let (mut now, mut input) = (START, self.load.input(&mut rng));
        while now < self.end() {
            let until_answer = service.latency().until_answer;
            match service.admit(now, until_answer, input, self.load.max_tokens) {
                Answer::Admitted { usage, .. } => {
                    tally.attempts += 1;
                    tally.tokens += settled_tokens(usage, 1);
                    input = self.load.input(&mut rng);
                }
                Answer::Throttled(_) | Answer::Unavailable => now = now + GLANCE,
            }
        }
        let mean_latency_s = f64::midpoint(LATENCY_S.0, LATENCY_S.1);
        let unseen = match self.mechanism {
            MechanismId::AnchoredWindow | MechanismId::SlidingLog => 60.0 / (60.0 + mean_latency_s),
            _ => 1.0,
        };
        Ok(unseen * self.goodput(&tally))
    }

    /// What `client` does in this world.
    pub fn run(&self, client: ClientId) -> Result<Tally> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime without IO");
        runtime.block_on(async {
            let clock = Clock::virtual_from(START);
            let shared = Arc::new(Shared {
                service: Mutex::new(self.service()?),
                clock,
                service_clock: Clock::virtual_from(START.plus_seconds(SKEW_S)),
                client: Client::new(client, self, clock)?,
                rng: Mutex::new(self.rng()),
                tally: Mutex::default(),
                load: self.load,
                end: self.end(),
            });
            let mut senders = JoinSet::new();
            for _ in 0..CONCURRENCY {
                senders.spawn(shared.clone().send());
            }
            clock.sleep_until(self.end()).await;
            senders.shutdown().await;
            Ok(*locked(&shared.tally))
        })
    }

    fn end(&self) -> Timestamp {
        START.plus_seconds(3_600.0 * self.hours)
    }

    fn rng(&self) -> StdRng {
        StdRng::seed_from_u64(self.seed)
    }

    fn service(&self) -> Result<Service> {
        let [requests, tokens] = self.quotas().map(Some);
        let seed = self.seed;
        Service::new(EmulatorConfig {
            requests,
            tokens,
            latency_s: LATENCY_S,
            seed,
            ..EmulatorConfig::default()
        })
    }
}

struct Shared {
    service: Mutex<Service>,
    clock: Clock,
    service_clock: Clock,
    client: Client,
    rng: Mutex<StdRng>,
    tally: Mutex<Tally>,
    load: Load,
    end: Timestamp,
}

impl Shared {
    /// Sends one request after the other, each until it is admitted.
    async fn send(self: Arc<Self>) {
        let max_tokens = self.load.max_tokens;
        while self.clock.now() < self.end {
            let input = self.load.input(&mut locked(&self.rng));
            for failures in 0.. {
                let luck = locked(&self.rng).random();
                let wanted = Wanted { input_tokens: input, max_tokens, failures, luck };
                let permit = self.client.acquire(wanted).await;
                let latency = locked(&self.service).latency();
                self.clock.sleep(latency.until_admission).await;
                let at = self.service_clock.now();
                let answer = locked(&self.service).admit(at, latency.until_answer, input, max_tokens);
                self.count(answer);
                self.clock.sleep(latency.until_answer).await;
                self.client.ended(permit, answer);
                if matches!(answer, Answer::Admitted { .. }) {
                    break;
                }
            }
        }
    }

    fn count(&self, answer: Answer) {
        let mut tally = locked(&self.tally);
        tally.attempts += 1;
        match answer {
            Answer::Admitted { usage, .. } => tally.tokens += settled_tokens(usage, 1),
            Answer::Throttled(_) | Answer::Unavailable => tally.throttled += 1,
        }
    }
}

/// A run that panicked is not counted at all.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
