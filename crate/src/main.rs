//! The command line of `bedrock-tpm`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
