//! The queue in front of the gate of one process.

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::gate::{Cost, End, Gate};
use crate::{Clock, Result, Timestamp};

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Whoever holds it is the first in the queue. Fair, and a waiter that goes away leaves the others in order.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Told whenever a request has ended while another waits.
    ended: Notify,
    pub(super) clock: Clock,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) gate: Gate,
    /// The latest instant that the gate has seen.
    seen: Timestamp,
    /// Requests in the queue.
    waiting: usize,
}

impl Queue {
    /// Nobody waits for `gate`, which has seen the instants up to `seen`.
    pub(super) fn new(gate: Gate, seen: Timestamp, clock: Clock) -> Self {
        let state = Mutex::new(State { gate, seen, waiting: 0 });
        Self { state, turn: tokio::sync::Mutex::default(), ended: Notify::new(), clock }
    }

    /// What the request costs, and when it was reserved, if it need not wait. Otherwise it is in the queue.
    #[inline]
    pub(super) fn enter(&self, input_tokens: u64, max_tokens: u64) -> Result<(Cost, Option<Timestamp>)> {
        let mut state = self.state();
        let state = &mut *state;
        let cost = state.gate.cost(input_tokens, max_tokens)?;
        // What was safe at the latest instant seen is safe now: most requests need not read the clock for it.
        let is_safe =
            state.waiting == 0 && (state.is_safe(state.seen, cost) || state.is_safe(self.clock.now(), cost));
        if is_safe {
            state.gate.reserve(cost);
        } else {
            state.waiting += 1;
        }
        Ok((cost, is_safe.then_some(state.seen)))
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

    #[inline]
    pub(super) fn end(&self, cost: Cost, end: End) {
        let now = self.clock.now();
        let mut state = self.state();
        state.seen = state.seen.max(now);
        state.gate.end(now, cost, end);
        if state.waiting > 0 {
            self.ended.notify_one();
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
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
