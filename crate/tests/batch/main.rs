//! A batch in virtual time: whatever happens, each request is answered once, and no quota is passed.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod budget;
mod files;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::future::{Future, pending};
use std::path::PathBuf;
use std::sync::Arc;

use bedrock_tpm::{
    Batch, BatchEnd, BatchReport, BatchSettings, Clock, EMBEDDED, Emulator, EmulatorConfig, Endpoint,
    Mechanism, MechanismId, QuotaKind, Refund, Throttle, ThrottleSettings, Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

const START: Timestamp = Timestamp::from_nanos(1_752_585_600_000_000_000);
const TPM: u64 = 4_000;
const RPM: u64 = 20;

/// An emulator, a file of requests for it, and what became of them.
struct World {
    folder: TempDir,
    clock: Clock,
    emulator: Arc<Emulator>,
    settings: BatchSettings,
    quotas: ThrottleSettings,
}

impl World {
    fn new(requests: usize, config: EmulatorConfig) -> Self {
        let clock = Clock::virtual_from(START);
        let quotas = ThrottleSettings { burndown: config.burndown, refund: config.refund, ..stated() };
        let world = Self {
            folder: TempDir::new().unwrap(),
            clock,
            emulator: Arc::new(Emulator::new(config, clock).unwrap()),
            settings: BatchSettings { model: "model".into(), concurrency: 30, budget_tokens: None },
            quotas,
        };
        let line = |text: &mut String, index| writeln!(text, "{}", request(index)).unwrap();
        let mut text = String::new();
        (0..requests).for_each(|index| line(&mut text, index));
        std::fs::write(world.path("in"), text).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self) -> bedrock_tpm::Result<Batch> {
        Batch::open(self.path("in"), self.path("out"), EMBEDDED, self.settings.clone())
    }

    /// Runs it, for so long at most; then nobody asks it to stop, it is just gone.
    async fn run_for(&self, seconds: f64) -> Option<(BatchReport, BatchEnd)> {
        let endpoint = Endpoint::simulated(self.emulator.clone());
        let throttle = Throttle::new(self.quotas.clone(), self.clock).unwrap();
        let run = self.open().unwrap().run(&endpoint, &throttle, self.clock, pending(), |_| {});
        tokio::select! {
            ended = run => Some(ended),
            () = self.clock.sleep_until(self.clock.now().plus_seconds(seconds)) => None,
        }
    }

    async fn run(&self) -> (BatchReport, BatchEnd) {
        self.run_for(1e9).await.unwrap()
    }

    fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("out")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The lines that are answered, none of them twice, each with its own id.
    fn answered(&self) -> BTreeSet<u64> {
        let mut lines = BTreeSet::new();
        for record in self.records().iter().filter(|record| record.get("error").is_none()) {
            let line = record["line"].as_u64().unwrap();
            assert_eq!(record["recordId"], format!("r{}", line - 1));
            assert_eq!(record["input_tokens"], record["response"]["usage"]["inputTokens"]);
            assert!(lines.insert(line), "line {line} is answered twice");
        }
        lines
    }
}

fn stated() -> ThrottleSettings {
    ThrottleSettings::stated(Some(TPM), Some(RPM))
}

fn request(index: usize) -> Value {
    json!({
        "recordId": format!("r{index}"),
        "messages": [{ "role": "user", "content": [{ "text": "word ".repeat(20 + 37 * index % 90) }] }],
        "inferenceConfig": { "maxTokens": 50 + 61 * index % 200 },
    })
}

fn enforcing(id: MechanismId) -> EmulatorConfig {
    EmulatorConfig {
        tokens: Some(Mechanism::per_minute(id, TPM)),
        requests: Some(Mechanism::per_minute(id, RPM)),
        ..EmulatorConfig::default()
    }
}

fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(future)
}

