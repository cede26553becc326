//! evcxr, one cell at a time.

use crate::failure::Failure;
use crate::notebook;
use crate::process::{COMPLETE, MARK, SETTINGS};
use anyhow::{Result, anyhow};
use evcxr::{CommandContext, Error, EvalContextOutputs, EvalOutputs};
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// The longest that a line may take from the cells' process to here.
const IN_FLIGHT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// A running evcxr with the variables of the cells so far.
pub struct Engine {
    context: CommandContext,
    lines: EvalContextOutputs,
    count: usize,
}

/// What a cell left.
pub struct CellRun {
    /// The cell's number among those run, from 1.
    pub count: usize,
    /// In nbformat: the streams, then the value shown, then the error.
    pub outputs: Vec<Value>,
    /// How long it took to compile and to run, as evcxr says of cells that compile.
    pub took: Option<[Duration; 2]>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

impl Engine {
    /// Starts evcxr in the current folder, against which cells resolve relative paths; as it comes if `is_stock`, else
    /// with settings that suit the cells.
    ///
    /// # Errors
    /// If evcxr does not start.
    pub fn start(is_stock: bool) -> Result<Self> {
        let settings = if is_stock { "" } else { SETTINGS };
        let start = || {
            let (mut context, lines) = CommandContext::new()?;
            context.execute(&format!("{settings}:timing"))?;
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
        let (marks, stderr) = self.read_stderr(result.as_ref().map_or(0, runs));
        let failure = Failure::of(&result, &marks, &stderr);

        let streams = [("stdout", stdout), ("stderr", stderr)].into_iter();
        let mut outputs: Vec<Value> = streams
            .filter(|(_, lines)| !lines.is_empty())
            .map(|(name, lines)| notebook::stream(name, &(lines.join("\n") + "\n")))
            .collect();
        let took =
            result.as_ref().ok().map(|shown| [false, true].map(|is_execution| took(shown, is_execution)));
        let shown = result.ok().filter(|shown| !shown.is_empty());
        outputs.extend(shown.map(|shown| notebook::execute_result(self.count, shown.content_by_mime_type)));
        outputs.extend(failure.as_ref().map(|it| notebook::error(it.kind, &it.message, &it.details)));
        CellRun { count: self.count, outputs, took, failure }
    }

    /// The tap's marks and the other lines on standard error, of a cell that ran to its end `runs` times.
    fn read_stderr(&self, runs: usize) -> (Vec<String>, Vec<String>) {
        let (mut marks, mut lines, mut complete) = (Vec::new(), Vec::new(), 0);
        loop {
            let wait = if complete < runs { IN_FLIGHT } else { Duration::ZERO };
            let Ok(line) = self.lines.stderr.recv_timeout(wait) else { return (marks, lines) };
            // Before the mark comes what the cell wrote without ending the line.
            let Some((text, mark)) = line.split_once(MARK) else {
                lines.push(line);
                continue;
            };
            lines.extend(Some(text).filter(|text| !text.is_empty()).map(String::from));
            if mark == COMPLETE {
                complete += 1;
            } else {
                marks.push(mark.into());
            }
        }
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

/// How long evcxr took to run the cell, or for all that comes before.
fn took(shown: &EvalOutputs, is_execution: bool) -> Duration {
    let phases = shown.phases.iter().filter(|phase| (phase.name == "Execution") == is_execution);
    phases.map(|phase| phase.duration).sum()
}

/// How often evcxr ran the cell: once more for each time that a variable's type was defined anew.
fn runs(shown: &EvalOutputs) -> usize {
    shown.phases.iter().filter(|phase| phase.name == "Final compile").count()
}
