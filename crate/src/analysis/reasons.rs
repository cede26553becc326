//! What the numbers mean, in sentences that are true of this trace.

use super::evidence::Evidence;
use super::hypothesis::Hypothesis;
use super::others::Others;
use super::posterior::Posterior;
use super::replay::Replay;
use super::{Assumptions, MOST_REQUESTS};
use crate::text::{grouped, requests, with_article};
use crate::{Binding, Candidate, Conclusion, Mechanism, Observation, Outcome, QuotaKind, Verdict};

/// A mechanism whose odds against the leading one are below this is called excluded.
const EXCLUDED_BELOW: f64 = 0.05;
/// Others are said to be needed if the explanations without them carry less than this share.
const NEEDS_OTHERS_BELOW: f64 = 0.2;
/// A quota that lets so many times as much pass as was stated may be another one.
const MUCH_LARGER: f64 = 5.0;
/// Weights that make up the explanation of a class; the rest is tails.
const EXPLANATIONS: usize = 200;

/// Why a candidate is as probable as it is.
pub(super) fn of_candidate(
    posterior: &Posterior,
    candidate: Candidate,
    (probability, leading): (f64, f64),
    evidence: &[Evidence],
    observations: &[Observation],
) -> String {
    if candidate == Candidate::SomethingElse {
        return match probability {
            p if p > 0.5 => "no mechanism of the family explains the trace".into(),
            _ => "not needed: a mechanism of the family explains the trace".into(),
        };
    }
    if !evidence.iter().any(|evidence| evidence.outcome.is_throttled()) {
        return "nothing was rejected, so every mechanism fits".into();
    }
    let contradiction = alone(posterior, candidate, evidence)
        .and_then(|(hypothesis, wrong)| Some((hypothesis, *wrong.first()?)))
        .map(|(hypothesis, wrong)| contradiction(&hypothesis.mechanism, &evidence[wrong], observations));
    let excluded = probability < EXCLUDED_BELOW * leading;
    match contradiction {
        Some(contradiction) if excluded => format!("excluded: {contradiction}"),
        Some(contradiction) if of_a_minute(posterior, candidate) < NEEDS_OTHERS_BELOW => {
            format!("only possible with another window than a minute: {contradiction}")
        }
        Some(contradiction) if without_others(posterior, candidate) < NEEDS_OTHERS_BELOW => {
            let event = match candidate {
                Candidate::Known(crate::MechanismId::AnchoredWindow) => "had started the window earlier",
                _ => "had used the quota too",
            };
            format!("only possible if somebody else's request {event}: {contradiction}")
        }
        Some(contradiction) => format!("strained: {contradiction}"),
        None if excluded => "too improbable beside the leading one".into(),
        None => "explains every outcome".into(),
    }
}

/// The share of a candidate's probability that does without anybody else's traffic.
fn without_others(posterior: &Posterior, candidate: Candidate) -> f64 {
    share_of(posterior, candidate, |it| it.others.are_absent() && it.before.is_none())
}

/// The share of a candidate's probability that has the usual window, if it has one that runs from use.
fn of_a_minute(posterior: &Posterior, candidate: Candidate) -> f64 {
    share_of(posterior, candidate, |hypothesis| usual(hypothesis.mechanism) == hypothesis.mechanism)
}

fn share_of(posterior: &Posterior, candidate: Candidate, wanted: fn(&Hypothesis) -> bool) -> f64 {
    let (mut some, mut all) = (0.0, 0.0);
    for (belief, share) in posterior.of_candidate(candidate) {
        for (hypothesis, weight) in belief.hypotheses() {
            all += share * weight;
            some += if wanted(&hypothesis) { share * weight } else { 0.0 };
        }
    }
    some / f64::max(all, 1e-300)
}

/// The same mechanism over a minute, where its window may be of any length.
fn usual(mechanism: Mechanism) -> Mechanism {
    let window_s = 60.0;
    match mechanism {
        Mechanism::AnchoredWindow { limit, .. } => Mechanism::AnchoredWindow { limit, window_s },
        Mechanism::SlidingLog { limit, .. } => Mechanism::SlidingLog { limit, window_s },
        Mechanism::SlidingCounter { limit, offset_s, .. } => {
            Mechanism::SlidingCounter { limit, window_s, offset_s }
        }
        other => other,
    }
}

