//! What an endpoint answers, and what becomes of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bedrock_tpm::{EmulatorConfig, Mechanism, MechanismId};
use bedrock_tpm_tests::{Finished, Program, answering, answering_each, refusing, serve};
use serde_json::{Value, json};

use super::{BATCH, answered, records, with_requests};
use crate::endpoints::{JSON, aws, http};
use crate::{FAILURE, WRONG_USAGE};

fn converse() -> String {
    let answer = json!({
        "metrics": { "latencyMs": 1 },
        "output": { "message": { "role": "assistant", "content": [{ "text": "Grüezi" }] } },
        "stopReason": "end_turn",
        "usage": { "inputTokens": 9, "outputTokens": 2, "totalTokens": 11, "cacheReadInputTokens": 3 },
        "unheardOf": [1.5, { "b": null, "a": "\u{1f980}" }],
    });
    http(200, &format!("content-type: {JSON}\r\nx-amzn-requestid: abc-1"), &answer.to_string())
}

fn unavailable() -> String {
    aws(503, "ServiceUnavailableException", "Bedrock is unable to process your request.")
}

/// Sends the batch to `url`, a minute in a second, with these flags.
async fn sent(program: &Program, url: &str, flags: &[&str]) -> Finished {
    let to = ["--endpoint-url", url, "--time-scale", "60", "--rpm", "600"];
    program.run(&[&BATCH[..], &to, flags].concat()).await
}

#[tokio::test]
async fn a_request_goes_out_and_its_answer_comes_back_as_they_are() {
    let received = Arc::new(Mutex::new(Vec::new()));
    let inbox = received.clone();
    let url = answering_each(move |request| {
        inbox.lock().unwrap().push(request);
        converse()
    });
    let body = json!({
        "messages": [{ "role": "user", "content": [{ "text": "Grüß Gott \u{1f600}\n" }, { "futureBlock": { "x": [1, 2.5] } }] }],
        "inferenceConfig": { "maxTokens": 10, "temperature": 0.25 },
        "additionalModelRequestFields": { "top_k": 5, "deep": { "z": true, "a": [] } },
    });
    let mut line = body.clone();
    (line["modelId"], line["recordId"]) = ("eu.anthropic.claude/x:0".into(), 17.into());
    let program = Program::default();
    program.write("in.jsonl", line.to_string());
    let finished = sent(&program, &url, &[]).await;
    assert_eq!(finished.status, Some(0), "{finished:?}");

    let received = received.lock().unwrap();
    let [(path, sent_body)] = &received[..] else { panic!("{received:?}") };
    assert_eq!(path, "/model/eu.anthropic.claude%2Fx%3A0/converse");
    assert_eq!(String::from_utf8_lossy(sent_body), body.to_string());
    let [record] = &records(&program)[..] else { panic!() };
    assert_eq!((&record["recordId"], &record["model"]), (&json!(17), &json!("eu.anthropic.claude/x:0")));
    assert_eq!((&record["request_id"], &record["attempts"]), (&json!("abc-1"), &json!(1)));
    assert_eq!((&record["input_tokens"], &record["output_tokens"]), (&json!(9), &json!(2)));
    let (_, answer) =
        converse().split_once("\r\n\r\n").map(|(head, body)| (head.len(), body.to_owned())).unwrap();
    assert_eq!(record["response"].to_string(), answer);
}

