use rand::{Rng, RngExt};

use super::{Class, OTHERS_ARE_ACTIVE, Point, REJECTED_COUNT};

/// Where few particles would come near a truth, more are drawn there than it is probable, and each weighs less.
#[derive(Clone, Copy)]
struct Stratum {
    coordinate: usize,
    /// The part of the coordinate in which something holds.
    part: f64,
    /// How often a point is drawn in it.
    drawn: f64,
}

const REJECTED: Stratum = Stratum { coordinate: 5, part: REJECTED_COUNT, drawn: 0.3 };
const OTHERS: Stratum = Stratum { coordinate: 6, part: OTHERS_ARE_ACTIVE, drawn: 0.5 };
const BEFORE: usize = 8;
const DRAWN_BEFORE: f64 = 0.5;

/// So many points of the cube for a class of a quota, which may be a stated one `of_requests`, with their weights, which add up
/// to 1.
///
/// Importance sampling. Source: Kahn and Marshall, "Methods of reducing sample size in Monte Carlo computations", J. Oper.
/// Res. Soc. Am. 1 (1953).
pub(in crate::analysis) fn spread(
    class: Class,
    of_requests: bool,
    count: usize,
    rng: &mut impl Rng,
) -> (Vec<Point>, Vec<f64>) {
    let part = class.exposed(of_requests);
    let drawn = if of_requests { DRAWN_BEFORE } else { part };
    let strata = [REJECTED, OTHERS, Stratum { coordinate: BEFORE, part, drawn }];
    let (points, weights): (Vec<_>, Vec<_>) = (0..count).map(|_| weighted(rng.random(), strata)).unzip();
    let total: f64 = weights.iter().sum();
    (points, weights.into_iter().map(|weight| weight / total).collect())
}

fn weighted(mut point: Point, strata: [Stratum; 3]) -> (Point, f64) {
    let mut weight = 1.0;
    for Stratum { coordinate, part, drawn } in strata {
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
