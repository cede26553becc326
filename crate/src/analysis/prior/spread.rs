use rand::{Rng, RngExt};

use super::{OTHERS_ARE_ACTIVE, Point, REJECTED_COUNT};

/// Where few particles would come near a truth, more are drawn there than it is probable, and each weighs less: coordinates
/// with the part of them in which something holds, and how often a point is drawn in it.
const STRATA: [(usize, f64, f64); 2] = [(5, REJECTED_COUNT, 0.3), (6, OTHERS_ARE_ACTIVE, 0.5)];

/// So many points of the cube, with their weights, which add up to 1.
///
/// Importance sampling. Source: Kahn and Marshall, "Methods of reducing sample size in Monte Carlo computations", J. Oper.
/// Res. Soc. Am. 1 (1953).
pub(in crate::analysis) fn spread(count: usize, rng: &mut impl Rng) -> (Vec<Point>, Vec<f64>) {
    let (points, weights): (Vec<_>, Vec<_>) = (0..count).map(|_| weighted(rng.random())).unzip();
    let total: f64 = weights.iter().sum();
    (points, weights.into_iter().map(|weight| weight / total).collect())
}

fn weighted(mut point: Point) -> (Point, f64) {
    let mut weight = 1.0;
    for (coordinate, part, drawn) in STRATA {
        let u = point[coordinate];
        let (moved, own) = if u < drawn {
            (u / drawn * part, part / drawn)
        } else {
            (1.0 - (1.0 - u) / (1.0 - drawn) * (1.0 - part), (1.0 - part) / (1.0 - drawn))
        };
        point[coordinate] = moved;
        weight *= own;
    }
    (point, weight)
}
