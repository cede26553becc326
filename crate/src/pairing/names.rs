use super::Side;
use crate::Observation;

/// What two targets are called: by what sets them apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    first: Option<Place>,
    second: Option<Place>,
}

/// Model, Region and endpoint.
type Place = [String; 3];

impl Names {
    pub(super) fn learn(&mut self, side: Side, seen: &Observation) {
        let place = [&seen.model, &seen.region, &seen.endpoint].map(Clone::clone);
        match side {
            Side::First => self.first = Some(place),
            Side::Second => self.second = Some(place),
        }
    }

    pub(super) fn of(&self, side: Side) -> String {
        let (wanted, usual) = match side {
            Side::First => (&self.first, "the first target"),
            Side::Second => (&self.second, "the second target"),
        };
        let (Some(wanted), Some(first), Some(second)) = (wanted, &self.first, &self.second) else {
            return usual.into();
        };
        let apart =
            wanted.iter().zip(first.iter().zip(second)).filter(|(_, (first, second))| first != second);
        let apart: Vec<_> = apart.map(|(part, _)| part.as_str()).collect();
        if apart.is_empty() { usual.into() } else { apart.join(" at ") }
    }
}
