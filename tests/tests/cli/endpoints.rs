//! Endpoints that fail: `check` names the fix, `measure` stops early and keeps its trace.

use bedrock_tpm_tests::{Program, answering, deaf, refusing};

use super::{FAILURE, VERDICT};

const MODEL: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
pub(super) const JSON: &str = "application/json";

pub(super) fn http(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} .\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n\r\n{body}")
}

/// An AWS error.
pub(super) fn aws(status: u16, error_type: &str, message: &str) -> String {
    let headers = format!("content-type: {JSON}\r\nx-amzn-errortype: {error_type}");
    http(status, &headers, &format!(r#"{{"message":"{message}"}}"#))
}

/// Both commands against `url`: what `check` finds, and how `measure` gives up.
async fn fails(url: &str, what: &str, remedy: &str) {
    fails_after(3, url, what, remedy).await;
}

/// Fails, once so many requests have failed in a row.
async fn fails_after(failures: usize, url: &str, what: &str, remedy: &str) {
    let program = Program::default();
    let to = ["--endpoint-url", url, "--model", MODEL, "--region", "eu-west-1", "--timeout", "1", "--json"];
    let check = program.run(&[&["check"], &to[..]].concat()).await;
    assert_eq!(check.status, Some(FAILURE), "{check:?}");
    assert_eq!(check.stderr, "");
    let found = |field: &str| check.json()[field].as_str().unwrap_or_default().to_owned();
    assert!(found("failed").contains(what), "{what}: {check:?}");
    assert!(found("remedy").contains(remedy), "{remedy}: {check:?}");

    let measure = ["measure", "--tpm", "8000", "--time-scale", "60", "--trace", "t.jsonl"];
    let measure = program.run(&[&measure, &to[..]].concat()).await;
    assert_eq!(measure.status, Some(FAILURE), "{measure:?}");
    assert_eq!(measure.json()["partial"], true);
    assert_eq!(measure.json()["verdict"], "inconclusive");
    assert_eq!(program.read("t.jsonl").lines().count(), failures, "a few failures are enough");
    assert!(measure.stderr.contains(remedy), "{measure:?}");
    assert!(measure.stderr.contains(&format!("--resume t.jsonl --endpoint-url {url}")), "{measure:?}");
    assert_eq!(measure.stderr.lines().count(), 1, "{measure:?}");
}

#[tokio::test]
async fn nobody_there() {
    fails(&refusing(), "no connection", "check that it is running").await;
}

#[tokio::test]
async fn nobody_answers_in_time() {
    let (_listener, url) = deaf();
    fails(&url, "did not answer in time", "allow more time").await;
}

#[tokio::test]
async fn what_answers_is_not_bedrock() {
    let html = http(200, "content-type: text/html", "<html>Welcome</html>");
    fails(&answering(html), "not as Bedrock does", "no proxy answers").await;
    let cut_off = http(200, &format!("content-type: {JSON}"), r#"{"output": {"message": {"ro"#);
    fails(&answering(cut_off), "not as Bedrock does", "no proxy answers").await;
    let interrupted = format!("HTTP/1.1 200 .\r\ncontent-type: {JSON}\r\ncontent-length: 500\r\n\r\n{{");
    fails(&answering(interrupted), "", "").await;
    fails(&answering("SSH-2.0-OpenSSH_9.6\r\n"), "", "").await;
}

#[tokio::test]
async fn the_service_is_unwell() {
    let unavailable = aws(503, "ServiceUnavailableException", "Bedrock is unable to process your request.");
    fails_after(8, &answering(unavailable), "HTTP 503", "try again later").await;
    let gateway = http(502, "content-type: text/html", "<html>Bad Gateway</html>");
    fails(&answering(gateway), "HTTP 502", "try again later").await;
    let crowded = aws(503, "ServiceUnavailableException", "Too many connections, please wait.");
    fails_after(8, &answering(crowded), "all customers share", "not your quota").await;
}

#[tokio::test]
async fn the_account_may_not() {
    let cases = [
        ("ExpiredTokenException", "The security token is expired", "have expired", "aws sso login"),
        ("UnrecognizedClientException", "The security token is invalid", "does not know", "deleted"),
        ("AccessDeniedException", "You don't have access to the model", "no access to", "Model access"),
        ("AccessDeniedException", "x is not authorized to perform: y", "lack a permission", "IAM"),
    ];
    for (error_type, message, what, remedy) in cases {
        fails(&answering(aws(403, error_type, message)), what, remedy).await;
    }
}

#[tokio::test]
async fn the_model_needs_another_name() {
    let profile_only = "Invocation of model ID X with on-demand throughput isn't supported. Retry your request with \
                        the ID or ARN of an inference profile that contains this model.";
    let profile_only = answering(aws(400, "ValidationException", profile_only));
    fails(&profile_only, "inference profile", &format!("use eu.{MODEL} or global.{MODEL}")).await;
    let unknown = answering(aws(400, "ValidationException", "The provided model identifier is invalid."));
    fails(&unknown, "not a model id", "spelling").await;
}

/// `--aws` goes through the default chain, which can be pointed at a server here.
#[tokio::test]
async fn real_aws_with_credentials_that_have_expired() {
    let url = answering(aws(403, "ExpiredTokenException", "The security token in the request is expired"));
    let program = Program::default()
        .with("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .with("AWS_SECRET_ACCESS_KEY", "never-to-be-printed")
        .with("AWS_SESSION_TOKEN", "never-to-be-printed")
        .with("AWS_REGION", "us-east-1")
        .with("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &url);
    let check = program.run(&["check", "--aws", "--yes"]).await;
    assert_eq!(check.status, Some(FAILURE), "{check:?}");
    assert!(check.stdout.contains("failed  the AWS credentials have expired"), "{check:?}");
    assert!(check.stdout.contains("fix     renew them"), "{check:?}");
    assert!(!format!("{check:?}").contains("never-to-be-printed"));
}

#[tokio::test]
async fn check_finds_nothing_wrong_with_the_emulator() {
    let check = Program::default().run(&["check", "--json"]).await;
    assert_eq!(check.status, Some(VERDICT), "{check:?}");
    assert_eq!(check.json()["ok"].as_array().unwrap().len(), 2);
}
