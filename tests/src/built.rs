//! What cargo builds of the workspace, brought up to date.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use escargot::CargoBuild;
use escargot::format::Message;

/// The real program.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> =
        LazyLock::new(|| workspace().bin("bedrock-tpm").run().expect("the program builds").path().to_owned());
    &PROGRAM
}

/// The library behind notebook cells.
///
/// # Panics
/// If it does not build.
pub fn engine() -> &'static Path {
    static ENGINE: LazyLock<PathBuf> = LazyLock::new(|| {
        let messages = workspace().arg("--lib").exec().expect("the libraries build");
        let built = |message: Result<escargot::Message, _>| {
            let message = message.expect("the libraries build");
            match message.decode().expect("a message of cargo") {
                Message::CompilerArtifact(made) if made.target.name == "bedrock_tpm_engine" => {
                    made.filenames.first().map(|library| library.to_path_buf())
                }
                _ => None,
            }
        };
        messages.filter_map(built).last().expect("the workspace has an engine")
    });
    &ENGINE
}

/// The whole workspace, so that features are those of `cargo test` and nothing is built twice.
fn workspace() -> CargoBuild {
    let build = CargoBuild::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .args(["--workspace", "--offline"]);
    let build = set_for_test().fold(build, |build, name| build.env_remove(name));
    if cfg!(debug_assertions) { build } else { build.release() }
}

/// The variables that `cargo test` sets for a test. If a build saw them, ring and all that needs it would be built again.
pub fn set_for_test() -> impl Iterator<Item = String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_"))
}
