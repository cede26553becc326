//! The unmodified boto3 against the emulator: a client that shares no code with it.

use std::path::Path;
use std::process::Command;

use bedrock_tpm::{EmulatorConfig, Mechanism};
use bedrock_tpm_tests::{python_with, serve, skip_or_fail};
use serde_json::Value;

/// Two requests of which the quota holds one, and answers of all kinds; prints what came of them as JSON.
const SCRIPT: &str = r#"
import boto3, json, sys
from botocore.config import Config

bedrock = boto3.client(
    "bedrock-runtime", endpoint_url=sys.argv[1], region_name="us-east-1",
    aws_access_key_id="x", aws_secret_access_key="x", config=Config(retries={"total_max_attempts": 1}))
request = dict(
    modelId="arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
    system=[{"text": "be brief"}],
    messages=[{"role": "user", "content": [{"text": "hello"}]}],
    inferenceConfig={"maxTokens": 20})
admitted = bedrock.converse(**request)
try:
    bedrock.converse(**request)
    throttled = None
except bedrock.exceptions.ThrottlingException as error:
    throttled = error.response
try:
    bedrock.converse(**{**request, "messages": []})
    invalid = None
except bedrock.exceptions.ValidationException as error:
    invalid = error.response

other = boto3.client(
    "bedrock-runtime", endpoint_url=sys.argv[2], region_name="us-east-1",
    aws_access_key_id="x", aws_secret_access_key="x")
streamed = list(other.converse_stream(**request)["stream"])
anthropic = dict(modelId="m", body=json.dumps({
    "anthropic_version": "bedrock-2023-05-31", "max_tokens": 20,
    "messages": [{"role": "user", "content": "hello"}]}))
invoked = other.invoke_model(**anthropic)
invoked = {"body": json.load(invoked["body"]), "headers": invoked["ResponseMetadata"]["HTTPHeaders"]}
chunks = other.invoke_model_with_response_stream(**anthropic)["body"]
chunks = [json.loads(chunk["chunk"]["bytes"]) for chunk in chunks]
print(json.dumps({
    "admitted": admitted, "throttled": throttled, "invalid": invalid,
    "streamed": streamed, "invoked": invoked, "chunks": chunks}))
"#;

#[test]
fn boto3_is_admitted_and_then_throttled_and_reads_streams() {
    let python = match python_with(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("boto3-venv"), &["boto3"]) {
        Ok(python) => python,
        Err(reason) => return skip_or_fail(&reason),
    };
    let once = Mechanism::AnchoredWindow { limit: 40, window_s: 86_400.0 };
    let server = serve(EmulatorConfig { tokens: Some(once), ..EmulatorConfig::default() });
    let unlimited = serve(EmulatorConfig::default());
    let output = Command::new(python)
        .args(["-c", SCRIPT, server.url(), unlimited.url()])
        .env("NO_PROXY", "127.0.0.1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_BEARER_TOKEN_BEDROCK")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();

    let admitted = &results["admitted"];
    assert!(
        admitted["output"]["message"]["content"][0]["text"].as_str().is_some_and(|text| !text.is_empty())
    );
    assert_eq!(admitted["usage"]["inputTokens"], 7 + 5, "7 a request, and 13 bytes");
    assert!((1..=20).contains(&admitted["usage"]["outputTokens"].as_u64().unwrap()));
    assert_eq!(admitted["ResponseMetadata"]["HTTPStatusCode"], 200);
    assert_eq!(admitted["ResponseMetadata"]["RequestId"].as_str().unwrap().len(), 36);

    let throttled = &results["throttled"];
    assert_eq!(throttled["Error"]["Code"], "ThrottlingException");
    assert_eq!(throttled["Error"]["Message"], "Too many tokens, please wait before trying again.");
    assert_eq!(throttled["ResponseMetadata"]["HTTPStatusCode"], 429);
    assert_eq!(throttled["ResponseMetadata"]["RetryAttempts"], 0);

    assert_eq!(results["invalid"]["Error"]["Code"], "ValidationException");

    let streamed = results["streamed"].as_array().unwrap();
    let events: Vec<&str> =
        streamed.iter().flat_map(|event| event.as_object().unwrap().keys()).map(String::as_str).collect();
    let expected = ["messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"];
    assert_eq!(events, expected);
    assert_eq!(streamed[4]["metadata"]["usage"]["inputTokens"], 7 + 5);

    let (invoked, headers) = (&results["invoked"]["body"], &results["invoked"]["headers"]);
    assert_eq!(invoked["usage"]["input_tokens"], 7 + 2, "7 a request, and 5 bytes");
    assert_eq!(headers["x-amzn-bedrock-input-token-count"], "9");
    assert_eq!(headers["x-amzn-bedrock-output-token-count"], invoked["usage"]["output_tokens"].to_string());
    let chunks = results["chunks"].as_array().unwrap();
    assert_eq!(chunks[1]["type"], "content_block_delta");
    assert_eq!(chunks.last().unwrap()["amazon-bedrock-invocationMetrics"]["inputTokenCount"], 9);
}
