use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use super::record::Record;
use super::{Observation, Outcome};
use crate::pairing::PAIRING;
use crate::{EMBEDDED, EmulatorConfig, Error, Result};

/// No trace is larger than this, in bytes; a device may have no end.
const LARGEST: u64 = 256 << 20;
/// A reason that quotes the file is cut to so many characters.
const LONGEST_REASON: usize = 160;

/// What some editors put in front of a text.
pub(crate) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Observations in the order they were made, in memory and, if it has a file, on disk.
///
/// The file is JSON lines and only ever grows. Each line is written and synced before [`append`](Self::append)
/// returns, so a process that dies at any moment loses at most the request in flight. A line with the `sent` and
/// `request_id` of an earlier one replaces it: that is how an observation gets its name afterwards.
#[derive(Debug, Default)]
pub struct Trace {
    observations: Vec<Observation>,
    file: Option<Continued>,
}

/// A file that this process alone adds to.
#[derive(Debug)]
struct Continued {
    file: File,
    path: PathBuf,
    /// Bytes in it, unless somebody else adds to it too.
    length: u64,
}

impl Trace {
    /// A trace without a file.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// A new trace in a new file.
    ///
    /// # Errors
    /// An output error if `path` exists or cannot be created: a trace is never written over.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = OpenOptions::new().append(true).create_new(true).open(path).map_err(|cause| {
            let advice = match cause.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    "it exists; name another file, or continue it with --resume"
                }
                _ => "name a file in a folder that exists and is writable",
            };
            Error::output(format!("cannot create the trace {} ({advice})", path.display())).because(cause)
        })?;
        Ok(Self { observations: Vec::new(), file: Some(Continued { file, path: path.into(), length: 0 }) })
    }

    /// Reads a trace; further observations stay in memory.
    ///
    /// # Errors
    /// A trace error that names the line if the file is empty, binary, corrupt or cut off.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|cause| unusable(path, cause))?;
        let observations = parse(&read(&file, path)?, path)?;
        if observations.is_empty() {
            return Err(Error::trace(format!(
                "{} line 1: the trace is empty; name a file that `measure` has written",
                path.display()
            )));
        }
        Ok(Self { observations, file: None })
    }

    /// Reads a trace and continues it in its file. A last line that was cut off by a crash is dropped.
    ///
    /// # Errors
    /// As [`load`](Self::load), except that an empty trace is continued; an output error if it cannot be written.
    pub fn resume(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = OpenOptions::new().read(true).append(true).open(path);
        let file = file.map_err(|cause| unusable(path, cause))?;
        let mut bytes = read(&file, path)?;
        let last_line = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let cut_off = is_cut_off(&bytes[last_line..]);
        if cut_off {
            bytes.truncate(last_line);
        }
        let observations = parse(&bytes, path)?;
        let mut continued = Continued { file, path: path.into(), length: bytes.len() as u64 };
        if cut_off {
            continued.file.set_len(last_line as u64).map_err(|cause| unwritable(path, cause))?;
        } else if last_line < bytes.len() {
            continued.write(b"\n")?;
        }
        Ok(Self { observations, file: Some(continued) })
    }

    /// Adds an observation, or replaces the one it is a later version of; on disk before this returns.
    ///
    /// # Errors
    /// An output error if the line cannot be written, or if somebody else has added lines meanwhile: two measurements at
    /// once disturb each other. The observation is then kept in memory all the same.
    pub fn append(&mut self, observation: Observation) -> Result<()> {
        let line = serde_json::to_string(&observation)
            .map_err(|cause| Error::output("cannot serialise an observation").because(cause))?;
        merge(&mut self.observations, observation);
        self.file.as_mut().map_or(Ok(()), |file| file.write(format!("{line}\n").as_bytes()))
    }

    /// The observations, oldest first.
    pub fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// The last observation of the target that is measured: those that were shared with another one are left out.
    pub fn last_measured(&self) -> Option<&Observation> {
        self.observations.iter().rfind(|observation| observation.phase != PAIRING)
    }

    /// Where the trace is kept, if on disk.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// What the embedded emulator enforced when this trace was begun, if it was made with one.
    pub fn emulator(&self) -> Option<EmulatorConfig> {
        let config = self.observations.first()?.extra.get(EMBEDDED)?;
        serde_json::from_value(config.clone()).ok()
    }

    /// How many observations ended as `wanted` says.
    pub fn count(&self, wanted: impl Fn(Outcome) -> bool) -> usize {
        self.observations.iter().filter(|observation| wanted(observation.outcome())).count()
    }
}

