//! From a trace to a [`Verdict`]: every mechanism is replayed over what was observed, integrated over its unknown
//! parameters, and what remains is said in words.

mod belief;
mod draw;
mod enforced;
mod evidence;
mod hypothesis;
mod imagined;
mod inquiry;
mod likelihood;
mod moments;
mod noise;
mod oddity;
mod others;
mod parameters;
mod plan;
mod posterior;
mod prior;
mod quantile;
mod reasons;
mod replay;
mod sweep;
mod words;

use std::ops::RangeInclusive;

pub(crate) use inquiry::{CHALLENGE_PHASE, SEARCH_PHASE};
pub use inquiry::{Inquiry, Next};
pub(crate) use noise::Noise;
pub use plan::Probe;

use crate::error::check_range;
use crate::text::requests;
use crate::verdict::summary;
use crate::{
    Binding, Candidate, ClockAnswer, Conclusion, Observation, QuotaKind, Ranked, Result, Separation, Spent,
    Verdict,
};
use evidence::Evidence;
use plan::{Terms, separating_probe};
use posterior::Posterior;

/// A longer trace cannot be followed for sure: particles lose the truth in it.
pub(crate) const MOST_REQUESTS: usize = 120;
/// A mechanism that is less probable than this needs no more observations.
const WORTH_SEPARATING: f64 = 1e-6;

/// Quotas a minute that can be stated.
pub const QUOTAS: RangeInclusive<u64> = 1..=1_000_000_000_000;

/// What is taken as known before the trace is read.
#[derive(Clone, Debug)]
pub struct Assumptions {
    /// The stated quota of tokens per minute, if known.
    pub tpm: Option<u64>,
    /// The stated quota of requests per minute, if known.
    pub rpm: Option<u64>,
    /// A mechanism is named, and the clock question answered, at this probability or more; 0.5 to 0.9999.
    pub confidence: f64,
    /// Seed of the sampler: same seed, same verdict.
    pub seed: u64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self { tpm: None, rpm: None, confidence: 0.99, seed: 1 }
    }
}

