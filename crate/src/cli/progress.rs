use std::time::Duration;

use bedrock_tpm::{BatchProgress, Clock, Event, Timestamp};
use indicatif::{ProgressBar, ProgressStyle};
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

/// A bar on stderr that counts requests, and says how long the rest will take at this rate. Hidden without a terminal.
pub(super) struct BatchBar(ProgressBar);

impl BatchBar {
    pub(super) fn new(progress: &BatchProgress) -> Self {
        let bar = ProgressBar::new(progress.requests).with_position(progress.requests - progress.left());
        let style = ProgressStyle::with_template("{bar:32} {pos} of {len}, {eta} left{wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.reset_eta();
        bar.enable_steady_tick(REDRAW);
        Self(bar)
    }

    /// What shows progress on this bar.
    pub(super) fn listener(&self) -> impl FnMut(&BatchProgress) + use<> {
        let bar = self.0.clone();
        move |progress| {
            bar.set_position(progress.requests - progress.left());
            bar.set_message(format!(", {} failed, {} throttled", progress.failed, progress.throttled));
        }
    }

    /// Says something on stderr, above the bar if that is shown.
    pub(super) fn say(&self, text: &str) {
        self.0.suspend(|| say(text));
    }
}

impl Drop for BatchBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
