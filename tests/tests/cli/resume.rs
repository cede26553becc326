//! Runs that were stopped, killed or cut off, and go on.

use bedrock_tpm_tests::Program;
use rustix::process::Signal;
use serde_json::Value;

use super::{FAILURE, INCONCLUSIVE, VERDICT, WRONG_USAGE};

const MEASURE: [&str; 5] = ["measure", "--json", "--trace", "t.jsonl", "--seed=1"];
const RESUME: [&str; 4] = ["measure", "--json", "--resume", "t.jsonl"];

/// Resumes `t.jsonl` to its end and checks that the verdict is over every line of it.
async fn resumed(program: &Program) -> Value {
    let finished = program.run(&RESUME).await;
    assert!([Some(VERDICT), Some(INCONCLUSIVE)].contains(&finished.status), "{finished:?}");
    let measured = finished.json();
    assert_eq!(measured["partial"], false);
    assert_eq!(measured["spent"]["requests"], program.read("t.jsonl").lines().count());
    assert_ne!(measured["enforced"]["verdict_is"], "wrong", "{measured}");
    measured
}

#[tokio::test]
async fn ctrl_c_and_sigterm_keep_the_trace_and_say_how_to_go_on() {
    for signal in [Signal::INT, Signal::TERM] {
        let program = Program::default();
        let slowly = [&MEASURE[..], &["--time-scale", "20"]].concat();
        let mut running = program.start(&slowly);
        running.until_lines(&program.path("t.jsonl"), 2).await;
        running.signal(signal);
        let stopped = running.finish().await;
        assert_eq!(stopped.status, Some(FAILURE), "{stopped:?}");
        assert_eq!(stopped.json()["partial"], true);
        assert!(stopped.stderr.contains("bedrock-tpm measure --resume t.jsonl"), "{stopped:?}");
        assert!(program.read("report.html").to_lowercase().contains("partial"));
        let kept = program.read("t.jsonl");
        resumed(&program).await;
        assert!(program.read("t.jsonl").starts_with(&kept));
    }
}

#[tokio::test]
async fn killed_in_the_middle_and_before_the_first_request() {
    for lines in [0, 3] {
        let program = Program::default();
        let mut running = program.start(&[&MEASURE[..], &["--time-scale", "20"]].concat());
        running.until_lines(&program.path("t.jsonl"), lines).await;
        running.signal(Signal::KILL);
        assert_eq!(running.finish().await.status, None);
        let kept = program.read("t.jsonl");
        resumed(&program).await;
        assert!(program.read("t.jsonl").starts_with(&kept[..kept.rfind('\n').map_or(0, |end| end + 1)]));
    }
}

/// A kill leaves a prefix of what would have been written.
#[tokio::test]
async fn a_trace_that_ends_anywhere_goes_on() {
    let program = Program::default();
    program.run(&MEASURE).await;
    let whole = program.read("t.jsonl");
    let ends: Vec<_> = whole.match_indices('\n').map(|(end, _)| end).collect();
    let [first, last] = [ends[0], ends[ends.len() - 1]];
    let before_last = ends[ends.len() - 2];
    for end in [1, first - 1, first, first + 1, ends[4] + 200, before_last + 1, last - 1, last] {
        program.write("t.jsonl", &whole[..end]);
        resumed(&program).await;
        let complete_lines = whole[..end].rfind('\n').map_or(0, |end| end + 1);
        assert!(program.read("t.jsonl").starts_with(&whole[..complete_lines]), "cut off at {end}");
    }
}

#[tokio::test]
async fn a_complete_run_sends_nothing_more() {
    let program = Program::default();
    let measured = program.run(&MEASURE).await.json();
    let whole = program.read("t.jsonl");
    let again = resumed(&program).await;
    assert_eq!(program.read("t.jsonl"), whole);
    assert_eq!(again["verdict"], measured["verdict"]);
    assert_eq!(again["probability"], measured["probability"]);
}

#[tokio::test]
async fn a_trace_of_another_quota_is_refused_untouched() {
    let program = Program::default();
    program.run(&MEASURE).await;
    let whole = program.read("t.jsonl");
    let cases: [(&[&str], &str); 4] = [
        (&["--model", "amazon.nova-lite-v1:0"], "model amazon.nova-pro-v1:0"),
        (&["--time-scale", "30"], "time scale 60"),
        (&["--endpoint-url", "http://127.0.0.1:9"], "endpoint emulator"),
        (&["--aws", "--yes", "--region", "us-east-1", "--time-scale", "1"], ""),
    ];
    for (flags, words) in cases {
        let finished = program.run(&[&RESUME[..], flags].concat()).await;
        let status = if words.is_empty() { FAILURE } else { WRONG_USAGE };
        finished.assert_failure(status, words);
        assert_eq!(program.read("t.jsonl"), whole);
    }

    let aws = whole.replace("\"endpoint\":\"emulator\"", "\"endpoint\":\"aws\"");
    program.write("t.jsonl", &aws);
    program.run(&RESUME).await.assert_failure(WRONG_USAGE, "endpoint aws");
    let later =
        whole.replace("\"sent\":\"20", "\"sent\":\"21").replace("\"finished\":\"20", "\"finished\":\"21");
    program.write("t.jsonl", &later);
    program.run(&RESUME).await.assert_failure(WRONG_USAGE, "still to come");
    let account =
        whole.replace("amazon.nova-pro-v1:0", "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/x");
    program.write("t.jsonl", &account);
    program.run(&RESUME).await.assert_failure(WRONG_USAGE, "name the model");
    assert_eq!(program.read("t.jsonl"), account);
}
