//! The only reader of time. Everything else takes the time as an argument, or a [`Clock`].

use std::cell::Cell;
use std::fmt;
use std::ops::{Add, Sub};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result};

const NANOS: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * NANOS;

/// For so many nanoseconds after a reading of the system's clock the processor's counter tells the time.
const COUNTED: u64 = 1_000_000;

/// The processor's counter.
static COUNTER: LazyLock<quanta::Clock> = LazyLock::new(quanta::Clock::new);

thread_local! {
    /// The system's clock when this thread read it last, and the counter then.
    static READ: Cell<(Timestamp, u64)> = const { Cell::new((Timestamp::EPOCH, u64::MAX)) };
}

/// The largest time scale: one real second is then one hour.
const MAX_SCALE: u32 = 3_600;

/// A point in time, in nanoseconds since the Unix epoch (UTC); prints and serialises as RFC 3339, in binary formats as
/// the number.
///
/// An integer, because window borders must be exact and a particle filter compares millions of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);

    /// `nanos` nanoseconds after the Unix epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Seconds from `earlier` to `self`; negative if `earlier` is the later one.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0.saturating_sub(earlier.0)) as f64 / NANOS as f64
    }

    /// `seconds` (possibly negative) after `self`, rounded to the nanosecond.
    pub fn plus_seconds(self, seconds: f64) -> Self {
        // By hand: `round` is a call into libm, and replayed hypotheses do little else than add seconds.
        let nanos = seconds * NANOS as f64;
        Self(self.0.saturating_add((nanos + 0.5_f64.copysign(nanos)) as i64))
    }

    /// `nanos` nanoseconds after `self`.
    pub const fn plus_nanos(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// `nanos` nanoseconds before `self`.
    pub const fn minus_nanos(self, nanos: i64) -> Self {
        Self(self.0.saturating_sub(nanos))
    }

    /// Seconds past the full minute, in `0.0..60.0`.
    pub fn second_of_minute(self) -> f64 {
        self.0.rem_euclid(60 * NANOS) as f64 / NANOS as f64
    }

    /// The next instant, `self` included, that lies `second` seconds past a full minute.
    pub fn next_second(self, second: f64) -> Self {
        let wanted = (second * NANOS as f64).round() as i64;
        Self(self.0 + (wanted - self.0).rem_euclid(60 * NANOS))
    }

    /// The same instant as a chrono date and time.
    pub fn to_chrono(self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.0)
    }

    /// Wall-clock text, `HH:MM:SS.mmm` (UTC).
    pub fn clock_text(self) -> String {
        self.to_chrono().format("%H:%M:%S%.3f").to_string()
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// The span from `earlier` to `self`; zero if `earlier` is the later one.
impl Sub for Timestamp {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_nanos_opt().unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_chrono().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.collect_str(self),
            false => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match deserializer.is_human_readable() {
            true => DateTime::<Utc>::deserialize(deserializer).map(Self::from),
            false => i64::deserialize(deserializer).map(Self),
        }
    }
}

/// A source of time that can also wait: real, scaled (a minute lasts a second at scale 60) or virtual.
///
/// # Scaled time
/// Scaled time runs from the UTC midnight before the clock was made. Midnights are whole minutes apart, so every
/// process with the same scale agrees on the second of the minute, whenever it started.
///
/// # Virtual time
/// [`Clock::virtual_from`] follows the paused clock of a tokio runtime (`start_paused`): time jumps to the next
/// sleeper, so an hour of measuring takes milliseconds and concurrent sleepers stay exact.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    System,
    Runtime { origin: tokio::time::Instant, at_origin: Timestamp, scale: u32 },
}

impl Clock {
    /// The system's wall clock.
    pub fn system() -> Self {
        Self { source: Source::System }
    }

