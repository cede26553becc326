use super::imagined::Imagined;
use super::noise::outcome_probability;
use crate::Timestamp;

/// What a probe tells about the rest of a hypothesis, its limit say, counts this much of what it tells about the class.
const PARAMETERS_COUNT: f64 = 0.01;
/// As much, where what was used comes back at a rate: one such mechanism is told from another by how the rate changes, and
/// without knowing it well each rejection only makes it a little lower.
const RATES_COUNT: f64 = 0.05;

/// Of sizes between rooms that are closer together than this share of the largest request, one of so many is tried.
const CLOSE: f64 = 0.01;
const OF_CLOSE: usize = 3;

/// The size at which an outcome tells most for its cost, at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    /// Tokens.
    pub size: u64,
    /// Expected information, in nats.
    pub gain: f64,
    /// Probability that the probe is admitted.
    pub admitted: f64,
}

/// The size whose outcome at `at` tells most for what it costs, or how much the `given` one tells. The cost depends on the
/// size and on the probability that it is admitted.
///
/// A limiter admits a size exactly if it has room for it, so all sizes are tried in one pass over the rooms.
pub(super) fn best_size<'a>(
    imagined: impl IntoIterator<Item = &'a Imagined>,
    at: Timestamp,
    (smallest, largest): (u64, u64),
    given: Option<u64>,
    scepticism: f64,
    cost_s: impl Fn(u64, f64) -> f64,
) -> Sweep {
    let mut rooms = rooms(imagined, at);
    let mut tally = Tally::new(&rooms, scepticism);
    if let Some(size) = given {
        rooms.iter().filter(|room| room.tokens >= size as f64).for_each(|room| tally.admit(room));
        let (gain, admitted) = tally.gain();
        return Sweep { size, gain, admitted };
    }
    let mut best = Sweep { size: smallest, gain: 0.0, admitted: 0.0 };
    let mut best_rate = f64::NEG_INFINITY;
    let mut above = largest as f64;
    rooms.sort_unstable_by(|a, b| b.tokens.total_cmp(&a.tokens));
    let mut next = rooms.iter().enumerate();
    // Between two rooms the outcome is the same for every size; take the middle, far from both, or the smallest where
    // size does not matter.
    while above >= smallest as f64 {
        let below = next.next();
        let from = below.map_or(0.0, |(_, it)| it.tokens.max(0.0));
        let least = (from as u64).saturating_add(1).max(smallest);
        let most = above.min(largest as f64) as u64;
        let is_tried = above - from > CLOSE * largest as f64
            || below.is_none_or(|(index, _)| index.is_multiple_of(OF_CLOSE));
        if least <= most && is_tried {
            let size = if least == smallest { least } else { most.midpoint(least) };
            let (gain, admitted) = tally.gain();
            let rate = gain / cost_s(size, admitted);
            // Of two that are as good, the smaller one.
            if rate >= best_rate {
                (best, best_rate) = (Sweep { size, gain, admitted }, rate);
            }
        }
        let Some((_, below)) = below else { break };
        tally.admit(below);
        above = below.tokens;
    }
    best
}

/// The largest request that a world would admit.
struct Room {
    tokens: f64,
    weight: f64,
    class: usize,
    is_level: bool,
}

/// The rooms of all worlds, in their order.
fn rooms<'a>(imagined: impl IntoIterator<Item = &'a Imagined>, at: Timestamp) -> Vec<Room> {
    let room = |one: &Imagined| Room {
        tokens: one.room(at),
        weight: one.weight,
        class: one.class,
        is_level: one.is_level(),
    };
    imagined.into_iter().map(room).collect()
}

/// How much of each class admits a size.
struct Tally {
    total: f64,
    admitted: f64,
    classes: Vec<OfClass>,
    outcomes: Outcomes,
    /// Nats over the number of samples that are taken for noise.
    scepticism: f64,
}

/// How much of one class admits a size.
#[derive(Clone, Default)]
struct OfClass {
    all: f64,
    admitted: f64,
    count: u32,
    is_level: bool,
    /// What the class does not tell of the outcome and is not worth telling, in nats times its share; `None` since that has
    /// changed.
    untold: Option<f64>,
}

impl Tally {
    fn new(rooms: &[Room], scepticism: f64) -> Self {
        let classes = 1 + rooms.iter().map(|room| room.class).max().unwrap_or(0);
        let mut classes = vec![OfClass::default(); classes];
        for room in rooms {
            let class = &mut classes[room.class];
            class.all += room.weight;
            class.count += 1;
            class.is_level |= room.is_level;
        }
        let total = classes.iter().map(|class| class.all).sum();
        Self { total, admitted: 0.0, classes, outcomes: Outcomes::new(), scepticism }
    }

    fn admit(&mut self, room: &Room) {
        self.admitted += room.weight;
        let class = &mut self.classes[room.class];
        class.admitted += room.weight;
        class.untold = None;
    }

    /// Expected information, and the probability of being admitted.
    ///
    /// Entropies of few samples come out too low; what looks like information is their noise.
    fn gain(&mut self) -> (f64, f64) {
        let Self { total, scepticism, ref outcomes, .. } = *self;
        let share = self.admitted / total;
        let overall = outcomes.entropy(share);
        let mut untold = |class: &mut OfClass| {
            let OfClass { all, admitted, count, is_level, .. } = *class;
            let worked_out = || {
                let fits = admitted / all;
                let bias = if admitted > 0.0 && admitted < all { scepticism / f64::from(count) } else { 0.0 };
                let counts = if is_level { RATES_COUNT } else { PARAMETERS_COUNT };
                let entropy = outcomes.entropy(fits);
                let of_parameters = entropy - outcomes.noise(fits);
                all / total * (entropy + bias - counts * of_parameters)
            };
            *class.untold.get_or_insert_with(worked_out)
        };
        let within: f64 = self.classes.iter_mut().filter(|class| class.all > 0.0).map(&mut untold).sum();
        ((overall - within).max(0.0), outcomes.admitted(share))
    }
}

/// What becomes of a probe of which is known how probably it fits.
struct Outcomes {
    /// The probability of being admitted, of what fits and of what does not.
    passes: [f64; 2],
    /// The entropy of what becomes of what fits, and of what does not.
    of_fitting: f64,
    of_not_fitting: f64,
}

impl Outcomes {
    fn new() -> Self {
        let passes = [true, false].map(|fits| outcome_probability(fits, true));
        let unknown = Self { passes, of_fitting: 0.0, of_not_fitting: 0.0 };
        Self { of_fitting: unknown.entropy(1.0), of_not_fitting: unknown.entropy(0.0), ..unknown }
    }

    /// The probability of being admitted, of what fits with this probability.
    fn admitted(&self, fits: f64) -> f64 {
        let [if_fits, if_not] = self.passes;
        fits * if_fits + (1.0 - fits) * if_not
    }

    /// The entropy that is left once it is known whether it fits.
    fn noise(&self, fits: f64) -> f64 {
        fits * self.of_fitting + (1.0 - fits) * self.of_not_fitting
    }

    fn entropy(&self, fits: f64) -> f64 {
        entropy(self.admitted(fits))
    }
}

/// Of an outcome with probability `p`, in nats.
fn entropy(p: f64) -> f64 {
    -(p * p.ln() + (1.0 - p) * (1.0 - p).ln())
}
