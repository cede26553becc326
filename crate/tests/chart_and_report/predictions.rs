//! What the likeliest mechanisms predict, in the chart and in the report.

use crate::fixture::{classic_run, conclusive, inconclusive, observation, steady_run};
use bedrock_tpm::{Binding, Chart, Mechanism, MechanismId, Observation, QuotaKind, Ranked, Report, Verdict};
use roxmltree::{Document, Node};

const CONTRADICTED: &str = "#A8004F";

/// A verdict for `mechanism` alone.
fn only(mechanism: Mechanism, kind: QuotaKind) -> Verdict {
    let mut verdict = Verdict { binding: Binding::Quota(kind), ..conclusive() };
    verdict.ranked[0].parameters = Some(mechanism);
    verdict
}

/// What the chart says of each mechanism it compares, in order.
fn said(run: &[Observation], verdict: &Verdict) -> Vec<String> {
    let svg = Chart::new(run, Some(verdict)).svg().expect("a chart");
    let document = Document::parse(&svg).expect("well-formed");
    let texts =
        document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|node| node.text());
    texts.map(str::trim).filter(|text| text.starts_with("contradicts ")).map(String::from).collect()
}

fn window(limit: u64) -> Mechanism {
    Mechanism::per_minute(MechanismId::FixedWindow, limit)
}

/// All of the quota in five seconds, and half a minute later three quarters of it at once, which are admitted.
fn refilled() -> Vec<Observation> {
    let mut run: Vec<_> =
        classic_run().into_iter().filter(|seen| seen.phase != "before the minute").collect();
    (run[9].tokens_estimated, run[9].input_tokens) = (6_000, Some(5_990));
    run
}

#[test]
fn a_contradiction_is_marked_below_its_request_and_the_others_are_quiet() {
    let svg = Chart::new(&refilled(), Some(&inconclusive())).svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    let number = |node: &Node, name| node.attribute(name).and_then(|value| value.parse::<i32>().ok());
    let circles = |color| {
        let drawn = move |node: &Node| node.attribute("fill") == Some(color);
        document.descendants().filter(drawn).filter_map(|node| number(&node, "cx")).collect::<Vec<_>>()
    };
    let at_05 = circles("#0072B2")[8];
    let loud = document.descendants().filter(|node| node.attribute("stroke") == Some(CONTRADICTED));
    let strokes: Vec<Vec<i32>> = loud
        .map(|node| node.attribute("points").unwrap().split_whitespace())
        .map(|points| points.map(|point| point.split_once(',').unwrap().0.parse().unwrap()).collect())
        .collect();
    let on_time = |stroke: &&Vec<i32>| stroke.iter().sum::<i32>() == 2 * at_05;
    assert_eq!(
        (strokes.len(), strokes.iter().filter(on_time).count()),
        (4, 2),
        "one in the caption: {strokes:?}"
    );
    assert_eq!(circles("#8FBBD9").len(), 9 + 10, "what the bucket and the window admit as observed");
}

#[test]
fn the_winner_and_the_runner_up_are_compared_in_their_order() {
    let run = refilled();
    let mut verdict = inconclusive();
    assert_eq!(said(&run, &verdict), ["contradicts 1 of 11 requests", "contradicts none of 11 requests"]);
    verdict.ranked.swap(0, 1);
    assert_eq!(said(&run, &verdict), ["contradicts none of 11 requests", "contradicts 1 of 11 requests"]);
}

#[test]
fn nothing_is_drawn_where_there_is_nothing_to_compare() {
    let unlimited = Verdict { binding: Binding::None, ..inconclusive() };
    let mut unknown = conclusive();
    unknown.ranked[0].parameters = None;
    for verdict in [unlimited, unknown] {
        let svg = Chart::new(&classic_run(), Some(&verdict)).svg().unwrap();
        assert!(!svg.contains("predicted") && !svg.contains("contradicts"), "{svg}");
    }
    assert!(!Chart::new(&classic_run(), None).svg().unwrap().contains("predicted"));
}

