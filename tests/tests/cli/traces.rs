//! Traces that are corrupt, absurd or merely odd.

use bedrock_tpm_tests::Program;
use serde_json::{Value, json};

use super::{FAILURE, INCONCLUSIVE};

fn observation() -> Value {
    json!({
        "phase": "fill", "name": "fill 1", "sent": "2025-01-01T00:00:00Z", "finished": "2025-01-01T00:00:01Z",
        "tokens_estimated": 10, "max_tokens": 1, "status": 200,
    })
}

/// An observation where one field is another.
fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut changed = observation();
    changed[field] = value.into();
    changed
}

/// A good line and then this one.
fn second(line: impl ToString) -> Vec<u8> {
    format!("{}\n{}\n", observation(), line.to_string()).into_bytes()
}

#[tokio::test]
async fn a_corrupt_trace_is_refused_with_its_line() {
    let cut_off = observation().to_string()[..60].to_owned();
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let line_2 = [
        second("[1, 2]"),
        second("{}"),
        second("\u{0}"),
        second(cut_off.clone()),
        second(nested),
        second(json!({"sent": "2025-01-01T00:00:00Z"})),
        second(with("tokens_estimated", -1)),
        second(with("tokens_estimated", 1.5)),
        second(with("tokens_estimated", u64::MAX)),
        second(with("input_tokens", u64::MAX)),
        second(with("hidden_retries", u32::MAX)),
        second(with("status", "200")),
        second(with("status", 99_999)),
        second(with("sent", 5)),
        second(with("sent", "yesterday")),
        second(with("sent", "9999-12-31T23:59:59Z")),
        second(with("sent", "1677-01-01T00:00:00Z")),
        second(with("finished", "2262-04-11T23:47:16.85Z")),
        second(with("finished", "2025-02-01T00:00:00Z")),
        second(with("time_resolution_s", "a second")),
        second(with("status", "x".repeat(5_000_000))),
        [observation().to_string().as_bytes(), b"\n\xff\xfe\n"].concat(),
    ];
    let line_1 =
        [b"".to_vec(), b"\n\n".to_vec(), cut_off.into_bytes(), vec![0xe9, 0, 7, 10, 200], b"hello".to_vec()];
    let program = Program::default();
    for (line, traces) in [("line 2", &line_2[..]), ("line 1", &line_1[..])] {
        for trace in traces {
            program.write("t.jsonl", trace);
            for command in [&["analyze", "t.jsonl", "--json"][..], &["report", "t.jsonl"]] {
                let finished = program.run(command).await;
                finished.assert_failure(FAILURE, &format!("t.jsonl {line}: "));
                assert!(finished.stderr.len() < 500, "{}", finished.stderr.len());
            }
        }
    }
    assert_eq!(program.files(), ["t.jsonl"]);
}

#[tokio::test]
async fn what_is_no_file_is_no_trace() {
    let program = Program::default();
    for (path, words) in
        [(".", "name a file"), ("missing.jsonl", "name a file"), ("/dev/zero", "larger than")]
    {
        program.run(&["analyze", path]).await.assert_failure(FAILURE, words);
        program.run(&["measure", "--resume", path]).await.assert_failure(FAILURE, "name a");
    }
    // What is not a trace is not made one, although it may look like a line that was cut off.
    for content in ["hello", "[1,", "{\n  \"a\": 1\n}", "\u{0}\u{0}"] {
        program.write("precious", content);
        let finished = program.run(&["measure", "--resume", "precious"]).await;
        finished.assert_failure(FAILURE, "precious line");
        assert_eq!(program.read("precious"), content);
    }
}

#[tokio::test]
async fn an_odd_trace_is_judged() {
    let throttled = with("status", 429);
    let lines = |values: &[&Value]| values.iter().map(|value| format!("{value}\n")).collect::<String>();
    let later = with("sent", "2025-01-01T00:05:00Z");
    let far_apart = with("sent", "2025-09-01T00:00:00Z");
    let cases = [
        lines(&[&later, &throttled, &observation()]),
        lines(&[&throttled; 5]),
        lines(&[&with("finished", "2024-01-01T00:00:00Z"), &throttled]),
        lines(&[&throttled, &{ far_apart }]).replace("\"finished\":\"2025-01-01T00:00:01Z\",", ""),
        lines(&[&observation(), &throttled]).replace('\n', "\r\n"),
        format!("\u{feff}{}", lines(&[&observation(), &throttled])),
        lines(&[&with("tokens_estimated", 0), &with("error", "x".repeat(5_000_000))]),
        lines(&[&with("tpm", 0), &with("rpm", u64::MAX), &with("time_scale", 0), &throttled]),
        lines(&[
            &json!({"local_time": "23:59:60", "status": 200}),
            &json!({"local_time": "00:00:00", "status": 429}),
        ]),
    ];
    let program = Program::default();
    for trace in cases {
        program.write("t.jsonl", &trace);
        let finished = program.run(&["analyze", "t.jsonl", "--json"]).await;
        assert_eq!(finished.status, Some(INCONCLUSIVE), "{}: {finished:?}", &trace[..300.min(trace.len())]);
        assert!(finished.json()["ranked"].is_array());
        let report = program.run(&["report", "t.jsonl"]).await;
        assert_eq!(
            (report.status, report.stderr.as_str()),
            (Some(0), ""),
            "{}",
            &trace[..300.min(trace.len())]
        );
        for file in report.stdout.lines() {
            assert!(program.path(file).metadata().unwrap().len() > 1_000, "{file}");
        }
    }
}

#[tokio::test]
async fn a_trace_cannot_write_to_the_terminal() {
    let program = Program::default();
    let mut hostile = with("name", "\u{1b}[2Jhello\nthere\u{7}");
    (hostile["status"], hostile["phase"]) = (429.into(), "\u{1b}]0;phase\u{7}".into());
    program.write("t.jsonl", format!("{hostile}\n"));
    let finished = program.run(&["analyze", "t.jsonl"]).await;
    assert!(finished.stdout.contains("hello there"), "{finished:?}");
    assert!(finished.stdout.chars().all(|c| c == '\n' || !c.is_control()), "{finished:?}");
}
