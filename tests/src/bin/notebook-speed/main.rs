//! How fast notebooks are, beside evcxr as it comes with the plain crate as dependency.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bedrock_tpm::Clock;
use clap::Parser;
use serde_json::{Value, json};

/// Measure how long notebook cells take to compile.
///
/// It opens notebooks/window_test.ipynb twice, cold and then warm, and prints the figures that are required beside what
/// was measured. With --stock also the same cells on evcxr as it comes, which takes most of ten minutes.
#[derive(Parser)]
struct Arguments {
    /// Measure evcxr with its own settings and the crate as a plain dependency too
    #[arg(long)]
    stock: bool,
}

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The cells of the window test's first phase, with the crate itself. The tester is made and used in one cell: each cell
/// has a copy of the crate and of tokio of its own, and the copy of another cell finds no runtime.
const STOCK: [&str; 4] = [
    "use bedrock_tpm::{EmulatorConfig, Mechanism, MechanismId, Settings, Summary};\nuse bedrock_tpm::blocking::BedrockTpmTester;",
    "let tpm: u64 = 8_000;",
    "let emulator: EmulatorConfig = EmulatorConfig { tokens: Some(Mechanism::per_minute(MechanismId::TokenBucket, tpm)), ..Default::default() };",
    "let mut tester: BedrockTpmTester = BedrockTpmTester::emulated(emulator, Settings { tpm: Some(tpm), time_scale: 60, ..Default::default() })?;\ntester.consume_tpm_quota(tpm * 3 / 2, tpm / 8)?;\ntester.summary()",
];

/// Seconds from the start of a run to its end, to compile each cell, and to run it.
struct Timed {
    whole: f64,
    /// Until the first cell that shows something has shown it.
    first_result: f64,
    cells: Vec<[f64; 2]>,
    error: Option<String>,
}

impl Timed {
    /// Seconds to compile each cell but the first, which compiles the dependency; in order.
    fn compiling(&self) -> Vec<f64> {
        let mut cells: Vec<f64> = self.cells.iter().skip(1).map(|[compiles, _]| *compiles).collect();
        cells.sort_by(f64::total_cmp);
        cells
    }
}

fn main() {
    let arguments = Arguments::parse();
    let runner = built("bedrock-tpm-runner");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let notebook = Path::new(REPOSITORY).join("notebooks/window_test.ipynb");
    let [cold, warm] = ["cold", "warm"].map(|which| {
        eprintln!("{which} ...");
        timed(&runner, &notebook, &[Path::new("--keep"), &folder.path().join("kept")])
    });
    let stock = arguments.stock.then(|| {
        eprintln!("evcxr as it comes (minutes) ...");
        let path = folder.path().join("stock.ipynb");
        std::fs::write(&path, stock().to_string()).expect("a notebook in a temporary folder");
        timed(&runner, &path, &[Path::new("--stock")])
    });
    print(&[("cold", Some(&cold)), ("warm", Some(&warm)), ("stock", stock.as_ref())]);
}

fn print(runs: &[(&str, Option<&Timed>)]) {
    type Figure = (&'static str, &'static str, fn(&Timed) -> f64);
    let figures: [Figure; 6] = [
        ("cold start to first result", "90", |run| run.first_result),
        ("warm start to first result", "8", |run| run.first_result),
        ("first cell compiles", "", |run| run.cells.first().map_or(f64::NAN, |[compiles, _]| *compiles)),
        ("median of the other cells", "0.5", |run| median(&run.compiling())),
        ("slowest of the other cells", "1.5", |run| run.compiling().last().copied().unwrap_or(f64::NAN)),
        ("whole notebook", "", |run| run.whole),
    ];
    print!("{:<28} {:>9}", "seconds", "required");
    runs.iter().for_each(|(name, _)| print!(" {name:>9}"));
    println!();
    for (figure, required, of) in figures {
        print!("{figure:<28} {required:>9}");
        for (_, run) in runs {
            print!(" {:>9}", run.map_or_else(|| "-".into(), |run| format!("{:.2}", of(run))));
        }
        println!();
    }
    for (name, error) in runs.iter().filter_map(|(name, run)| Some((name, run.as_ref()?.error.as_ref()?))) {
        println!("{name}: {error}");
    }
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A run of a notebook.
fn timed(runner: &Path, notebook: &Path, arguments: &[&Path]) -> Timed {
    let out = tempfile::NamedTempFile::new().expect("a temporary file");
    let clock = Clock::system();
    let began = clock.now();
    let output = Command::new(runner)
        .arg(notebook)
        .args(arguments)
        .arg("--out")
        .arg(out.path())
        .stdout(Stdio::null())
        .output()
        .expect("the runner starts");
    let whole = clock.now().seconds_since(began);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let cells: Vec<[f64; 2]> = said.lines().filter_map(seconds).collect();
    let later: f64 = cells.iter().skip(SHOWS_FIRST).flatten().sum();
    let error = said.lines().find(|line| line.starts_with("error: ")).map(String::from);
    Timed { whole, first_result: whole - later, cells, error }
}

/// The third cell of a notebook is the first that shows something.
const SHOWS_FIRST: usize = 3;

/// What the runner says of a cell: `0.21 s    0.03 s  cell 3: ...`.
fn seconds(line: &str) -> Option<[f64; 2]> {
    let (times, _) = line.split_once("  cell ")?;
    let mut times = times.split_whitespace().filter_map(|word| word.parse().ok());
    Some([times.next()?, times.next()?])
}

fn stock() -> Value {
    let crate_folder = Path::new(REPOSITORY).join("crate");
    let dependency = format!(":dep bedrock-tpm = {{ path = {crate_folder:?} }}");
    let code = std::iter::once(&*dependency).chain(STOCK).map(|source| {
        json!({"cell_type": "code", "execution_count": null, "metadata": {}, "outputs": [], "source": source})
    });
    json!({"cells": code.collect::<Vec<_>>(), "metadata": {}, "nbformat": 4, "nbformat_minor": 4})
}

fn built(program: &str) -> PathBuf {
    let build =
        escargot::CargoBuild::new().manifest_path(Path::new(REPOSITORY).join("Cargo.toml")).package(program);
    let built = build.bin(program).run();
    built.expect("the runner builds").path().to_owned()
}
