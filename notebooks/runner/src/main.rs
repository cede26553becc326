//! The command line: `bedrock-tpm-runner NOTEBOOK.ipynb`.
#![expect(clippy::print_stderr, reason = "progress and errors go there")]

use anyhow::{Context, Result};
use bedrock_tpm_runner::{Build, Engine, Notebook, is_worker, play_role, run_in_worker};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Execute a Rust notebook and save its outputs. Exit status: 0 all cells ran, 1 a cell failed, 2 wrong usage.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The notebook to execute
    notebook: PathBuf,
    /// Where to save the executed notebook [default: NAME.executed.ipynb next to it]
    #[arg(long, value_name = "EXECUTED.ipynb")]
    out: Option<PathBuf>,
    /// Save the outputs in the notebook itself
    #[arg(long, conflicts_with = "out")]
    inplace: bool,
    /// Compile in this folder and keep it, so that the next run starts warm; it must lie outside any cargo workspace
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    play_role();
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let path = arguments
        .notebook
        .canonicalize()
        .with_context(|| format!("cannot read {}", arguments.notebook.display()))?;
    let folder = path.parent().context("a notebook lies in a folder")?;
    if is_worker() {
        let out = match &arguments.out {
            _ if arguments.inplace => path.clone(),
            Some(out) => std::path::absolute(out)?,
            None => path.with_extension("executed.ipynb"),
        };
        std::env::set_current_dir(folder)?;
        return execute(&path, &out);
    }
    let build = arguments.keep.as_deref().map_or_else(Build::fresh, Build::kept)?;
    let status = run_in_worker(folder, &build)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn execute(path: &Path, out: &Path) -> Result<ExitCode> {
    let mut notebook = Notebook::read(path)?;
    notebook.code_cells().for_each(|mut cell| cell.clear());
    let sources: Vec<String> = notebook.code_cells().map(|cell| cell.source()).collect();
    let mut since = Instant::now();
    let mut engine = Engine::start()?;
    report(&mut since, "evcxr started");
    for (index, source) in sources.iter().enumerate() {
        let run = engine.run(source);
        let first_line = source.trim().lines().next().unwrap_or_default();
        report(&mut since, &format!("cell {} of {}: {first_line}", run.count, sources.len()));
        if let Some(mut cell) = notebook.code_cells().nth(index) {
            cell.set_outputs(run.count, run.outputs);
        }
        notebook.write(out)?;
        if let Some(failure) = run.failure {
            eprintln!(
                "error: cell {} failed ({}): {}; fix it and run again, outputs so far are in {}",
                run.count,
                failure.kind,
                failure.message,
                out.display()
            );
            return Ok(ExitCode::FAILURE);
        }
    }
    notebook.write(out)?;
    Ok(ExitCode::SUCCESS)
}

fn report(since: &mut Instant, what: &str) {
    eprintln!("{:7.2} s  {what}", since.elapsed().as_secs_f64());
    *since = Instant::now();
}
