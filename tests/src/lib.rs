//! Tests that cross module or process borders live in `tests/`; this is what they share.

mod built;
mod cores;
mod measured;
mod program;
mod python;
mod redis;
mod server;
mod shaped;
pub mod truth;
pub mod validation;

pub use built::{engine, set_for_test};
pub use cores::on_all_cores;
pub use measured::{Measured, Tally};
pub use program::{Finished, Program, Running};
pub use python::{chromium, python_with};
pub use redis::RedisServer;
pub use server::{answering, answering_each, deaf, refusing};
pub use shaped::shaped;

use std::sync::Arc;

use bedrock_tpm::{Clock, Emulator, EmulatorConfig, EmulatorServer};

/// Says in one line that a test cannot run here; where `CI` is `true` a skipped test is a failed one.
///
/// # Panics
/// If the environment variable `CI` is `true`.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn skip_or_fail(reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "a test must not be skipped in CI: {reason}");
    eprintln!("skipped: {reason}");
}

/// Serves an emulator of `config` on a free port, 60 times faster than real time.
///
/// # Panics
/// If `config` is out of range.
pub fn serve(config: EmulatorConfig) -> EmulatorServer {
    let started = Clock::scaled(60)
        .and_then(|clock| Emulator::new(config, clock))
        .and_then(|emulator| EmulatorServer::on_loopback(Arc::new(emulator), 0));
    started.expect("an emulator on a free port")
}