/// The candidate's best explanation over a minute on an account that nobody else uses, and the outcomes that it gets
/// wrong.
fn alone(
    posterior: &Posterior,
    candidate: Candidate,
    evidence: &[Evidence],
) -> Option<(Hypothesis, Vec<usize>)> {
    let belief = posterior.best(candidate)?;
    let first = evidence.first()?.earliest;
    let explanations = belief.hypotheses().take(EXPLANATIONS).enumerate().map(|(seed, (hypothesis, _))| {
        let mechanism = usual(hypothesis.mechanism);
        let hypothesis =
            Hypothesis { mechanism, others: Others::default(), before: None, second: None, ..hypothesis };
        let mut replay = Replay::new(&hypothesis, first);
        let luck = (seed as u64) << 32;
        let mut is_wrong = |index: &usize| replay.step(&evidence[*index], luck + *index as u64) < 0.5;
        let wrong: Vec<usize> = (0..evidence.len()).filter(|index| is_wrong(index)).collect();
        (hypothesis, wrong)
    });
    explanations.min_by_key(|(_, wrong)| wrong.len())
}

fn contradiction(mechanism: &Mechanism, evidence: &Evidence, observations: &[Observation]) -> String {
    let observation = observations.iter().find(|observation| observation.sent == evidence.earliest);
    let name = observation.map_or("a request", |observation| &observation.name);
    let (would, did) = match evidence.outcome {
        Outcome::Admitted => ("rejected", "admitted"),
        _ => ("admitted", "rejected"),
    };
    format!(
        "{} would have {would} \"{name}\" at {}, which was {did}",
        with_article(&mechanism.to_string()),
        evidence.earliest.clock_text()
    )
}

/// What the verdict rests on: what fired, what cannot be told, and what would tell it.
pub(super) fn paragraphs(
    verdict: &Verdict,
    observations: &[Observation],
    assumptions: &Assumptions,
) -> Vec<String> {
    let mut paragraphs = vec![which_quota(verdict, observations, assumptions)];
    let of_requests = verdict.binding == Binding::Quota(QuotaKind::Requests);
    if of_requests && verdict.besides.is_none() {
        paragraphs.push(format!(
            "Nothing can be said about the tokens-per-minute quota: no request was rejected because of it, and at \
             most {} tokens were admitted within a minute{}.",
            most_in_a_minute(observations),
            assumptions.tpm.map_or(String::new(), |tpm| format!(" of a stated {tpm}")),
        ));
    }
    if !verdict.twins.is_empty() {
        paragraphs.push(format!("No probing can tell this from {}.", verdict.twins.join(", nor from ")));
    }
    paragraphs.extend(verdict.separation.map(|separation| separation.to_string()));
    paragraphs
}

fn which_quota(verdict: &Verdict, observations: &[Observation], assumptions: &Assumptions) -> String {
    let rejected = requests(observations.iter().filter(|o| o.outcome().is_throttled()).count() as u64);
    let admitted_before =
        observations.iter().take_while(|o| !o.outcome().is_throttled()).filter(|o| o.outcome().is_admitted());
    let count = requests(admitted_before.clone().count() as u64);
    let tokens: u64 = admitted_before.map(Observation::reserved).sum();
    let facts =
        format!("{count} with {} tokens had been admitted before the first rejection", grouped(tokens));
    let stated = assumptions.tpm.filter(|tpm| tokens < *tpm).map_or(String::new(), |tpm| {
        format!(", and a quota of {tpm} tokens per minute had room for {} more", tpm - tokens)
    });
    match verdict.binding {
        Binding::None => {
            "No request was rejected, so no quota was reached: nothing is known of its window. Use \
                          more tokens a minute, or state a lower quota."
                .into()
        }
        Binding::Unknown => format!(
            "It is not clear which quota rejected {rejected}: {facts}{stated}. Requests of different sizes \
             would tell tokens from requests."
        ),
        Binding::Quota(kind) => {
            let room = if kind == QuotaKind::Requests { stated } else { String::new() };
            let others = verdict.besides.map_or_else(String::new, |besides| {
                format!(" Some of them met the quota of {besides} instead; nothing else is said of that one.")
            });
            format!("The quota of {kind} rejected {rejected}: {facts}{room}.{others}")
        }
    }
}

