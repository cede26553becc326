use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::built;

/// Whatever takes longer hangs.
const AT_MOST: Duration = Duration::from_secs(60);

/// The real program in a folder of its own, without the AWS settings of whoever runs the tests.
pub struct Program {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

/// What came of a run.
#[derive(Debug)]
pub struct Finished {
    /// The exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

/// A run that has not ended; dropping it kills it.
pub struct Running {
    child: Child,
    /// What of its stderr was read already.
    said: Vec<u8>,
}

impl Default for Program {
    fn default() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder"), variables: Vec::new() }
    }
}

impl Program {
    /// With an environment variable.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in the folder.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("a file in a temporary folder");
    }

    /// Reads a file in the folder.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file that was written")
    }

    /// The names of the files in the folder.
    ///
    /// # Panics
    /// If it cannot be listed.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// If it cannot be run, or hangs.
    pub async fn run(&self, args: &[&str]) -> Finished {
        self.start(args).finish().await
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn start(&self, args: &[&str]) -> Running {
        Running { child: self.command(args).spawn().expect("the program starts"), said: Vec::new() }
    }

    /// The command that [`start`](Self::start) spawns, with nothing on stdin and both outputs piped.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(built::program());
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

impl Running {
    /// Waits for its end.
    ///
    /// # Panics
    /// If it hangs.
    pub async fn finish(self) -> Finished {
        let output = tokio::time::timeout(AT_MOST, self.child.wait_with_output()).await;
        let Output { status, stdout, stderr } = output.expect("the program ends").expect("its output");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let stderr = [self.said, stderr].concat();
        Finished { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// The first line that it prints.
    ///
    /// # Panics
    /// If it prints none.
    pub async fn first_line(&mut self) -> String {
        let stdout = self.child.stdout.take().expect("stdout is piped");
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(AT_MOST, lines.next_line()).await;
        line.expect("the program prints").expect("text").expect("a line")
    }

    /// Waits until it says something with `words` on stderr; keeps what it has said.
    ///
    /// # Panics
    /// If it says nothing of the kind.
    pub async fn until_stderr(&mut self, words: &str) {
        let stderr = self.child.stderr.as_mut().expect("stderr is piped");
        let said = &mut self.said;
        let wait = async {
            while !String::from_utf8_lossy(said).contains(words) {
                assert!(stderr.read_buf(said).await.expect("stderr") > 0, "the program ended too soon");
            }
        };
        tokio::time::timeout(AT_MOST, wait).await.expect("the program says it");
    }

    /// Closes the reading end of its stdout.
    pub fn close_stdout(&mut self) {
        self.child.stdout.take();
    }

    /// Waits until a file has this many lines.
    ///
    /// # Panics
    /// If it ends before, or hangs.
    pub async fn until_lines(&mut self, path: &Path, count: usize) {
        let enough = || std::fs::read_to_string(path).is_ok_and(|text| text.lines().count() >= count);
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let wait = async {
            while !enough() {
                assert!(self.child.try_wait().expect("a child").is_none(), "the program ended too soon");
                ticks.tick().await;
            }
        };
        tokio::time::timeout(AT_MOST, wait).await.expect("the program writes its trace");
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
        kill_process(pid, signal).expect("a signal to a child");
    }
}

impl Finished {
    /// The one JSON document on stdout.
    ///
    /// # Panics
    /// If stdout is anything else.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not one document: {error}: {self:?}"))
    }

    /// Asserts a failure as the contract has it: the status, nothing but `words` on stderr in one line, nothing on
    /// stdout.
    ///
    /// # Panics
    /// If it is another.
    pub fn assert_failure(&self, status: i32, words: &str) {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        assert!(
            self.stderr.starts_with("error: ") && self.stderr.contains(words),
            "no {words:?} in {self:?}"
        );
        let first_paragraph = self.stderr.split("\n\n").next().unwrap_or_default();
        assert!(!first_paragraph.contains("panicked") && !self.stderr.contains("RUST_BACKTRACE"), "{self:?}");
    }
}
