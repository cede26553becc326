use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::lines::{Line, Lines};
use super::plan::Plan;
use super::record::{Kept, Record, digest_text};
use crate::trace::{MOST_TOKENS, is_cut_off, without_position};
use crate::{Error, Result};

/// The output: JSON lines, one for each request that has ended. It only ever grows, and each line is written and synced
/// before the next request is counted as done, so it says what need not be sent again.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// `None` until something is sent, if it did not exist.
    file: Option<File>,
}

impl Journal {
    /// Reads what is there, if anything, and marks in `plan` what is answered. Drops a last line that was cut off by a
    /// crash.
    ///
    /// # Errors
    /// A usage error if it is of another input, model or endpoint, or in use; a trace error if it is something else; an
    /// output error if it cannot be written.
    pub(super) fn open(path: &Path, plan: &mut Plan, endpoint: &str) -> Result<Self> {
        if !path.exists() {
            return Ok(Self { path: path.into(), file: None });
        }
        let unable = |cause| {
            let advice = "name a file that can be written, or a new one";
            Error::output(format!("cannot open {} ({advice})", path.display())).because(cause)
        };
        if !path.is_file() {
            return Err(unable(std::io::Error::other("not a regular file")));
        }
        let mut file = OpenOptions::new().read(true).append(true).open(path).map_err(unable)?;
        lock(&file, path)?;
        let mut lines = Lines::of(file.try_clone().map_err(unable)?, path);
        while let Some(line) = lines.next()? {
            match serde_json::from_slice::<Kept>(&line.text) {
                Ok(kept) => plan.mark(&kept, endpoint).map_err(|what| {
                    let place = format!("{} line {}", path.display(), line.number);
                    Error::usage(format!("{place} {what}; go on as it was begun, or name another output"))
                })?,
                Err(_) if !line.has_end && is_cut_off(&line.text) => {
                    file.set_len(line.start).map_err(unable)?;
                    break;
                }
                Err(cause) => return Err(foreign(path, &line, &cause)),
            }
            if !line.has_end {
                file.write_all(b"\n").map_err(unable)?;
            }
        }
        Ok(Self { path: path.into(), file: Some(file) })
    }

    /// Creates the file if it is new. Whether it was there before: then nobody knows what was under way when that ended.
    ///
    /// # Errors
    /// An output error if it cannot be created.
    pub(super) fn begin(&mut self) -> Result<bool> {
        if self.file.is_some() {
            return Ok(true);
        }
        let created = OpenOptions::new().append(true).create_new(true).open(&self.path);
        let file = created.map_err(|cause| {
            let advice = "name a file in a folder that exists and is writable";
            Error::output(format!("cannot create {} ({advice})", self.path.display())).because(cause)
        })?;
        lock(&file, &self.path)?;
        self.file = Some(file);
        Ok(false)
    }

    /// Adds records; on disk before this returns.
    ///
    /// # Errors
    /// An output error if they cannot be written.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<()> {
        let Some(file) = self.file.as_mut().filter(|_| !records.is_empty()) else { return Ok(()) };
        let mut text = Vec::new();
        let written = records.iter().try_for_each(|record| {
            serde_json::to_writer(&mut text, record)?;
            text.write_all(b"\n")
        });
        let written = written.and_then(|()| file.write_all(&text)).and_then(|()| file.sync_data());
        written.map_err(|cause| {
            let advice = "what it holds is kept; free some space";
            Error::output(format!("cannot write {} ({advice})", self.path.display())).because(cause)
        })
    }
}

impl Plan {
    /// Takes note of a record, unless it is not of this input.
    fn mark(&mut self, kept: &Kept, endpoint: &str) -> std::result::Result<(), String> {
        if kept.error.is_some() && kept.line <= self.lines() {
            return Ok(());
        }
        if self.digest(kept.line).map(digest_text).as_ref() != Some(&kept.digest) {
            return Err(format!("answers another request, or model, than line {} of the input", kept.line));
        }
        if kept.endpoint != endpoint {
            return Err(format!("was answered by {}, not {endpoint}", kept.endpoint));
        }
        if kept.input_tokens.max(kept.output_tokens) > MOST_TOKENS {
            return Err(format!("has more than {MOST_TOKENS} tokens"));
        }
        self.answered(kept.line, kept.input_tokens, kept.output_tokens);
        Ok(())
    }
}

/// Two programs that write one file would send everything twice.
fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::usage(format!(
            "another program is writing {}; wait for its end, or name another output",
            path.display()
        ))),
        // Some file systems have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

fn foreign(path: &Path, line: &Line, cause: &serde_json::Error) -> Error {
    let what = "not a result of `batch`; name a new output, or remove the line";
    let reason = without_position(&cause.to_string());
    Error::trace(format!("{} line {}: {what} ({reason})", path.display(), line.number))
}
