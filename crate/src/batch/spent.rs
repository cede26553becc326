use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Ends the name of the file beside the output.
const ENDING: &str = ".spent";

/// The most tokens that all runs with one output may have used: a number a line, the last of which counts. It is on disk
/// before a request leaves, so whatever ends a run, the next one knows the worst.
#[derive(Debug)]
pub(super) struct Spent {
    path: PathBuf,
    file: File,
    /// What was noted last, in tokens.
    pub(super) at_most: u64,
}

impl Spent {
    /// Opens the file of `output`, or creates it.
    ///
    /// # Errors
    /// An output error if it cannot be read and written; a trace error if it holds something else.
    pub(super) fn beside(output: &Path) -> Result<Self> {
        let mut path = output.as_os_str().to_owned();
        path.push(ENDING);
        let path = PathBuf::from(path);
        let unable = |cause| unwritable(&path, cause);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(unable)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(unable)?;
        // A crash may have cut off the last one: that request did not leave.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(unable)?;
        let last = text[..whole].split(|byte| *byte == b'\n').rfind(|line| !line.is_empty());
        let at_most = match last.map(|last| std::str::from_utf8(last).unwrap_or_default().parse()) {
            None => 0,
            Some(Ok(at_most)) => at_most,
            Some(Err(_)) => {
                let what = "not the tokens that a batch has used; name a new output, or remove it";
                return Err(Error::trace(format!("{}: {what}", path.display())));
            }
        };
        Ok(Self { path, file, at_most })
    }

    /// Notes how many it may be now; on disk before this returns.
    ///
    /// # Errors
    /// An output error if it cannot be written.
    pub(super) fn note(&mut self, at_most: u64) -> Result<()> {
        self.at_most = at_most;
        let written = self.file.write_all(format!("{at_most}\n").as_bytes());
        written.and_then(|()| self.file.sync_data()).map_err(|cause| unwritable(&self.path, cause))
    }
}

fn unwritable(path: &Path, cause: std::io::Error) -> Error {
    let advice = "name an output in a folder that is writable and has space";
    Error::output(format!("cannot write {} ({advice})", path.display())).because(cause)
}
