//! The folder in which evcxr compiles, for one run at a time.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const PREFIX: &str = "bedrock-tpm-cells-";
const LOCK: &str = "runner.lock";

/// The folder, which nobody else uses meanwhile.
pub struct Build {
    path: PathBuf,
    _fresh: Option<TempDir>,
    _lock: File,
}

impl Build {
    /// A new folder among the temporary files, removed at the end; a copy of `warm`, if there is one, in which dependencies
    /// are compiled already. Removes what runs that were killed have left.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn fresh(warm: Option<&Path>) -> Result<Self> {
        remove_abandoned();
        let folder = TempDir::with_prefix(PREFIX).context("cannot create a temporary folder")?;
        let path = folder.path().canonicalize()?;
        if let Some(warm) = warm {
            // Cargo goes by the times of files.
            let copied = Command::new("cp").arg("-Rp").arg(warm.join(".")).arg(&path).status();
            let copied = copied.with_context(|| format!("cannot copy {}", warm.display()))?;
            anyhow::ensure!(copied.success(), "cannot copy {}: start without it", warm.display());
        }
        Self::locked(path, Some(folder))
    }

    /// A folder that stays, with the dependencies compiled in it. Waits while another run uses it.
    ///
    /// # Errors
    /// If it cannot be created or locked, or lies in a cargo package.
    pub fn kept(path: &Path) -> Result<Self> {
        let created = fs::create_dir_all(path).and_then(|()| path.canonicalize());
        let path = created.with_context(|| unusable(path))?;
        Self::locked(path, None)
    }

    fn locked(path: PathBuf, fresh: Option<TempDir>) -> Result<Self> {
        let lock = || -> io::Result<File> {
            let lock = File::create(path.join(LOCK))?;
            lock.lock()?;
            Ok(lock)
        };
        let lock = lock().with_context(|| unusable(&path))?;
        let build = Self { path, _fresh: fresh, _lock: lock };
        let cells = build.cells();
        if let Some(package) = cells.ancestors().skip(1).find(|above| above.join("Cargo.toml").exists()) {
            bail!("cannot compile inside the cargo package {}: choose another folder", package.display());
        }
        fs::create_dir_all(&cells)?;
        fs::create_dir_all(build.no_source().join("core"))?;
        Ok(build)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where evcxr compiles. Not the folder itself: there evcxr writes a cargo configuration of its own.
    pub fn cells(&self) -> PathBuf {
        self.path.join("cells")
    }

    /// An empty source of the standard library.
    pub fn no_source(&self) -> PathBuf {
        self.path.join("no-std-source")
    }
}

fn unusable(path: &Path) -> String {
    format!("cannot compile in {}: choose another folder", path.display())
}

/// A run that is alive holds the lock of its folder.
fn remove_abandoned() {
    let folders = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for folder in folders.filter(|it| it.file_name().to_string_lossy().starts_with(PREFIX)) {
        let abandoned = File::open(folder.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if abandoned {
            // Whatever stays is removed next time.
            let _ = fs::remove_dir_all(folder.path());
        }
    }
}
