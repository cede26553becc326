//! How often verdicts are right, wrong or withheld, over random truths on the virtual clock.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use bedrock_tpm::Result;
use bedrock_tpm_tests::truth::Noise;
use bedrock_tpm_tests::validation::{Figures, Run};
use clap::Parser;
use indicatif::ProgressBar;
use serde_json::json;

/// Measures random truths and counts how the measurements end.
#[derive(Parser)]
struct Arguments {
    /// How many truths
    #[arg(long, default_value_t = 300)]
    truths: u64,
    /// Seed of the truths
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let adaptive = Figures::of(&measured(&arguments, true)?);
    let classic = Figures::of(&measured(&arguments, false)?);
    if arguments.json {
        let mut figures = json!(adaptive);
        figures["classic"] = json!(classic);
        println!("{figures:#}");
    } else {
        show("adaptive", &adaptive);
        show("classic", &classic);
    }
    Ok(())
}

/// Every truth measured once, on all cores.
fn measured(arguments: &Arguments, adaptive: bool) -> Result<Vec<Run>> {
    let next = AtomicU64::new(0);
    let runs = Mutex::new(Vec::new());
    let bar = ProgressBar::new(arguments.truths);
    let work = || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= arguments.truths {
                return Ok(());
            }
            let seed = arguments.seed.wrapping_mul(1_000_003).wrapping_add(index);
            let run = Run::of(seed, Noise::USUAL, adaptive)?;
            runs.lock().unwrap_or_else(PoisonError::into_inner).push(run);
            bar.inc(1);
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker that does not panic"))
    })?;
    bar.finish_and_clear();
    Ok(runs.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn show(protocol: &str, figures: &Figures) {
    let percent = |share: f64| 100.0 * share;
    println!("{protocol}, {} truths", figures.truths);
    println!(
        "  right {:.1} %, wrong {:.1} %, none {:.1} %, inconclusive {:.1} %",
        percent(figures.right),
        percent(figures.wrong),
        percent(figures.none),
        percent(figures.inconclusive)
    );
    let [stated, achieved] = figures.calibration;
    println!("  of the mechanisms named: stated {:.1} %, right {:.1} %", percent(stated), percent(achieved));
    for (what, [median, high]) in
        [("minutes", figures.minutes), ("quotas", figures.quotas), ("requests", figures.requests)]
    {
        println!("  {what:<8} median {median:.1}, 95th percentile {high:.1}");
    }
    for (enforced, row) in &figures.confusion {
        let row: Vec<String> = row.iter().map(|(verdict, count)| format!("{verdict} {count}")).collect();
        println!("  {enforced:<16} {}", row.join(", "));
    }
}
