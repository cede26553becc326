//! The command line: `bedrock-tpm-runner NOTEBOOK.ipynb`, and `bedrock-tpm-runner --kernel CONNECTION_FILE` for Jupyter.
#![expect(clippy::print_stderr, reason = "progress and errors go there")]

use anyhow::{Context, Result};
use bedrock_tpm_runner::{
    Build, Engine, Notebook, is_worker, play_role, run_as_kernel, run_in_worker, serve_jupyter,
};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Execute a Rust notebook and save its outputs.
///
/// Exit status: 0 every cell ran, 1 a cell failed or the notebook cannot be run, 2 wrong usage.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The notebook to execute
    #[arg(required_unless_present = "kernel")]
    notebook: Option<PathBuf>,
    /// Be Jupyter's kernel instead, for the connection in this file
    #[arg(long, value_name = "CONNECTION_FILE", conflicts_with_all = ["notebook", "out", "inplace", "keep", "stock"])]
    kernel: Option<PathBuf>,
    /// Leave evcxr as it comes, to compare: with its own settings, and without the engine of the cells
    #[arg(long)]
    stock: bool,
    /// Start with a copy of this folder, kept by an earlier run
    #[arg(long, value_name = "FOLDER", conflicts_with = "keep")]
    warm: Option<PathBuf>,
    /// Where to save the executed notebook [default: NAME.executed.ipynb next to it]
    #[arg(long, value_name = "EXECUTED.ipynb")]
    out: Option<PathBuf>,
    /// Save the outputs in the notebook itself
    #[arg(long, conflicts_with = "out")]
    inplace: bool,
    /// Compile in this folder, outside any cargo package, and keep it: the next run starts warm
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    play_role();
    let served = serve_jupyter().map(|served| served.map(|()| true));
    match served.unwrap_or_else(|| run(&Arguments::parse())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let fresh = || Build::fresh(arguments.warm.as_deref());
    let notebook = match (&arguments.kernel, &arguments.notebook) {
        (Some(connection), _) => return Ok(run_as_kernel(connection, &fresh()?)?.success()),
        (None, notebook) => notebook.as_deref().context("name a notebook")?,
    };
    let path = notebook.canonicalize();
    let path = path.with_context(|| format!("cannot read {}", notebook.display()))?;
    let folder = path.parent().context("a notebook lies in a folder")?;
    if !is_worker() {
        Notebook::read(&path)?;
        let build = arguments.keep.as_deref().map_or_else(fresh, Build::kept)?;
        return Ok(run_in_worker(folder, &build, arguments.stock)?.success());
    }
    let out = match &arguments.out {
        _ if arguments.inplace => path.clone(),
        Some(out) => std::path::absolute(out)?,
        None => path.with_extension("executed.ipynb"),
    };
    std::env::set_current_dir(folder)?;
    execute(&path, &out, arguments.stock)
}

/// Runs the cells up to the first that fails, and saves the notebook after each.
fn execute(path: &Path, out: &Path, is_stock: bool) -> Result<bool> {
    let mut notebook = Notebook::read(path)?;
    notebook.code_cells().for_each(|mut cell| cell.set_outputs(None, Vec::new()));
    notebook.write(out)?;
    let sources: Vec<String> = notebook.code_cells().map(|cell| cell.source()).collect();
    let mut engine = Engine::start(is_stock)?;
    eprintln!(" compiles      runs  evcxr started");
    for (index, source) in sources.iter().enumerate().filter(|(_, source)| !source.trim().is_empty()) {
        let run = engine.run(source);
        let [compiled, ran] = run.took.unwrap_or_default().map(|took| took.as_secs_f64());
        let first_line = source.trim().lines().next().unwrap_or_default();
        eprintln!("{compiled:>7.2} s {ran:>7.2} s  cell {}: {first_line}", run.count);
        if let Some(mut cell) = notebook.code_cells().nth(index) {
            cell.set_outputs(Some(run.count), run.outputs);
        }
        notebook.write(out)?;
        if let Some(failure) = run.failure {
            let (kind, message, out) = (failure.kind, failure.message, out.display());
            eprintln!(
                "error: cell {} failed ({kind}): {message}; fix it and run again, see {out}",
                run.count
            );
            return Ok(false);
        }
    }
    Ok(true)
}
