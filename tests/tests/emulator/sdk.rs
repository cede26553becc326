//! What the AWS SDK makes of the emulator, and of servers that are none.

use std::time::Duration;

use bedrock_tpm::{
    Clock, Diagnosis, EmulatorConfig, Endpoint, Outcome, Request, Response, Target, ThrottleMessage,
    Timeouts, emulated_input_tokens,
};
use bedrock_tpm_tests::{answering, deaf, refusing, serve};

use crate::{ARN, daily};

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
    let (_deaf, never_a_word) = deaf();
    let cases = [
        (never_a_word, "TimeoutError", "did not answer in time"),
        (refusing(), "DispatchFailure", "no connection"),
        ("http://nowhere.localhost:1".into(), "DispatchFailure", ""),
        (answering(String::new()), "DispatchFailure", "no connection"),
        (answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"), "ResponseError", "not as Bedrock"),
        (answering("garbage\r\n\r\n"), "DispatchFailure", "no connection"),
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
