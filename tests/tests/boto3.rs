//! The unmodified boto3 against the emulator: a client that shares no code with it.

use std::path::Path;
use std::process::Command;

use bedrock_tpm::{EmulatorConfig, Mechanism};
use bedrock_tpm_tests::{python_with, serve, skip_or_fail};
use serde_json::Value;

/// Two requests of which the quota holds one; prints what came of them as JSON.
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
print(json.dumps({"admitted": admitted, "throttled": throttled, "invalid": invalid}))
"#;

#[test]
fn boto3_is_admitted_and_then_throttled() {
    let python = match python_with(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("boto3-venv"), &["boto3"]) {
        Ok(python) => python,
        Err(reason) => return skip_or_fail(&reason),
    };
    let once = Mechanism::AnchoredWindow { limit: 40, window_s: 86_400.0 };
    let server = serve(EmulatorConfig { tokens: Some(once), ..EmulatorConfig::default() });
    let output = Command::new(python)
        .args(["-c", SCRIPT, server.url()])
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
}
