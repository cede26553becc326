//! The processes of a run. One binary plays them all:
//!
//! ```text
//! outer    owns the build folder, so that it goes away however the rest ends
//! worker   evcxr: compiles each cell; or kernel: evcxr_jupyter, which does so for Jupyter
//! tap      passes on what the cells print to the worker, and marks what evcxr keeps to itself
//! cells    evcxr's runtime: loads the compiled cells and runs them
//! ```

use crate::build::Build;
use crate::prebuilt;
use anyhow::{Context, Result, ensure};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio, exit};

const WORKER: &str = "BEDROCK_TPM_RUNNER_WORKER";
const LIBRARY_PATH: &str =
    if cfg!(target_os = "macos") { "DYLD_FALLBACK_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };

/// How evcxr_jupyter is told where Jupyter listens.
const CONTROL_FILE: &str = "--control_file";
/// Unoptimised cells compile faster.
pub(crate) const SETTINGS: &str = ":opt 0\n:linker system\n";

/// Starts what the tap adds to standard error: a line of evcxr's protocol, or how the cells' process ended.
pub(crate) const MARK: &str = "bedrock-tpm-runner: ";
pub(crate) const PANICKED: &str = "EVCXR_PANIC_NOTIFICATION";
pub(crate) const RETURNED_ERROR: &str = "EVCXR_ERROR_OCCURRED";
pub(crate) const COMPLETE: &str = "EVCXR_EXECUTION_COMPLETE";
pub(crate) const ENDED: &str = "process ended: ";

/// Call first in `main`: it does not return in a process that is there to run cells.
pub fn play_role() {
    if env::var_os("EVCXR_IS_RUNTIME").is_some() && is_worker() {
        exit(tap().unwrap_or(1));
    }
    evcxr::runtime_hook();
}

/// Whether this process was started by [`run_in_worker`].
pub fn is_worker() -> bool {
    env::var_os(WORKER).is_some()
}

/// Runs the cells' process and passes on its output. The marks show the engine a panic and a failed `?`, and when
/// it has read all that a cell wrote to standard error. On standard output they would stop evcxr, which waits at
/// its start until that is read, when nobody can read it yet.
fn tap() -> Result<i32> {
    let mut cells = Command::new(env::current_exe()?)
        .env_remove(WORKER)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut printed = BufReader::new(cells.stdout.take().context("no pipe to the cells")?);
    let mut out = io::stdout().lock();
    let mut err = io::stderr();
    let mut line = Vec::new();
    while printed.read_until(b'\n', &mut line)? > 0 {
        let text = line.trim_ascii_end();
        let known = [PANICKED, RETURNED_ERROR, COMPLETE];
        if let Some(event) = known.iter().find(|event| text.ends_with(event.as_bytes())) {
            writeln!(err, "{MARK}{event}")?;
            // After a `print!` the event is at the end of that line, where evcxr does not look for it.
            let before = &text[..text.len() - event.len()];
            if !before.is_empty() {
                out.write_all(before)?;
                writeln!(out)?;
            }
            writeln!(out, "{event}")?;
        } else {
            out.write_all(&line)?;
        }
        line.clear();
    }
    let status = cells.wait()?;
    writeln!(err, "{MARK}{ENDED}{status}")?;
    Ok(status.code().unwrap_or(1))
}

/// Runs this program again with the same arguments, in the environment that evcxr needs for a notebook in
/// `folder`.
///
/// # Errors
/// If `build` lies in a cargo package, rustc cannot be found, or the process does not start.
pub fn run_in_worker(folder: &Path, build: &Build, is_stock: bool) -> Result<ExitStatus> {
    let mut worker = Command::new(env::current_exe()?);
    worker.args(env::args_os().skip(1)).env(WORKER, "1");
    prepare(&mut worker, folder, build)?;
    if !is_stock {
        worker.env(prebuilt::ENGINE, prebuilt::engine()?);
    }
    worker.status().context("cannot start the worker process")
}

/// Runs this program as Jupyter's kernel for `connection`, for a notebook in the current folder.
///
/// # Errors
/// As [`run_in_worker`].
pub fn run_as_kernel(connection: &Path, build: &Build) -> Result<ExitStatus> {
    let mut kernel = Command::new(env::current_exe()?);
    // Jupyter has its own channels; here evcxr only says which settings it found.
    kernel.arg(CONTROL_FILE).arg(connection).stdout(Stdio::null());
    prepare(&mut kernel, &env::current_dir()?, build)?;
    fs::write(build.path().join("init.evcxr"), SETTINGS)?;
    kernel.env(prebuilt::ENGINE, prebuilt::engine()?);
    kernel.status().context("cannot start the kernel's process")
}

/// What the kernel's process does.
///
/// # Errors
/// If the kernel cannot listen where Jupyter wants it to.
pub fn serve_jupyter() -> Option<Result<()>> {
    (env::args_os().nth(1)? == CONTROL_FILE).then(evcxr_jupyter::main)
}

/// The environment that evcxr needs for a notebook in `folder`.
fn prepare(command: &mut Command, folder: &Path, build: &Build) -> Result<()> {
    let cells = build.cells();
    command
        .env("EVCXR_TMPDIR", &cells)
        // The user's evcxr settings must not change what a notebook does.
        .env("EVCXR_CONFIG_DIR", build.path())
        // Else rust-analyzer reads all of the standard library at each start, and asks rustup for its source first.
        .env("RUST_SRC_PATH", build.no_source())
        .env(LIBRARY_PATH, library_path(folder, &cells)?);
    // What `cargo run` tells of this package makes build scripts in the cells' dependencies run again.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    Ok(())
}

/// evcxr moves a cell's library after linking, which breaks the relative search path inside it: name the folders.
fn library_path(folder: &Path, build: &Path) -> Result<OsString> {
    let rustc = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .current_dir(folder)
        .output()
        .context("cannot run rustc: install Rust, or put it on the PATH")?;
    let said = String::from_utf8_lossy(&rustc.stderr);
    ensure!(rustc.status.success(), "rustc does not tell where its libraries are: {}", said.trim());
    let libraries = PathBuf::from(String::from_utf8(rustc.stdout)?.trim());
    let target =
        libraries.parent().and_then(Path::file_name).context("rustc's library folder has no target")?;
    let debug = build.join("target").join(target).join("debug");
    // The loader never looks again for a folder that was not there when the process started.
    fs::create_dir_all(debug.join("deps"))?;
    let before = env::var_os(LIBRARY_PATH).unwrap_or_default();
    let folders = [debug.join("deps"), debug, libraries];
    Ok(env::join_paths(folders.into_iter().chain(env::split_paths(&before)))?)
}
