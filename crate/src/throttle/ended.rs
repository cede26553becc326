use super::Reservation;
use crate::{Outcome, QuotaKind, Usage};

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

impl Ended {
    /// How a request ended that left, by its outcome and what it used, if that was reported.
    pub fn of(outcome: Outcome, usage: Option<Usage>) -> Self {
        match (outcome, usage) {
            (Outcome::Throttled(_), _) => Self::Throttled(outcome.named()),
            (Outcome::Admitted, Some(usage)) => Self::Used(usage),
            (Outcome::Admitted | Outcome::Failed, _) => Self::Unknown,
        }
    }
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
        if let Some(reservation) = self.reservation.take() {
            reservation.end(ended);
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