impl Assumptions {
    /// The quotas as they were stated when a trace was made, and the seed of then.
    pub fn noted(observations: &[Observation]) -> Self {
        let noted = |name: &str| observations.iter().rev().find_map(|o| o.extra.get(name)?.as_u64());
        let quota = |name: &str| noted(name).filter(|quota| QUOTAS.contains(quota));
        let usual = Self::default();
        Self { tpm: quota("tpm"), rpm: quota("rpm"), seed: noted("seed").unwrap_or(usual.seed), ..usual }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// A usage error if the confidence is not from 0.5 to 0.9999, or a quota is not from 1 to 10^12.
    pub fn validated(self) -> Result<Self> {
        check_range("confidence", self.confidence, 0.5, 0.9999)?;
        let (low, high) = (*QUOTAS.start() as f64, *QUOTAS.end() as f64);
        check_range("tokens per minute", self.tpm.unwrap_or(1) as f64, low, high)?;
        check_range("requests per minute", self.rpm.unwrap_or(1) as f64, low, high)?;
        Ok(self)
    }
}

/// What the observations show about the quota's mechanism. Of an adaptive measurement that is what it announced: the search
/// that chose its probes is followed again.
///
/// Never fails: a trace that shows nothing gives a verdict that says so.
pub fn analyze(observations: &[Observation], assumptions: &Assumptions) -> Verdict {
    if let Some(inquiry) = Inquiry::retraced(observations, assumptions) {
        return inquiry.verdict();
    }
    let evidence = Evidence::from_observations(observations);
    let posterior = Posterior::agreed(&evidence, assumptions);
    conclude(observations, assumptions, &evidence, &posterior)
}

/// The verdict, as the posterior has it.
fn conclude(
    observations: &[Observation],
    assumptions: &Assumptions,
    evidence: &[Evidence],
    posterior: &Posterior,
) -> Verdict {
    let mut verdict = judge(observations, assumptions, evidence, posterior);
    if let Some(punctual) = without_late(observations, evidence) {
        verdict.warnings.push(doubt(&verdict, observations, assumptions, &punctual));
    }
    verdict.summary = summary(&verdict, observations);
    verdict
}

/// What a verdict answers.
#[derive(PartialEq)]
struct Answers {
    binding: Binding,
    verdict: Conclusion,
    clock_question: ClockAnswer,
}

impl Answers {
    fn of(evidence: &[Evidence], posterior: &Posterior, confidence: f64) -> Self {
        let binding = binding(evidence, posterior, confidence);
        let watched_a_window = !matches!(binding, Binding::None | Binding::Quota(QuotaKind::TokensPerDay));
        let may_name = watched_a_window && evidence.len() <= MOST_REQUESTS;
        let verdict = match posterior.candidates()[0] {
            (Candidate::SomethingElse, p) if watched_a_window && p >= coarse(confidence) => {
                Conclusion::NoneOfThese
            }
            (Candidate::Known(id), p) if may_name && p >= confidence => Conclusion::Mechanism(id),
            _ => Conclusion::Inconclusive,
        };
        let answers = [
            (ClockAnswer::Absolute, posterior.absolute()),
            (ClockAnswer::Relative, posterior.relative()),
            (ClockAnswer::Neither, posterior.neither()),
        ];
        let sure = answers.into_iter().find(|(_, probability)| may_name && *probability >= confidence);
        let clock_question = sure.map_or(ClockAnswer::Unknown, |(answer, _)| answer);
        Self { binding, verdict, clock_question }
    }
}

fn judge(
    observations: &[Observation],
    assumptions: &Assumptions,
    evidence: &[Evidence],
    posterior: &Posterior,
) -> Verdict {
    let Answers { binding, verdict: conclusion, clock_question } =
        Answers::of(evidence, posterior, assumptions.confidence);
    let ranked = rank(posterior, evidence, observations);
    let besides = if let Binding::Quota(kind) = binding { posterior.besides(kind) } else { None };
    let mut verdict = Verdict {
        binding,
        besides,
        verdict: conclusion,
        clock_question,
        probability: ranked[0].probability,
        probability_absolute: posterior.absolute(),
        probability_relative: posterior.relative(),
        twins: twins(conclusion, &ranked),
        separation: separation(posterior, &ranked, observations),
        ranked,
        spent: Spent::of(observations),
        warnings: Vec::new(),
        summary: String::new(),
        reasons: Vec::new(),
    };
    verdict.warnings = reasons::warnings(&verdict, observations, assumptions);
    verdict.reasons = reasons::paragraphs(&verdict, observations, assumptions);
    verdict
}

fn twins(conclusion: Conclusion, ranked: &[Ranked]) -> Vec<String> {
    let named = ranked.first().filter(|_| matches!(conclusion, Conclusion::Mechanism(_)));
    named.and_then(|named| named.parameters).map_or_else(Vec::new, |best| parameters::twins(&best))
}

/// The observation that would tell the leader from the runner-up.
fn separation(posterior: &Posterior, ranked: &[Ranked], observations: &[Observation]) -> Option<Separation> {
    let rivals = ranked.iter().filter(|it| it.probability > WORTH_SEPARATING).map(|it| it.mechanism);
    let rivals: Vec<Candidate> = rivals.filter(|it| *it != Candidate::SomethingElse).take(2).collect();
    let [leader, runner_up] = rivals[..] else { return None };
    let last = observations.iter().map(|observation| observation.finished).max()?;
    let largest = observations.iter().map(Observation::reserved).max()?;
    let terms = Terms::at_the_end(last, largest);
    let (probe, admitted) = separating_probe(posterior, [leader, runner_up], &terms)?;
    let after_s = probe.at.seconds_since(last);
    Some(Separation { between: [leader, runner_up], after_s, tokens: probe.tokens, admitted })
}

/// Which quota fired, or that nothing known explains it, is a coarser answer than how it works, and one that a reader can
/// check.
fn coarse(confidence: f64) -> f64 {
    confidence.min(0.95)
}

fn binding(evidence: &[Evidence], posterior: &Posterior, confidence: f64) -> Binding {
    if !evidence.iter().any(|evidence| evidence.outcome.is_throttled()) {
        return Binding::None;
    }
    let (kind, probability) = posterior.likeliest_kind();
    if probability >= coarse(confidence) { Binding::Quota(kind) } else { Binding::Unknown }
}

fn rank(posterior: &Posterior, evidence: &[Evidence], observations: &[Observation]) -> Vec<Ranked> {
    let shares = posterior.candidates();
    let leading = shares.first().map_or(0.0, |(_, probability)| *probability);
    shares
        .into_iter()
        .map(|(mechanism, probability)| {
            let (parameters, intervals) = parameters::typical(posterior.alike(mechanism)).unzip();
            Ranked {
                mechanism,
                probability,
                parameters,
                intervals: intervals.unwrap_or_default(),
                reason: reasons::of_candidate(
                    posterior,
                    mechanism,
                    (probability, leading),
                    evidence,
                    observations,
                ),
            }
        })
        .collect()
}

/// The evidence with the outcomes of late requests left out, if there are any.
fn without_late(observations: &[Observation], evidence: &[Evidence]) -> Option<Vec<Evidence>> {
    let late: Vec<_> = observations.iter().filter(|o| o.is_late()).map(|o| o.sent).collect();
    let punctual = evidence.iter().cloned().map(|mut evidence| {
        evidence.informative = !late.contains(&evidence.earliest);
        evidence
    });
    (!late.is_empty()).then(|| punctual.collect())
}

/// Whether the verdict hangs on requests that left late.
fn doubt(
    verdict: &Verdict,
    observations: &[Observation],
    assumptions: &Assumptions,
    punctual: &[Evidence],
) -> String {
    let posterior = Posterior::agreed(punctual, assumptions);
    let other = Answers::of(punctual, &posterior, assumptions.confidence);
    let late = requests(observations.iter().filter(|observation| observation.is_late()).count() as u64);
    let Verdict { binding, verdict, clock_question, .. } = *verdict;
    if other == (Answers { binding, verdict, clock_question }) {
        format!("{late} left more than 250 ms late; the verdict is the same without them")
    } else {
        format!(
            "the verdict hangs on {late} that left more than 250 ms late: without them it is {} \
             (clock question: {}, binding: {}); run again on a machine with less to do",
            other.verdict, other.clock_question, other.binding
        )
    }
}
