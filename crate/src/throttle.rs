//! The throttle: the [`Limiter`](crate::Limiter)s of a client's quotas, in front of that client.

mod caution;
mod credit;
mod ended;
mod estimate;
mod fleet;
mod gate;
mod guard;
mod known;
mod layer;
mod queue;
mod reservation;
mod sdk;
mod size;
mod spread;
mod trust;

pub use ended::Ended;
pub use estimate::TokenEstimator;
pub use gate::ThrottleStats;
pub use known::ThrottleSettings;
pub use layer::{ThrottleLayer, ThrottledService};
pub use reservation::Reservation;
pub(crate) use sdk::Reported;
pub use size::RequestSize;
pub use spread::Spread;

use std::sync::Arc;

use self::fleet::Fleet;
use self::gate::Gate;
use self::guard::Guard;
use self::queue::{Doors, Queue};
use crate::{Clock, Error, QuotaKind, Result, Timestamp, Verdict};

/// Keeps a client under its quotas: each request waits until the service will surely admit it.
///
/// # What is safe
/// A client knows when it sends a request and when the answer is complete; the service admits it somewhere in between,
/// by a clock that may differ. So every charge is *guarded*: it is kept until the latest instant at which the service
/// may still count it; a request that takes long counts as long. That others do not use the quota is assumed until a 429
/// shows otherwise, and that it was not used before the start unless the settings say so.
///
/// # How much is lost
/// With no 429 and the admission uncertain by `d` seconds: nothing of a fixed window, nor of a bucket that holds what
/// is in flight; `d / (60 + d)` of a sliding log and of a window from first use; one of R equal requests of a sliding
/// counter.
///
/// # How large quotas are given out
/// Of each quota that is worth 16,384 requests or more, every thread is given a 1,024th at once, in which most requests need
/// neither a lock nor a look at the clock. What ends of it counts as ended when the thread needs more, or anybody waits.
///
/// # What nobody has measured
/// Quotas that are only [stated](ThrottleSettings::stated) may be stricter than they are taken for. So beyond half of one,
/// as many requests are under way at once as those that it admitted there vouch for: one at first, one more for every
/// four. A 429 then costs one request or a few, and tells how to go on; see [`Reservation::throttled`].
///
/// # Who is next
/// First come, first served: a large request is not overtaken by small ones. Only the first in the queue waits for
/// time to pass, so a thousand waiting requests cost no more than their memory.
///
/// ```
/// use bedrock_tpm::{Clock, Throttle, ThrottleSettings, Timestamp, Usage};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> bedrock_tpm::Result<()> {
/// let settings = ThrottleSettings::stated(Some(4_000), Some(4));
/// let throttle = Throttle::new(settings, Clock::virtual_from(Timestamp::EPOCH))?;
///
/// let reservation = throttle.acquire(700, 300).await?; // 700 input tokens, max_tokens 300
/// // ... send the request; when its answer is complete:
/// reservation.settle(Usage { input_tokens: 712, output_tokens: 85, ..Usage::default() });
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Throttle {
    queue: Doors,
    /// Where there is one, it holds what is used, and the gate in `queue` only knows what can ever pass.
    fleet: Option<Fleet>,
}

impl Throttle {
    /// A throttle for the quotas in `settings`, on the client's clock.
    ///
    /// # Errors
    /// A usage error if `settings` are out of range.
    pub fn new(settings: ThrottleSettings, clock: Clock) -> Result<Self> {
        Ok(Self::of_quotas(settings.quotas()?, &settings, clock))
    }

    /// A throttle that knows what `verdict` names, in place of what `settings` state for that quota. Its parameters are
    /// taken at those ends of their intervals that are safe. If it names no mechanism, the settings remain.
    ///
    /// # Errors
    /// A usage error if `settings` are out of range.
    pub fn from_verdict(verdict: &Verdict, settings: ThrottleSettings, clock: Clock) -> Result<Self> {
        Ok(Self::of_quotas(known::quotas(verdict, &settings)?, &settings, clock))
    }

