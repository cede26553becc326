use std::sync::Arc;

use super::Ended;
use super::fleet::Place;
use super::gate::{Cost, End};
use super::queue::Door;
use crate::{QuotaKind, Timestamp, Usage};

/// What one request has reserved. Say how it ended as soon as it has. Dropped, it says that nothing was sent: once the
/// request is under way, an early return has to call [`unknown`](Self::unknown).
#[derive(Debug)]
#[must_use = "a dropped reservation says that the request was not sent"]
pub struct Reservation {
    /// Until it is known how it ended.
    holder: Option<Holder>,
    sent: Timestamp,
}

/// Who has to know how it ended.
#[derive(Debug)]
enum Holder {
    Process(Arc<Door>, Cost),
    Fleet(Place),
}

impl Reservation {
    pub(super) fn new(queue: Arc<Door>, sent: Timestamp, cost: Cost) -> Self {
        Self { holder: Some(Holder::Process(queue, cost)), sent }
    }

    pub(super) fn in_fleet(place: Place, sent: Timestamp) -> Self {
        Self { holder: Some(Holder::Fleet(place)), sent }
    }

    /// The answer is complete and used this much: what was not used comes back as soon as the service has surely
    /// returned it.
    #[inline]
    pub fn settle(mut self, usage: Usage) {
        self.ended(End::Used(usage));
    }

    /// Nobody knows whether the service admitted it, for example after a timeout or a 503: it counts as used up.
    pub fn unknown(mut self) {
        self.ended(End::Unknown);
    }

    /// The service rejected it all the same, by this quota as far as it said. The throttle takes that quota for used up,
    /// and for a day for each mechanism that is stricter than what it was taken for. After a second 429 it pauses for two
    /// periods of the quota and spreads requests evenly, below every mechanism that the quota may have, 10 % lower with
    /// each further 429. [`Throttle::stats`](crate::Throttle::stats) says until when.
    pub fn throttled(mut self, by: Option<QuotaKind>) {
        let sent = self.sent;
        self.ended(End::Throttled { by, sent });
    }

    /// It ended as `ended` says.
    pub fn end(self, ended: Ended) {
        match ended {
            Ended::Used(usage) => self.settle(usage),
            Ended::NotSent => drop(self),
            Ended::Unknown => self.unknown(),
            Ended::Throttled(by) => self.throttled(by),
        }
    }

    fn ended(&mut self, end: End) {
        match self.holder.take() {
            Some(Holder::Process(queue, cost)) => queue.end(cost, end),
            Some(Holder::Fleet(place)) => place.end(end),
            None => {}
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.ended(End::NotSent);
    }
}
