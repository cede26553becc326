//! A verdict in plain words, as one paragraph for somebody who knows nothing of rate limiters.

use super::display::WORTH_NAMING;
use super::plain;
use super::{Binding, Conclusion, Verdict};
use crate::text::{days, distinct, grouped, percent, requests, time_scale};
use crate::{Candidate, Observation, Outcome, QuotaKind};

/// What was sent, which limit rejected, how it works, how sure that is, what is not known and what to do: up to six
/// sentences.
pub(crate) fn summary(verdict: &Verdict, observations: &[Observation]) -> String {
    let Some(sent) = what_was_sent(verdict, observations) else {
        return "No request was sent yet, so nothing is known.".into();
    };
    let sentences = match (verdict.binding, verdict.verdict) {
        (Binding::None, _) => vec![
            "No limit was reached, so nothing is known of how the limits of this account work.".into(),
            "To find out, more has to be sent in a minute.".into(),
        ],
        (Binding::Unknown, conclusion) => which_is_open(verdict, conclusion),
        (Binding::Quota(kind), Conclusion::Mechanism(_)) => how_it_works(verdict, observations, kind),
        (Binding::Quota(kind), _) => what_is_possible(verdict, kind),
    };
    let warned = (!verdict.warnings.is_empty())
        .then(|| "The warnings beside this verdict say what may weaken it.".into());
    [sent].into_iter().chain(sentences).chain(warned).collect::<Vec<String>>().join(" ")
}

fn what_was_sent(verdict: &Verdict, observations: &[Observation]) -> Option<String> {
    let from = observations.iter().map(|seen| seen.sent).min()?;
    let to = observations.iter().map(|seen| seen.finished).max()?;
    let [start, end] = [from, to].map(|at| at.to_chrono().format("%H:%M:%S").to_string());
    let model = distinct(observations, |seen| &seen.model);
    let region = distinct(observations, |seen| &seen.region);
    let elsewhere = observations.iter().find(|seen| !is_bedrock(seen)).map(|seen| seen.endpoint.clone());
    let place = [(" to ", model), (" in ", region), (" at the endpoint ", elsewhere.unwrap_or_default())];
    let place = place.into_iter().filter(|(_, name)| !name.is_empty());
    let place: String = place.map(|(before, name)| format!("{before}{name}")).collect();
    let scale = time_scale(observations).map_or_else(String::new, |scale| format!(", {scale}"));
    let (sent, were) = (observations.len(), if observations.len() == 1 { "was" } else { "were" });
    let count =
        |wanted: fn(Outcome) -> bool| match observations.iter().filter(|o| wanted(o.outcome())).count() {
            0 => "none was".into(),
            1 => "1 was".into(),
            some => format!("{some} were"),
        };
    let failed = observations.iter().filter(|seen| seen.outcome() == Outcome::Failed).count();
    Some(format!(
        "Between {start} and {end} ({}), {} {were} sent{place}{scale}: {} admitted and used {} tokens, {} rejected{}{}.",
        days(from, to),
        requests(sent as u64),
        count(Outcome::is_admitted),
        grouped(verdict.spent.tokens),
        count(Outcome::is_throttled),
        with_status(observations),
        if failed == 0 { String::new() } else { format!(", {failed} failed for other reasons") },
    ))
}

/// Traces that come from elsewhere are of Bedrock, as far as they say.
fn is_bedrock(seen: &Observation) -> bool {
    ["aws", "imported"].contains(&&*seen.endpoint)
}

fn with_status(observations: &[Observation]) -> String {
    let rejected = observations.iter().filter(|seen| seen.outcome().is_throttled());
    let mut statuses: Vec<_> = rejected.filter_map(|seen| seen.status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let statuses: Vec<_> = statuses.iter().map(|status| format!("HTTP {status}")).collect();
    if statuses.is_empty() { String::new() } else { format!(" with {}", statuses.join(" or ")) }
}

fn how_it_works(verdict: &Verdict, observations: &[Observation], kind: QuotaKind) -> Vec<String> {
    let Some((winner, others)) = verdict.ranked.split_first() else { return Vec::new() };
    let Some(limit) = plain::Limit::new(winner, kind) else { return Vec::new() };
    let next = others.first().map_or_else(String::new, |next| {
        format!("; the next best, {}, has {}", plain::name(next.mechanism), share(next.probability))
    });
    let more = format!(
        "; to have more, ask AWS for a higher quota of {kind}, and if yours is higher already, give AWS Support the ids \
         of the rejected requests, which are in the trace"
    );
    let besides = match verdict.besides {
        Some(other) => format!("The one on {other} rejected some too; how it works was not measured."),
        None => "Nothing is known about other limits of the account.".into(),
    };
    vec![
        format!("{} is the one on {kind}: {}.", what_rejected(verdict), limit.behaviour()),
        format!("This explanation has a probability of {}{next}.", share(winner.probability)),
        besides,
        format!(
            "To stay under this one, {}{}.",
            limit.advice(),
            if observations.iter().all(is_bedrock) { &more } else { "" }
        ),
    ]
}

fn which_is_open(verdict: &Verdict, conclusion: Conclusion) -> Vec<String> {
    let how = match conclusion {
        Conclusion::Mechanism(id) => {
            let probability = share(verdict.probability);
            format!(
                " Either way it is {}, with a probability of {probability}.",
                plain::name(Candidate::Known(id))
            )
        }
        _ => String::new(),
    };
    vec![
        format!("It is not clear whether a limit on tokens or one on requests rejected them.{how}"),
        "Requests of different sizes would tell.".into(),
    ]
}

fn what_is_possible(verdict: &Verdict, kind: QuotaKind) -> Vec<String> {
    let possible = verdict.ranked.iter().filter(|ranked| ranked.probability >= WORTH_NAMING);
    let possible: Vec<_> = possible
        .map(|ranked| format!("{} ({})", plain::name(ranked.mechanism), percent(ranked.probability)))
        .collect();
    let how = match verdict.verdict {
        Conclusion::NoneOfThese => format!(
            "None of the {} kinds of limit that were compared explains which requests were rejected.",
            verdict.ranked.len().saturating_sub(1)
        ),
        _ if possible.len() > 1 => {
            format!(
                "How it works cannot be told, because more than one kind explains it: {}.",
                possible.join(", ")
            )
        }
        _ => format!(
            "How it works cannot be told as surely as was asked: most likely {}.",
            possible.join(", ")
        ),
    };
    let more = match verdict.separation {
        Some(_) => "One more request could tell the two most likely kinds apart; the verdict says which.",
        None => "A longer measurement, while nothing else uses the account, may tell.",
    };
    vec![format!("{} is the one on {kind}.", what_rejected(verdict)), how, more.into()]
}

fn what_rejected(verdict: &Verdict) -> &'static str {
    match verdict.besides {
        Some(_) => "The limit that rejected most of them",
        None => "The limit that rejected them",
    }
}

/// A probability within a sentence.
fn share(probability: f64) -> String {
    percent(probability).replace('>', "more than ").replace('<', "less than ")
}
