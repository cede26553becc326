use serde::Serialize;

use super::Figures;
use crate::truth::Set;

/// A figure that a set must reach.
#[derive(Clone, Debug, Serialize)]
pub struct Requirement {
    /// The set.
    pub set: Set,
    /// The figure, with its unit.
    pub figure: &'static str,
    /// Whether it must be at least this, rather than at most.
    pub at_least: bool,
    /// What it must reach.
    pub required: f64,
    /// What it is.
    pub measured: f64,
    /// Whether it is reached.
    pub met: bool,
}

/// What is required of `set`, and what `figures` have.
pub fn requirements(set: Set, figures: &Figures) -> Vec<Requirement> {
    let Figures { minutes, quotas, requests, .. } = figures;
    let (right, wrong) = (100.0 * figures.right, 100.0 * figures.wrong);
    let most = |figure, required, measured| (figure, false, required, measured);
    let least = |figure, required, measured| (figure, true, required, measured);
    let rows = match set {
        Set::Usual => vec![
            most("wrong (%)", 0.3, wrong),
            least("right (%)", 99.0, right),
            most("minutes, median", 1.4, minutes[0]),
            most("minutes, 95th percentile", 6.0, minutes[1]),
            most("quotas, median", 2.0, quotas[0]),
            most("quotas, 95th percentile", 6.0, quotas[1]),
            most("requests, median", 36.0, requests[0]),
            most("bins overconfident", 0.0, overconfident(figures)),
        ],
        Set::Unstated => Vec::new(),
        Set::Outside => vec![most("named wrongly (%)", 3.0, wrong)],
        Set::Background | Set::Noise | Set::Errors | Set::Latency => vec![most("wrong (%)", 1.0, wrong)],
        Set::Pairs => vec![most("one named alone (%)", 1.0, wrong)],
        Set::Requests => vec![most("wrong (%)", 0.5, wrong), most("minutes, median", 3.0, minutes[0])],
        Set::Binding => vec![
            least("right (%)", 97.0, right),
            most("minutes, median", 8.0, minutes[0]),
            most("quotas, median", 3.0, quotas[0]),
        ],
    };
    let rows = rows.into_iter().map(|(figure, at_least, required, measured)| {
        let met = if at_least { measured >= required } else { measured <= required };
        Requirement { set, figure, at_least, required, measured, met }
    });
    rows.collect()
}

/// Bins from 0.9 on that were right less often than stated, beyond sampling error.
fn overconfident(figures: &Figures) -> f64 {
    let bins = figures.calibration.iter().filter(|bin| bin.from >= 0.9);
    bins.filter(|bin| bin.stated > bin.interval[1]).count() as f64
}
