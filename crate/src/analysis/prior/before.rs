use super::Class;

/// How often somebody used the quota in the minute before the first observation. Any request, however small, starts
/// an anchored window, while other mechanisms are changed only by as much as was used.
const WINDOW_STARTED_BEFORE: f64 = 0.5;
const USED_BEFORE: f64 = 0.02;
/// The same of a stated quota of requests, of which one may be a large part: when it comes back shifts all that follows.
const REQUESTED_BEFORE: f64 = 0.1;

impl Class {
    /// How often somebody had used such a quota, if it is a stated one `of_requests` or not, just before the first observation.
    pub(super) fn exposed(self, of_requests: bool) -> f64 {
        match self {
            Self::AnchoredWindow(_) => WINDOW_STARTED_BEFORE,
            _ if of_requests => REQUESTED_BEFORE,
            _ => USED_BEFORE,
        }
    }

    /// How many seconds before the first observation somebody had used such a quota, and how much of it, at these coordinates.
    pub(super) fn before(
        self,
        of_requests: bool,
        ceiling: u64,
        [when, used]: [f64; 2],
    ) -> Option<(f64, u64)> {
        let exposed = self.exposed(of_requests);
        (when < exposed).then(|| {
            let used = (used.powi(3) * (ceiling + 1) as f64) as u64;
            (60.0 * when / exposed, used.max(u64::from(of_requests)))
        })
    }
}
