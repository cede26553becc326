use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// No request and no answer of Bedrock is longer, in bytes: a body may have 20 MB.
const LONGEST: u64 = 64 << 20;

/// Reads the lines of a file one by one, so that a long file takes no more memory than its longest line.
#[derive(Debug)]
pub(super) struct Lines {
    reader: BufReader<File>,
    path: PathBuf,
    number: u64,
    offset: u64,
}

/// A line that is not blank.
#[derive(Debug)]
pub(super) struct Line {
    /// Counted from 1, blank ones included.
    pub(super) number: u64,
    /// Where it starts, in bytes.
    pub(super) start: u64,
    /// Without white space around it.
    pub(super) text: Vec<u8>,
    /// Whether a line break ends it.
    pub(super) has_end: bool,
}

impl Lines {
    /// # Errors
    /// A trace error if `path` is not a file that can be read.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let advice = "name a file of requests, one JSON object a line";
        let unusable = |what: &str| Error::trace(format!("{what} {} ({advice})", path.display()));
        let file = File::open(path).map_err(|cause| unusable("cannot open").because(cause))?;
        match file.metadata() {
            Ok(metadata) if metadata.is_file() => Ok(Self::of(file, path)),
            _ => Err(unusable("not a regular file, which would be read twice:")),
        }
    }

    pub(super) fn of(file: File, path: &Path) -> Self {
        Self { reader: BufReader::new(file), path: path.into(), number: 0, offset: 0 }
    }

    /// The next line, if there is one.
    ///
    /// # Errors
    /// A trace error if it cannot be read, or is too long to be one.
    pub(super) fn next(&mut self) -> Result<Option<Line>> {
        loop {
            let (number, start) = (self.number + 1, self.offset);
            let mut text = Vec::new();
            let read = (&mut self.reader).take(LONGEST).read_until(b'\n', &mut text);
            let read = read.map_err(|cause| self.error(number, "cannot be read").because(cause))? as u64;
            if read == 0 {
                return Ok(None);
            }
            let has_end = text.last() == Some(&b'\n');
            if read == LONGEST && !has_end {
                return Err(
                    self.error(number, "longer than anything Bedrock takes; name a file of JSON lines")
                );
            }
            (self.number, self.offset) = (number, start + read);
            let text = text.trim_ascii();
            if !text.is_empty() {
                return Ok(Some(Line { number, start, text: text.to_vec(), has_end }));
            }
        }
    }

    fn error(&self, number: u64, what: &str) -> Error {
        Error::trace(format!("{} line {number}: {what}", self.path.display()))
    }
}
