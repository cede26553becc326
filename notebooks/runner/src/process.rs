//! The processes of a run. One binary plays them all:
//!
//! ```text
//! outer    owns the build folder, so that it goes away however the rest ends
//! worker   evcxr: compiles each cell
//! tap      passes on what the cells print, and marks what evcxr keeps to itself
//! cells    evcxr's runtime: loads the compiled cells and runs them
//! ```

use anyhow::{Context, Result, ensure};
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio, exit};
use tempfile::TempDir;

const WORKER: &str = "BEDROCK_TPM_RUNNER_WORKER";
const LIBRARY_PATH: &str =
    if cfg!(target_os = "macos") { "DYLD_FALLBACK_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };

/// Unoptimised, an analysis takes ten times as long.
const CONFIG: &str = "[profile.dev.package.bedrock-tpm]\nopt-level = 2\n";

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

/// The folder in which evcxr compiles, for one run at a time.
pub struct Build {
    path: PathBuf,
    _fresh: Option<TempDir>,
    _lock: Option<File>,
}

impl Build {
    /// A new folder among the temporary files, removed at the end.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn fresh() -> Result<Self> {
        let folder =
            TempDir::with_prefix("bedrock-tpm-cells-").context("cannot create a temporary folder")?;
        Ok(Self { path: folder.path().canonicalize()?, _fresh: Some(folder), _lock: None })
    }

    /// A folder that stays, with the dependencies compiled in it. Waits while another run uses it.
    ///
    /// # Errors
    /// If it cannot be created or locked.
    pub fn kept(path: &Path) -> Result<Self> {
        let prepare = || -> io::Result<(PathBuf, File)> {
            fs::create_dir_all(path)?;
            let lock = File::create(path.join("runner.lock"))?;
            lock.lock()?;
            Ok((path.canonicalize()?, lock))
        };
        let (path, lock) = prepare()
            .with_context(|| format!("cannot compile in {}: choose another folder", path.display()))?;
        Ok(Self { path, _fresh: None, _lock: Some(lock) })
    }
}

/// Runs this program again with the same arguments, in the environment that evcxr needs for a notebook in
/// `folder`.
///
/// # Errors
/// If `build` lies in a cargo package, rustc cannot be found, or the process does not start.
pub fn run_in_worker(folder: &Path, build: &Build) -> Result<ExitStatus> {
    // Not the folder itself: there evcxr writes a cargo configuration of its own.
    let cells = build.path.join("cells");
    let inside = cells.ancestors().skip(1).find(|above| above.join("Cargo.toml").exists());
    if let Some(package) = inside {
        anyhow::bail!("cannot compile inside the cargo package {}: choose another folder", package.display());
    }
    let no_source = build.path.join("no-std-source");
    let cargo = build.path.join(".cargo");
    for folder in [&cells, &no_source.join("core"), &cargo] {
        fs::create_dir_all(folder)?;
    }
    fs::write(cargo.join("config.toml"), CONFIG)?;
    let mut worker = Command::new(env::current_exe()?);
    worker
        .args(env::args_os().skip(1))
        .env(WORKER, "1")
        .env("EVCXR_TMPDIR", &cells)
        // The user's evcxr.toml must not change what a notebook does.
        .env("EVCXR_CONFIG_DIR", &build.path)
        // Else rust-analyzer has rustup add rust-src to the user's toolchain, and reads all of it at each start.
        .env("RUST_SRC_PATH", no_source)
        .env(LIBRARY_PATH, library_path(folder, &cells)?);
    // What `cargo run` tells of this package makes build scripts in the cells' dependencies run again.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            worker.env_remove(&name);
        }
    }
    worker.status().context("cannot start the worker process")
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
