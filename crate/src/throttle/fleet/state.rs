//! What all workers share, and what may have become of it.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::store::Look;
use crate::throttle::gate::{Cost, Gate};
use crate::{Error, Result, Timestamp};

/// How long a worker that is not heard of keeps its reservations and its place in the queue, in seconds.
pub(super) const LEASE_S: f64 = 6.0;

/// States of other versions are not understood.
const FORMAT: &str = env!("CARGO_PKG_VERSION");

/// The quotas of a fleet, and who in it has reserved or waits for what.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// The gate with nothing used yet: what all workers have to agree on.
    pub(super) settings: Vec<u8>,
    pub(super) gate: Gate,
    pub(super) workers: BTreeMap<String, Member>,
    /// First come, first served; each worker has one place.
    pub(super) queue: VecDeque<String>,
    /// States that follow from one another have this in common.
    lineage: String,
    /// The run of the store that kept it.
    run: String,
    /// All that was used before this is taken for unknown.
    unknown_before: Timestamp,
    /// Whether it differs from what the store keeps.
    #[serde(skip)]
    pub(super) is_changed: bool,
}

/// What the state says of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Member {
    /// When it is taken for dead unless it is heard of.
    pub(super) until: Timestamp,
    /// The number of its last visit.
    pub(super) visits: u64,
    /// Its requests under way.
    pub(super) open: BTreeMap<u64, Cost>,
}

/// What a worker remembers of its last look.
#[derive(Debug)]
pub(super) struct Seen {
    at: Timestamp,
    lineage: String,
    state: Vec<u8>,
}

impl State {
    /// What `look` shows to a worker that has `seen` this before. Wherever something may have been forgotten, all quotas
    /// are used up.
    ///
    /// # Errors
    /// A setup error if another version of this crate wrote it.
    pub(super) fn of(look: &Look, settings: &[u8], seen: Option<&Seen>) -> Result<Self> {
        let (mut state, lost_before) = match (&look.kept, seen) {
            (Some((_, kept)), seen) => {
                let state = Self::decode(kept)?;
                let is_news = |seen: &Seen| seen.lineage != state.lineage && state.unknown_before < seen.at;
                let is_lost = state.run != look.run || seen.is_some_and(is_news);
                (state, is_lost.then_some(look.now))
            }
            (None, Some(seen)) => {
                (Self { lineage: new_name(), ..Self::decode(&seen.state)? }, Some(look.now))
            }
            // A worker that has just started does not know what a store forgot that has just started too.
            (None, None) => (Self::unused(look, settings)?, Some(look.started)),
        };
        if let Some(at) = lost_before {
            state.forget(at);
        }
        state.run.clone_from(&look.run);
        Ok(state)
    }

    /// Workers that live and know better say so within a lease.
    fn unused(look: &Look, settings: &[u8]) -> Result<Self> {
        let mut gate: Gate = decoded(settings)?;
        gate.close(look.now.plus_seconds(LEASE_S));
        Ok(Self {
            settings: settings.to_vec(),
            gate,
            workers: BTreeMap::new(),
            queue: VecDeque::new(),
            lineage: new_name(),
            run: look.run.clone(),
            unknown_before: look.started,
            is_changed: true,
        })
    }

    /// Nobody knows what was used before `at`. Workers that live say within a lease what they have under way; what others
    /// had under way is over by then.
    pub(super) fn forget(&mut self, at: Timestamp) {
        self.unknown_before = at;
        self.gate.use_up(at.plus_seconds(LEASE_S));
        self.is_changed = true;
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        match decoded::<(String, Self)>(bytes)? {
            (format, state) if format == FORMAT => Ok(state),
            (format, _) => Err(unreadable(format!("it is of version {format}"))),
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        encoded(&(FORMAT, self))
    }

    /// What a worker remembers that looked `at` this state, which the store keeps as `bytes`.
    pub(super) fn seen(&self, at: Timestamp, bytes: Vec<u8>) -> Seen {
        Seen { at, lineage: self.lineage.clone(), state: bytes }
    }
}

/// A name that nobody else has.
pub(super) fn new_name() -> String {
    Uuid::new_v4().simple().to_string()
}

pub(super) fn encoded<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(unreadable)
}

pub(super) fn decoded<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(unreadable)
}

fn unreadable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let advice = "what Redis keeps under this name is not ours to read; give these quotas another name, or end all \
                  processes that use it and delete the key";
    Error::setup(advice).because(cause)
}
