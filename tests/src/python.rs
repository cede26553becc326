//! Programs in other languages that tests drive: Python with packages, and a browser.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

/// The interpreter of a virtual environment in `folder` with `packages`, made on first use.
///
/// # Errors
/// In one line, why there is none: no Python here, or no way to install.
pub fn python_with(folder: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    // The tests of one file run at once.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);

    let python = folder.join("bin").join("python");
    // Asks nobody if all of them are there.
    let install = || {
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(Command::new(&python).args(pip).args(packages))
    };
    if install().is_err() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
        install()?;
    }
    Ok(python)
}

/// The Chromium on the `PATH`.
///
/// # Errors
/// In one line, that there is none.
pub fn chromium() -> Result<PathBuf, String> {
    on_path("chromium")
}

pub(crate) fn on_path(program: &str) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut candidates = env::split_paths(&path).map(|folder| folder.join(program));
    candidates
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| format!("there is no {program} on the PATH"))
}

fn run(command: &mut Command) -> Result<Output, String> {
    let last_line = |output: &Output| {
        let text = [output.stderr.as_slice(), &output.stdout].concat();
        String::from_utf8_lossy(&text).lines().last().unwrap_or_default().to_owned()
    };
    match command.output() {
        Ok(output) if output.status.success() => Ok(output),
        Ok(output) => Err(format!("{command:?} failed: {}", last_line(&output))),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}
