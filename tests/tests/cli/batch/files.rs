//! Inputs, outputs and arguments that cannot work.

use bedrock_tpm_tests::Program;
use serde_json::{Value, json};

use super::{BATCH, answered, records, request, with_requests};
use crate::{FAILURE, WRONG_USAGE};

#[tokio::test]
async fn lines_that_can_never_succeed_are_listed_and_the_others_answered() {
    let program = Program::default();
    let unset = json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] });
    let large = request("large", 30_000);
    let mut no_model = request("no model", 5);
    no_model["modelId"] = 7.into();
    let lines = [
        request("r1", 5).to_string(),
        "{\"messages\": [".into(),
        String::new(),
        "[1, 2]".into(),
        "{\"recordId\": \"r5\"}".into(),
        unset.to_string(),
        large.to_string(),
        no_model.to_string(),
        json!({ "recordId": { "own": 9 }, "messages": [], "inferenceConfig": { "maxTokens": 5 } })
            .to_string(),
        request("r10", 5).to_string(),
    ];
    program.write("in.jsonl", lines.join("\r\n"));
    let finished = program.run(&[&BATCH[..], &["--json"]].concat()).await;
    assert_eq!(finished.status, Some(FAILURE), "{finished:?}");
    assert_eq!(finished.stderr, "the same command tries again what has failed\n");
    assert_eq!(answered(&program), [1, 10].into());
    let report = finished.json();
    assert_eq!((&report["requests"], &report["failed"], &report["sent"]), (&json!(9), &json!(7), &json!(3)));
    let expected = [
        (2, "not JSON (EOF while parsing a list)"),
        (4, "not a JSON object"),
        (5, "`messages` is not a list"),
        (6, "inferenceConfig.maxTokens is not set"),
        (7, "can never pass a quota of 8000 tokens per minute"),
        (8, "`modelId` is not a model's id"),
        (9, "must start with a user message"),
    ];
    let failed: Vec<Value> =
        records(&program).into_iter().filter(|record| record.get("error").is_some()).collect();
    for (line, words) in expected {
        let record = failed.iter().find(|record| record["line"] == line).unwrap();
        assert!(record["error"].as_str().unwrap().contains(words), "{record}");
        assert_eq!(record["attempts"], if line == 9 { 1 } else { 0 });
        let named =
            report["failures"].as_array().unwrap().iter().find(|failure| failure["line"] == line).unwrap();
        assert_eq!((&named["error"], named.get("recordId")), (&record["error"], record.get("recordId")));
    }
    assert_eq!(records(&program).len(), 9);

    // What is corrected meanwhile is another request on a line that was not answered.
    let corrected: Vec<_> = (1..=10).map(|index| request(&format!("r{index}"), 5).to_string()).collect();
    program.write("in.jsonl", [&lines[..1], &corrected[1..9], &lines[9..]].concat().join("\n"));
    let finished = program.run(&BATCH).await;
    assert_eq!((finished.status, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    assert!(
        finished.stdout.starts_with("10 of 10 requests answered, 0 failed, 0 left\nsent    8 in "),
        "{finished:?}"
    );
    assert_eq!(answered(&program), (1..=10).collect());
}

#[tokio::test]
async fn a_file_of_something_else_ends_soon_and_says_why() {
    let program = Program::default();
    program.write("in.jsonl", "hello\n".repeat(1_000));
    let finished = program.run(&BATCH).await;
    assert_eq!(finished.status, Some(FAILURE), "{finished:?}");
    assert!(finished.stderr.contains("20 requests in a row failed: not JSON"), "{finished:?}");
    assert_eq!(records(&program).len(), 20);
}

#[tokio::test]
async fn an_output_of_something_else_is_refused_untouched() {
    let program = with_requests(3);
    for (content, words) in [
        ("hello", "out.jsonl line 1: not a result of `batch`"),
        ("{\"line\": 1}\n", "out.jsonl line 1: not a result of `batch`"),
        ("\n\n{\"line\": 1", "out.jsonl line 3: not a result of `batch`"),
    ] {
        let content = if content.starts_with('\n') { format!("{content}}}") } else { content.to_owned() };
        program.write("out.jsonl", &content);
        program.run(&BATCH).await.assert_failure(FAILURE, words);
        assert_eq!(program.read("out.jsonl"), content);
    }
    program.write("out.jsonl", "");
    program.run(&BATCH).await;
    let whole = program.read("out.jsonl");
    program.write("in.jsonl", format!("{}\n", request("other", 3)).repeat(3));
    program.run(&BATCH).await.assert_failure(WRONG_USAGE, "answers another request, or model, than line");
    assert_eq!(program.read("out.jsonl"), whole);
}

#[tokio::test]
async fn wrong_usage_is_named() {
    let program = with_requests(3);
    program.write("empty.jsonl", "\n \n");
    program.write("bad.json", "{}");
    let cases: &[(&str, i32, &str)] = &[
        ("batch in.jsonl", WRONG_USAGE, "--out"),
        ("batch --out o", WRONG_USAGE, "<IN>"),
        ("batch in.jsonl --out o --concurrency 0", WRONG_USAGE, "--concurrency"),
        (
            "batch in.jsonl --out o --endpoint-url http://127.0.0.1:9",
            WRONG_USAGE,
            "give --tpm, --rpm or both",
        ),
        ("batch in.jsonl --out o --aws --yes", WRONG_USAGE, "--verdict"),
        ("batch in.jsonl --out o --aws --tpm 100", WRONG_USAGE, "add --yes"),
        ("batch in.jsonl --out o --aws --tpm 100 --time-scale 9", WRONG_USAGE, "loopback"),
        ("batch in.jsonl --out o --aws --tpm 100 --yes --region us-east-1", FAILURE, "no AWS credentials"),
        ("batch in.jsonl --out o --verdict missing.json", WRONG_USAGE, "measure --json"),
        ("batch in.jsonl --out o --verdict bad.json", WRONG_USAGE, "measure --json"),
        ("batch in.jsonl --out missing/o", FAILURE, "folder that exists"),
        ("batch in.jsonl --out o --budget-tokens 5", FAILURE, "raise --budget-tokens"),
        ("batch in.jsonl --out .", FAILURE, "a new one"),
        ("batch in.jsonl --out /dev/full", FAILURE, "a new one"),
        ("batch missing.jsonl --out o", FAILURE, "cannot open missing.jsonl"),
        ("batch /dev/zero --out o", FAILURE, "regular file"),
        ("batch . --out o", FAILURE, "regular file"),
        ("batch empty.jsonl --out o", FAILURE, "holds no request"),
    ];
    for (arguments, status, words) in cases {
        let arguments: Vec<_> = arguments.split(' ').collect();
        program.run(&arguments).await.assert_failure(*status, words);
    }
}
