use super::Entry;
use crate::{AnyLimiter, Decision, Limiter, Mechanism, Timestamp};

/// A round begins once this share of the quota is free.
const FREE: f64 = 0.8;
/// Later by so many seconds: clocks differ, and others use the quota too.
const SLACK_S: f64 = 2.0;
/// Each time that a target rejected all the same, the next wait is so many seconds longer.
const LONGER_S: f64 = 60.0;

/// How a quota recovers that may work in several ways.
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    suspects: Vec<Mechanism>,
}

impl Recovery {
    pub(super) fn new(suspects: Vec<Mechanism>) -> Self {
        Self { suspects }
    }

    /// When most of the quota is free, however it works, whichever targets share it and whether or not rejected requests
    /// count; a minute later for each time that this was `in_vain`.
    pub(super) fn recovered_at(&self, entries: &[Entry], in_vain: usize, now: Timestamp) -> Timestamp {
        let Some(last) = entries.iter().map(|entry| entry.finished).max() else { return now };
        let free_at = self.suspects.iter().map(|suspect| {
            let mut limiter = suspect.limiter();
            entries.iter().for_each(|entry| limiter.charge(entry.finished, entry.cost));
            match limiter.check(last, (FREE * suspect.ceiling() as f64) as u64) {
                Decision::Throttled { retry_at: Some(at) } => at,
                Decision::Admitted | Decision::Throttled { retry_at: None } => last,
            }
        });
        let free_at = free_at.max().unwrap_or(last);
        free_at.plus_seconds(SLACK_S + LONGER_S * in_vain as f64).max(now)
    }

    /// The most that may have come back between two instants, of a quota that was used up at the first.
    pub(super) fn gain(&self, entries: &[Entry], from: Timestamp, to: Timestamp) -> f64 {
        let ends: [fn(&Entry) -> Timestamp; 2] = [|entry| entry.sent, |entry| entry.finished];
        let gains = self.suspects.iter().flat_map(|suspect| {
            ends.map(|end| {
                let mut limiter = charged(suspect, entries, from, end);
                // As much again: what is full to the brim would not show what comes back.
                limiter.charge(from, suspect.ceiling());
                limiter.remaining(to) - limiter.remaining(from)
            })
        });
        gains.fold(0.0, f64::max)
    }
}

/// A quota to which all that was admitted before `until` was charged, at one `end` of each request.
fn charged(
    suspect: &Mechanism,
    entries: &[Entry],
    until: Timestamp,
    end: fn(&Entry) -> Timestamp,
) -> AnyLimiter {
    let mut limiter = suspect.limiter();
    let counted = entries.iter().filter(|entry| entry.sent < until && entry.outcome.is_admitted());
    counted.for_each(|entry| limiter.charge(end(entry).min(until), entry.cost));
    limiter
}
