//! Whether two targets share one quota, asked of services in virtual time of which it is known.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod circumstances;
mod odds;
mod tester;

use bedrock_tpm::{
    Answer, Assumptions, Binding, EmulatorConfig, Mechanism, MechanismId, Observation, Paired, Pairing,
    QuotaKind, Service, Shares, Side, Timestamp, Verdict, analyze, pair, reserved_tokens,
};
use serde_json::Map;

const START: Timestamp = Timestamp::from_nanos(1_752_585_600_000_000_000);
/// A minute divided by the golden ratio: starts at every phase of every window.
const APART_S: f64 = 60.0 * 0.618;
const TPM: u64 = 8_000;
const RUNS: u64 = 200;

/// Two targets with one service between them, or with one each.
struct World {
    first: Service,
    second: Option<Service>,
}

/// How a pairing ended, and what it took.
struct Ended {
    paired: Paired,
    requests: usize,
    tokens: u64,
    minutes: f64,
}

fn service(config: &EmulatorConfig, seed: u64) -> Service {
    Service::new(EmulatorConfig { seed, ..config.clone() }).unwrap()
}

fn one(config: &EmulatorConfig, seed: u64) -> World {
    World { first: service(config, seed), second: None }
}

fn two(config: &EmulatorConfig, other: &EmulatorConfig, seed: u64) -> World {
    World { first: service(config, seed), second: Some(service(other, seed + 1_000_000)) }
}

/// Others use 5 % of each quota, one request in forty is rejected for no reason, one in a hundred fails.
fn noisy(tokens: Option<Mechanism>, requests: Option<Mechanism>) -> EmulatorConfig {
    EmulatorConfig {
        tokens,
        requests,
        background: 0.05,
        spurious_429: 0.025,
        error_rate: 0.01,
        ..EmulatorConfig::default()
    }
}

fn per_minute(id: MechanismId) -> EmulatorConfig {
    noisy(Some(Mechanism::per_minute(id, TPM)), None)
}

impl World {
    /// Sends one request at `at`.
    fn send(&mut self, side: Side, at: Timestamp, tokens: u64) -> Observation {
        let service = match (side, &mut self.second) {
            (Side::Second, Some(second)) => second,
            _ => &mut self.first,
        };
        let latency = service.latency();
        let admitted = at + latency.until_admission;
        let answer = service.admit(admitted, latency.until_answer, tokens - 1, 1);
        let (status, error_type, error) = match answer {
            Answer::Admitted { .. } => (200, None, None),
            Answer::Throttled(QuotaKind::Requests) => {
                (429, Some("ThrottlingException"), Some("Too many requests"))
            }
            Answer::Throttled(QuotaKind::Tokens) => {
                (429, Some("ThrottlingException"), Some("Too many tokens"))
            }
            Answer::Throttled(QuotaKind::TokensPerDay) => {
                (429, Some("ThrottlingException"), Some("Too many tokens per day"))
            }
            Answer::Unavailable => (503, Some("ServiceUnavailableException"), None),
        };
        let is_admitted = status == 200;
        Observation {
            phase: "pairing".into(),
            name: String::new(),
            scheduled: None,
            sent: at,
            finished: admitted + latency.until_answer,
            tokens_estimated: reserved_tokens(tokens - 1, 1),
            max_tokens: 1,
            input_tokens: is_admitted.then_some(tokens - 1),
            output_tokens: is_admitted.then_some(1),
            status: Some(status),
            error_type: error_type.map(Into::into),
            error: error.map(Into::into),
            request_id: None,
            model: if side == Side::First { "one-model" } else { "other-model" }.into(),
            region: "local".into(),
            endpoint: "emulator".into(),
            time_scale: 1,
            hidden_retries: 0,
            extra: Map::new(),
        }
    }

    /// Pairs the two targets, knowing `verdict` of the first.
    fn paired(mut self, verdict: &Verdict, stated: &Assumptions) -> Ended {
        let start = START.plus_seconds(APART_S * stated.seed as f64);
        let mut pairing = Pairing::new(&[], verdict, stated).unwrap();
        let (mut now, mut observations) = (start, Vec::new());
        while let Some(probe) = pairing.next(now) {
            assert!(probe.at >= now, "{probe:?} is over at {now}");
            let mut seen = self.send(probe.step.side, probe.at, probe.tokens);
            probe.step.note(&mut seen);
            now = seen.finished;
            pairing.observe(&seen);
            observations.push(seen);
        }
        let paired = pairing.finding();
        assert_eq!(pair(&observations, verdict, stated), Some(paired.clone()), "the trace says the same");
        let admitted = observations.iter().filter(|seen| seen.outcome().is_admitted());
        let minutes = now.seconds_since(start) / 60.0;
        let tokens = admitted.map(Observation::reserved).sum();
        Ended { paired, requests: observations.len(), tokens, minutes }
    }
}

/// How runs ended.
#[derive(Debug, Default)]
struct Tally {
    yes: u64,
    no: u64,
    unknown: Vec<String>,
}

/// Runs that differ in their seed, where only the stated quota is known.
fn tally(what: &str, stated: &Assumptions, world: impl Fn(u64) -> World) -> Tally {
    tally_knowing(&analyze(&[], stated), what, stated, world)
}

/// A verdict that names what limits tokens.
fn naming(mechanism: Mechanism) -> Verdict {
    let mut verdict = analyze(&[], &Assumptions::default());
    verdict.binding = Binding::Quota(QuotaKind::Tokens);
    verdict.ranked.truncate(1);
    verdict.ranked[0].probability = 0.999;
    verdict.ranked[0].parameters = Some(mechanism);
    verdict
}

/// Runs that differ in their seed; prints what they took.
#[expect(clippy::print_stdout, reason = "the figures are what the tests are for")]
fn tally_knowing(verdict: &Verdict, what: &str, stated: &Assumptions, world: impl Fn(u64) -> World) -> Tally {
    let (mut tally, mut ended) = (Tally::default(), Vec::new());
    for seed in 1..=RUNS {
        let run = world(seed).paired(verdict, &Assumptions { seed, ..stated.clone() });
        match run.paired.shares {
            Shares::Yes => tally.yes += 1,
            Shares::No => tally.no += 1,
            Shares::Unknown => tally.unknown.push(format!("{seed}: {}", run.paired.because)),
        }
        ended.push(run);
    }
    let mean = |of: fn(&Ended) -> f64| ended.iter().map(of).sum::<f64>() / RUNS as f64;
    println!(
        "{what}: {} yes, {} no, {} unknown; {:.0} requests, {:.0} tokens, {:.1} minutes on average",
        tally.yes,
        tally.no,
        tally.unknown.len(),
        mean(|run| run.requests as f64),
        mean(|run| run.tokens as f64),
        mean(|run| run.minutes),
    );
    tally
}

fn stated(tpm: Option<u64>, rpm: Option<u64>) -> Assumptions {
    Assumptions { tpm, rpm, ..Assumptions::default() }
}
