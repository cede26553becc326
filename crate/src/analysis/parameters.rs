//! What is known of the parameters of a mechanism, and what no parameters can separate.

use std::collections::BTreeMap;

use serde_json::Value;

use super::belief::Belief;
use crate::Mechanism;

/// Probability that an interval holds the parameter.
const COVERED: f64 = 0.95;

/// Credible intervals of every parameter, by its name in JSON.
///
/// Those of `offset_s` go round the clock with the window, so their ends may lie outside of it.
pub(super) fn intervals(belief: &Belief, best: &Mechanism) -> BTreeMap<String, [f64; 2]> {
    let mut values: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (hypothesis, weight) in belief.hypotheses() {
        for (name, value) in named(&belief.class.named(hypothesis.mechanism)) {
            values.entry(name).or_default().push((value, weight));
        }
    }
    let best = named(best);
    let period_s = best.get("window_s").or(best.get("tick_s")).copied();
    let known = values.into_iter().filter_map(|(name, mut values)| {
        let centre = *best.get(&name)?;
        if let Some(period_s) = period_s.filter(|_| name == "offset_s") {
            values.iter_mut().for_each(|(value, _)| *value = nearest(*value, centre, period_s));
        }
        Some((name, covered(values)))
    });
    known.collect()
}

/// The mechanism's parameters, by their names in JSON.
fn named(mechanism: &Mechanism) -> BTreeMap<String, f64> {
    let parameters = serde_json::to_value(mechanism).map(|mut value| value["parameters"].take());
    match parameters {
        Ok(Value::Object(parameters)) => {
            parameters.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?))).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// The instant of the period that is nearest to `centre`.
fn nearest(value: f64, centre: f64, period_s: f64) -> f64 {
    centre + (value - centre + period_s / 2.0).rem_euclid(period_s) - period_s / 2.0
}

fn covered(mut values: Vec<(f64, f64)>) -> [f64; 2] {
    values.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    [(1.0 - COVERED) / 2.0, (1.0 + COVERED) / 2.0].map(|share| {
        let mut cumulated = 0.0;
        let at = values.iter().find(|(_, weight)| {
            cumulated += weight;
            cumulated >= share * total
        });
        at.or(values.last()).map_or(f64::NAN, |(value, _)| *value)
    })
}

/// What admits exactly the same requests, or requests that differ by less than the latency of a network.
pub(super) fn twins(mechanism: &Mechanism) -> Vec<String> {
    match mechanism {
        Mechanism::FixedWindow { limit, window_s, .. } => {
            vec![format!("a bucket of {limit} that is refilled to the brim every {window_s:.0} s")]
        }
        Mechanism::TokenBucket { capacity, .. } => vec![
            format!("a GCRA with a burst of {capacity} and the same rate"),
            "a bucket of the same rate that refills in ticks of up to 2 s".into(),
        ],
        _ => Vec::new(),
    }
}
