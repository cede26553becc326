//! What the accounting phase finds out, on the emulator in virtual time.

use bedrock_tpm::protocol::{Adaptive, Audit};
use bedrock_tpm::{
    Accounting, Assumptions, BedrockTpmTester, Binding, Candidate, Clock, ClockAnswer, Conclusion,
    EmulatorConfig, Finding, Mechanism, MechanismId, Observation, QuotaKind, Ranked, Refund, RejectedCost,
    Result, Settings, Spent, Timestamp, Verdict, account,
};
use bedrock_tpm_tests::truth::{Noise, TPM, in_family};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A random mechanism with random rules.
fn truth(seed: u64) -> EmulatorConfig {
    let mut rng = StdRng::seed_from_u64(seed);
    EmulatorConfig {
        reserves: rng.random_bool(0.6),
        refund: match rng.random_range(0..3) {
            0 => Refund::AtEnd,
            1 => Refund::Never,
            _ => Refund::After(rng.random_range(8.0..40.0)),
        },
        rejected: if rng.random_bool(0.5) { RejectedCost::Nothing } else { RejectedCost::Everything },
        burndown: [1, 5, 10, 15][rng.random_range(0..4)],
        ..in_family(seed, Noise { spurious_429: 0.01, ..Noise::USUAL })
    }
}

/// The right answers, in the order of the questions.
fn answers(truth: &EmulatorConfig) -> [String; 4] {
    let yes_or_no = |yes| if yes { "yes" } else { "no" };
    let refund = match truth.refund {
        _ if !truth.reserves => "nothing_reserved",
        Refund::AtEnd => "at_end",
        Refund::Never => "never",
        Refund::After(_) => "delayed",
    };
    let counts = yes_or_no(truth.rejected == RejectedCost::Everything);
    [yes_or_no(truth.reserves).into(), refund.into(), counts.into(), truth.burndown.to_string()]
}

/// A verdict that names `mechanism`, measured as well as verdicts measure.
fn named(mechanism: Mechanism, seed: u64) -> Verdict {
    let mut rng = StdRng::seed_from_u64(!seed);
    let mut near = |value: f64| value * rng.random_range(0.985..1.015);
    let parameters = match mechanism {
        Mechanism::FixedWindow { limit, window_s, offset_s } => {
            Mechanism::FixedWindow { limit: near(limit as f64) as u64, window_s, offset_s }
        }
        Mechanism::AnchoredWindow { limit, window_s } => {
            Mechanism::AnchoredWindow { limit: near(limit as f64) as u64, window_s }
        }
        Mechanism::SlidingLog { limit, window_s } => {
            Mechanism::SlidingLog { limit: near(limit as f64) as u64, window_s }
        }
        Mechanism::SlidingCounter { limit, window_s, offset_s } => {
            Mechanism::SlidingCounter { limit: near(limit as f64) as u64, window_s, offset_s }
        }
        Mechanism::TokenBucket { capacity, refill_per_s } => {
            Mechanism::TokenBucket { capacity: near(capacity as f64) as u64, refill_per_s: near(refill_per_s) }
        }
        Mechanism::SteppedBucket { capacity, refill_per_s, tick_s, offset_s } => {
            let (capacity, refill_per_s) = (near(capacity as f64) as u64, near(refill_per_s));
            Mechanism::SteppedBucket { capacity, refill_per_s, tick_s, offset_s }
        }
        Mechanism::ExponentialDecay { limit, time_constant_s } => Mechanism::ExponentialDecay {
            limit: near(limit as f64) as u64,
            time_constant_s: near(time_constant_s),
        },
    };
    Verdict {
        binding: Binding::Quota(QuotaKind::Tokens),
        verdict: Conclusion::Mechanism(mechanism.id()),
        clock_question: ClockAnswer::Unknown,
        probability: 1.0,
        probability_absolute: 0.0,
        probability_relative: 0.0,
        ranked: vec![Ranked {
            mechanism: Candidate::Known(mechanism.id()),
            probability: 1.0,
            parameters: Some(parameters),
            reason: String::new(),
        }],
        spent: Spent::default(),
        warnings: Vec::new(),
        reasons: Vec::new(),
    }
}

fn run(seed: u64) -> Result<(EmulatorConfig, Verdict, Accounting, (usize, f64, f64))> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let truth = truth(seed);
        let clock = Clock::virtual_from(Timestamp::EPOCH.plus_seconds(86_400.0 + (seed % 60) as f64));
        let settings = Settings { tpm: Some(TPM), seed, budget_tokens: Some(40 * TPM), ..Settings::default() };
        let mut tester = BedrockTpmTester::simulated(truth.clone(), clock, settings)?;
        if std::env::var("FULL").is_ok() {
            Adaptive::new(tester.settings(), clock.now())?.run(&mut tester).await?;
        } else {
            tester.make_bedrock_request(24).await?;
        }
        let verdict = if std::env::var("FULL").is_ok() { tester.verdict() } else { named(truth.tokens.unwrap(), seed) };
        let before = tester.trace().observations().len();
        let began = std::time::SystemTime::now();
        Audit::new(tester.settings()).run(&mut tester, &verdict).await?;
        let took = began.elapsed().unwrap().as_secs_f64();
        let accounting = Some(account(tester.trace().observations(), &verdict, &Assumptions { seed, ..Assumptions::default() }));
        let seen = &tester.trace().observations()[before..];
        if std::env::var("SHOW").is_ok() { for o in seen { println!("   {:.1} in {:?} est {} max {} out {:?} {:?}", o.sent.seconds_since(Timestamp::EPOCH) - 86400.0, o.input_tokens, o.tokens_estimated, o.max_tokens, o.output_tokens, o.status); } }
        println!("  took {:.3} each", took / seen.len().max(1) as f64);
        let tokens: f64 = seen.iter().filter_map(|o| o.settled(1)).sum::<u64>() as f64 / TPM as f64;
        let minutes = match seen { [] => 0.0, [first, .., last] => last.finished.seconds_since(first.sent) / 60.0, _ => 0.0 };
        let cost = (seen.len(), tokens, minutes);
        let accounting = accounting.unwrap_or_else(|| account(&[], &verdict, &Assumptions::default()));
        Ok((truth, verdict, accounting, cost))
    })
}

#[test]
fn bench() {
    let (from, count): (u64, u64) = (std::env::var("FROM").map_or(1, |n| n.parse().unwrap()), std::env::var("COUNT").map_or(10, |n| n.parse().unwrap()));
    let mut tally = [[0; 3]; 4];
    for seed in from..from + count {
        let (truth, verdict, accounting, cost) = run(seed).unwrap();
        println!("seed {seed} {:?} -> {} | {:?} others {}", truth.tokens, verdict.headline(), answers(&truth), truth.refund);
        let mut line = String::new();
        let named = verdict.verdict == Conclusion::Mechanism(truth.tokens.unwrap().id());
        for (i, ((_, finding), right)) in accounting.findings().iter().zip(answers(&truth)).enumerate() {
            let k = if finding.answer == right { 0 } else if finding.answer == "unknown" { 2 } else { 1 };
            if named { tally[i][k] += 1; }
            line += &format!(" {}{}({:.3})", ["OK ", "WRONG ", "? "][k], finding.likeliest, finding.probability);
        }
        println!("   =>{line} | {} requests {:.1} quotas {:.1} min", cost.0, cost.1, cost.2);
    }
    println!("{tally:?}");
}
