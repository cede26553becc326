use bedrock_tpm::{Observation, Outcome};
use bedrock_tpm_tests::truth::Set;
use bedrock_tpm_tests::validation::{Coverage, Figures, Requirement, Run};

/// What one protocol reached in one set.
pub fn figures(set: Set, protocol: &str, figures: &Figures) {
    println!("{}, {protocol}, {} truths", set.id(), figures.truths);
    println!(
        "  right {:.1} %, wrong {:.1} %, none {:.1} %, inconclusive {:.1} %",
        100.0 * figures.right,
        100.0 * figures.wrong,
        100.0 * figures.none,
        100.0 * figures.inconclusive,
    );
    println!(
        "  mechanism named wrongly {:.1} %, clock question answered wrongly {:.1} %",
        100.0 * figures.mechanism_wrong,
        100.0 * figures.clock_wrong,
    );
    for (what, [median, high]) in
        [("minutes", figures.minutes), ("quotas", figures.quotas), ("requests", figures.requests)]
    {
        println!("  {what:<8} median {median:.1}, 95th percentile {high:.1}");
    }
    for bin in &figures.calibration {
        let [low, high] = bin.interval.map(|share| 100.0 * share);
        println!(
            "  leader at {:>5} to {:>5}: {:>4} runs, stated {:.2} %, right {:.2} % ({low:.1} to {high:.1})",
            bin.from,
            bin.to,
            bin.count,
            100.0 * bin.stated,
            100.0 * bin.achieved,
        );
    }
    for (parameter, coverage) in &figures.coverage {
        let Coverage { count, held } = *coverage;
        let share = 100.0 * held as f64 / count as f64;
        println!("  {parameter:<16} held by {share:.1} % of {count} intervals of 95 %");
    }
    for (enforced, row) in &figures.confusion {
        let row: Vec<String> = row.iter().map(|(verdict, count)| format!("{verdict} {count}")).collect();
        let [minutes, quotas, requests] = figures.costs.get(enforced).copied().unwrap_or_default();
        println!(
            "  {enforced:<17} {}; medians {minutes:.1} minutes, {quotas:.1} quotas, {requests:.0} requests",
            row.join(", ")
        );
    }
    println!();
}

/// The measurements that did not end right.
pub fn cases(figures: &Figures) {
    for case in &figures.cases {
        println!("  {:?} {case}", case.ending);
    }
    println!();
}

/// Required against measured.
pub fn required<'a>(rows: impl Iterator<Item = &'a Requirement>) {
    println!("{:<11} {:<26} {:>9} {:>9}", "set", "figure", "required", "measured");
    for row in rows {
        let Requirement { set, figure, at_least, required, measured, met } = row;
        let sign = if *at_least { ">=" } else { "<=" };
        let missed = if *met { "" } else { "  missed" };
        println!("{:<11} {figure:<26} {sign} {required:>6.1} {measured:>9.2}{missed}", set.id());
    }
}

/// One measurement, request by request.
pub fn replayed(run: &Run, observations: &[Observation]) {
    println!("{} {}: {}", run.truth.set.id(), run.truth.seed, run.truth);
    println!("{}", serde_json::to_string(&run.truth).unwrap_or_default());
    let start = observations.first().map(|first| first.sent);
    for observation in observations {
        let after_s = start.map_or(0.0, |start| observation.sent.seconds_since(start));
        let took_s = observation.finished.seconds_since(observation.sent);
        let outcome = match observation.outcome() {
            Outcome::Admitted => "admitted".into(),
            Outcome::Throttled(_) => "THROTTLED".into(),
            Outcome::Failed => format!("failed {}", observation.status.unwrap_or_default()),
        };
        println!(
            "{after_s:>8.2} s {} +{took_s:.2} s  {:<18} {:>6} tokens  {outcome}",
            observation.sent.clock_text(),
            observation.phase,
            observation.tokens_estimated,
        );
    }
    println!("\n{}", run.verdict);
    println!("{:?}", run.ending());
    if let Some(failure) = &run.failure {
        println!("The measurement failed: {failure}");
    }
}
