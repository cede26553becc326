//! A store that loses messages and memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use tokio::sync::Notify;

use crate::throttle::fleet::store::{Change, Look, Store};
use crate::{Clock, Error, Result, Timestamp};

/// The server, for all workers.
#[derive(Clone, Debug)]
pub(super) struct Server {
    kept: Arc<Mutex<Kept>>,
    clock: Clock,
    /// How many of the messages get lost, 0 to 1.
    loss: f64,
}

#[derive(Debug)]
struct Kept {
    value: Option<(String, Vec<u8>)>,
    /// What it finds again when it restarts.
    saved: Option<(String, Vec<u8>)>,
    run: u64,
    started: Timestamp,
    down_until: Timestamp,
    calls: HashMap<String, Arc<Notify>>,
    looks: u64,
    rng: Pcg64,
}

/// A worker's way to the server.
#[derive(Debug)]
pub(super) struct Link {
    server: Server,
    call: Arc<Notify>,
}

impl Server {
    /// One that has run for a year, on a `clock` of its own.
    pub(super) fn new(clock: Clock, loss: f64, seed: u64) -> Self {
        let kept = Kept {
            value: None,
            saved: None,
            run: 0,
            started: clock.now().plus_seconds(-3.2e7),
            down_until: Timestamp::EPOCH,
            calls: HashMap::new(),
            looks: 0,
            rng: Pcg64::seed_from_u64(seed),
        };
        Self { kept: Arc::new(Mutex::new(kept)), clock, loss }
    }

    pub(super) fn link(&self, worker: &str) -> Link {
        let call = Arc::new(Notify::new());
        self.kept().calls.insert(worker.to_owned(), call.clone());
        Link { server: self.clone(), call }
    }

    pub(super) fn forget(&self) {
        self.kept().value = None;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept().value.is_none()
    }

    pub(super) fn save(&self) {
        let mut kept = self.kept();
        kept.saved = kept.value.clone();
    }

    /// Starts anew with what was saved last, after so many seconds.
    pub(super) fn restart(&self, down_s: f64) {
        let mut kept = self.kept();
        kept.value = kept.saved.clone();
        kept.run += 1;
        kept.started = self.clock.now().plus_seconds(down_s);
        kept.down_until = kept.started;
    }

    pub(super) fn stay_away(&self, down_s: f64) {
        self.kept().down_until = self.clock.now().plus_seconds(down_s);
    }

    pub(super) fn looks(&self) -> u64 {
        self.kept().looks
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// A message takes its time, or does not arrive.
    async fn passes(&self) -> Result<()> {
        let (delay_s, is_lost) = {
            let mut kept = self.kept();
            (kept.rng.random_range(0.0..0.01), kept.rng.random_bool(self.loss))
        };
        self.clock.sleep(Duration::from_secs_f64(delay_s)).await;
        match is_lost || self.clock.now() < self.kept().down_until {
            true => Err(Error::setup("no answer")),
            false => Ok(()),
        }
    }
}

impl Store for Link {
    async fn look(&mut self) -> Result<Look> {
        self.server.passes().await?;
        let look = {
            let mut kept = self.server.kept();
            kept.looks += 1;
            let (now, run) = (self.server.clock.now(), kept.run.to_string());
            Look { now, run, started: kept.started, kept: kept.value.clone() }
        };
        self.server.passes().await?;
        Ok(look)
    }

    async fn replace(&mut self, change: &Change) -> Result<bool> {
        self.server.passes().await?;
        let is_replaced = {
            let mut kept = self.server.kept();
            let is_present = kept.value.as_ref().map_or("", |(version, _)| version) == change.from;
            if is_present {
                kept.value = Some((change.version.clone(), change.value.clone()));
                let is_heard = !kept.rng.random_bool(self.server.loss);
                let call = change.next.as_ref().and_then(|next| kept.calls.get(next));
                call.filter(|_| is_heard).inspect(|call| call.notify_one());
            }
            is_present
        };
        self.server.passes().await?;
        Ok(is_replaced)
    }

    async fn called(&mut self) {
        self.call.notified().await;
    }
}
