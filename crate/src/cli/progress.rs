use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bedrock_tpm::{BatchProgress, Clock, Event, Timestamp};
use indicatif::{FormattedDuration, ProgressBar, ProgressState, ProgressStyle};
use tokio::task::JoinHandle;

use super::say;

/// How often the bar is redrawn, in real time.
const REDRAW: Duration = Duration::from_millis(100);

/// A bar on stderr that follows the clock, names the phase and the time left. Hidden without a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    follower: JoinHandle<()>,
}

impl Progress {
    /// A bar from now to `end`.
    pub(super) fn until(end: Timestamp, clock: Clock) -> Self {
        let start = clock.now();
        let real_s = move |span: Duration| span.as_secs_f64() / f64::from(clock.scale());
        let bar = ProgressBar::new((end - start).as_millis() as u64);
        let style = ProgressStyle::with_template("{bar:32} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let followed = bar.clone();
        let follower = tokio::spawn(async move {
            loop {
                followed.set_position((clock.now() - start).as_millis() as u64);
                let left = real_s(end - clock.now()).ceil();
                followed.set_message(format!("{} ({left} s left)", followed.prefix()));
                clock.sleep(REDRAW * clock.scale()).await;
            }
        });
        Self { bar, follower }
    }

    /// What shows events on this bar.
    pub(super) fn listener(&self) -> impl FnMut(&Event) + Send + 'static {
        let bar = self.bar.clone();
        move |event| match event {
            Event::Phase(phase) => bar.set_prefix(phase.clone()),
            Event::Waiting { .. } => {}
            Event::Observed(observation) => bar.println(observation.to_string()),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.follower.abort();
        self.bar.finish_and_clear();
    }
}

/// A bar on stderr that counts requests and shows the time left. Hidden without a terminal.
pub(super) struct BatchBar {
    bar: ProgressBar,
    ends_at: Arc<Mutex<Option<Timestamp>>>,
}

impl BatchBar {
    pub(super) fn new(progress: &BatchProgress, clock: Clock) -> Self {
        let bar = ProgressBar::new(progress.requests).with_position(progress.requests - progress.left());
        let ends_at = Arc::<Mutex<Option<Timestamp>>>::default();
        let shown = ends_at.clone();
        let left = move |_: &ProgressState, text: &mut dyn fmt::Write| {
            let ends_at = *shown.lock().unwrap_or_else(PoisonError::into_inner);
            let left = ends_at.map(|at| FormattedDuration((at - clock.now()) / clock.scale()));
            let _ = left.map_or(Ok(()), |left| write!(text, "{left} left"));
        };
        let style = ProgressStyle::with_template("{bar:32} {pos} of {len}  {left}  {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("left", left));
        bar.enable_steady_tick(REDRAW);
        Self { bar, ends_at }
    }

    /// What shows progress on this bar.
    pub(super) fn listener(&self) -> impl FnMut(&BatchProgress) + use<> {
        let (bar, ends_at) = (self.bar.clone(), self.ends_at.clone());
        move |progress| {
            *ends_at.lock().unwrap_or_else(PoisonError::into_inner) = progress.ends_at;
            bar.set_position(progress.requests - progress.left());
            bar.set_message(format!("{} failed, {} throttled", progress.failed, progress.throttled));
        }
    }

    /// Says something on stderr, above the bar if that is shown.
    pub(super) fn say(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }
}

impl Drop for BatchBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
