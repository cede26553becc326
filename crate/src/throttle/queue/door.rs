//! The way into the queue: past the lock as long as there is credit.

use std::ops::{Deref, Range};
use std::sync::Arc;

use super::Queue;
use crate::throttle::credit::{Credit, of_thread};
use crate::throttle::gate::{Cost, End};
use crate::{Result, Timestamp};

/// The queue of a throttle, which each place refers to through a door of its own: threads would contend for one count of
/// references.
#[derive(Clone, Debug)]
pub(in crate::throttle) struct Doors(Arc<[Arc<Door>]>);

/// Shares no line of the cache with the count of those that refer to it.
#[derive(Debug)]
#[repr(align(128))]
pub(in crate::throttle) struct Door {
    queue: Arc<Queue>,
    /// Where in `credits` of the queue it takes from.
    place: usize,
}

impl Doors {
    pub(in crate::throttle) fn new(queue: Queue) -> Self {
        let queue = Arc::new(queue);
        let door = |place| Arc::new(Door { queue: queue.clone(), place });
        Self((0..queue.credits.len()).map(door).collect())
    }
}

impl Deref for Doors {
    type Target = Arc<Door>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        of_thread(&self.0)
    }
}

impl Deref for Door {
    type Target = Queue;

    fn deref(&self) -> &Self::Target {
        &self.queue
    }
}

impl Door {
    /// What the request costs, and when it was reserved, if it need not wait. Otherwise it is in the queue.
    #[inline]
    pub(in crate::throttle) fn enter(
        &self,
        input_tokens: u64,
        max_tokens: u64,
    ) -> Result<(Cost, Option<Timestamp>)> {
        let cost = self.charging.cost(input_tokens, max_tokens);
        match self.credit().take(cost.most()) {
            Some(sent) => Ok((cost, Some(sent))),
            None => self.enter_locked(input_tokens, max_tokens),
        }
    }

    fn enter_locked(&self, input_tokens: u64, max_tokens: u64) -> Result<(Cost, Option<Timestamp>)> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let cost = state.gate.cost(input_tokens, max_tokens)?;
        self.take_back(state, self.own());
        if !self.is_safe(state, cost) {
            state.waiting += 1;
            return Ok((cost, None));
        }
        state.gate.reserve(cost);
        if let Some(part) = self.credit().worth(cost.most())
            && state.gate.reserve_lot(state.seen, part)
        {
            self.credit().give(state.seen, part);
        }
        Ok((cost, Some(state.seen)))
    }

    #[inline]
    pub(in crate::throttle) fn end(&self, cost: Cost, end: End) {
        if let End::Used(usage) = end
            && self.credit().end(cost.most(), self.charging.charged(cost, usage))
        {
            return;
        }
        let now = self.clock.now();
        let mut state = self.state.lock();
        let is_rejected = matches!(end, End::Throttled { .. });
        self.take_back(&mut state, if is_rejected { self.all() } else { self.own() });
        state.seen = state.seen.max(now);
        state.gate.end(now, cost, end);
        if state.waiting > 0 {
            self.ended.notify_one();
        }
    }

    fn credit(&self) -> &Credit {
        &self.credits[self.place]
    }

    fn own(&self) -> Range<usize> {
        self.place..self.place + 1
    }
}