/// Those that stated quotas are safe for.
const SAFE: [MechanismId; 5] = [
    MechanismId::FixedWindow,
    MechanismId::AnchoredWindow,
    MechanismId::SlidingLog,
    MechanismId::TokenBucket,
    MechanismId::SteppedBucket,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn killed_at_any_moment_it_goes_on_without_a_429_and_answers_each_request_once(
        id in 0..MechanismId::ALL.len(),
        knows: bool,
        lives in prop::collection::vec((0.0..200.0_f64, 0..600_usize), 1..6),
        seed: u64,
        refund in prop_oneof![Just(Refund::AtEnd), Just(Refund::Never)],
        burndown in 1..6_u64,
    ) {
        in_virtual_time(async {
            let id = MechanismId::ALL[id];
            let config = EmulatorConfig { seed, refund, burndown, ..enforcing(id) };
            let mut world = World::new(60, config.clone());
            if knows || !SAFE.contains(&id) {
                let known = [(QuotaKind::Tokens, config.tokens), (QuotaKind::Requests, config.requests)];
                world.quotas.quotas = known.into_iter().filter_map(|(kind, quota)| Some((kind, quota?))).collect();
            }
            for (seconds, cut_off) in lives {
                world.run_for(seconds).await;
                // A kill may also leave a part of the line that was being written.
                let Ok(text) = std::fs::read(world.path("out")) else { continue };
                let partial = format!("{{\"line\":7,\"response\":{{\"text\":\"{}\"}}", "x".repeat(600));
                std::fs::write(world.path("out"), [&text[..], &partial.as_bytes()[..cut_off]].concat()).unwrap();
            }
            let (report, end) = world.run().await;
            assert!(matches!(end, BatchEnd::Complete), "{end:?}");
            assert_eq!((report.progress.answered, report.progress.failed, report.left), (60, 0, 0));
            assert_eq!(world.answered(), (1..=60).collect());
            assert_eq!(world.emulator.answers().throttled, 0);
        });
    }
}

#[test]
fn what_fails_for_a_while_is_answered_in_the_end_and_paced_like_the_rest() {
    in_virtual_time(async {
        let world = World::new(100, EmulatorConfig { error_rate: 0.3, ..enforcing(MechanismId::SlidingLog) });
        let (report, end) = world.run().await;
        assert!(matches!(end, BatchEnd::Complete), "{end:?}");
        assert_eq!(world.answered().len(), 100);
        let answers = world.emulator.answers();
        assert!(answers.unavailable > 20 && answers.throttled == 0, "{answers:?}");
        assert_eq!(report.progress.sent, answers.admitted + answers.unavailable);
        assert!(world.records().iter().any(|record| record["attempts"].as_u64() > Some(2)));
    });
}

#[test]
fn a_429_all_the_same_is_sent_again_after_a_pause() {
    in_virtual_time(async {
        let world =
            World::new(60, EmulatorConfig { spurious_429: 0.05, ..enforcing(MechanismId::TokenBucket) });
        let (report, _) = world.run().await;
        assert_eq!((world.answered().len(), report.progress.failed), (60, 0));
        assert!(report.progress.throttled > 0 && report.minutes > 5.0, "{report:?}");
    });
}

#[test]
fn it_gives_up_when_everything_fails_and_keeps_what_it_may_still_send() {
    in_virtual_time(async {
        let world = World::new(60, EmulatorConfig { error_rate: 1.0, ..EmulatorConfig::default() });
        let (report, end) = world.run().await;
        let BatchEnd::Failed(error) = end else { panic!("{end:?}") };
        assert!(error.is_setup() && error.to_string().contains("in a row failed"), "{error}");
        assert!(error.to_string().contains("try again later"), "{error}");
        assert!((20..=50).contains(&report.progress.failed) && report.left > 0, "{report:?}");
        assert!(world.records().iter().all(|record| record["attempts"] == 8 && record["status"] == 503));
        assert!(report.failures.len() == 20 && report.minutes > 2.0);

        let emulator = Emulator::new(enforcing(MechanismId::FixedWindow), world.clock).unwrap();
        let healthy = World { emulator: Arc::new(emulator), ..world };
        let (report, _) = healthy.run().await;
        assert_eq!((report.progress.answered, report.progress.failed), (60, 0));
        assert_eq!(healthy.answered().len(), 60);
    });
}

#[test]
fn asked_to_stop_it_sends_nothing_more_and_keeps_what_was_under_way() {
    in_virtual_time(async {
        let world = World::new(60, enforcing(MechanismId::FixedWindow));
        let endpoint = Endpoint::simulated(world.emulator.clone());
        let throttle = Throttle::new(world.quotas.clone(), world.clock).unwrap();
        let stop = world.clock.sleep_until(START.plus_seconds(63.0));
        let run = world.open().unwrap().run(&endpoint, &throttle, world.clock, stop, |_| {});
        let (report, end) = run.await;
        assert!(matches!(end, BatchEnd::Interrupted), "{end:?}");
        assert!(report.left > 0 && report.progress.answered > RPM, "{report:?}");
        assert_eq!(report.progress.answered, world.emulator.answers().admitted);
        world.run().await;
        assert_eq!((world.answered().len(), world.emulator.answers().admitted), (60, 60));
    });
}
