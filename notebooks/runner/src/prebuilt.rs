//! The engine of the cells, compiled ahead of time beside this program.

use anyhow::{Context, Result, ensure};
use std::env;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::ffi::OsString;
use std::process::{Command, Stdio};

/// Names the engine's library to the cells.
pub(crate) const ENGINE: &str = "BEDROCK_TPM_ENGINE";

/// The engine's library, brought up to date unless somebody has named one.
///
/// # Errors
/// If it does not compile.
pub(crate) fn engine() -> Result<OsString> {
    if let Some(named) = env::var_os(ENGINE) {
        return Ok(named);
    }
    let program = env::current_exe()?;
    let folder = program.parent().context("a program lies in a folder")?;
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--quiet", "--package", "bedrock-tpm-engine"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    if let Some(target) = folder.parent() {
        cargo.arg("--target-dir").arg(target);
    }
    let built = cargo.status().context("cannot run cargo: install Rust, or put it on the PATH")?;
    ensure!(built.success(), "the cells' engine does not compile (see above)");
    Ok(folder.join(format!("{DLL_PREFIX}bedrock_tpm_engine{DLL_SUFFIX}")).into())
}
