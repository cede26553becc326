//! What answers tell about their tokens.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types::{ConverseStreamOutput, ResponseStream};
use bedrock_tpm::{EmulatorConfig, emulated_input_tokens};
use bedrock_tpm_tests::serve;
use serde_json::{Value, json};

use crate::{LIMIT, MODEL, SHORT, assert_used, client, converse, converse_stream, passes, tokens};

const PROMPT: &str = "a prompt of 23 bytes :-)";

fn nova(prompt: &str, max_tokens: u64) -> Value {
    json!({
        "messages": [{ "role": "user", "content": [{ "text": prompt }] }],
        "inferenceConfig": { "maxTokens": max_tokens },
    })
}

fn anthropic(prompt: &str, max_tokens: u64) -> Value {
    json!({
        "anthropic_version": "bedrock-2023-05-31",
        "messages": [{ "role": "user", "content": prompt }],
        "max_tokens": max_tokens,
    })
}

fn blob(body: &Value) -> Blob {
    Blob::new(body.to_string())
}

#[tokio::test]
async fn converse_settles_by_its_usage() {
    let (server, throttle) = (serve(EmulatorConfig::default()), tokens());
    let client = throttle.over(&client(server.url()));
    let answer = converse(&client, PROMPT, 5_000).send().await.unwrap();
    let usage = answer.usage().unwrap();
    assert_eq!(usage.input_tokens() as u64, emulated_input_tokens(PROMPT.len()));
    assert_used(&throttle, usage.total_tokens() as u64, "converse").await;
}

#[tokio::test]
async fn invoke_model_settles_by_its_headers() {
    let server = serve(EmulatorConfig::default());
    for body in [nova(PROMPT, 5_000), anthropic(PROMPT, 5_000)] {
        let throttle = tokens();
        let client = throttle.over(&client(server.url()));
        let answer = client.invoke_model().model_id(MODEL).body(blob(&body)).send().await.unwrap();
        let answer: Value = serde_json::from_slice(answer.body().as_ref()).unwrap();
        let count = |names: [&str; 2]| names.iter().find_map(|name| answer["usage"][name].as_u64()).unwrap();
        let input_tokens = count(["inputTokens", "input_tokens"]);
        assert_eq!(input_tokens, emulated_input_tokens(PROMPT.len()));
        let used = input_tokens + count(["outputTokens", "output_tokens"]);
        assert_used(&throttle, used, &body.to_string()).await;
    }
}

#[tokio::test]
async fn converse_stream_settles_at_its_last_event() {
    let (server, throttle) = (serve(EmulatorConfig::default()), tokens());
    let client = throttle.over(&client(server.url()));
    let mut answer = converse_stream(&client, PROMPT, 5_000).send().await.unwrap();
    let (mut words, mut usage) = (0, None);
    while let Some(event) = answer.stream.recv().await.unwrap() {
        match event {
            ConverseStreamOutput::MessageStart(_) => {
                assert!(passes(&throttle, LIMIT / 2, SHORT).await.is_none(), "all is reserved until the end");
            }
            ConverseStreamOutput::ContentBlockDelta(event) => {
                words += event.delta().unwrap().as_text().unwrap().split(' ').count();
            }
            ConverseStreamOutput::Metadata(event) => usage = event.usage,
            _ => {}
        }
    }
    let usage = usage.unwrap();
    assert_eq!(usage.output_tokens() as usize, words);
    assert_used(&throttle, usage.total_tokens() as u64, "converse_stream").await;
}

#[tokio::test]
async fn invoke_model_with_response_stream_settles_at_its_last_chunk() {
    let server = serve(EmulatorConfig::default());
    for body in [nova(PROMPT, 5_000), anthropic(PROMPT, 5_000)] {
        let throttle = tokens();
        let client = throttle.over(&client(server.url()));
        let call = client.invoke_model_with_response_stream().model_id(MODEL).body(blob(&body));
        let mut answer = call.send().await.unwrap();
        let mut last = Value::Null;
        while let Some(ResponseStream::Chunk(chunk)) = answer.body.recv().await.unwrap() {
            last = serde_json::from_slice(chunk.bytes().unwrap().as_ref()).unwrap();
        }
        let metrics = &last["amazon-bedrock-invocationMetrics"];
        let count = |name: &str| metrics[name].as_u64().unwrap();
        let used = count("inputTokenCount") + count("outputTokenCount");
        assert_used(&throttle, used, &body.to_string()).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_before_its_end_counts_as_used_up() {
    let (server, throttle) = (serve(EmulatorConfig::default()), tokens());
    let client = throttle.over(&client(server.url()));
    let mut answer = converse_stream(&client, PROMPT, 5_000).send().await.unwrap();
    assert!(answer.stream.recv().await.unwrap().is_some());
    drop(answer);
    assert_is_used_up(&client, &throttle).await;
}

/// 5,000 tokens of output and some input, of twice as many.
async fn assert_is_used_up(client: &Client, throttle: &bedrock_tpm::Throttle) {
    assert!(passes(throttle, 5_000, SHORT).await.is_none(), "less is used than was reserved");
    assert!(converse(client, PROMPT, 4_800).send().await.is_ok(), "more is used than was reserved");
}
