use super::round::Round;
use super::{Pairing, Side};
use crate::QuotaKind;

/// A target that rejects so many controls in a row is not worth more.
const REJECTED_CONTROLS: usize = 3;
/// After so many rounds that show nothing, further ones will not either.
const SHOWN_NOTHING: usize = 6;
const SIDES: [Side; 2] = [Side::First, Side::Second];

/// Why no further round would help, as a clause.
pub(super) fn obstacle(pairing: &Pairing, rounds: &[Round]) -> Option<String> {
    let by_day = Some(QuotaKind::TokensPerDay);
    if pairing.entries.iter().any(|entry| entry.step.is_some() && entry.outcome.named() == by_day) {
        return Some("the quota of tokens per day rejected requests: pair the two tomorrow".into());
    }
    let busy = SIDES.into_iter().find_map(|side| busy(pairing, side, rounds));
    busy.or_else(|| out_of_reach(pairing, rounds)).or_else(|| too_fast(pairing, rounds))
}

fn busy(pairing: &Pairing, side: Side, rounds: &[Round]) -> Option<String> {
    let own = rounds.iter().rev().filter(|round| round.filled == side);
    let rejected = own.take_while(|round| round.control() == Some(false)).count();
    (rejected >= REJECTED_CONTROLS).then(|| {
        format!(
            "{} rejected {} {rejected} times even after a pause: it is busy, or its quota is smaller",
            pairing.names.of(side),
            pairing.terms.asked_in_words()
        )
    })
}

fn out_of_reach(pairing: &Pairing, rounds: &[Round]) -> Option<String> {
    let over = rounds.iter().filter(|round| round.next().is_none());
    let filled: Vec<&Round> = over.filter(|round| round.control() == Some(true)).collect();
    let is_filled = |side: &Side| filled.iter().any(|round| round.filled == *side);
    let is_out_of_reach = SIDES.iter().all(is_filled) && !filled.iter().any(|round| round.is_used_up());
    is_out_of_reach.then(|| {
        let most = filled.iter().map(|round| round.used()).max().unwrap_or(0);
        let most = pairing.terms.in_words(most);
        format!("neither target rejected anything, up to {most} in a row: its quota is larger than stated")
    })
}

fn too_fast(pairing: &Pairing, rounds: &[Round]) -> Option<String> {
    let shown = SIDES.iter().any(|side| !pairing.seen(*side, rounds).treatments.is_empty());
    let tried = rounds.iter().filter(|round| round.is_used_up()).count();
    (!shown && tried >= SHOWN_NOTHING)
        .then(|| "the quota recovers too fast to stay used up from one request to the next".into())
}
