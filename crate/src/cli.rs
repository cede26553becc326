//! The command line: arguments in, the library's work shown, an exit status out.

mod analyze;
mod args;
mod batch;
mod check;
mod emulate;
mod known;
mod measure;
mod measured;
mod plans;
mod progress;
mod report;

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use bedrock_tpm::{Conclusion, Error, Result, Verdict};
use clap::{Parser, Subcommand};
use serde::Serialize;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

const FAILURE: u8 = 1;
const WRONG_USAGE: u8 = 2;
const INCONCLUSIVE: u8 = 3;

/// Measures how Amazon Bedrock's quotas work, and says how sure it is.
///
/// Without a command it measures, and without a target it measures its own emulator: nothing is spent.
#[derive(Parser)]
#[command(
    name = "bedrock-tpm",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Exit status: 0 a verdict, 3 inconclusive or none of these, 1 a failure, 2 wrong usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    measure: measure::Measure,
    /// Log what happens; -vv also logs what the AWS SDK does
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Command {
    /// Run a protocol, stream a trace, print the verdict, save a report (the default)
    Measure(Box<measure::Measure>),
    /// Check credentials, Region and model access with one tiny request, and say how to fix what fails
    Check(check::Check),
    /// Print the verdict of a saved trace
    Analyze(analyze::Analyze),
    /// Draw a saved trace: HTML, SVG and PNG
    Report(report::SaveReport),
    /// Send a file of requests under the quotas; after a crash the same command goes on
    Batch(batch::SendBatch),
    /// Serve the emulator to any client in any language
    Emulate(emulate::Emulate),
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.verbose);
    let command = cli.command.unwrap_or(Command::Measure(Box::new(cli.measure)));
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(run(command)).unwrap_or_else(|error| {
            say(&format!("error: {error}"));
            ExitCode::from(if error.is_usage() { WRONG_USAGE } else { FAILURE })
        }),
        Err(cause) => {
            say(&format!(
                "error: cannot start the threads that requests run on; end other programs: {cause}"
            ));
            ExitCode::from(FAILURE)
        }
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Measure(measure) => measure.run().await,
        Command::Check(check) => check.run().await,
        Command::Analyze(analyze) => analyze.run(),
        Command::Report(report) => report.run(),
        Command::Batch(batch) => batch.run().await,
        Command::Emulate(emulate) => emulate.run().await,
    }
}

fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => "bedrock_tpm=info",
        _ => "bedrock_tpm=debug,aws_smithy_runtime=debug,info",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Asks on the terminal before anything is spent.
fn ask(what: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage("this would spend tokens, and nobody can be asked; add --yes to agree"));
    }
    say(&format!("{what} Go on? [y/N]"));
    let mut answer = String::new();
    let heard = std::io::stdin().read_line(&mut answer);
    match (heard, answer.trim().to_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Error::usage("nothing was sent; answer y to go on")),
    }
}

/// Prints a document on stdout: JSON for programs, text for people.
fn print<T: Serialize + ToString>(document: &T, json: bool) -> Result<()> {
    let text = match json {
        true => serde_json::to_string_pretty(document).unwrap_or_default(),
        false => document.to_string(),
    };
    print_text(&text)
}

/// Prints a text on stdout. Whoever closes the pipe has read enough.
fn print_text(text: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => {
            Err(Error::output(format!("cannot print the result, redirect it elsewhere: {cause}")))
        }
        _ => Ok(()),
    }
}

/// Says something on stderr. If nobody listens, that is no reason to stop.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Returns when somebody asks the program to stop: with Ctrl-C or, where that exists, SIGTERM.
async fn stop_requested() {
    #[cfg(unix)]
    if let Ok(mut terminate) = signal(SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

fn exit_status(verdict: &Verdict) -> ExitCode {
    match verdict.verdict {
        Conclusion::Mechanism(_) => ExitCode::SUCCESS,
        Conclusion::Inconclusive | Conclusion::NoneOfThese => ExitCode::from(INCONCLUSIVE),
    }
}
