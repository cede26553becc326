//! The verdict in plain words.

use crate::fixture::{classic_run, conclusive, inconclusive, observation, steady_run};
use bedrock_tpm::protocol::Adaptive;
use bedrock_tpm::{
    Assumptions, BedrockTpmTester, Clock, Conclusion, EmulatorConfig, Mechanism, MechanismId, Observation,
    Report, Settings, Timestamp, Verdict, analyze,
};

const TPM: u64 = 8_000;

fn analyzed(run: &[Observation]) -> Verdict {
    analyze(run, &Assumptions { tpm: Some(TPM), ..Assumptions::default() })
}

/// What an adaptive run on the emulator observed.
async fn measured(id: MechanismId) -> Vec<Observation> {
    let clock = Clock::virtual_from(Timestamp::EPOCH.plus_seconds(1_752_494_417.0));
    let emulator =
        EmulatorConfig { tokens: Some(Mechanism::per_minute(id, TPM)), seed: 5, ..Default::default() };
    let settings = Settings { tpm: Some(TPM), ..Default::default() };
    let mut tester = BedrockTpmTester::simulated(emulator, clock, settings).expect("a tester");
    let protocol = Adaptive::new(tester.settings(), clock.now()).expect("a protocol");
    protocol.run(&mut tester).await.expect("a run");
    tester.trace().observations().to_vec()
}

fn sentences(summary: &str) -> usize {
    summary.split_terminator(". ").count()
}

fn assert_says(verdict: &Verdict, parts: &[&str]) {
    let summary = &verdict.summary;
    for part in parts {
        assert!(summary.contains(part), "\"{part}\" is not in: {summary}");
    }
    assert!((1..=6).contains(&sentences(summary)), "{} sentences: {summary}", sentences(summary));
    for jargon in ["_", "posterior", "bucket", "sliding", "anchored", "window", "hypothes"] {
        assert!(!summary.contains(jargon), "\"{jargon}\" is in: {summary}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mechanism_is_explained_with_its_numbers_and_what_to_do() {
    let cases = [
        (
            MechanismId::SlidingLog,
            "in any 60 seconds, so what a request takes is available again 60 seconds later",
        ),
        (MechanismId::FixedWindow, "in each minute of the clock and starts afresh with the next"),
    ];
    for (id, behaviour) in cases {
        let mut run = measured(id).await;
        let verdict = analyzed(&run);
        assert_eq!(verdict.verdict, Conclusion::Mechanism(id), "{verdict}");
        let rejected = run.iter().filter(|seen| seen.outcome().is_throttled()).count();
        let place = "sent to amazon.nova-pro-v1:0 in local at the endpoint emulator";
        let sent = format!("(2025-07-14 UTC), {} requests were {place}: ", run.len());
        let admitted = format!("{} were admitted and used ", run.len() - rejected);
        let rejected = format!(" tokens, {rejected} were rejected with HTTP 429. The limit ");
        assert_says(&verdict, &[&sent, &admitted, &rejected, "the one on tokens per minute", behaviour]);
        let [low, _] = verdict.ranked[0].intervals["limit"];
        let advice = format!("at most {},{:03} tokens in ", low as u64 / 1_000, low as u64 % 1_000);
        assert_says(&verdict, &["95 % certain", "This explanation has a probability of", &advice]);
        assert_says(&verdict, &["Nothing is known about other limits"]);
        assert!(!verdict.summary.contains("AWS"), "an emulator has no support: {}", verdict.summary);

        run.iter_mut().for_each(|seen| seen.endpoint = "aws".into());
        assert_says(&analyzed(&run), &["ask AWS for a higher quota of tokens per minute", "AWS Support"]);
    }
}

#[test]
fn what_cannot_be_told_is_said_with_what_is_possible() {
    let verdict = analyzed(&classic_run());
    assert_eq!(verdict.verdict, Conclusion::Inconclusive, "{verdict}");
    assert_says(
        &verdict,
        &[
            "Between 12:00:35 and 12:01:50",
            "10 were admitted and used 9,980 tokens, 5 were rejected",
            "How it works cannot be told",
        ],
    );
}

#[test]
fn nothing_is_claimed_where_nothing_was_rejected() {
    let run = steady_run(4, 1.0, |index| if index == 3 { 503 } else { 200 });
    assert_says(&analyzed(&run), &["none was rejected, 1 failed for other reasons", "No limit was reached"]);
    assert_says(&analyzed(&[observation("fill", "one", 0.0, 200)]), &["1 request was sent to"]);
    assert_eq!(analyzed(&[]).summary, "No request was sent yet, so nothing is known.");
}

#[test]
fn the_text_the_document_and_the_report_have_it() {
    for verdict in [inconclusive(), conclusive()] {
        let summary = "It \"cannot\" be told <how>.";
        let verdict = Verdict { summary: summary.into(), ..verdict };
        assert!(verdict.to_string().contains(&format!("\nIn plain words: {summary}\n")), "{verdict}");
        let document = serde_json::to_value(&verdict).unwrap();
        assert_eq!(document["summary"], summary);
        let html = Report::new(&classic_run(), verdict, false).html().unwrap();
        assert!(html.contains("be told &#60;how&#62;.</p>"), "escaped, in the report");
    }
}
