//! Runs that were stopped, killed or cut off, and go on.

use bedrock_tpm_tests::Program;
use rustix::process::Signal;
use serde_json::Value;

use super::{FAILURE, INCONCLUSIVE, VERDICT, WRONG_USAGE};

const MEASURE: [&str; 6] = ["measure", "--protocol=classic", "--json", "--seed=1", "--trace", "t.jsonl"];
const RESUME: [&str; 5] = ["measure", "--protocol=classic", "--json", "--resume", "t.jsonl"];

/// Resumes `t.jsonl` with these arguments to its end and checks that the verdict is over every line of it.
async fn resumed(program: &Program, arguments: &[&str]) -> Value {
    let finished = program.run(arguments).await;
    assert!([Some(VERDICT), Some(INCONCLUSIVE)].contains(&finished.status), "{finished:?}");
    let measured = finished.json();
    assert_eq!(measured["partial"], false);
    assert_eq!(measured["spent"]["requests"], program.read("t.jsonl").lines().count());
    assert_ne!(measured["enforced"]["verdict_is"], "wrong", "{measured}");
    measured
}

/// Slow enough to be stopped in the middle.
const SLOWLY: [&str; 2] = ["--time-scale", "40"];

async fn keeps_its_trace_and_says_how_to_go_on(signal: Signal) {
    let program = Program::default();
    let mut running = program.start(&[&MEASURE[..], &SLOWLY].concat());
    running.until_lines(&program.path("t.jsonl"), 2).await;
    running.signal(signal);
    let stopped = running.finish().await;
    assert_eq!(stopped.status, Some(FAILURE), "{stopped:?}");
    assert_eq!(stopped.json()["partial"], true);
    assert!(
        stopped.stderr.contains("bedrock-tpm measure --resume t.jsonl --protocol classic"),
        "{stopped:?}"
    );
    assert!(program.read("report.html").to_lowercase().contains("partial"));
    let kept = program.read("t.jsonl");
    resumed(&program, &RESUME).await;
    assert!(program.read("t.jsonl").starts_with(&kept));
}

#[tokio::test]
async fn ctrl_c() {
    keeps_its_trace_and_says_how_to_go_on(Signal::INT).await;
}

#[tokio::test]
async fn sigterm() {
    keeps_its_trace_and_says_how_to_go_on(Signal::TERM).await;
}

async fn goes_on_after_a_kill_at(lines: usize) {
    let program = Program::default();
    let mut running = program.start(&[&MEASURE[..], &SLOWLY].concat());
    running.until_lines(&program.path("t.jsonl"), lines).await;
    running.signal(Signal::KILL);
    assert_eq!(running.finish().await.status, None);
    let kept = program.read("t.jsonl");
    resumed(&program, &RESUME).await;
    assert!(program.read("t.jsonl").starts_with(&kept[..kept.rfind('\n').map_or(0, |end| end + 1)]));
}

#[tokio::test]
async fn killed_before_the_first_request() {
    goes_on_after_a_kill_at(0).await;
}

#[tokio::test]
async fn killed_in_the_middle() {
    goes_on_after_a_kill_at(3).await;
}

#[tokio::test]
async fn the_adaptive_protocol_goes_on_after_a_kill() {
    let program = Program::default();
    let mut running = program.start(&["measure", "--seed=4", "--time-scale=30", "--trace", "t.jsonl"]);
    running.until_lines(&program.path("t.jsonl"), 5).await;
    running.signal(Signal::KILL);
    assert_eq!(running.finish().await.status, None);
    resumed(&program, &["measure", "--json", "--resume", "t.jsonl"]).await;
}

#[tokio::test]
async fn of_two_that_go_on_with_one_trace_one_is_stopped() {
    let program = Program::default();
    let mut running = program.start(&[&MEASURE[..], &SLOWLY].concat());
    running.until_lines(&program.path("t.jsonl"), 2).await;
    let other = program.start(&[&RESUME[..], &SLOWLY].concat());
    let ended = [running.finish().await, other.finish().await];
    let stopped =
        ended.iter().filter(|it| it.stderr.contains("somebody else has written to the trace t.jsonl"));
    assert!(stopped.clone().all(|it| it.status == Some(FAILURE)), "{ended:?}");
    assert!(stopped.count() > 0, "{ended:?}");
    resumed(&program, &[&RESUME[..], &SLOWLY].concat()).await;
}

/// A kill leaves a prefix of what would have been written: here cut off before, at and after the start of a line, or of
/// the last one if there are fewer.
async fn goes_on_from_line(line: usize) {
    let program = Program::default();
    program.run(&[&MEASURE[..], &["--time-scale", "180"]].concat()).await;
    let whole = program.read("t.jsonl");
    let line = line.min(whole.lines().count() - 1);
    let start = whole.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
    for end in [start.saturating_sub(1), start, start + 300] {
        program.write("t.jsonl", &whole[..end]);
        resumed(&program, &RESUME).await;
        let complete = whole[..=end].rfind("}\n").map_or(0, |end| end + 1);
        assert!(program.read("t.jsonl").starts_with(&whole[..complete]), "cut off at {end}");
    }
}

#[tokio::test]
async fn cut_off_in_the_first_line() {
    goes_on_from_line(0).await;
}

#[tokio::test]
async fn cut_off_in_the_fill() {
    goes_on_from_line(4).await;
}

#[tokio::test]
async fn cut_off_in_the_last_line() {
    goes_on_from_line(usize::MAX).await;
}

#[tokio::test]
async fn a_complete_run_sends_nothing_more() {
    let program = Program::default();
    let measured = program.run(&MEASURE).await.json();
    let whole = program.read("t.jsonl");
    let again = resumed(&program, &RESUME).await;
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
