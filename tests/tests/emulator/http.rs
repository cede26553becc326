//! What plain clients get, and hostile ones.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use bedrock_tpm::{EmulatorConfig, EmulatorServer, emulated_input_tokens};
use bedrock_tpm_tests::serve;
use serde_json::{Value, json};

use crate::{ARN, daily};

/// What the emulator answers to these bytes: status line, headers and JSON body.
fn raw(server: &EmulatorServer, request: &[u8]) -> (String, Value) {
    let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may refuse a long request before it has read all of it.
    let _ = stream.write_all(request);
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    let response = String::from_utf8(response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    (head.to_lowercase(), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn converse(body: &Value) -> Vec<u8> {
    post("/model/m/converse", body.to_string().as_bytes())
}

#[test]
fn a_plain_client_gets_the_documented_json() {
    let server = serve(EmulatorConfig::default());
    let body = json!({
        "system": [{ "text": "be brief" }],
        "messages": [{ "role": "user", "content": [{ "text": "hi" }, { "image": { "format": "png" } }] }],
        "inferenceConfig": { "maxTokens": 3, "temperature": 0.5 },
    });
    let (head, answer) = raw(&server, &post(&format!("/model/{ARN}/converse"), body.to_string().as_bytes()));
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("x-amzn-requestid: ") && head.contains("content-type: application/json"), "{head}");
    assert_eq!(answer["usage"]["inputTokens"], emulated_input_tokens(10));
    let (input, output) = (answer["usage"]["inputTokens"].as_u64(), answer["usage"]["outputTokens"].as_u64());
    assert_eq!(
        answer["usage"]["totalTokens"].as_u64(),
        input.zip(output).map(|(input, output)| input + output)
    );
    assert!(answer["metrics"]["latencyMs"].as_u64().unwrap() >= 300);
    assert_eq!(answer["output"]["message"]["role"], "assistant");
    assert!(answer["output"]["message"]["content"][0]["text"].as_str().is_some_and(|text| !text.is_empty()));
    assert!(["max_tokens", "end_turn"].contains(&answer["stopReason"].as_str().unwrap()));
}

#[test]
fn an_unset_cap_reserves_the_models_maximum() {
    let messages = json!([{ "role": "user", "content": [{ "text": "hi" }] }]);
    for (quota, status) in [(64_007, "429"), (64_008, "200")] {
        let server = serve(EmulatorConfig { tokens: daily(quota), ..EmulatorConfig::default() });
        let (head, _) = raw(&server, &converse(&json!({ "messages": messages })));
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{quota}: {head}");
        if status == "429" {
            let error_type =
                "x-amzn-errortype: throttlingexception:http://internal.amazon.com/coral/com.amazon.bedrock/";
            assert!(head.contains(error_type) && !head.contains("retry-after"), "{head}");
        }
    }
}

#[test]
fn hostile_requests_get_an_aws_error_and_do_no_harm() {
    let server = serve(EmulatorConfig::default());
    let good = json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] });
    let text = good.to_string();
    let capped =
        |tokens: Value| json!({ "messages": good["messages"], "inferenceConfig": { "maxTokens": tokens } });
    let deep = "[".repeat(100_000);
    let cases: Vec<(Vec<u8>, &str, &str)> = vec![
        (converse(&json!({})), "400", "validationexception"),
        (converse(&json!({ "messages": [] })), "400", "validationexception"),
        (converse(&json!({ "messages": "hi" })), "400", "validationexception"),
        (converse(&capped(json!(0))), "400", "validationexception"),
        (converse(&capped(json!(-1))), "400", "validationexception"),
        (converse(&capped(json!(64_001))), "400", "validationexception"),
        (converse(&capped(json!(1e300))), "400", "validationexception"),
        (post("/model/m/converse", b"not json"), "400", "validationexception"),
        (
            post("/model/m/converse", b"{\"messages\": [{\"content\": [{\"text\": \"\xff\xfe\"}]}]}"),
            "400",
            "validationexception",
        ),
        (post("/model/m/converse", deep.as_bytes()), "400", "validationexception"),
        (post("/model/m/converse", &vec![b' '; 21_000_000]), "413", "requestentitytoolargeexception"),
        (post("/model//converse", text.as_bytes()), "400", "validationexception"),
        (
            post(&format!("/model/{}/converse", "m".repeat(3_000)), text.as_bytes()),
            "400",
            "validationexception",
        ),
        (post("/model/m/invoke", b"not json"), "400", "validationexception"),
        (
            post("/model/m/invoke", br#"{"anthropic_version": "x", "messages": [{"content": "hi"}]}"#),
            "400",
            "validationexception",
        ),
        (post("/model/m/converse-stream", b"{}"), "400", "validationexception"),
        (post("/model/m/listen", text.as_bytes()), "404", "unknownoperationexception"),
        (post("/", b""), "404", "unknownoperationexception"),
        (
            b"GET /model/m/converse HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(),
            "404",
            "unknownoperationexception",
        ),
    ];
    // Half-open: a request that never ends, while the others are served.
    let mut half_open = TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
    half_open.write_all(b"POST /model/m/converse HTTP/1.1\r\ncontent-length: 10\r\n\r\n{").unwrap();
    for (request, status, error_type) in cases {
        let begins = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        let (head, body) = raw(&server, &request);
        // A client that is refused in the middle of its body may lose the answer to a connection reset.
        if status == "413" && head.is_empty() {
            continue;
        }
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{begins}: {head}");
        assert!(head.contains(&format!("x-amzn-errortype: {error_type}")), "{begins}: {head}");
        assert!(
            head.contains("x-amzn-requestid: ") && body["message"].is_string(),
            "{begins}: {head} {body}"
        );
    }
    for garbage in [&b"\x00\xff\x16\x03\x01"[..], b"POST\r\n\r\n", b"\r\n\r\n\r\n", b""] {
        let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
        stream.write_all(garbage).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    }
    let (head, _) = raw(&server, &converse(&good));
    assert!(head.starts_with("http/1.1 200"), "{head}");
    drop(server);
    assert!(is_closed(half_open), "a half-open connection outlives the server");
}

#[test]
fn a_dropped_server_lets_go_of_its_port() {
    let server = serve(EmulatorConfig::default());
    let address = server.url().trim_start_matches("http://").to_owned();
    let idle = TcpStream::connect(&address).unwrap();
    drop(server);
    assert!(is_closed(idle), "an idle connection outlives the server");
    // The server's thread lets go of connections and port in no set order.
    let gone = (0..1_000).any(|_| TcpStream::connect(&address).is_err());
    assert!(gone, "somebody still listens");
}

/// Whether the other side closes or resets the connection, rather than keeping it open without a word.
fn is_closed(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}
