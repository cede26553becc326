//! What is known of the parameters of a mechanism, and what no parameters can separate.

use std::collections::BTreeMap;

use super::belief::Belief;
use super::quantile::quantile;
use crate::Mechanism;

/// Probability that an interval holds the parameter.
const COVERED: f64 = 0.95;

/// The mechanism that is nearest to the middle of what `beliefs` hold possible, each with its probability, and credible
/// intervals of its parameters by their names in JSON; `None` if they hold nothing possible.
///
/// Not the likeliest: among many that explain a trace about as well, that is often an extreme one.
///
/// Intervals of `offset_s` go round the clock with the window, so their ends may lie outside of it.
pub(super) fn typical<'a>(
    beliefs: impl Iterator<Item = (&'a Belief, f64)>,
) -> Option<(Mechanism, BTreeMap<String, [f64; 2]>)> {
    let possible: Vec<_> = mechanisms(beliefs).map(|(it, weight)| (it.parameters(), it, weight)).collect();
    let (likeliest, ..) = possible.iter().max_by(|(_, _, a), (_, _, b)| a.total_cmp(b))?;
    let turned = |(name, value): (&String, &f64)| {
        let period_s = likeliest.get("window_s").or(likeliest.get("tick_s"));
        match (period_s, likeliest.get(name)) {
            (Some(period_s), Some(centre)) if name == "offset_s" => nearest(*value, *centre, *period_s),
            _ => *value,
        }
    };
    let quantiles: BTreeMap<&String, [f64; 3]> = likeliest
        .keys()
        .map(|name| {
            let of_name = possible.iter().filter_map(|(parameters, _, weight)| {
                Some((turned(parameters.get_key_value(name)?), *weight))
            });
            (name, quantiles(of_name.collect()))
        })
        .collect();
    let astray = |parameters: &BTreeMap<String, f64>| -> f64 {
        let terms = parameters.iter().filter_map(|parameter| {
            let [low, middle, high] = quantiles.get(parameter.0)?;
            (high > low).then(|| (turned(parameter) - middle).abs() / (high - low))
        });
        terms.sum()
    };
    let (_, middle, _) = possible.iter().min_by(|(a, ..), (b, ..)| astray(a).total_cmp(&astray(b)))?;
    let intervals = quantiles.iter().map(|(name, [low, _, high])| ((*name).clone(), [*low, *high]));
    Some((*middle, intervals.collect()))
}

/// The mechanisms as a verdict names them, with their weights: those of a belief add up to its probability.
fn mechanisms<'a>(
    beliefs: impl Iterator<Item = (&'a Belief, f64)>,
) -> impl Iterator<Item = (Mechanism, f64)> {
    beliefs.flat_map(|(belief, share)| {
        let possible: Vec<_> = belief.hypotheses().filter(|(_, weight)| *weight > 0.0).collect();
        let total: f64 = possible.iter().map(|(_, weight)| weight).sum();
        let scale = share.max(f64::MIN_POSITIVE) / total;
        possible.into_iter().map(move |(it, weight)| (belief.class.named(it.mechanism), weight * scale))
    })
}

/// The instant of the period that is nearest to `centre`.
fn nearest(value: f64, centre: f64, period_s: f64) -> f64 {
    centre + (value - centre + period_s / 2.0).rem_euclid(period_s) - period_s / 2.0
}

/// The ends of the interval and the median.
fn quantiles(mut values: Vec<(f64, f64)>) -> [f64; 3] {
    values.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    [(1.0 - COVERED) / 2.0, 0.5, (1.0 + COVERED) / 2.0]
        .map(|share| quantile(&values, share).unwrap_or(f64::NAN))
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
