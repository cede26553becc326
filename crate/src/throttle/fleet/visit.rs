//! How a worker changes what all share.

use std::collections::BTreeMap;

use super::state::{LEASE_S, Member, State, decoded};
use crate::throttle::ThrottleStats;
use crate::throttle::gate::{Cost, End};
use crate::{Error, Result, Timestamp};

/// How often a worker lets itself be heard, in seconds: one lost message does not end a lease.
const BEAT_S: f64 = LEASE_S / 3.0;

/// What a worker comes for. Whoever comes twice with the same number is served once.
#[derive(Debug, Default)]
pub(super) struct Visit {
    pub(super) number: u64,
    /// Its requests under way.
    pub(super) open: BTreeMap<u64, Cost>,
    /// Those that have ended since its last visit.
    pub(super) ended: Vec<(u64, Cost, End)>,
    /// The one that it wants to send next.
    pub(super) wanted: Option<(u64, Cost)>,
}

/// What came of it, once the state is kept if it has changed.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Since when the wanted request may be sent, if it may.
    pub(super) granted: Option<Timestamp>,
    /// When to come again, unless there is something new or the worker is called.
    pub(super) again: Timestamp,
    /// Whom to call.
    pub(super) next: Option<String>,
    pub(super) stats: ThrottleStats,
}

impl State {
    /// Serves the worker `name`, which takes the unused gate to be `settings`.
    ///
    /// # Errors
    /// A usage error if others take it to be something else.
    pub(super) fn serve(
        &mut self,
        now: Timestamp,
        name: &str,
        settings: &[u8],
        visit: &Visit,
    ) -> Result<Outcome> {
        let mut has_news = self.bury(now, name);
        self.agree(now, name, settings)?;
        has_news |= self.hear(now, name, visit);
        let (is_granted, opens_at) = match visit.wanted {
            Some((number, cost)) => self.ask(now, name, number, cost),
            None => (false, None),
        };
        let is_waiting = visit.wanted.is_some() && !is_granted;
        if !is_waiting {
            has_news |= self.leave_queue(name);
        }
        self.renew(now, name);

        let others = self.workers.iter().filter(|(other, _)| is_waiting && *other != name);
        let lapse = others.map(|(_, other)| other.until.plus_seconds(1e-3)).min();
        let beat = self.workers[name].until.plus_seconds(BEAT_S - LEASE_S);
        let next = self.queue.front().filter(|next| has_news && *next != name);
        Ok(Outcome {
            granted: is_granted.then_some(now),
            again: [opens_at, lapse].into_iter().flatten().fold(beat, Timestamp::min),
            next: next.cloned(),
            stats: self.gate.stats(now),
        })
    }

    /// Workers whose lease is over are taken for dead, and their requests for used up. Tells whether there were any.
    fn bury(&mut self, now: Timestamp, but: &str) -> bool {
        let dead: Vec<_> =
            self.workers.extract_if(.., |name, worker| worker.until < now && name != but).collect();
        for (name, worker) in &dead {
            worker.open.values().for_each(|cost| self.gate.end(now, *cost, End::Unknown));
            self.leave_queue(name);
        }
        self.is_changed |= !dead.is_empty();
        !dead.is_empty()
    }

    /// Other settings count only once nobody lives who goes by the old ones.
    fn agree(&mut self, now: Timestamp, name: &str, settings: &[u8]) -> Result<()> {
        if self.settings == settings {
            return Ok(());
        }
        if self.workers.keys().any(|other| other != name) {
            return Err(Error::usage(
                "other processes go by other settings for these quotas: start all with the same, or give these \
                 quotas a name of their own",
            ));
        }
        self.settings = settings.to_vec();
        self.gate = decoded(settings)?;
        self.forget(now);
        Ok(())
    }

    /// What the worker has under way, and what has ended. Tells whether anything has.
    fn hear(&mut self, now: Timestamp, name: &str, visit: &Visit) -> bool {
        let newcomer = || Member { until: now, visits: 0, open: BTreeMap::new() };
        let worker = self.workers.entry(name.to_owned()).or_insert_with(newcomer);
        let is_repeated = worker.visits >= visit.number;
        worker.visits = visit.number;
        for &(number, cost, end) in &visit.ended {
            match worker.open.remove(&number) {
                Some(_) => {}
                None if is_repeated => continue,
                // The worker was taken for dead, or the state was lost.
                None => self.gate.hold(cost),
            }
            self.gate.end(now, cost, end);
            self.is_changed = true;
        }
        for (&number, &cost) in &visit.open {
            if worker.open.insert(number, cost).is_none() {
                self.gate.hold(cost);
                self.is_changed = true;
            }
        }
        let wanted = visit.wanted.map(|(number, _)| number);
        let is_known = |number: &u64| visit.open.contains_key(number) || Some(*number) == wanted;
        // What the state has of the worker and the worker has not, an older state has brought back.
        for (_, cost) in worker.open.extract_if(.., |number, _| !is_known(number)) {
            self.gate.end(now, cost, End::Unknown);
            self.is_changed = true;
        }
        !visit.ended.is_empty()
    }

    /// Whether the request may be sent, and if not, when it is worth another look if nothing happens until then.
    fn ask(&mut self, now: Timestamp, name: &str, number: u64, cost: Cost) -> (bool, Option<Timestamp>) {
        let Some(worker) = self.workers.get_mut(name) else { return (false, None) };
        if worker.open.contains_key(&number) {
            return (true, None);
        }
        if !self.queue.iter().any(|waiting| waiting == name) {
            self.queue.push_back(name.to_owned());
            self.is_changed = true;
        }
        if self.queue.front().is_some_and(|first| first != name) {
            return (false, None);
        }
        // Even to ask may change the gate.
        self.is_changed = true;
        match self.gate.opens_at(now, cost) {
            Some(at) if at <= now => {
                self.gate.reserve(cost);
                worker.open.insert(number, cost);
                (true, None)
            }
            opens_at => (false, opens_at),
        }
    }

    fn leave_queue(&mut self, name: &str) -> bool {
        let before = self.queue.len();
        self.queue.retain(|waiting| waiting != name);
        self.is_changed |= self.queue.len() < before;
        self.queue.len() < before
    }

    fn renew(&mut self, now: Timestamp, name: &str) {
        if let Some(worker) = self.workers.get_mut(name)
            && (self.is_changed || worker.until.plus_seconds(BEAT_S - LEASE_S) <= now)
        {
            worker.until = now.plus_seconds(LEASE_S);
            self.is_changed = true;
        }
    }

    /// The worker is gone for good, and has told all its ends.
    pub(super) fn remove(&mut self, name: &str) {
        self.workers.remove(name);
        self.leave_queue(name);
    }
}
