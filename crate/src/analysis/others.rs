//! What others on the account use of the quota, which nobody sees.

use crate::{Admission, QuotaKind};

/// Their requests are a Poisson process, and each costs from half to one and a half times their mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Others {
    /// Their use a second, in tokens or requests.
    pub use_per_s: f64,
    /// The mean cost of one of their requests.
    pub request_cost: u64,
}

/// More of their requests at once than this are taken for as many larger ones.
const MOST_REQUESTS: f64 = 30.0;
/// A number of requests that is larger than expected, and less probable than this, is left out.
const NEGLIGIBLE: f64 = 1e-5;
/// That they have used too much is never more probable.
const NEARLY_SURE: f64 = 1.0 - 1e-6;

impl Others {
    /// The mean time between two of their requests, in seconds, if there are any.
    pub(super) fn mean_gap_s(&self) -> f64 {
        self.request_cost as f64 / self.use_per_s
    }

    pub(super) fn are_absent(&self) -> bool {
        *self == Self::default()
    }

    /// What they want to use within so many seconds.
    pub(super) fn wanted(&self, seconds: f64) -> Wanted {
        let expected = self.use_per_s * seconds.max(0.0) / self.request_cost.max(1) as f64;
        let larger = (expected / MOST_REQUESTS).max(1.0);
        let expected = expected / larger;
        Wanted { expected, nothing: (-expected).exp(), one: self.request_cost as f64 * larger }
    }
}

/// What is wanted by a number of requests that nobody knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The mean number of requests.
    expected: f64,
    /// The probability that there is none.
    nothing: f64,
    /// The mean cost of one.
    pub one: f64,
}

impl Wanted {
    /// What they leave if they want more than there is, at least and at most.
    pub(super) fn leaves(self, kind: QuotaKind, admission: Admission, room: f64) -> [f64; 2] {
        match (kind, admission) {
            (QuotaKind::Requests, _) => [0.0, 0.0],
            (_, Admission::Whole) => [0.0, self.one.min(room)],
            (_, Admission::UntilExhausted) => [-self.one, 0.0],
        }
    }

    /// The probabilities that it is at most each of `amounts`.
    fn at_most<const N: usize>(self, amounts: [f64; N]) -> [f64; N] {
        let mut sums = [0.0; N];
        for (_, probability, shares) in self.counts(amounts) {
            sums.iter_mut().zip(shares).for_each(|(sum, share)| *sum += probability * share);
        }
        sums.map(|sum| sum.min(1.0))
    }

    /// What it is if it is more than `low` and at most `high`, which has a probability of `mass`, as `luck` of 0 to 1 has it.
    fn between(self, low: f64, high: f64, mass: f64, luck: f64) -> f64 {
        let mut left = luck * mass;
        for (count, probability, [until_low, until_high]) in self.counts([low, high]) {
            let mass = probability * (until_high - until_low);
            if left < mass {
                let share = until_low + left / probability;
                return self.one * (count + (share - 0.5) * f64::sqrt(count));
            }
            left -= mass;
        }
        high.min(low.max(0.0) + self.one)
    }

    /// The numbers of requests, each with its probability and that of at most each of `amounts` if it is so many: what
    /// several cost is taken as evenly spread, as what one costs is.
    fn counts<const N: usize>(self, amounts: [f64; N]) -> impl Iterator<Item = (f64, f64, [f64; N])> {
        let times = amounts.map(|amount| amount / self.one);
        let mut probability = self.nothing;
        let none = (0.0, probability, amounts.map(|amount| f64::from(u8::from(amount >= 0.0))));
        let mut count = 0.0;
        let more = std::iter::from_fn(move || {
            count += 1.0;
            probability *= self.expected / count;
            let spread = f64::sqrt(count);
            let shares = times.map(|times| (0.5 + (times - count) / spread).clamp(0.0, 1.0));
            let is_counted = count <= self.expected || probability >= NEGLIGIBLE;
            is_counted.then_some((count, probability, shares))
        });
        std::iter::once(none).chain(more)
    }
}

/// What others may have used before a request came that would have fitted otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unseen {
    wanted: Wanted,
    /// What the request would have left, had they used nothing.
    margin: f64,
    /// What it needs.
    needs: f64,
    /// What they leave if they want more than there is, at least and at most; none if they are charged all the same.
    left: Option<[f64; 2]>,
    within_margin: f64,
    /// That they want at most what there is, or anything if they are charged all the same.
    within_room: f64,
    beyond_room: f64,
    /// The probability that what they leave is less than the request needs.
    leaves_too_little: f64,
}

impl Unseen {
    pub(super) fn new(wanted: Wanted, margin: f64, needs: f64, left: Option<[f64; 2]>) -> Self {
        let room = left.map_or(f64::INFINITY, |_| margin + needs);
        let [within_margin, within_room] = wanted.at_most([margin, room]);
        let beyond_room = left.map_or(0.0, |_| 1.0 - within_room);
        let leaves_too_little = match left {
            Some([least, most]) if most > needs => (needs - least) / (most - least),
            _ => 1.0,
        };
        Self { wanted, margin, needs, left, within_margin, within_room, beyond_room, leaves_too_little }
    }

    /// The probability that they had used what the request needed.
    pub(super) fn too_much(&self) -> f64 {
        let enough_left = self.within_margin + self.beyond_room * (1.0 - self.leaves_too_little);
        (1.0 - enough_left).clamp(0.0, NEARLY_SURE)
    }

    /// What they had used if it was too much, or if it was not, as `luck` of 0 to 1 has it.
    pub(super) fn used(&self, was_too_much: bool, luck: f64) -> f64 {
        let (all, leave) = match was_too_much {
            true => (self.too_much(), self.leaves_too_little),
            false => (1.0 - self.too_much(), 1.0 - self.leaves_too_little),
        };
        let room = self.margin + self.needs;
        let beyond = (self.beyond_room * leave / all.max(f64::MIN_POSITIVE)).min(1.0);
        if let Some([least, most]) = self.left.filter(|_| luck < beyond) {
            let [from, to] = if was_too_much { [least, most.min(self.needs)] } else { [self.needs, most] };
            return room - (from + luck / beyond * (to - from));
        }
        let luck = (luck - beyond) / (1.0 - beyond);
        if was_too_much {
            let most = self.left.map_or(f64::INFINITY, |_| room);
            self.wanted.between(self.margin, most, self.within_room - self.within_margin, luck)
        } else {
            self.wanted.between(f64::NEG_INFINITY, self.margin, self.within_margin, luck)
        }
    }
}
