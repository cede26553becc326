use std::num::NonZeroU32;
use std::sync::Mutex as SyncMutex;
use std::time::Duration;

use bedrock_tpm::{
    Answer, Clock, QuotaKind, Reservation, Result, Throttle, ThrottleSettings, Timestamp, reserved_tokens,
    settled_tokens,
};
use governor::clock::{Clock as _, FakeRelativeClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use serde::Serialize;
use throttle_net::{SlidingWindowLog, TokioClock};
use tokio::sync::Mutex;

use crate::adaptive_retry::AdaptiveRetry;
use crate::world::{World, locked};

/// The longest pause before a retry, in seconds.
const LONGEST_BACKOFF_S: f64 = 20.0;

/// How a client keeps under its quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientId {
    /// Our throttle, told the mechanism.
    Knowing,
    /// Our throttle, told the quotas.
    Unknowing,
    /// One request every so many seconds.
    Spacing,
    /// As fast as it can; after a 429, exponential backoff with full jitter.
    Backoff,
    /// The adaptive retry mode of the AWS SDKs.
    AdaptiveRetry,
    /// GCRA of another library, of a minute's burst.
    Governor,
    /// Sliding logs of another library, with refunds.
    ThrottleNet,
}

impl ClientId {
    pub const ALL: [Self; 7] = [
        Self::Knowing,
        Self::Unknowing,
        Self::Spacing,
        Self::Backoff,
        Self::AdaptiveRetry,
        Self::Governor,
        Self::ThrottleNet,
    ];

    pub fn id(self) -> &'static str {
        match self {
            Self::Knowing => "knowing",
            Self::Unknowing => "unknowing",
            Self::Spacing => "spacing",
            Self::Backoff => "backoff",
            Self::AdaptiveRetry => "adaptive_retry",
            Self::Governor => "governor",
            Self::ThrottleNet => "throttle_net",
        }
    }
}

type Gcra = RateLimiter<NotKeyed, InMemoryState, FakeRelativeClock, NoOpMiddleware<Nanos>>;

pub struct Client {
    clock: Clock,
    kind: Kind,
}

enum Kind {
    Throttle(Throttle),
    Spacing {
        spacing_s: f64,
        next: SyncMutex<Timestamp>,
    },
    Backoff,
    AdaptiveRetry(SyncMutex<AdaptiveRetry>),
    /// Requests, tokens, and what tells them the time; one waits at a time.
    Governor {
        limiters: [Gcra; 2],
        clock: FakeRelativeClock,
        started: Timestamp,
        turn: Mutex<()>,
    },
    ThrottleNet {
        limiters: [SlidingWindowLog<TokioClock>; 2],
        turn: Mutex<()>,
    },
}

/// A request that is to be sent.
#[derive(Clone, Copy)]
pub struct Wanted {
    pub input_tokens: u64,
    pub max_tokens: u64,
    /// How often it has been rejected.
    pub failures: i32,
    /// Where chance enters: 0 to 1.
    pub luck: f64,
}

/// What a client keeps of a request under way.
pub struct Permit {
    reserved: u64,
    reservation: Option<Reservation>,
}

impl Client {
    pub fn new(id: ClientId, world: &World, clock: Clock) -> Result<Self> {
        let (rpm, tpm) = (world.load.rpm, world.load.tpm);
        let settings = ThrottleSettings::stated(Some(tpm), Some(rpm));
        let per_minute = [rpm, tpm].map(count);
        let kind = match id {
            ClientId::Knowing => {
                let [requests, tokens] = world.quotas();
                let quotas = vec![(QuotaKind::Requests, requests), (QuotaKind::Tokens, tokens)];
                Kind::Throttle(Throttle::new(ThrottleSettings { quotas, ..settings }, clock)?)
            }
            ClientId::Unknowing => Kind::Throttle(Throttle::new(settings, clock)?),
            ClientId::Spacing => {
                let next = SyncMutex::new(clock.now());
                Kind::Spacing { spacing_s: world.load.spacing_s(), next }
            }
            ClientId::Backoff => Kind::Backoff,
            ClientId::AdaptiveRetry => Kind::AdaptiveRetry(SyncMutex::new(AdaptiveRetry::new(clock.now()))),
            ClientId::Governor => {
                let time = FakeRelativeClock::default();
                let limiters =
                    per_minute.map(|n| RateLimiter::direct_with_clock(Quota::per_minute(n), time.clone()));
                Kind::Governor { limiters, clock: time, started: clock.now(), turn: Mutex::default() }
            }
            ClientId::ThrottleNet => {
                let log = |n: NonZeroU32| SlidingWindowLog::per_minute(n.get()).with_clock(TokioClock);
                Kind::ThrottleNet { limiters: per_minute.map(log), turn: Mutex::default() }
            }
        };
        Ok(Self { clock, kind })
    }

