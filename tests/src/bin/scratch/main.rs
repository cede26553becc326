#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]
use bedrock_tpm::*;
use bedrock_tpm_tests::truth::Set;
use bedrock_tpm_tests::validation::Run;
use clap::ValueEnum;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let set = Set::from_str(&args[1], false).unwrap();
    let seed: u64 = args[2].parse().unwrap();
    let want = args.get(3).cloned().unwrap_or_default();
    let seed = (seed..).find(|s| want.is_empty() || set.truth(*s).id() == want).unwrap();
    println!("seed {seed}");
    let (run, observations) = Run::traced(set.truth(seed), true).unwrap();
    println!("{}: {:?}", run.truth, run.ending());
    let start = observations[0].sent;
    let a = Assumptions { tpm: run.truth.tpm, rpm: run.truth.rpm, confidence: 0.99, seed: run.truth.seed };
    for n in 1..=observations.len() {
        let v = analyze(&observations[..n], &a);
        let o = &observations[n - 1];
        let top: Vec<String> = v
            .ranked
            .iter()
            .filter(|r| r.probability > 0.003)
            .take(6)
            .map(|r| format!("{} {:.3}", r.mechanism, r.probability))
            .collect();
        println!(
            "{:>7.2} {:>6} +{:.2} {:<9} {:>6} {:<9} | {} {}",
            o.sent.seconds_since(start),
            &o.sent.clock_text()[6..],
            o.finished.seconds_since(o.sent),
            o.phase.to_string(),
            o.tokens_estimated,
            match o.outcome() {
                Outcome::Admitted => "ok",
                Outcome::Throttled(_) => "429",
                _ => "fail",
            },
            v.binding,
            top.join(", ")
        );
    }
}
