//! Where the shared state is kept.

use std::future::Future;

use crate::{Result, Timestamp};

/// Keeps one value for all processes, and replaces it only for whoever knows the present one.
pub(in crate::throttle) trait Store: Send + 'static {
    /// What it keeps now.
    ///
    /// # Errors
    /// A setup error if it cannot be reached.
    fn look(&mut self) -> impl Future<Output = Result<Look>> + Send;

    /// Keeps `change` if what it keeps is still of the version that `change` was made from; tells whether it was.
    ///
    /// # Errors
    /// A setup error if it cannot be reached: nobody knows then whether it keeps the change.
    fn replace(&mut self, change: &Change) -> impl Future<Output = Result<bool>> + Send;

    /// Waits until another process names this one in [`Change::next`], or that may have been missed. May be dropped.
    fn called(&mut self) -> impl Future<Output = ()> + Send;
}

/// All of it at one instant.
#[derive(Debug)]
pub(in crate::throttle) struct Look {
    /// The store's time.
    pub(super) now: Timestamp,
    /// A name that changes whenever the store starts anew, and may have forgotten something.
    pub(super) run: String,
    /// When it started.
    pub(super) started: Timestamp,
    /// The value and its version; `None` if it keeps none.
    pub(super) kept: Option<(String, Vec<u8>)>,
}

/// A new value for an old one.
#[derive(Debug)]
pub(in crate::throttle) struct Change {
    /// The version that it was made from; empty if there was none.
    pub(super) from: String,
    /// Its own version, unlike all others.
    pub(super) version: String,
    pub(super) value: Vec<u8>,
    /// The process whose turn it is now, if that should look at once.
    pub(super) next: Option<String>,
}