    /// Waits until the client sends the request.
    pub async fn acquire(&self, wanted: Wanted) -> Permit {
        let Wanted { input_tokens, max_tokens, .. } = wanted;
        let reserved = reserved_tokens(input_tokens, max_tokens);
        let mut reservation = None;
        match &self.kind {
            Kind::Throttle(throttle) => {
                let acquired = throttle.acquire(input_tokens, max_tokens).await;
                reservation = Some(acquired.expect("a request smaller than the quotas"));
            }
            Kind::Spacing { spacing_s, next } => {
                let at = {
                    let mut next = locked(next);
                    let at = self.clock.now().max(*next);
                    *next = at.plus_seconds(*spacing_s);
                    at
                };
                self.clock.sleep_until(at).await;
            }
            Kind::Backoff => self.back_off(wanted).await,
            Kind::AdaptiveRetry(bucket) => {
                self.back_off(wanted).await;
                loop {
                    let wait_s = locked(bucket).acquire(self.clock.now());
                    match wait_s {
                        Some(wait_s) => self.clock.sleep(Duration::from_secs_f64(wait_s)).await,
                        None => break,
                    }
                }
            }
            Kind::Governor { limiters, clock, started, turn } => {
                let _turn = turn.lock().await;
                for (limiter, cost) in limiters.iter().zip([1, reserved]) {
                    loop {
                        let elapsed = self.clock.now() - *started;
                        clock.advance(elapsed - Duration::from(clock.now()));
                        match limiter.check_n(count(cost)).expect("a request smaller than the quotas") {
                            Ok(()) => break,
                            Err(until) => self.clock.sleep(until.wait_time_from(clock.now())).await,
                        }
                    }
                }
            }
            Kind::ThrottleNet { limiters: [requests, tokens], turn } => {
                let _turn = turn.lock().await;
                requests.acquire().await.expect("a request fits the quota");
                let acquired = tokens.acquire_with_cost(count(reserved).get()).await;
                acquired.expect("a request smaller than the quotas");
            }
        }
        Permit { reserved, reservation }
    }

    /// Tells the client how the request ended.
    pub fn ended(&self, permit: Permit, answer: Answer) {
        if let Kind::AdaptiveRetry(bucket) = &self.kind {
            locked(bucket).ended(self.clock.now(), matches!(answer, Answer::Throttled(_)));
        }
        match (answer, permit.reservation, &self.kind) {
            (Answer::Admitted { usage, .. }, Some(reservation), _) => reservation.settle(usage),
            (Answer::Throttled(kind), Some(reservation), _) => reservation.throttled(Some(kind)),
            (Answer::Unavailable, Some(reservation), _) => reservation.unknown(),
            (Answer::Admitted { usage, .. }, None, Kind::ThrottleNet { limiters: [_, tokens], .. }) => {
                tokens.refund(u32::try_from(permit.reserved - settled_tokens(usage, 1)).unwrap_or(0));
            }
            _ => {}
        }
    }

    /// The pause of the SDKs before an attempt.
    async fn back_off(&self, wanted: Wanted) {
        if wanted.failures > 0 {
            let longest_s = 2_f64.powi(wanted.failures - 1).min(LONGEST_BACKOFF_S);
            self.clock.sleep(Duration::from_secs_f64(longest_s * wanted.luck)).await;
        }
    }
}

fn count(cost: u64) -> NonZeroU32 {
    u32::try_from(cost).ok().and_then(NonZeroU32::new).expect("a cost within the quotas")
}
