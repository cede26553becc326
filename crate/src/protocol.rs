//! Which request is sent when.

mod accounting;
mod adaptive;
mod pace;
mod pairing;

pub use accounting::Audit;
pub use adaptive::Adaptive;
pub use pairing::Pair;

use crate::quota::reached_first;
use crate::tester::LARGEST_REQUEST_TOKENS;
use crate::{BedrockTpmTester, Error, QuotaKind, Result, Timestamp, Trace};

/// A step that starts this late after its time is left out, in seconds: it would no longer test what it is there for.
const TOO_LATE_S: f64 = 1.0;
/// The fill takes an eighth of the quota at a time, so that it ends within 10 s, and stops at the first 429.
const FILL_CHUNKS: u64 = 8;
/// The fill goes on to this multiple of the quota: a bucket refills meanwhile.
const FILL_AT_MOST: f64 = 1.5;
/// Tokens of a request where the request quota is measured: as few as a request can have.
const TINY_TOKENS: u64 = 24;
/// A quota of fewer tokens does not hold the two smallest requests that the protocol needs.
const SMALLEST_TPM: u64 = 2 * TINY_TOKENS;
/// Requests one after the other, of a possible size and a second or so each, cannot use up quotas of more.
const LARGEST_TPM: u64 = 20 * LARGEST_REQUEST_TOKENS;
const LARGEST_RPM: u64 = 200;

/// A named part of a protocol: what is sent, and when, counted from the second the protocol starts at.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// The phase's name, in the trace too.
    pub name: &'static str,
    /// What it is for, as a sentence.
    pub purpose: &'static str,
    /// The steps, each with its time in seconds after the start.
    pub steps: Vec<(f64, Step)>,
}

/// One step of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send chunks until so many tokens were admitted, or a request was throttled.
    Fill {
        /// Tokens at most.
        total: u64,
        /// Tokens a request.
        chunk: u64,
    },
    /// Send one request of so many tokens.
    Probe(u64),
}

/// The second of the minute at which the classic protocol starts.
pub const CLASSIC_START: u32 = 35;

/// The classic protocol: fill the quota at :35, probe at :45 to :59, at :05 and at :50.
///
/// The probe at :05 asks for half of the quota: a window that has reset admits it, a bucket that has only refilled
/// for some seconds does not. Small requests are sent instead where the quota is one of few requests a minute.
///
/// # Errors
/// A usage error if neither quota is known, so that the fill would have no size, or if a quota is too small or too
/// large for requests that Bedrock takes.
pub fn classic(tpm: Option<u64>, rpm: Option<u64>) -> Result<Vec<Phase>> {
    check_quotas(tpm, rpm)?;
    let (fill, small, large) = match reached_first(tpm, rpm) {
        Some((QuotaKind::Requests, rpm)) => {
            let total = TINY_TOKENS * (rpm as f64 * FILL_AT_MOST).ceil() as u64;
            (Step::Fill { total, chunk: TINY_TOKENS }, TINY_TOKENS, TINY_TOKENS)
        }
        Some((_, tpm)) if tpm / 2 > LARGEST_REQUEST_TOKENS => {
            return Err(Error::usage(format!(
                "half of a quota of {tpm} tokens per minute is more than one request takes, \
                 {LARGEST_REQUEST_TOKENS} tokens; measure a model or Region with a smaller quota"
            )));
        }
        Some((_, tpm)) => {
            let chunk = (tpm / FILL_CHUNKS).max(TINY_TOKENS);
            (Step::Fill { total: (tpm as f64 * FILL_AT_MOST) as u64, chunk }, chunk, tpm / 2)
        }
        None => {
            return Err(Error::usage(
                "the classic protocol must know how much to send; give --tpm, --rpm or both",
            ));
        }
    };
    let probe = |at: f64, tokens: u64| (at, Step::Probe(tokens));
    Ok(vec![
        Phase { name: "fill", purpose: "use the quota up from second 35 on", steps: vec![(0.0, fill)] },
        Phase {
            name: "before the minute",
            purpose: "see whether anything comes back within the same clock minute",
            steps: vec![probe(10.0, small), probe(15.0, small), probe(20.0, small), probe(24.0, small)],
        },
        Phase {
            name: "after the minute",
            purpose: "see whether the clock minute has brought the quota back",
            steps: vec![probe(30.0, large)],
        },
        Phase {
            name: "a minute after use",
            purpose: "see whether the quota is back a minute after the fill",
            steps: vec![probe(75.0, small)],
        },
    ])
}

