//! Files that are either complete or not there.

use std::io::Write;
use std::path::Path;

use crate::{Error, Result};

/// Writes `path` whole or not at all: a failure leaves what was there before.
///
/// # Errors
/// An output error that says what to do.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    // Behind a symbolic link stands the file that is meant, and a device must not be replaced by a file.
    let target = path.canonicalize().unwrap_or_else(|_| path.into());
    let is_replaceable = target.metadata().is_ok_and(|metadata| metadata.is_file()) || !target.exists();
    let written = if is_replaceable { replace(&target, content) } else { std::fs::write(&target, content) };
    written.map_err(|cause| {
        let advice = match cause.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                "free some space or name a file elsewhere; an earlier version is untouched"
            }
            std::io::ErrorKind::IsADirectory => "it is a folder; name a file in it",
            _ => "name a file in a folder that exists and is writable",
        };
        Error::output(format!("cannot write {} ({advice})", path.display())).because(cause)
    })
}

fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".bedrock-tpm-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