    /// A throttle that shares its quotas with all processes, here and on other machines, that connect to the same `name`
    /// on the Redis or Valkey (6 or later) at `url`: `redis://[[user]:password@]host[:port][/database]`, or a path to a
    /// socket after `unix:`. The name stands for what has a quota of its own, such as account, Region and model; state
    /// the same settings everywhere; [`is_used_up`](ThrottleSettings::is_used_up) is for one process and changes nothing
    /// here. TLS is not built in: reach a server that is elsewhere through a tunnel.
    ///
    /// # Time and the queue
    /// The server's clock counts, and [`clock_error_s`](ThrottleSettings::clock_error_s) is how far it may be off. Each
    /// process has one place in the queue of the fleet: they take turns, and a large request is not overtaken.
    ///
    /// # What may go wrong
    /// - A process that is not heard of for 6 s (a lease) is taken for dead, and counts as having used what it had reserved.
    /// - While the server cannot be reached, requests wait; [`outage`](Self::outage) says why.
    /// - A server that has lost what it kept, or may have, because it has restarted, was emptied or has given way to a
    ///   replica, is taken for one whose quotas are all used up. That costs a lease and a period of each quota.
    /// - A server that keeps nothing under the name lets nothing pass for a lease, in which those that know better object.
    ///   If there are none, nothing is taken for used since the server started: do not let it evict keys.
    ///
    /// # Errors
    /// A usage error if `settings` are out of range, if others under this name have other settings, or if the URL is
    /// malformed; a setup error if the server cannot be reached.
    pub async fn connect(url: &str, name: &str, settings: ThrottleSettings) -> Result<Self> {
        Self::of_fleet(url, name, settings.quotas()?, &settings).await
    }

    /// As [`connect`](Self::connect), but knows what `verdict` names, like [`from_verdict`](Self::from_verdict). All
    /// processes need the same verdict.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with_verdict(
        url: &str,
        name: &str,
        verdict: &Verdict,
        settings: ThrottleSettings,
    ) -> Result<Self> {
        Self::of_fleet(url, name, known::quotas(verdict, &settings)?, &settings).await
    }

    fn of_quotas(quotas: Vec<(QuotaKind, Guard)>, settings: &ThrottleSettings, clock: Clock) -> Self {
        let (mut gate, seen) = (Gate::new(quotas, settings), clock.now());
        if settings.is_used_up {
            gate.use_up(seen);
        }
        Self::of_gate(gate, seen, clock)
    }

    async fn of_fleet(
        url: &str,
        name: &str,
        quotas: Vec<(QuotaKind, Guard)>,
        settings: &ThrottleSettings,
    ) -> Result<Self> {
        let (gate, clock) = (Gate::new(quotas, settings), Clock::system());
        let fleet = Fleet::connect(url, name, &gate).await?;
        Ok(Self { fleet: Some(fleet), ..Self::of_gate(gate, clock.now(), clock) })
    }

    fn of_gate(gate: Gate, seen: Timestamp, clock: Clock) -> Self {
        Self { queue: Doors::new(Queue::new(gate, seen, clock)), fleet: None }
    }

    /// Waits until a request of about `input_tokens` that may answer with up to `max_tokens` is safe under all quotas,
    /// and reserves what it needs. Send it at once: the reservation counts as sent from now on.
    ///
    /// Dropping the future takes nothing and leaves the queue in order.
    ///
    /// # Errors
    /// A usage error at once if the request can never pass, because it is larger than a quota; in a fleet also if another
    /// process has come with other settings.
    pub async fn acquire(&self, input_tokens: u64, max_tokens: u64) -> Result<Reservation> {
        if let Some(fleet) = &self.fleet {
            let cost = self.queue.gate().cost(input_tokens, max_tokens)?;
            let _turn = self.queue.turn.lock().await;
            return fleet.reserve(cost).await;
        }
        let (cost, sent) = self.queue.enter(input_tokens, max_tokens)?;
        let sent = match sent {
            Some(sent) => sent,
            None => self.queue.wait(cost).await,
        };
        Ok(Reservation::new(Arc::clone(&self.queue), sent, cost))
    }

    /// Takes every quota for used up until `at`: for a client that starts again and does not know what it has sent.
    pub fn used_up_until(&self, at: Timestamp) {
        self.queue.gate().use_up(at);
    }

    /// The most input tokens that a request with `max_tokens` can reserve; `u64::MAX` less those if there is no quota of
    /// tokens.
    pub fn largest_input(&self, max_tokens: u64) -> u64 {
        self.queue.gate().largest_request().unwrap_or(u64::MAX).saturating_sub(max_tokens)
    }

    /// How long it takes, in seconds, until a quota has room for so many requests with so many tokens in all.
    pub fn seconds_for(&self, requests: u64, tokens: u64) -> f64 {
        self.queue.gate().seconds_for(requests, tokens)
    }

    /// What it has done so far, and whether a 429 has made it cautious. In a fleet that is about all processes together,
    /// as of the last time when this one looked, at most a few seconds ago.
    pub fn stats(&self) -> ThrottleStats {
        match &self.fleet {
            Some(fleet) => fleet.stats(),
            None => self.queue.gate().stats(self.queue.clock.now()),
        }
    }

    /// Why requests wait although they might be safe: the Redis of the fleet cannot be reached, or does not take this
    /// process. `None` if it is well, and always in one process.
    pub fn outage(&self) -> Option<Error> {
        self.fleet.as_ref().and_then(Fleet::outage)
    }
}
