//! When a probe may tell something: after usual delays, around the turn of the minute, and when imagined limiters give
//! way.

use super::imagined::Imagined;
use crate::Timestamp;

/// Just before and after an instant, beyond the clock error, in seconds.
const AROUND_S: [f64; 2] = [-1.2, 1.2];
/// Shares of a quota whose return matters.
const RETURNING: [f64; 2] = [0.5, 1.0];
/// If so much returns together, it is a window that ends, of a class at least so likely.
const SUDDEN: [f64; 2] = [0.15, 0.95];
const LIKELY: f64 = 0.06;
/// What comes sooner is now, in seconds.
const NOW_S: f64 = 1.0;
/// Nobody waits longer, in seconds.
const LONGEST_WAIT_S: f64 = 150.0;
/// Moments that are no further apart than this are one, in seconds.
const ONE_MOMENT_S: f64 = 0.5;

/// Instants after `delays_s` and around the turn of the minute, none before `from`.
pub(super) fn usual(from: Timestamp, delays_s: &[f64]) -> impl Iterator<Item = Timestamp> {
    let turn = from.next_second(0.0);
    let around = AROUND_S.map(|offset_s| turn.plus_seconds(offset_s));
    let delayed = delays_s.iter().map(move |delay_s| from.plus_seconds(*delay_s));
    delayed.chain(around).filter(move |at| *at >= from)
}

/// Instants around those at which the median limiter of each class admits half of its quota, or all of it, again.
pub(super) fn returns(imagined: &[Imagined], from: Timestamp) -> impl Iterator<Item = Timestamp> {
    let mut moments: Vec<Timestamp> = classes(imagined)
        .flat_map(|class| RETURNING.map(|share| median_return(class, from, share)))
        .flatten()
        .filter(|at| at.seconds_since(from) < LONGEST_WAIT_S)
        .flat_map(|at| AROUND_S.map(|offset_s| at.plus_seconds(offset_s)))
        .filter(|at| *at >= from)
        .collect();
    moments.sort();
    moments.dedup_by(|one, before| one.seconds_since(*before) < ONE_MOMENT_S);
    moments.into_iter()
}

/// The imagined worlds, class by class.
fn classes(imagined: &[Imagined]) -> impl Iterator<Item = &[Imagined]> {
    imagined.chunk_by(|one, next| one.class == next.class)
}

fn median_return(class: &[Imagined], from: Timestamp, share: f64) -> Option<Timestamp> {
    let mut returns: Vec<Timestamp> = class.iter().filter_map(|one| one.returns_at(from, share)).collect();
    let middle = returns.len() / 2;
    (!returns.is_empty()).then(|| *returns.select_nth_unstable(middle).1)
}

/// Just before the next window ends that is likely to, if that is not now: that it had not ended earlier is seen only then.
pub(super) fn before_an_end(imagined: &[Imagined], from: Timestamp) -> Option<Timestamp> {
    let weight = |worlds: &[Imagined]| worlds.iter().map(|one| one.weight).sum::<f64>();
    let likely = classes(imagined).filter(|class| weight(class) > LIKELY * weight(imagined));
    let end = likely.filter_map(|class| end_of_window(class, from)).min()?;
    Some(end.plus_seconds(AROUND_S[0])).filter(|before| before.seconds_since(from) >= NOW_S)
}

/// When the median limiter of a class admits again all of its quota, if that comes at once.
fn end_of_window(class: &[Imagined], from: Timestamp) -> Option<Timestamp> {
    let [a_little, all] = SUDDEN.map(|share| median_return(class, from, share));
    all.filter(|all| a_little.is_some_and(|it| all.seconds_since(it) < ONE_MOMENT_S))
}
