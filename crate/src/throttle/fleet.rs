//! Many processes that share quotas.
//!
//! # One gate for all
//! The gate that an in-process throttle keeps in memory is kept in Redis instead, as one value with a version, together
//! with the queue and with what each worker has under way. A worker takes a look at it and at the server's time, lets the
//! same gate decide, and puts the changed value back, which the server does only if nobody else has done so since; if
//! somebody has, it looks again. So no limiter is written twice, and every decision is made at one instant of one clock.

mod redis;
#[cfg(test)]
mod simulation;

mod state;
mod store;
mod visit;
mod worker;

use tokio::sync::{mpsc, oneshot, watch};

use self::redis::Redis;
use self::state::{encoded, new_name};
use self::store::Store;
use self::worker::Worker;
use super::gate::{Cost, End, Gate};
use super::{Reservation, ThrottleStats};
use crate::{Clock, Error, Result, Timestamp};

/// What a process has of its fleet.
#[derive(Clone, Debug)]
pub(super) struct Fleet {
    worker: mpsc::UnboundedSender<Command>,
    report: watch::Receiver<Report>,
}

/// What a reservation has of it.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    worker: mpsc::UnboundedSender<Command>,
}

#[derive(Debug)]
enum Command {
    Ask(Cost, oneshot::Sender<Result<Reservation>>),
    End(u64, End),
}

/// How it stands.
#[derive(Debug, Default)]
struct Report {
    stats: ThrottleStats,
    outage: Option<String>,
}

impl Fleet {
    /// Joins those that share the quotas `name` on the Redis at `url`, of which `gate` is the unused one.
    pub(super) async fn connect(url: &str, name: &str, gate: &Gate) -> Result<Self> {
        let worker = new_name();
        let store = Redis::new(url, name, &worker)?;
        // Unlike the wall clock it never jumps, and nothing but spans of it counts.
        let (fleet, worker) =
            Self::join(store, worker, encoded(gate)?, Clock::virtual_from(Timestamp::EPOCH)).await?;
        tokio::spawn(worker.run());
        Ok(fleet)
    }

    async fn join<S: Store>(
        store: S,
        name: String,
        settings: Vec<u8>,
        clock: Clock,
    ) -> Result<(Self, Worker<S>)> {
        let (commands, received) = mpsc::unbounded_channel();
        let (reported, report) = watch::channel(Report::default());
        let handles = (received, commands.downgrade());
        let mut worker = Worker::new(store, name, settings, clock, handles, reported);
        worker.join().await?;
        Ok((Self { worker: commands, report }, worker))
    }

    /// Waits until a request of `cost` is safe. Only one may wait at a time.
    pub(super) async fn reserve(&self, cost: Cost) -> Result<Reservation> {
        let ended =
            || Error::setup("the runtime has ended that the throttle was connected in: connect it anew");
        let (reply, granted) = oneshot::channel();
        self.worker.send(Command::Ask(cost, reply)).map_err(|_| ended())?;
        granted.await.map_err(|_| ended())?
    }

    pub(super) fn stats(&self) -> ThrottleStats {
        self.report.borrow().stats
    }

    pub(super) fn outage(&self) -> Option<Error> {
        self.report.borrow().outage.clone().map(Error::setup)
    }
}

impl Place {
    pub(super) fn end(&self, end: End) {
        // Without a worker, its lease says how it ended.
        let _ = self.worker.send(Command::End(self.number, end));
    }
}