/// The most tokens that were admitted within 60 s.
fn most_in_a_minute(observations: &[Observation]) -> u64 {
    let admitted: Vec<_> = observations.iter().filter(|o| o.outcome().is_admitted()).collect();
    let within = |first: &Observation| {
        let minute = admitted.iter().filter(|o| (0.0..60.0).contains(&o.sent.seconds_since(first.sent)));
        minute.map(|o| o.reserved()).sum()
    };
    admitted.iter().map(|first| within(first)).max().unwrap_or(0)
}

/// A quota that lets far more pass than was stated is one that somebody raised, or one whose minutes run faster.
fn much_larger_than_stated(verdict: &Verdict, assumptions: &Assumptions) -> Option<String> {
    let Conclusion::Mechanism(_) = verdict.verdict else { return None };
    let (stated, what) = match verdict.binding {
        Binding::Quota(QuotaKind::Tokens) => (assumptions.tpm?, "tokens"),
        Binding::Quota(QuotaKind::Requests) => (assumptions.rpm?, "requests"),
        _ => return None,
    };
    let a_minute = 60.0 * verdict.ranked.first()?.parameters?.rate_per_s();
    (a_minute > MUCH_LARGER * stated as f64).then(|| {
        format!(
            "{} {what} a minute pass, {:.0} times the {} that were stated; state the quota that holds, and measure \
             an emulator with its own --time-scale",
            grouped(a_minute as u64),
            a_minute / stated as f64,
            grouped(stated)
        )
    })
}

/// What makes a verdict from these observations weaker.
pub(super) fn warnings(
    verdict: &Verdict,
    observations: &[Observation],
    assumptions: &Assumptions,
) -> Vec<String> {
    let count = |wanted: &dyn Fn(&Observation) -> bool| observations.iter().filter(|o| wanted(o)).count();
    let mut warnings = Vec::new();
    let mut warn = |count: usize, text: &str| {
        if count > 0 {
            warnings.push(format!("{} {text}", requests(count as u64)));
        }
    };
    warn(
        count(&|o| o.outcome() == Outcome::Failed),
        "failed for other reasons than a quota; they are no evidence, but may have been charged",
    );
    warn(
        count(&|o| o.hidden_retries > 0),
        "were repeated by the client itself before their result; turn retries off to measure",
    );
    warn(
        count(&|o| o.extra.contains_key("time_resolution_s")),
        "have rounded times; each is taken as an interval",
    );
    if let Binding::Quota(kind) = verdict.binding {
        let fired = [Some(kind), verdict.besides];
        warn(
            count(&|o| o.outcome().named().is_some_and(|named| !fired.contains(&Some(named)))),
            &format!(
                "were rejected with words about another quota, but by what was admitted that of {kind} explains them"
            ),
        );
    }
    if let Some(tpm) = assumptions.tpm {
        warn(
            count(&|o| o.outcome().is_throttled() && o.reserved() > tpm),
            "reserved more than the whole quota and can never be admitted; lower max_tokens or the prompt",
        );
    }
    if verdict.verdict == Conclusion::Inconclusive && observations.len() >= MOST_REQUESTS {
        warnings.push(format!(
            "{} did not settle it, and more than {MOST_REQUESTS} cannot be followed for sure: no mechanism is named",
            requests(observations.len() as u64)
        ));
    }
    let mut models: Vec<_> = observations.iter().map(|o| (&o.model, &o.region, &o.endpoint)).collect();
    models.sort();
    models.dedup();
    if models.len() > 1 {
        warnings.push("the trace mixes models, Regions or endpoints, which have quotas of their own".into());
    }
    warnings.extend(much_larger_than_stated(verdict, assumptions));
    warnings
}
