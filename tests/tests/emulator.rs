//! The AWS SDK against the emulator, and both of them against what should not happen.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use bedrock_tpm::{
    Clock, Diagnosis, EmulatorConfig, EmulatorServer, Endpoint, Mechanism, Outcome, Request, Response,
    Target, ThrottleMessage, Timeouts, emulated_input_tokens,
};
use bedrock_tpm_tests::serve;
use serde_json::{Value, json};

const ARN: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc/def";

/// A quota that a test cannot see the end of: its day starts with the first request.
fn daily(limit: u64) -> Option<Mechanism> {
    Some(Mechanism::AnchoredWindow { limit, window_s: 86_400.0 })
}

fn request(max_tokens: u32) -> Request {
    Request { model: "amazon.nova-pro-v1:0".into(), prompt: "a prompt of 23 bytes :-)".into(), max_tokens }
}

async fn client(url: &str) -> Endpoint {
    let timeouts = Timeouts { connect: Duration::from_millis(300), attempt: Duration::from_millis(600) };
    let target = Target::Url { url: url.into(), region: None };
    Endpoint::connect(&target, timeouts, Clock::scaled(60).unwrap()).await.unwrap()
}

fn outcome(response: &Response) -> Outcome {
    Outcome::of(response.status, response.error_type.as_deref(), response.error.as_deref())
}

fn diagnosis(endpoint: &Endpoint, response: &Response) -> Diagnosis {
    endpoint.diagnose("some.model", response).unwrap()
}

#[tokio::test]
async fn the_sdk_is_admitted_and_told_what_it_used() {
    let server = serve(EmulatorConfig::default());
    let endpoint = client(server.url()).await;
    for model in ["amazon.nova-pro-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", ARN] {
        let response = endpoint.send(&Request { model: model.into(), ..request(5) }).await;
        assert_eq!(outcome(&response), Outcome::Admitted, "{model}: {response:?}");
        let usage = response.usage.unwrap();
        assert_eq!(usage.input_tokens, emulated_input_tokens(request(5).prompt.len()));
        assert!((1..=5).contains(&usage.output_tokens));
        assert!(response.request_id.is_some_and(|id| id.len() == 36));
        let took_s = response.finished.seconds_since(response.sent);
        assert!((0.3..10.0).contains(&took_s), "{took_s} s of the emulator's time");
        assert!(endpoint.diagnose(model, &endpoint.send(&request(5)).await).is_none());
    }
}

#[tokio::test]
async fn the_sdk_is_throttled_with_bedrocks_own_message() {
    let quota = |tokens, requests, tokens_per_day| EmulatorConfig {
        tokens: daily(tokens),
        requests: daily(requests),
        tokens_per_day: Some(tokens_per_day),
        ..EmulatorConfig::default()
    };
    let cases = [
        (quota(1, 9, 9), ThrottleMessage::Tokens, "Too many tokens, please wait before trying again."),
        (quota(9, 9, 0), ThrottleMessage::Tokens, "Too many tokens, please wait before trying again."),
        (
            quota(999, 9, 0),
            ThrottleMessage::TokensPerDay,
            "Too many tokens per day, please wait before trying again.",
        ),
    ];
    for (config, named, message) in cases {
        let server = serve(config);
        let endpoint = client(server.url()).await;
        let response = endpoint.send(&request(5)).await;
        assert_eq!(outcome(&response), Outcome::Throttled(named), "{response:?}");
        assert_eq!(
            (response.status, response.error_type.as_deref()),
            (Some(429), Some("ThrottlingException"))
        );
        assert_eq!(response.error.as_deref(), Some(message));
        assert!(response.request_id.is_some() && response.usage.is_none());
        assert!(diagnosis(&endpoint, &response).remedy.contains("bedrock-tpm quotas"));
    }

    let server = serve(quota(9_999, 1, 9_999));
    let endpoint = client(server.url()).await;
    assert!(outcome(&endpoint.send(&request(5)).await).is_admitted());
    let second = endpoint.send(&request(5)).await;
    assert_eq!(outcome(&second), Outcome::Throttled(ThrottleMessage::Requests));
    assert_eq!(second.error.as_deref(), Some("Too many requests, please wait before trying again."));
}

