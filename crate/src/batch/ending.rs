//! What the end of an attempt means for its request.

use std::time::Duration;

use crate::{Endpoint, Error, Outcome, QuotaKind, Response};

/// A request is sent at most so many times in a run.
pub(super) const ATTEMPTS: u32 = 8;
/// After a failure that is no 429 a request rests, first for so long, then for twice as long each time.
const FIRST_REST_S: u64 = 1;
const LONGEST_REST_S: u64 = 60;

/// What to do next about a request.
#[derive(Debug)]
pub(super) enum Next {
    Answered,
    /// Send it again, not before so long from now.
    Again(Duration),
    Failed,
    /// No request can be answered as things are.
    Stop(Error),
}

impl Next {
    /// After attempt number `attempts` of a request for `model`.
    pub(super) fn after(attempts: u32, endpoint: &Endpoint, model: &str, response: &Response) -> Self {
        let Some(diagnosis) = endpoint.diagnose(model, response) else { return Self::Answered };
        let outcome = response.outcome();
        let is_denied = response.error_type.as_deref() == Some("AccessDeniedException");
        match (outcome, response.status) {
            (_, Some(401 | 403)) if !is_denied => Self::Stop(diagnosis.into()),
            _ if outcome.named() == Some(QuotaKind::TokensPerDay) || diagnosis.is_about_signing_in() => {
                Self::Stop(diagnosis.into())
            }
            // The throttle itself pauses after a 429.
            (Outcome::Throttled(_), _) if attempts < ATTEMPTS => Self::Again(Duration::ZERO),
            (Outcome::Failed, None | Some(200..=299 | 408 | 424 | 429 | 500..)) if attempts < ATTEMPTS => {
                Self::Again(rest(attempts))
            }
            _ => Self::Failed,
        }
    }
}

fn rest(attempts: u32) -> Duration {
    let rest_s = FIRST_REST_S.checked_shl(attempts.saturating_sub(1)).unwrap_or(LONGEST_REST_S);
    Duration::from_secs(rest_s.min(LONGEST_REST_S))
}
