//! How often verdicts are right, wrong or withheld, over random truths on the virtual clock.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bedrock_tpm::{
    BedrockTpmTester, Clock, Conclusion, EmulatorConfig, Error, MechanismId, Settings, Timestamp, Verdict,
    protocol,
};
use bedrock_tpm_tests::truth::{Noise, TPM, in_family};

struct Run {
    truth: EmulatorConfig,
    verdict: Verdict,
    seconds: f64,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let get = |n: &str, d: u64| {
        args.iter().position(|a| a == n).and_then(|i| args.get(i + 1)?.parse().ok()).unwrap_or(d)
    };
    let (truths, seed) = (get("--truths", 60), get("--seed", 1));
    let next = AtomicU64::new(0);
    let runs = Mutex::new(Vec::new());
    let started = Clock::system().now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= truths {
                        break;
                    }
                    if let Ok(run) = one(seed.wrapping_mul(1_000_003).wrapping_add(index)) {
                        let id = run.truth.tokens.map(|m| m.id());
                        if get("--verbose", 0) == 1
                            || matches!(run.verdict.verdict, Conclusion::Mechanism(v) if Some(v) != id)
                            || run.verdict.verdict == Conclusion::NoneOfThese
                        {
                            println!(
                                "{index} {:?}\n   -> {} {:.4} {:?} {:.1}min {}tok {}req; cpu {:.2}s",
                                run.truth.tokens.map(|t| t.to_string()),
                                run.verdict.headline(),
                                run.verdict.probability,
                                run.verdict.warnings,
                                run.verdict.spent.minutes,
                                run.verdict.spent.tokens,
                                run.verdict.spent.requests,
                                run.seconds
                            );
                        }
                        runs.lock().unwrap().push(run);
                    }
                }
            });
        }
    });
    let runs = runs.into_inner().unwrap();
    let n = runs.len() as f64;
    let frac = |f: &dyn Fn(&Run) -> bool| runs.iter().filter(|r| f(r)).count() as f64 / n;
    let right = |r: &Run| matches!((r.verdict.verdict, r.truth.tokens), (Conclusion::Mechanism(v), Some(t)) if v == t.id());
    println!(
        "right {:.3} wrong {:.3} none {:.3} inconclusive {:.3}",
        frac(&right),
        frac(&|r| matches!(r.verdict.verdict, Conclusion::Mechanism(_)) && !right(r)),
        frac(&|r| r.verdict.verdict == Conclusion::NoneOfThese),
        frac(&|r| r.verdict.verdict == Conclusion::Inconclusive)
    );
    for id in MechanismId::ALL {
        let of: Vec<&Run> = runs.iter().filter(|r| r.truth.tokens.is_some_and(|t| t.id() == id)).collect();
        let q = |f: &dyn Fn(&Run) -> f64, p: f64| {
            let mut v: Vec<f64> = of.iter().map(|r| f(r)).collect();
            v.sort_by(f64::total_cmp);
            v.get(((v.len() as f64 - 1.0) * p) as usize).copied().unwrap_or(0.0)
        };
        println!(
            "{id:<16} n {:>3} right {:.2} minutes {:.1}/{:.1} quotas {:.1}/{:.1} requests {:.0}/{:.0}",
            of.len(),
            of.iter().filter(|r| right(r)).count() as f64 / of.len() as f64,
            q(&|r| r.verdict.spent.minutes, 0.5),
            q(&|r| r.verdict.spent.minutes, 0.95),
            q(&|r| r.verdict.spent.tokens as f64 / TPM as f64, 0.5),
            q(&|r| r.verdict.spent.tokens as f64 / TPM as f64, 0.95),
            q(&|r| r.verdict.spent.requests as f64, 0.5),
            q(&|r| r.verdict.spent.requests as f64, 0.95)
        );
    }
    let all = |f: &dyn Fn(&Run) -> f64, p: f64| {
        let mut v: Vec<f64> = runs.iter().map(|r| f(r)).collect();
        v.sort_by(f64::total_cmp);
        v[((v.len() as f64 - 1.0) * p) as usize]
    };
    println!(
        "all minutes {:.1}/{:.1} quotas {:.1}/{:.1} requests {:.0}/{:.0}; {:.1} s in all",
        all(&|r| r.verdict.spent.minutes, 0.5),
        all(&|r| r.verdict.spent.minutes, 0.95),
        all(&|r| r.verdict.spent.tokens as f64 / TPM as f64, 0.5),
        all(&|r| r.verdict.spent.tokens as f64 / TPM as f64, 0.95),
        all(&|r| r.verdict.spent.requests as f64, 0.5),
        all(&|r| r.verdict.spent.requests as f64, 0.95),
        Clock::system().now().seconds_since(started)
    );
}

fn one(seed: u64) -> Result<Run, Error> {
    let truth = in_family(seed, Noise::USUAL);
    let started = Clock::system().now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let verdict = runtime.block_on(async {
        let clock =
            Clock::virtual_from(Timestamp::EPOCH.plus_seconds(86_400.0 + (seed % 60_000) as f64 / 1_000.0));
        let settings = Settings { tpm: Some(TPM), seed, ..Settings::default() };
        let mut tester = BedrockTpmTester::simulated(truth.clone(), clock, settings)?;
        protocol::Adaptive::new(tester.settings(), clock.now())?.run(&mut tester).await?;
        Ok::<_, Error>(tester.verdict())
    })?;
    Ok(Run { truth, verdict, seconds: Clock::system().now().seconds_since(started) })
}