#[tokio::test]
async fn many_connections_at_once_share_one_quota() {
    let server = serve(EmulatorConfig { requests: daily(20), ..EmulatorConfig::default() });
    let endpoint = client(server.url()).await;
    let sending: Vec<_> = (0..50)
        .map(|_| {
            let endpoint = endpoint.clone();
            tokio::spawn(async move { outcome(&endpoint.send(&request(5)).await) })
        })
        .collect();
    let mut admitted = 0;
    for sent in sending {
        let outcome = sent.await.unwrap();
        assert_ne!(outcome, Outcome::Failed);
        admitted += usize::from(outcome.is_admitted());
    }
    assert_eq!(admitted, 20);
}

#[tokio::test]
async fn error_codes_reach_the_response() {
    let server = serve(EmulatorConfig { error_rate: 1.0, ..EmulatorConfig::default() });
    let endpoint = client(server.url()).await;
    let unavailable = endpoint.send(&request(5)).await;
    assert_eq!(unavailable.status, Some(503));
    assert_eq!(unavailable.error_type.as_deref(), Some("ServiceUnavailableException"));
    assert_eq!(outcome(&unavailable), Outcome::Failed);
    for wrong in [request(0), request(64_001), Request { model: "white space".into(), ..request(5) }] {
        let response = endpoint.send(&wrong).await;
        assert_eq!(response.status, Some(400), "{response:?}");
        assert_eq!(response.error_type.as_deref(), Some("ValidationException"));
        assert_eq!(outcome(&response), Outcome::Failed);
    }
}

#[tokio::test]
async fn answers_that_are_not_bedrocks_are_failures() {
    let html = "<html><body>Welcome</body></html>";
    let cases: [(u16, &str, &str, Option<&str>); 7] = [
        (200, "text/html", html, Some("ResponseError")),
        (200, "application/json", r#"{"output":{"message":{"ro"#, Some("ResponseError")),
        (200, "application/json", "{}", Some("ResponseError")),
        (200, "application/json", "\u{0}\u{1}\u{2}", Some("ResponseError")),
        (500, "text/html", html, None),
        (502, "text/plain", "", None),
        (
            418,
            "application/json",
            r#"{"__type":"SomethingNewException","message":"new"}"#,
            Some("SomethingNewException"),
        ),
    ];
    for (status, content, body, error_type) in cases {
        let length = body.len();
        let url = answering(format!(
            "HTTP/1.1 {status} Whatever\r\ncontent-type: {content}\r\ncontent-length: {length}\r\n\r\n{body}"
        ));
        let endpoint = client(&url).await;
        let response = endpoint.send(&request(5)).await;
        assert_eq!(response.status, Some(status), "{response:?}");
        assert_eq!(response.error_type.as_deref(), error_type, "{response:?}");
        assert_eq!(outcome(&response), Outcome::Failed, "{response:?}");
        assert_is_one_line(&diagnosis(&endpoint, &response));
    }
}

#[tokio::test]
async fn transport_failures_name_their_kind() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cases = [
        (format!("http://{}", deaf.local_addr().unwrap()), "TimeoutError", "did not answer in time"),
        (format!("http://{refused}"), "DispatchFailure", "no connection"),
        ("http://nowhere.localhost:1".into(), "DispatchFailure", ""),
        (answering(String::new()), "DispatchFailure", "no connection"),
        (
            answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".into()),
            "ResponseError",
            "not as Bedrock",
        ),
        (answering("garbage\r\n\r\n".into()), "DispatchFailure", "no connection"),
    ];
    for (url, error_type, what) in cases {
        let endpoint = client(&url).await;
        let response = endpoint.send(&request(5)).await;
        assert_eq!(response.error_type.as_deref(), Some(error_type), "{url}: {response:?}");
        assert_eq!(outcome(&response), Outcome::Failed);
        assert!(response.finished >= response.sent);
        let diagnosis = diagnosis(&endpoint, &response);
        assert!(diagnosis.what.contains(what), "{diagnosis:?}");
        assert_is_one_line(&diagnosis);
    }
}

fn assert_is_one_line(diagnosis: &Diagnosis) {
    for line in [&diagnosis.what, &diagnosis.remedy] {
        assert!(!line.is_empty() && !line.contains('\n'), "{line:?}");
    }
}

/// A server that reads a request, answers each with `response` and hangs up.
fn answering(response: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().take(1) {
            let mut stream = stream.unwrap();
            let mut request = [0; 65_536];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(response.as_bytes()).unwrap();
        }
    });
    url
}

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
        (post("/model/m/invoke", text.as_bytes()), "404", "unknownoperationexception"),
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
