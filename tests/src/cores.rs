use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bedrock_tpm::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// What `work` makes of 0 to `count` - 1, in that order; done on all cores, with a progress bar that says `message`.
///
/// # Errors
/// The first error of `work`.
///
/// # Panics
/// If `work` does.
pub fn on_all_cores<T: Send>(
    count: usize,
    message: impl Into<Cow<'static, str>>,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(count)));
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}, {eta} to go");
    let bar = ProgressBar::new(count as u64).with_style(style.expect("a template")).with_message(message);
    let worker = || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok(());
            }
            let made = work(index)?;
            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, made));
            bar.inc(1);
        }
    };
    // On the threads that `work` itself uses: more would only wait for each other.
    let finished = rayon::broadcast(|_| worker());
    finished.into_iter().collect::<Result<()>>()?;
    bar.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, made)| made).collect())
}
