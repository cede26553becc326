/// The first of the sorted values, each with its weight, by which this share of all weight is reached; `None` without
/// values.
pub(super) fn quantile(sorted: &[(f64, f64)], share: f64) -> Option<f64> {
    let total: f64 = sorted.iter().map(|(_, weight)| weight).sum();
    let mut cumulated = 0.0;
    let at = sorted.iter().find(|(_, weight)| {
        cumulated += weight;
        cumulated >= share * total
    });
    at.or(sorted.last()).map(|(value, _)| *value)
}