impl Continued {
    fn write(&mut self, line: &[u8]) -> Result<()> {
        let unwritable = |cause| unwritable(&self.path, cause);
        if self.file.metadata().map_err(unwritable)?.len() != self.length {
            return Err(Error::output(format!(
                "somebody else has written to the trace {} (two measurements at once disturb each other; stop one, and \
                 resume the trace with the other)",
                self.path.display()
            )));
        }
        if let Err(cause) = self.file.write_all(line).and_then(|()| self.file.sync_data()) {
            // Half a line would spoil the next.
            let _ = self.file.set_len(self.length);
            return Err(unwritable(cause));
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

impl From<Vec<Observation>> for Trace {
    fn from(observations: Vec<Observation>) -> Self {
        Self { observations, file: None }
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<Vec<Observation>> {
    let mut observations: Vec<Observation> = Vec::new();
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let at = |what: String| format!("{} line {number}: {what}", path.display());
        let line = std::str::from_utf8(line)
            .map_err(|_| Error::trace(at("not text; a trace is a file of JSON lines".into())))?;
        if line.trim().is_empty() {
            continue;
        }
        let record: Record = serde_json::from_str(line).map_err(|cause| match cause.is_eof() {
            true => Error::trace(at("cut off; remove the line (`measure --resume` drops a last one)".into())),
            false => {
                let reason = without_position(&cause.to_string());
                Error::trace(at(format!("not an observation ({reason}); correct or remove the line")))
            }
        })?;
        let previous = observations.last().map(|last| last.sent);
        let observation =
            record.into_observation(previous).map_err(|cause| Error::trace(at(cause.to_string())))?;
        merge(&mut observations, observation);
    }
    Ok(observations)
}

fn merge(observations: &mut Vec<Observation>, observation: Observation) {
    let same = |earlier: &&mut Observation| {
        observation.request_id.is_some()
            && earlier.sent == observation.sent
            && earlier.request_id == observation.request_id
    };
    match observations.iter_mut().rev().find(same) {
        Some(earlier) => *earlier = observation,
        None => observations.push(observation),
    }
}

fn read(file: &File, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|cause| unusable(path, cause))?;
    if bytes.len() as u64 > LARGEST {
        let what =
            format!("{} is larger than {LARGEST} bytes; name a trace, or a part of it", path.display());
        return Err(Error::trace(what));
    }
    Ok(bytes)
}

/// Whether this begins a record and ends before its end, as where a process was killed while it wrote.
pub(crate) fn is_cut_off(line: &[u8]) -> bool {
    let record = serde_json::from_slice::<IgnoredAny>(line);
    line.starts_with(b"{") && record.is_err_and(|cause| cause.is_eof())
}

/// Without the position in the line, which reads like one in the file, and without most of a long quotation.
pub(crate) fn without_position(reason: &str) -> String {
    let reason = reason.rsplit_once(" at line ").map_or(reason, |(reason, _)| reason);
    reason.chars().take(LONGEST_REASON).collect()
}

fn unusable(path: &Path, cause: std::io::Error) -> Error {
    let what = format!("cannot open the trace {} (name a file that `measure` has written)", path.display());
    Error::trace(what).because(cause)
}

fn unwritable(path: &Path, cause: std::io::Error) -> Error {
    let advice = "earlier lines are kept; free some space or continue it elsewhere from a copy";
    Error::output(format!("cannot write the trace {} ({advice})", path.display())).because(cause)
}