#[test]
fn what_the_unknown_instant_of_admission_explains_is_no_contradiction() {
    // In flight while the minute turns, and well before it does.
    for (second, contradicted) in [(59.8, "none"), (58.0, "1")] {
        let mut run: Vec<_> = classic_run().into_iter().take(9).collect();
        run.push(observation("turn", "around the minute", second, 200));
        let expected = format!("contradicts {contradicted} of 10 requests");
        assert_eq!(said(&run, &only(window(8_400), QuotaKind::Tokens)), [expected], "at second {second}");
    }
}

#[test]
fn a_request_counts_from_the_instant_at_which_it_can_have_been_admitted() {
    // It leaves before the window that began with the first request is over, and returns after it.
    let mut run: Vec<_> = classic_run().into_iter().take(9).collect();
    run.push(observation("turn", "opens the next window", 94.8, 200));
    run.push(observation("turn", "does not fit into it", 100.0, 429));
    for (seen, tokens) in run[9..].iter_mut().zip([6_000, 3_000]) {
        (seen.tokens_estimated, seen.input_tokens) = (tokens, None);
    }
    let window = Mechanism::per_minute(MechanismId::AnchoredWindow, 8_000);
    assert_eq!(said(&run, &only(window, QuotaKind::Tokens)), ["contradicts none of 11 requests"]);
}

#[test]
fn a_quota_of_requests_counts_requests() {
    let run = classic_run();
    assert_eq!(said(&run, &only(window(8), QuotaKind::Requests)), ["contradicts none of 15 requests"]);
    // The last two of the fill would not have fitted.
    assert_eq!(said(&run, &only(window(6), QuotaKind::Requests)), ["contradicts 2 of 15 requests"]);
}

#[test]
fn a_few_tokens_are_no_contradiction() {
    let of = |limit| said(&classic_run(), &only(window(limit), QuotaKind::Tokens));
    assert_eq!(of(7_900), ["contradicts none of 15 requests"]);
    assert_eq!(of(6_500), ["contradicts 1 of 15 requests"]);
}

#[test]
fn failures_are_not_counted() {
    let run = steady_run(30, 1.0, |index| if index % 3 == 0 { 503 } else { 200 });
    let verdict = only(window(1_000_000), QuotaKind::Tokens);
    assert_eq!(said(&run, &verdict), ["contradicts none of 20 requests"]);
}

#[test]
fn what_a_verdict_leaves_open_is_read_in_favour_of_the_mechanism() {
    // More than was left is admitted: so it is where requests pass until the quota is used up.
    let mut run: Vec<_> = classic_run().into_iter().take(8).collect();
    run.push(observation("fill", "consume_9", 39.5, 200));
    run.push(observation("fill", "consume_10", 41.0, 429));
    assert_eq!(said(&run, &only(window(8_500), QuotaKind::Tokens)), ["contradicts none of 10 requests"]);

    // A runner-up may be a quota of requests.
    let mut verdict = only(window(8_000), QuotaKind::Tokens);
    let few = Mechanism::per_minute(MechanismId::SlidingLog, 8);
    verdict.ranked.push(Ranked { parameters: Some(few), probability: 0.0004, ..verdict.ranked[0].clone() });
    assert_eq!(
        said(&classic_run(), &verdict),
        ["contradicts none of 15 requests", "contradicts 1 of 15 requests"]
    );
    let svg = Chart::new(&classic_run(), Some(&verdict)).svg().unwrap();
    assert!(svg.contains("sliding log of 8 in any 60 s, for requests per minute (&lt;0.1 %)"), "{svg}");
}

#[test]
fn the_report_names_what_each_request_contradicts() {
    let html = Report::new(&refilled(), inconclusive(), false).html().unwrap();
    let cells: Vec<_> = html.split("<td class=\"contradicts\">").skip(1).collect();
    let contradicts: Vec<_> = cells.iter().map(|cell| cell.split('<').next().unwrap()).collect();
    assert_eq!(contradicts.len(), 11);
    assert_eq!(contradicts[9], "token_bucket");
    assert_eq!(contradicts.concat(), "token_bucket");
}
