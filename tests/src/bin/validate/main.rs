//! How often verdicts are right, wrong or withheld, over random truths on the virtual clock.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod show;

use bedrock_tpm::Result;
use bedrock_tpm_tests::on_all_cores;
use bedrock_tpm_tests::truth::Set;
use bedrock_tpm_tests::validation::{Figures, Requirement, Run, requirements};
use clap::builder::PossibleValuesParser;
use clap::{Parser, ValueEnum};
use serde_json::{Map, Value, json};

/// Measures random truths and counts how the measurements end.
#[derive(Parser)]
struct Arguments {
    /// Scenario: which truths, and under which circumstances
    #[arg(long, default_value = "usual", value_parser = PossibleValuesParser::new(sets()))]
    set: String,
    /// How many truths of each set
    #[arg(long, default_value_t = 300)]
    truths: u64,
    /// Seed of the truths
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Measure only the truth of this seed, one that was listed, and print every request
    #[arg(long, value_name = "SEED")]
    replay: Option<u64>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// A set, measured with both protocols.
struct Measured {
    set: Set,
    adaptive: Figures,
    classic: Figures,
    required: Vec<Requirement>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let asked: Vec<Set> = match Set::from_str(&arguments.set, false) {
        Ok(set) => vec![set],
        Err(_) => Set::ALL.to_vec(),
    };
    if let Some(seed) = arguments.replay {
        let (run, observations) = Run::traced(asked[0].truth(seed), true)?;
        show::replayed(&run, &observations);
        return Ok(());
    }
    let measured = asked.into_iter().map(|set| Measured::of(set, &arguments)).collect::<Result<Vec<_>>>()?;
    if arguments.json {
        println!("{:#}", document(&measured));
        return Ok(());
    }
    for measured in &measured {
        show::figures(measured.set, "adaptive", &measured.adaptive);
        show::figures(measured.set, "classic", &measured.classic);
        show::cases(&measured.adaptive);
    }
    show::required(measured.iter().flat_map(|measured| &measured.required));
    Ok(())
}

fn sets() -> Vec<&'static str> {
    Set::ALL.iter().map(|set| set.id()).chain(["all"]).collect()
}

/// The figures of the first set at the top, and below `sets` those of every set if there are more.
fn document(measured: &[Measured]) -> Value {
    let one = |measured: &Measured| {
        let mut figures = json!(measured.adaptive);
        let mut classic = json!(measured.classic);
        // Hardly any classic run ends right: nobody looks into those.
        classic.as_object_mut().and_then(|classic| classic.remove("cases"));
        figures["classic"] = classic;
        figures["required"] = json!(measured.required);
        figures
    };
    let mut document = measured.first().map(one).unwrap_or_default();
    if measured.len() > 1 {
        let sets: Map<String, Value> = measured.iter().map(|m| (m.set.id().to_owned(), one(m))).collect();
        document["sets"] = sets.into();
    }
    document
}

impl Measured {
    fn of(set: Set, arguments: &Arguments) -> Result<Self> {
        let adaptive = Figures::of(&runs(set, arguments, true)?);
        let classic = Figures::of(&runs(set, arguments, false)?);
        Ok(Self { set, required: requirements(set, &adaptive), adaptive, classic })
    }
}

/// Every truth of `set` measured once, on all cores.
fn runs(set: Set, arguments: &Arguments, adaptive: bool) -> Result<Vec<Run>> {
    let message = format!("{}, {}", set.id(), if adaptive { "adaptive" } else { "classic" });
    on_all_cores(arguments.truths as usize, message, |index| {
        let seed = arguments.seed.wrapping_mul(1_000_003).wrapping_add(index as u64);
        Run::of(set.truth(seed), adaptive)
    })
}
