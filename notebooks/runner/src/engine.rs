//! evcxr, one cell at a time.

use crate::notebook;
use crate::process::{COMPLETE, ENDED, MARK, PANICKED, RETURNED_ERROR};
use anyhow::{Result, anyhow};
use evcxr::{CommandContext, CompilationError, Error, EvalContextOutputs, EvalOutputs};
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long a line may take from the cells' process to here.
const IN_FLIGHT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// A running evcxr with the variables of the cells so far.
pub struct Engine {
    context: CommandContext,
    lines: EvalContextOutputs,
    count: usize,
}

/// What a cell left: outputs in nbformat, and why it failed, if it did.
pub struct CellRun {
    /// The cell's number among those run, from 1.
    pub count: usize,
    /// Streams, then the shown value, then the error.
    pub outputs: Vec<Value>,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// Why a cell failed.
#[derive(Debug, PartialEq)]
pub struct Failure {
    /// `CompileError`, `Panic`, `Error` (a failed `?`), `ProcessEnded` or `EngineError`.
    pub kind: &'static str,
    /// One line.
    pub message: String,
    /// All that is known.
    pub details: Vec<String>,
}

impl Engine {
    /// Starts evcxr in the current folder, against which cells resolve relative paths.
    ///
    /// # Errors
    /// If evcxr does not start.
    pub fn start() -> Result<Self> {
        let start = || {
            let (mut context, lines) = CommandContext::new()?;
            context.execute(":opt 0\n:linker system")?;
            Ok(Self { context, lines, count: 0 })
        };
        start().map_err(|error: Error| anyhow!("evcxr does not start: {error}"))
    }

    /// Runs a cell to its end.
    pub fn run(&mut self, source: &str) -> CellRun {
        self.count += 1;
        self.lines.stderr.try_iter().for_each(drop);
        let done = AtomicBool::new(false);
        let (result, stdout) = thread::scope(|scope| {
            // evcxr waits until somebody has read the cell's standard output.
            let reader = scope.spawn(|| read_until_done(&self.lines, &done));
            let result = catch_unwind(AssertUnwindSafe(|| self.context.execute(source)));
            done.store(true, Ordering::Release);
            (result, reader.join().unwrap_or_default())
        });
        let result = result.unwrap_or_else(|_| Err(Error::Message("evcxr itself panicked".into())));
        let (marks, stderr) = self.stderr(result.as_ref().map_or(0, runs));
        let failure = failure(&result, &marks, &stderr);
        CellRun {
            count: self.count,
            outputs: self.outputs(&stdout, &stderr, result.ok(), failure.as_ref()),
            failure,
        }
    }

    /// What the tap marked and the other lines on standard error, of a cell that ran to its end `runs` times.
    fn stderr(&self, runs: usize) -> (Vec<String>, Vec<String>) {
        let (mut marks, mut lines, mut complete) = (Vec::new(), Vec::new(), 0);
        loop {
            let wait = if complete < runs { IN_FLIGHT } else { Duration::ZERO };
            let Ok(line) = self.lines.stderr.recv_timeout(wait) else { return (marks, lines) };
            // The cell's last line may lack its end.
            let (text, mark) =
                line.split_once(MARK).map_or((line.as_str(), None), |(text, mark)| (text, Some(mark)));
            if mark.is_none() || !text.is_empty() {
                lines.push(text.into());
            }
            match mark {
                Some(COMPLETE) => complete += 1,
                Some(mark) => marks.push(mark.into()),
                None => {}
            }
        }
    }

    fn outputs(
        &self,
        stdout: &[String],
        stderr: &[String],
        shown: Option<EvalOutputs>,
        failure: Option<&Failure>,
    ) -> Vec<Value> {
        let streams = [("stdout", stdout), ("stderr", stderr)];
        let mut outputs: Vec<Value> = streams
            .iter()
            .filter(|(_, lines)| !lines.is_empty())
            .map(|(name, lines)| notebook::stream(name, &(lines.join("\n") + "\n")))
            .collect();
        if let Some(shown) = shown.filter(|shown| !shown.is_empty()) {
            outputs.push(notebook::execute_result(self.count, shown.content_by_mime_type));
        }
        outputs
            .extend(failure.map(|failure| notebook::error(failure.kind, &failure.message, &failure.details)));
        outputs
    }
}

fn read_until_done(lines: &EvalContextOutputs, done: &AtomicBool) -> Vec<String> {
    let mut read = Vec::new();
    loop {
        match lines.stdout.recv_timeout(POLL) {
            Ok(line) => read.push(line),
            Err(_) if done.load(Ordering::Acquire) && lines.stdout.is_empty() => return read,
            Err(_) => {}
        }
    }
}

/// How often evcxr ran the cell: again, when a variable had to go because its type is defined anew.
fn runs(shown: &EvalOutputs) -> usize {
    shown.phases.iter().filter(|phase| phase.name == "Final compile").count()
}

/// The process's end, a panic and a failed `?` are told by what it printed: evcxr calls the last two a success.
fn failure(result: &Result<EvalOutputs, Error>, marks: &[String], stderr: &[String]) -> Option<Failure> {
    let marked = |what: &str| marks.iter().any(|mark| mark == what);
    let panic = stderr.iter().position(|line| line.starts_with("thread '") && line.contains("panicked at"));
    let (kind, message, details) = match result {
        Err(Error::CompilationErrors(errors)) => {
            let message = errors.first().map(CompilationError::message).unwrap_or_default();
            ("CompileError", message, errors.iter().flat_map(explain).collect())
        }
        Err(Error::SubprocessTerminated(_)) => {
            let how =
                marks.iter().find_map(|mark| mark.strip_prefix(ENDED)).unwrap_or("for an unknown reason");
            (
                "ProcessEnded",
                format!("the cell ended its process ({how}); all variables are lost"),
                stderr.to_vec(),
            )
        }
        Err(error) => {
            let details: Vec<String> = error.to_string().lines().map(String::from).collect();
            ("EngineError", details.iter().take(2).cloned().collect::<Vec<_>>().join(" "), details)
        }
        Ok(_) if marked(PANICKED) || panic.is_some() => {
            let said = panic.map_or(stderr, |at| &stderr[at..]);
            ("Panic", said.get(1).cloned().unwrap_or_else(|| "the cell panicked".into()), said.to_vec())
        }
        Ok(_) if marked(RETURNED_ERROR) => {
            let message = stderr.last().cloned().unwrap_or_else(|| "the cell returned an error".into());
            ("Error", message, stderr.to_vec())
        }
        Ok(_) => return None,
    };
    let details = if details.is_empty() { message.lines().map(String::from).collect() } else { details };
    Some(Failure { kind, message: message.lines().next().unwrap_or_default().into(), details })
}

/// The compiler's message with the lines of the cell it is about.
fn explain(error: &CompilationError) -> Vec<String> {
    let code = error.code().map(|code| format!("[{code}]")).unwrap_or_default();
    let mut lines = vec![format!("error{code}: {}", error.message())];
    for spanned in error.spanned_messages() {
        lines.extend(spanned.lines.iter().cloned());
        match spanned.span.filter(|span| span.start_line == span.end_line) {
            Some(span) => {
                let carets = "^".repeat(span.end_column.saturating_sub(span.start_column).max(1));
                lines.push(format!("{}{carets} {}", " ".repeat(span.start_column - 1), spanned.label));
            }
            None => lines.push(spanned.label.clone()),
        }
    }
    lines.extend(error.help().iter().map(|help| format!("help: {help}")));
    lines
}
