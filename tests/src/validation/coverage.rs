use std::collections::BTreeMap;

use bedrock_tpm::Candidate;
use serde::Serialize;

use super::Run;

/// How often intervals of 95 % held what is enforced.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Coverage {
    /// Intervals.
    pub count: usize,
    /// Those that held it.
    pub held: usize,
}

/// Of every parameter, where the mechanism that leads is the one that is enforced.
pub(super) fn coverage(runs: &[Run]) -> BTreeMap<String, Coverage> {
    let mut coverage: BTreeMap<String, Coverage> = BTreeMap::new();
    for run in runs {
        let (Some(enforced), Some(leader)) = (run.truth.mechanism(), run.verdict.ranked.first()) else {
            continue;
        };
        if leader.mechanism != Candidate::Known(enforced.id()) {
            continue;
        }
        let parameters = enforced.parameters();
        let period_s = parameters.get("window_s").or(parameters.get("tick_s")).copied();
        for (name, [low, high]) in &leader.intervals {
            let Some(value) = parameters.get(name) else { continue };
            let is_held = match period_s.filter(|_| name == "offset_s") {
                // Intervals go round the clock with the window.
                Some(period_s) => (value - low).rem_euclid(period_s) <= high - low,
                None => (*low..=*high).contains(value),
            };
            let coverage = coverage.entry(name.clone()).or_default();
            coverage.count += 1;
            coverage.held += usize::from(is_held);
        }
    }
    coverage
}
