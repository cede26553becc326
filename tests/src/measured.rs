use std::fmt;
use std::path::Path;

use bedrock_tpm::MechanismId;
use serde_json::Value;

use crate::Program;
use crate::validation::Ending;

/// What the real program concluded about an endpoint that is known to enforce a mechanism, for tokens per minute.
#[derive(Debug)]
pub struct Measured {
    enforced: MechanismId,
    seed: u64,
    /// What it printed.
    pub document: Value,
    /// Whether that is right.
    pub ending: Ending,
}

impl Measured {
    /// Measures an endpoint that lives 60 times faster and has a quota of 8,000 tokens a minute. `trace` is overwritten.
    ///
    /// # Panics
    /// If the measurement cannot be made at all, or the exit status says something else.
    pub async fn of(url: &str, enforced: MechanismId, seed: u64, trace: &Path) -> Self {
        let _ = std::fs::remove_file(trace);
        let (seed_text, trace) = (seed.to_string(), trace.display().to_string());
        let arguments = ["measure", "--json", "--tpm=8000", "--time-scale=60", "--endpoint-url", url];
        let chosen = ["--seed", &seed_text, "--trace", &trace];
        let finished = Program::default().run(&[&arguments[..], &chosen].concat()).await;
        let document = finished.json();
        let [verdict, binding] =
            ["verdict", "binding"].map(|field| document[field].as_str().unwrap_or_default());
        let ending = match verdict {
            // It says of which quota even where it names no mechanism.
            _ if !["tokens", "unknown"].contains(&binding) => Ending::Wrong,
            "inconclusive" => Ending::Inconclusive,
            "none_of_these" => Ending::None,
            named if named == enforced.id() => Ending::Right,
            _ => Ending::Wrong,
        };
        let is_named = !["inconclusive", "none_of_these"].contains(&verdict);
        assert_eq!(finished.status, Some(if is_named { 0 } else { 3 }), "{finished:?}");
        Self { enforced, seed, document, ending }
    }
}

/// One line: what was enforced, how it ended, what it cost, and where the trace is.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { enforced, seed, document, ending } = self;
        let spent = &document["spent"];
        write!(
            f,
            "{enforced}, seed {seed}: {ending:?}, {} of {} ({})",
            document["verdict"], document["binding"], document["probability"]
        )?;
        write!(f, ", {} requests, {} minutes, {}", spent["requests"], spent["minutes"], document["trace"])
    }
}

/// Measurements, and how they ended.
#[derive(Debug, Default)]
pub struct Tally(Vec<Measured>);

impl Tally {
    /// Adds one, and prints it.
    #[expect(clippy::print_stdout, reason = "a test that takes minutes says how far it is")]
    pub fn add(&mut self, measured: Measured) {
        println!("{measured}");
        self.0.push(measured);
    }

    /// Asserts that no other mechanism was named than the one that is enforced, and no other quota.
    ///
    /// # Panics
    /// If one was.
    pub fn assert_none_wrong(&self) {
        let wrong: Vec<_> = self.ended(Ending::Wrong).map(ToString::to_string).collect();
        assert!(wrong.is_empty(), "wrong verdicts:\n{}", wrong.join("\n"));
    }

    /// Asserts that at least this share of the verdicts is right.
    ///
    /// # Panics
    /// If fewer are.
    pub fn assert_right(&self, share: f64) {
        let (right, all) = (self.right().count(), self.0.len());
        assert!(right as f64 >= share * all as f64, "only {right} of {all} are right");
    }

    /// Those whose verdict is right.
    pub fn right(&self) -> impl Iterator<Item = &Measured> {
        self.ended(Ending::Right)
    }

    fn ended(&self, ending: Ending) -> impl Iterator<Item = &Measured> {
        self.0.iter().filter(move |measured| measured.ending == ending)
    }
}
