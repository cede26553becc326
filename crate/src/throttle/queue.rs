//! The queue in front of the gate of one process.

mod door;

use std::ops::Range;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::sync::Notify;

pub(super) use door::{Door, Doors};

use super::credit::Credit;
use super::gate::{Charging, Cost, Gate};
use crate::{Clock, Timestamp};

#[derive(Debug)]
pub(super) struct Queue {
    charging: Charging,
    /// What the state has given out of its quotas, and holds; nothing while somebody waits.
    credits: Box<[Credit]>,
    state: Mutex<State>,
    /// Whoever holds it is the first in the queue. Fair, and a waiter that goes away leaves the others in order.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Told whenever a request has ended while another waits.
    ended: Notify,
    pub(super) clock: Clock,
}

#[derive(Debug)]
struct State {
    gate: Gate,
    /// The latest instant that the gate has seen.
    seen: Timestamp,
    /// Requests in the queue.
    waiting: usize,
}

impl Queue {
    /// Nobody waits for `gate`, which has seen the instants up to `seen`.
    pub(super) fn new(gate: Gate, seen: Timestamp, clock: Clock) -> Self {
        let (charging, credits) = (gate.charging(), Credit::places(gate.ceilings()));
        let state = Mutex::new(State { gate, seen, waiting: 0 });
        Self { charging, credits, state, turn: tokio::sync::Mutex::default(), ended: Notify::new(), clock }
    }

    /// Waits in the queue until the request is reserved; returns when it was.
    pub(super) async fn wait(&self, cost: Cost) -> Timestamp {
        let _waiting = Waiting(self);
        let _turn = self.turn.lock().await;
        loop {
            let now = self.clock.now();
            let opens_at = self.state().opens_at(now, cost);
            match opens_at {
                Some(at) if at <= now => {
                    self.state().gate.reserve(cost);
                    return now;
                }
                Some(at) => tokio::select! {
                    () = self.clock.sleep_until(at) => {}
                    () = self.ended.notified() => {}
                },
                None => self.ended.notified().await,
            }
        }
    }

    /// Whether the request need not wait. What was safe at the latest instant seen is safe now: most requests need not read
    /// the clock for it.
    fn is_safe(&self, state: &mut State, cost: Cost) -> bool {
        state.waiting == 0 && (state.is_safe(state.seen, cost) || state.is_safe(self.clock.now(), cost))
    }

    /// The gate, of which nothing is given out.
    pub(super) fn gate(&self) -> MappedMutexGuard<'_, Gate> {
        MutexGuard::map(self.state(), |state| &mut state.gate)
    }

    /// The state, of which nothing is given out.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        self.take_back(&mut state, self.all());
        state
    }

    /// Where something may be given out.
    fn all(&self) -> Range<usize> {
        0..self.credits.len()
    }

    /// Takes back what is given out at these places: what has ended in the meantime ends now.
    fn take_back(&self, state: &mut State, places: Range<usize>) {
        for taken_back in self.credits[places].iter().filter_map(Credit::take_back) {
            state.seen = state.seen.max(self.clock.now());
            state.gate.take_back(state.seen, taken_back);
        }
    }
}

impl State {
    fn opens_at(&mut self, now: Timestamp, cost: Cost) -> Option<Timestamp> {
        self.seen = self.seen.max(now);
        self.gate.opens_at(now, cost)
    }

    fn is_safe(&mut self, now: Timestamp, cost: Cost) -> bool {
        self.opens_at(now, cost).is_some_and(|at| at <= now)
    }
}

/// A request in the queue.
struct Waiting<'a>(&'a Queue);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}
