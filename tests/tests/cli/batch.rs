//! A file of requests, and the file of their answers.

mod endpoints;
mod files;
mod killed;

use std::collections::BTreeSet;

use bedrock_tpm_tests::Program;
use serde_json::{Value, json};

const BATCH: [&str; 4] = ["batch", "in.jsonl", "--out", "out.jsonl"];

/// A request with so many words of text.
fn request(id: &str, words: usize) -> Value {
    json!({
        "recordId": id,
        "messages": [{ "role": "user", "content": [{ "text": "word ".repeat(words) }] }],
        "inferenceConfig": { "maxTokens": 100 },
    })
}

/// A program with so many requests, of 20 to 100 words, in `in.jsonl`.
fn with_requests(count: usize) -> Program {
    let program = Program::default();
    let lines = (1..=count).map(|index| format!("{}\n", request(&format!("r{index}"), 20 + 37 * index % 81)));
    program.write("in.jsonl", lines.collect::<String>());
    program
}

fn records(program: &Program) -> Vec<Value> {
    program.read("out.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines that are answered, none of them twice, each with its own id and answer.
fn answered(program: &Program) -> BTreeSet<u64> {
    let mut lines = BTreeSet::new();
    for record in records(program).iter().filter(|record| record.get("error").is_none()) {
        let line = record["line"].as_u64().unwrap();
        assert_eq!((&record["recordId"], &record["status"]), (&json!(format!("r{line}")), &json!(200)));
        assert!(record["response"]["output"]["message"]["content"][0]["text"].is_string(), "{record}");
        assert_eq!(record["output_tokens"], record["response"]["usage"]["outputTokens"]);
        assert!(lines.insert(line), "line {line} is answered twice");
    }
    lines
}
