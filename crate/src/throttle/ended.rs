use super::Reservation;
use crate::{QuotaKind, Usage};

/// How a request ended: what [`Reservation`] is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Answered: it used this much.
    Used(Usage),
    /// It did not leave.
    NotSent,
    /// Nobody knows whether the service admitted it.
    Unknown,
    /// The service rejected it, by this quota as far as it said.
    Throttled(Option<QuotaKind>),
}

/// The reservation of a request that may be given up at any time: before it is sent, that gives the reservation back;
/// afterwards it counts as used up.
#[derive(Debug)]
pub(super) struct UnderWay {
    reservation: Option<Reservation>,
    sent: bool,
}

impl UnderWay {
    pub(super) fn new(reservation: Reservation) -> Self {
        Self { reservation: Some(reservation), sent: false }
    }

    pub(super) fn sent(&mut self) {
        self.sent = true;
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent
    }

    pub(super) fn end(mut self, ended: Ended) {
        let Some(reservation) = self.reservation.take() else { return };
        match ended {
            Ended::Used(usage) => reservation.settle(usage),
            Ended::NotSent => drop(reservation),
            Ended::Unknown => reservation.unknown(),
            Ended::Throttled(by) => reservation.throttled(by),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(reservation) = self.reservation.take().filter(|_| self.sent) {
            reservation.unknown();
        }
    }
}
