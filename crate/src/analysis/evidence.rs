use crate::{Observation, Outcome, QuotaKind, Timestamp};

/// What one observation tells a hypothesis: an interval, a cost and an outcome.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// The server decided at an unknown instant from `earliest` to `latest`.
    pub earliest: Timestamp,
    pub latest: Timestamp,
    /// How long that is, in seconds.
    pub span_s: f64,
    pub outcome: Outcome,
    /// Whether the outcome may be used, or only its effect on the quota.
    pub informative: bool,
    /// Times the request was sent: more than once if the client repeated it by itself.
    pub attempts: u64,
    reserved: u64,
    settled: u64,
}

impl Evidence {
    /// In the order in which the requests left.
    pub(super) fn from_observations(observations: &[Observation]) -> Vec<Self> {
        let mut evidence: Vec<Self> = observations.iter().map(Self::from).collect();
        evidence.sort_by_key(|evidence| evidence.earliest);
        evidence
    }

    /// What admission had to find room for in a quota of this kind.
    pub(super) fn reserved(&self, kind: QuotaKind) -> u64 {
        kind.cost(self.reserved)
    }

    /// What an admitted request got back at its end.
    pub(super) fn unused(&self, kind: QuotaKind) -> u64 {
        match kind {
            QuotaKind::Requests => 0,
            QuotaKind::Tokens | QuotaKind::TokensPerDay => self.reserved.saturating_sub(self.settled),
        }
    }
}

impl From<&Observation> for Evidence {
    fn from(observation: &Observation) -> Self {
        let reserved = observation.reserved();
        let (earliest, latest) = (observation.sent, observation.finished.max(observation.sent));
        Self {
            earliest,
            latest,
            span_s: latest.seconds_since(earliest),
            outcome: observation.outcome(),
            informative: true,
            attempts: 1 + u64::from(observation.hidden_retries),
            reserved,
            settled: observation.settled(1).unwrap_or(reserved),
        }
    }
}