/// Whether quotas can be used up by requests of a possible size, one after the other.
fn check_quotas(tpm: Option<u64>, rpm: Option<u64>) -> Result<()> {
    match (tpm, rpm) {
        (Some(tpm), _) if tpm < SMALLEST_TPM => Err(Error::usage(format!(
            "a quota of {tpm} tokens per minute does not hold two requests of {TINY_TOKENS} tokens, the smallest that \
             are sent; give the applied quota, {SMALLEST_TPM} or more"
        ))),
        (None, Some(rpm)) if rpm > LARGEST_RPM => Err(Error::usage(format!(
            "a quota of {rpm} requests per minute cannot be used up by one request after the other; without --tpm, \
             give an --rpm of {LARGEST_RPM} or less"
        ))),
        (Some(tpm), None) if tpm > LARGEST_TPM => Err(Error::usage(format!(
            "a quota of {tpm} tokens per minute cannot be used up by one request after the other, of \
             {LARGEST_REQUEST_TOKENS} tokens at most; measure a model or Region with {LARGEST_TPM} or less"
        ))),
        _ => Ok(()),
    }
}

impl Phase {
    fn is_complete_in(&self, trace: &Trace) -> bool {
        let sent = trace.observations().iter().filter(|observation| observation.phase == self.name).count();
        let probes = self.steps.iter().filter(|(_, step)| matches!(step, Step::Probe(_))).count();
        probes == self.steps.len() && sent >= probes
    }
}

/// A protocol, ready to run.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Phases at fixed seconds.
    Classic(Schedule),
    /// Probes that follow from what was observed.
    Adaptive(Adaptive),
}

impl Plan {
    /// When it ends at the latest, a last request aside.
    pub fn ends_by(&self) -> Timestamp {
        match self {
            Self::Classic(schedule) => schedule.last_step(),
            Self::Adaptive(adaptive) => adaptive.deadline(),
        }
    }

    /// The most tokens that it usually needs.
    pub fn tokens_at_most(&self) -> u64 {
        match self {
            Self::Classic(schedule) => schedule.tokens_at_most(),
            Self::Adaptive(adaptive) => adaptive.tokens_at_most(),
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// As [`Schedule::run`] and [`Adaptive::run`].
    pub async fn run(&self, tester: &mut BedrockTpmTester) -> Result<()> {
        match self {
            Self::Classic(schedule) => schedule.run(tester).await,
            Self::Adaptive(adaptive) => adaptive.run(tester).await,
        }
    }
}

/// Phases with the instant they start at.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    phases: Vec<Phase>,
    start: Timestamp,
}

impl Schedule {
    /// Phases from the next :35 on, or, where `trace` has some of them, from the last phase in it: unless that one is
    /// complete, it starts over at the next second of the minute that it is meant for.
    pub fn new(mut phases: Vec<Phase>, trace: &Trace, now: Timestamp) -> Self {
        let last = trace.observations().last().map(|observation| observation.phase.as_str());
        let last = phases.iter().position(|phase| Some(phase.name) == last);
        phases.drain(..last.map_or(0, |index| index + usize::from(phases[index].is_complete_in(trace))));
        let offset = phases.first().and_then(|phase| phase.steps.first()).map_or(0.0, |(at, _)| *at);
        let second = (f64::from(CLASSIC_START) + offset).rem_euclid(60.0);
        Self { phases, start: now.next_second(second).plus_seconds(-offset) }
    }

    /// When the last step starts.
    pub fn last_step(&self) -> Timestamp {
        let times = self.phases.iter().flat_map(|phase| &phase.steps).map(|(at, _)| *at);
        self.start.plus_seconds(times.fold(0.0, f64::max))
    }

    /// The most tokens that the phases can use.
    pub fn tokens_at_most(&self) -> u64 {
        let steps = self.phases.iter().flat_map(|phase| &phase.steps);
        steps
            .map(|(_, step)| match *step {
                Step::Fill { total, chunk } => total + chunk,
                Step::Probe(tokens) => tokens,
            })
            .sum()
    }

    /// Runs the phases in order.
    ///
    /// # Errors
    /// As [`BedrockTpmTester::consume_tpm_quota`], probes that keep failing included. What was observed before is in
    /// the trace.
    pub async fn run(&self, tester: &mut BedrockTpmTester) -> Result<()> {
        for phase in &self.phases {
            tester.begin_phase(phase.name);
            for (at, step) in &phase.steps {
                let at = self.start.plus_seconds(*at);
                if tester.clock().now().seconds_since(at) > TOO_LATE_S {
                    continue;
                }
                tester.wait_until(at).await;
                match *step {
                    Step::Fill { total, chunk } => drop(tester.consume_tpm_quota(total, chunk).await?),
                    Step::Probe(tokens) => drop(tester.make_bedrock_request(tokens).await?),
                }
                tester.give_up_on_failures()?;
            }
        }
        Ok(())
    }
}
