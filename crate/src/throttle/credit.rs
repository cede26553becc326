//! A small part of large quotas, given out beforehand: who takes of it needs neither the lock nor the clock.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use crate::{QuotaKind, Timestamp};

/// One part in so many of each quota is given out at a place at once: what ends of it is charged late, but no more than that.
const PART: u64 = 1_024;
/// Places at most: further threads share them.
const PLACES: usize = 8;
/// A part that is not worth so many requests is not worth giving out.
const WORTH: u64 = 16;
/// In each word, the bits of a number of tokens; those of a number of requests follow.
const TOKENS: u32 = 24;
const REQUESTS: u32 = 12;
const MOST: Lot = Lot { requests: (1 << REQUESTS) - 1, tokens: (1 << TOKENS) - 1 };
/// A bit that says that nothing is given out.
const CLOSED: u64 = 1 << 63;

/// So many requests, and tokens of all of them together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lot {
    pub requests: u64,
    pub tokens: u64,
}

/// What is given out at one place, and what has become of it. It is given out and taken back only under the lock of the
/// state, which holds it until then. Places share no line of the cache.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Credit {
    /// How much is given out at once.
    part: Lot,
    /// When what is given out was found to be safe.
    given_at: AtomicI64,
    /// What is left of it: a [`Lot`].
    left: AtomicU64,
    /// What has ended: a [`Lot`] with the tokens that were held, and above it those that are charged.
    ended: AtomicU64,
}

/// What was given out and is taken back.
#[derive(Clone, Copy, Debug)]
pub(super) struct TakenBack {
    pub unspent: Lot,
    /// The requests that have ended, with the tokens that were held for them.
    pub ended: Lot,
    /// The tokens that they are charged.
    pub charged: u64,
}

impl Lot {
    /// What is a part of all `quotas`, which are given with their ceilings.
    fn part_of(quotas: impl Iterator<Item = (QuotaKind, u64)>) -> Self {
        quotas.fold(MOST, |part, (kind, ceiling)| match kind {
            QuotaKind::Requests => Self { requests: part.requests.min(ceiling / PART), ..part },
            QuotaKind::Tokens | QuotaKind::TokensPerDay => {
                Self { tokens: part.tokens.min(ceiling / PART), ..part }
            }
        })
    }

    /// What it is to a quota of `kind`.
    pub(super) fn of(self, kind: QuotaKind) -> u64 {
        match kind {
            QuotaKind::Requests => self.requests,
            QuotaKind::Tokens | QuotaKind::TokensPerDay => self.tokens,
        }
    }

    fn packed(self) -> u64 {
        self.requests << TOKENS | self.tokens
    }

    fn unpacked(word: u64) -> Self {
        Self { requests: word >> TOKENS & MOST.requests, tokens: word & MOST.tokens }
    }
}

impl Credit {
    /// A place for each thread that runs at the same time, where nothing is given out of `quotas` yet, which are given with
    /// their ceilings.
    pub(super) fn places(quotas: impl Iterator<Item = (QuotaKind, u64)>) -> Box<[Self]> {
        let part = Lot::part_of(quotas);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let place = |_| Self {
            part,
            given_at: AtomicI64::new(0),
            left: AtomicU64::new(0),
            ended: AtomicU64::new(CLOSED),
        };
        (0..threads.min(PLACES)).map(place).collect()
    }

    /// Takes one request of so many tokens; returns when that was found to be safe, or `None` if not so much is left.
    #[inline]
    pub(super) fn take(&self, tokens: u64) -> Option<Timestamp> {
        let less = |left| {
            let Lot { requests, tokens: of_tokens } = Lot::unpacked(left);
            (requests > 0 && tokens <= of_tokens).then(|| left - Lot { requests: 1, tokens }.packed())
        };
        self.left.fetch_update(Ordering::Acquire, Ordering::Relaxed, less).ok()?;
        Some(Timestamp::from_nanos(self.given_at.load(Ordering::Relaxed)))
    }

    /// Notes that a request has ended for which `held` tokens were held and which is charged `charged`. Returns whether
    /// there was room for the note.
    #[inline]
    pub(super) fn end(&self, held: u64, charged: u64) -> bool {
        let more = |ended: u64| {
            let so_far = Lot::unpacked(ended);
            let fits = charged <= held
                && held <= self.part.tokens - so_far.tokens
                && so_far.requests < self.part.requests
                && ended & CLOSED == 0;
            fits.then(|| {
                ended + Lot { requests: 1, tokens: held }.packed() + (charged << (TOKENS + REQUESTS))
            })
        };
        self.ended.fetch_update(Ordering::Release, Ordering::Relaxed, more).is_ok()
    }

    /// What to give out, if that is worth it for requests of so many tokens.
    pub(super) fn worth(&self, tokens: u64) -> Option<Lot> {
        let is_worth = self.part.requests >= WORTH && self.part.tokens / WORTH >= tokens;
        is_worth.then_some(self.part)
    }

    /// Gives out `part`, which was found to be safe at `at`.
    pub(super) fn give(&self, at: Timestamp, part: Lot) {
        self.given_at.store(at.as_nanos(), Ordering::Relaxed);
        self.ended.store(0, Ordering::Relaxed);
        self.left.store(part.packed(), Ordering::Release);
    }

    /// Takes back what is given out, if anything is.
    #[inline]
    pub(super) fn take_back(&self) -> Option<TakenBack> {
        if self.ended.load(Ordering::Relaxed) == CLOSED {
            return None;
        }
        let unspent = Lot::unpacked(self.left.swap(0, Ordering::AcqRel));
        let ended = self.ended.swap(CLOSED, Ordering::AcqRel);
        Some(TakenBack { unspent, ended: Lot::unpacked(ended), charged: ended >> (TOKENS + REQUESTS) })
    }
}

/// What the thread uses of what there is at each place.
#[inline]
pub(super) fn of_thread<T>(places: &[T]) -> &T {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    &places[THREAD.with(|thread| *thread) % places.len()]
}
