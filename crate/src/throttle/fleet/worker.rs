//! The task that speaks to the store for all of a process.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio::sync::{oneshot, watch};

use super::state::{Seen, State, new_name};
use super::store::{Change, Store};
use super::visit::{Outcome, Visit};
use super::{Command, Place, Report};
use crate::throttle::Reservation;
use crate::throttle::gate::{Cost, End};
use crate::{Clock, Error, Result, Timestamp};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Visits the store whenever there is something to say or to hope for, one visit after another.
#[derive(Debug)]
pub(super) struct Worker<S> {
    pub(super) store: S,
    name: String,
    /// The unused gate.
    settings: Vec<u8>,
    /// Its own, and nothing to do with the store's: only spans of it count.
    clock: Clock,
    commands: UnboundedReceiver<Command>,
    handle: WeakUnboundedSender<Command>,
    report: watch::Sender<Report>,
    last_number: u64,
    open: BTreeMap<u64, Cost>,
    ended: Vec<(u64, Cost, End)>,
    asking: Option<Asking>,
    again: Timestamp,
    seen: Option<Seen>,
}

/// The first in the queue of this process.
#[derive(Debug)]
struct Asking {
    number: u64,
    cost: Cost,
    reply: oneshot::Sender<Result<Reservation>>,
}

/// Why a visit came to nothing.
enum Failure {
    /// The store cannot be reached, or keeps nonsense.
    Store(Error),
    /// The fleet does not take this worker.
    Refused(Error),
}

impl<S: Store> Worker<S> {
    pub(super) fn new(
        store: S,
        name: String,
        settings: Vec<u8>,
        clock: Clock,
        (commands, handle): (UnboundedReceiver<Command>, WeakUnboundedSender<Command>),
        report: watch::Sender<Report>,
    ) -> Self {
        Self {
            store,
            name,
            settings,
            clock,
            commands,
            handle,
            report,
            last_number: 0,
            open: BTreeMap::new(),
            ended: Vec::new(),
            asking: None,
            again: clock.now(),
            seen: None,
        }
    }

    /// The first visit, which no one waits for to succeed later.
    pub(super) async fn join(&mut self) -> Result<()> {
        let visit = self.next_visit();
        loop {
            match self.visit(&visit).await {
                Ok(None) => {}
                Ok(Some(outcome)) => {
                    self.served(outcome);
                    return Ok(());
                }
                Err(Failure::Store(error) | Failure::Refused(error)) => return Err(error),
            }
        }
    }

    /// Works until nobody can want anything any more.
    pub(super) async fn run(mut self) {
        while self.waits().await {
            let visit = self.next_visit();
            self.visits(visit).await;
        }
        let visit = self.next_visit();
        while let Ok(false) = self.leave(&visit).await {}
    }

    /// Waits until a visit may be of use; `false` if none can be any more.
    async fn waits(&mut self) -> bool {
        tokio::select! {
            command = self.commands.recv() => match command {
                Some(command) => self.take(command),
                None => return false,
            },
            () = given_up(&mut self.asking) => self.asking = None,
            () = self.store.called() => {}
            () = self.clock.sleep_until(self.again) => {}
        }
        while let Ok(command) = self.commands.try_recv() {
            self.take(command);
        }
        true
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Ask(cost, reply) => {
                self.last_number += 1;
                self.asking = Some(Asking { number: self.last_number, cost, reply });
            }
            Command::End(number, end) => {
                self.ended.extend(self.open.remove(&number).map(|cost| (number, cost, end)));
            }
        }
    }

    fn next_visit(&mut self) -> Visit {
        self.last_number += 1;
        Visit {
            number: self.last_number,
            open: self.open.clone(),
            ended: std::mem::take(&mut self.ended),
            wanted: self.asking.as_ref().map(|asking| (asking.number, asking.cost)),
        }
    }

    /// Visits until that has succeeded, however long it takes.
    async fn visits(&mut self, visit: Visit) {
        let (mut pause, began) = (FIRST_PAUSE, self.clock.now());
        loop {
            match self.visit(&visit).await {
                Ok(None) => {}
                Ok(Some(outcome)) => return self.served(outcome),
                Err(Failure::Refused(error)) => return self.refused(error, visit),
                Err(Failure::Store(_)) if self.commands.is_closed() => return,
                Err(Failure::Store(error)) => {
                    let lasted_s = self.clock.now().seconds_since(began);
                    let outage =
                        format!("{error} (for {lasted_s:.0} s now); requests wait until that is over");
                    self.report.send_modify(|report| report.outage = Some(outage));
                    self.clock.sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// `None` if another worker was quicker.
    async fn visit(&mut self, visit: &Visit) -> std::result::Result<Option<Outcome>, Failure> {
        let look = self.store.look().await.map_err(Failure::Store)?;
        let looked = self.clock.now();
        let mut state = State::of(&look, &self.settings, self.seen.as_ref()).map_err(Failure::Store)?;
        let served = state.serve(look.now, &self.name, &self.settings, visit);
        let mut outcome = served.map_err(Failure::Refused)?;
        let (from, kept) = look.kept.unwrap_or_default();
        let value = if state.is_changed { state.encode().map_err(Failure::Store)? } else { kept };
        if state.is_changed {
            let next = outcome.next.take();
            let change = Change { from, version: new_name(), value: value.clone(), next };
            if !self.store.replace(&change).await.map_err(Failure::Store)? {
                return Ok(None);
            }
        }
        self.seen = Some(state.seen(look.now, value));
        outcome.again = looked + (outcome.again - look.now);
        Ok(Some(outcome))
    }

    fn served(&mut self, outcome: Outcome) {
        self.again = outcome.again;
        self.report.send_replace(Report { stats: outcome.stats, outage: None });
        if let Some(granted) = outcome.granted
            && let (Some(asking), Some(worker)) = (self.asking.take(), self.handle.upgrade())
        {
            self.open.insert(asking.number, asking.cost);
            let place = Place { number: asking.number, worker };
            // Whoever no longer waits drops it, which gives it back.
            let _ = asking.reply.send(Ok(Reservation::in_fleet(place, granted)));
        }
    }

    fn refused(&mut self, error: Error, visit: Visit) {
        self.again = self.clock.now() + LONGEST_PAUSE;
        self.ended.extend(visit.ended);
        self.report.send_modify(|report| report.outage = Some(error.to_string()));
        if let Some(asking) = self.asking.take() {
            let _ = asking.reply.send(Err(error));
        }
    }

    /// Tells whether it is done with; the lease ends all the same.
    async fn leave(&mut self, visit: &Visit) -> Result<bool> {
        let look = self.store.look().await?;
        let mut state = State::of(&look, &self.settings, self.seen.as_ref())?;
        let outcome = state.serve(look.now, &self.name, &self.settings, visit)?;
        state.remove(&self.name);
        let (from, _) = look.kept.unwrap_or_default();
        let change = Change { from, version: new_name(), value: state.encode()?, next: outcome.next };
        self.store.replace(&change).await
    }
}

/// Waits until the first in the queue has gone away.
async fn given_up(asking: &mut Option<Asking>) {
    match asking {
        Some(asking) => asking.reply.closed().await,
        None => pending().await,
    }
}