#[tokio::test]
async fn a_service_that_fails_for_a_while_answers_all_in_the_end() {
    let failures = AtomicUsize::new(12);
    let url = answering_each(move |_| {
        let is_over =
            failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        if is_over { converse() } else { unavailable() }
    });
    let program = with_requests(5);
    let finished = sent(&program, &url, &["--json"]).await;
    assert_eq!((finished.status, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    assert_eq!((&finished.json()["sent"], &finished.json()["failed"]), (&json!(17), &json!(0)));
    let attempts: u64 = records(&program).iter().map(|record| record["attempts"].as_u64().unwrap()).sum();
    assert_eq!((answered(&program), attempts), ((1..=5).collect(), 17));
}

/// `attempts` of each of two requests, and the status and error type in the output.
async fn fails(url: &str, attempts: u64, status: Value, error_type: &str) {
    let program = with_requests(2);
    let finished = sent(&program, url, &["--json", "--timeout", "1"]).await;
    assert_eq!(finished.status, Some(FAILURE), "{finished:?}");
    assert_eq!((&finished.json()["failed"], &finished.json()["sent"]), (&json!(2), &json!(2 * attempts)));
    let records = records(&program);
    assert_eq!(records.len(), 2);
    for record in records {
        assert_eq!((&record["attempts"], &record["status"]), (&json!(attempts), &status), "{record}");
        assert_eq!(record["error_type"], error_type, "{record}");
        assert!(record["error"].is_string() && record.get("response").is_none(), "{record}");
    }
}

#[tokio::test]
async fn what_may_pass_another_time_is_sent_eight_times_and_then_listed() {
    fails(&answering(unavailable()), 8, json!(503), "ServiceUnavailableException").await;
    fails(&answering(aws(408, "ModelTimeoutException", "too long")), 8, json!(408), "ModelTimeoutException")
        .await;
    fails(&answering(aws(429, "ModelNotReadyException", "loading")), 8, json!(429), "ModelNotReadyException")
        .await;
    fails(&refusing(), 8, Value::Null, "DispatchFailure").await;
}

#[tokio::test]
async fn what_never_passes_is_sent_once_and_then_listed() {
    fails(&answering(aws(400, "ValidationException", "malformed")), 1, json!(400), "ValidationException")
        .await;
    let denied = aws(403, "AccessDeniedException", "You don't have access to the model");
    fails(&answering(denied), 1, json!(403), "AccessDeniedException").await;
}

#[tokio::test]
async fn what_concerns_every_request_ends_the_batch_and_nothing_counts_as_failed() {
    let expired = aws(403, "ExpiredTokenException", "The security token is expired");
    let day = aws(429, "ThrottlingException", "Too many tokens per day, please wait before trying again.");
    for (answer, words) in [(expired, "aws sso login"), (day, "wait for the next day")] {
        let program = with_requests(5);
        let finished = sent(&program, &answering(answer), &["--json", "--concurrency", "1"]).await;
        assert_eq!(finished.status, Some(FAILURE), "{finished:?}");
        let last = finished.stderr.lines().last().unwrap();
        assert!(last.contains(words) && last.ends_with("; then the same command goes on"), "{finished:?}");
        assert_eq!((&finished.json()["left"], &finished.json()["sent"]), (&json!(5), &json!(1)));
        assert_eq!(program.read("out.jsonl"), "");
    }
}

/// The verdict of a saved trace in place of `--tpm`.
#[tokio::test]
async fn a_verdict_says_how_the_quota_is_enforced() {
    let bucket = Mechanism::per_minute(MechanismId::TokenBucket, 8_000);
    let server = serve(EmulatorConfig { tokens: Some(bucket), ..EmulatorConfig::default() });
    let program = with_requests(100);
    let to = ["--endpoint-url", server.url(), "--time-scale", "60", "--json", "--verdict", "verdict.json"];
    let to = [&BATCH[..], &to].concat();
    let trace = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/token-bucket.jsonl");
    let open = program.run(&["analyze", trace, "--json"]).await;
    program.write("verdict.json", open.stdout);
    program.run(&to).await.assert_failure(WRONG_USAGE, "a mechanism that `measure --json` has named");

    let verdict = program.run(&["analyze", trace, "--json", "--confidence", "0.6"]).await;
    assert_eq!(verdict.json()["verdict"], "token_bucket");
    program.write("verdict.json", verdict.stdout);
    let finished = program.run(&to).await;
    assert_eq!((finished.status, &finished.json()["throttled"]), (Some(0), &json!(0)), "{finished:?}");
    assert_eq!(answered(&program).len(), 100);
    assert!(finished.json()["minutes"].as_f64() > Some(1.0), "more than the bucket holds: {finished:?}");
}