    /// A clock that lives `scale` times faster than the system's, 1 to 3,600.
    ///
    /// # Errors
    /// A usage error if `scale` is out of range.
    pub fn scaled(scale: u32) -> Result<Self> {
        match scale {
            1 => Ok(Self::system()),
            2..=MAX_SCALE => {
                let now = system_now();
                let midnight = now.0 - now.0.rem_euclid(DAY);
                let at_origin = Timestamp(midnight + (now.0 - midnight) * i64::from(scale));
                Ok(Self { source: Source::Runtime { origin: runtime_now(), at_origin, scale } })
            }
            _ => Err(Error::usage(format!("time scale {scale} is out of range: use 1 to {MAX_SCALE}"))),
        }
    }

    /// A clock that reads `start` now and then follows the time of the tokio runtime, paused or not.
    pub fn virtual_from(start: Timestamp) -> Self {
        Self { source: Source::Runtime { origin: runtime_now(), at_origin: start, scale: 1 } }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match self.source {
            Source::System => system_now(),
            Source::Runtime { origin, at_origin, scale } => at_origin + (runtime_now() - origin) * scale,
        }
    }

    /// How many times faster than real time this clock runs.
    pub fn scale(&self) -> u32 {
        match self.source {
            Source::System => 1,
            Source::Runtime { scale, .. } => scale,
        }
    }

    /// Waits until this clock reads `until`; returns at once if it already does.
    pub async fn sleep_until(&self, until: Timestamp) {
        while self.now() < until {
            match ((until - self.now()) / self.scale()).checked_sub(self.timer_error()) {
                Some(span) => runtime_sleep(span).await,
                None => tokio::task::yield_now().await,
            }
        }
    }

    /// The runtime's timer is late by up to this. Scaled time would multiply it, so its end is waited out awake.
    fn timer_error(&self) -> Duration {
        if self.scale() == 1 { Duration::ZERO } else { Duration::from_millis(2) }
    }

    /// Waits for `span` of this clock's time.
    pub async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now() + span).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
async fn runtime_sleep(span: Duration) {
    tokio::time::sleep(span).await;
}

/// A throttle asks for every request, and reading the counter takes a third of the time that the system's clock takes.
fn system_now() -> Timestamp {
    let (at, from) = READ.get();
    let to = COUNTER.raw();
    let elapsed = COUNTER.delta_as_nanos(from, to);
    // A counter may be set back, where a machine was asleep or moved.
    if from <= to && elapsed < COUNTED {
        return at.plus_nanos(elapsed as i64);
    }
    let now = read_system();
    READ.set((now, to));
    now
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
fn read_system() -> Timestamp {
    // Not through chrono, which takes the date apart first.
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since_epoch.as_secs() as i64 * NANOS + i64::from(since_epoch.subsec_nanos()))
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the runtime's clock")]
fn runtime_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_second_is_at_most_a_minute_away_and_includes_now() {
        let at = Timestamp::from_nanos(90 * NANOS);
        assert_eq!(at.next_second(30.0), at);
        assert_eq!(at.next_second(35.0), Timestamp::from_nanos(95 * NANOS));
        assert_eq!(at.next_second(5.0), Timestamp::from_nanos(125 * NANOS));
    }

    #[test]
    fn serialises_as_rfc_3339_and_back_without_loss() {
        let at = Timestamp::from_nanos(1_500_000_000_123_456_000);
        let text = serde_json::to_string(&at).unwrap();
        assert_eq!(text, "\"2017-07-14T02:40:00.123456Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), at);
    }

    #[tokio::test(start_paused = true)]
    async fn virtual_time_jumps_to_the_sleeper() {
        let clock = Clock::virtual_from(Timestamp::EPOCH);
        clock.sleep(Duration::from_secs(3_600)).await;
        let late = clock.now().seconds_since(Timestamp::EPOCH) - 3_600.0;
        assert!((0.0..0.01).contains(&late), "late by {late} s");
    }

    #[tokio::test]
    async fn two_scaled_clocks_agree_on_the_second_of_the_minute() {
        let one = Clock::scaled(60).unwrap();
        one.sleep(Duration::from_secs(3)).await;
        let other = Clock::scaled(60).unwrap();
        let apart = (one.now().second_of_minute() - other.now().second_of_minute()).abs();
        assert!(apart.min(60.0 - apart) < 1.0, "apart by {apart} s");
        assert!(Clock::scaled(0).unwrap_err().is_usage());
    }
}
