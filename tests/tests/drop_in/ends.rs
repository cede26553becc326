//! How calls end that are not answered.

use std::io::{BufRead, BufReader};

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bedrock_tpm::{EmulatorConfig, QuotaKind, Throttle};
use bedrock_tpm_tests::{answering, deaf, refusing, serve};

use crate::{
    LIMIT, LONG, SHORT, client, config, converse, converse_stream, daily, passes, text, tokens, unsigned,
};

#[tokio::test]
async fn a_call_that_is_cancelled_gives_back_what_it_has_unless_it_was_sent() {
    let throttle = tokens();
    let (listener, url) = deaf();
    let client = throttle.over(&client(&url));
    let all = throttle.acquire(LIMIT, 0).await.unwrap();
    let waiting = tokio::time::timeout(SHORT, converse(&client, "hi", 9_000).send()).await;
    assert!(waiting.is_err());
    drop(all);
    assert!(passes(&throttle, LIMIT, LONG).await.is_some(), "one that waited has left something behind");

    let call = tokio::spawn(converse(&client, "hi", 9_000).send());
    let arrived = tokio::task::spawn_blocking(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        (line, stream)
    });
    let (line, _stream) = arrived.await.unwrap();
    assert!(line.starts_with("POST /model/"), "{line}");
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert!(passes(&throttle, 1_000, SHORT).await.is_none(), "one that was sent may have been admitted");
    assert_eq!(throttle.stats().sent, 1);
}

#[tokio::test]
async fn without_a_connection_or_credentials_nothing_was_sent() {
    let throttle = tokens();
    for url in [refusing(), "http://127.0.0.1:1".into(), "http://host.invalid".into()] {
        let error = text(converse(&throttle.over(&client(&url)), "hi", 9_000).send().await.unwrap_err());
        assert!(passes(&throttle, LIMIT, LONG).await.is_some(), "{error}");
    }
    let server = serve(EmulatorConfig::default());
    let nobody = Client::from_conf(unsigned(server.url()).build());
    let error = text(converse(&throttle.over(&nobody), "hi", 9_000).send().await.unwrap_err());
    assert!(error.contains("auth scheme"), "{error}");
    assert!(passes(&throttle, LIMIT, LONG).await.is_some(), "{error}");
    assert_eq!(throttle.stats().sent, 0);
}

#[tokio::test]
async fn a_failure_that_is_no_429_counts_as_used_up() {
    let page = |status: &str, body: &str| {
        let length = body.len();
        answering(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"))
    };
    let urls = [
        page("503 Unavailable", r#"{"__type":"ServiceUnavailableException","message":"no"}"#),
        page("429 Not Ready", r#"{"__type":"ModelNotReadyException","message":"not ready"}"#),
        page("429 Busy", r#"{"__type":"ThrottlingException","message":"Model x is currently overloaded"}"#),
        page("200 OK", "{}"),
        page("200 OK", "not json"),
        answering(String::new()),
    ];
    for url in urls {
        let throttle = tokens();
        let _ = converse(&throttle.over(&client(&url)), "hi", 9_000).send().await;
        assert!(passes(&throttle, 1_000, SHORT).await.is_none(), "{url} gave something back");
        assert_eq!((throttle.stats().sent, throttle.stats().throttled), (1, 0));
    }
}

#[tokio::test]
async fn a_429_makes_it_cautious_whichever_way_it_comes() {
    let server = serve(EmulatorConfig { spurious_429: 1.0, ..EmulatorConfig::default() });
    let body = r#"{"message":"Too many requests, please wait before trying again."}"#;
    let length = body.len();
    let as_400 = answering(format!(
        "HTTP/1.1 400 Bad\r\nconnection: close\r\nx-amzn-errortype: ThrottlingException:http://x/\r\n\
         content-length: {length}\r\n\r\n{body}"
    ));
    for url in [server.url(), &as_400] {
        let throttle = daily(QuotaKind::Requests, 100);
        let client = throttle.over(&client(url));
        let error = text(converse(&client, "hi", 5).send().await.unwrap_err());
        assert!(error.contains("ThrottlingException"), "{error}");
        assert_is_cautious(&throttle);
        let error = text(invoke(&daily(QuotaKind::Requests, 100).over(&client)).await);
        assert!(error.contains("ThrottlingException"), "{error}");
    }
    let of_tokens = tokens();
    let error = converse(&of_tokens.over(&client(&as_400)), "hi", 5).send().await.unwrap_err();
    assert!(text(error).contains("Too many requests"));
    assert_eq!((of_tokens.stats().throttled, of_tokens.stats().cautious_until), (1, None), "another quota's");
}

async fn invoke(
    client: &Client,
) -> aws_sdk_bedrockruntime::error::SdkError<impl std::error::Error + 'static> {
    let body = aws_sdk_bedrockruntime::primitives::Blob::new(r#"{"messages":[{"content":[{"text":"hi"}]}]}"#);
    client.invoke_model().model_id("m").body(body).send().await.unwrap_err()
}

#[tokio::test]
async fn a_429_in_the_middle_of_a_stream_makes_it_cautious() {
    let header =
        |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let start = Message::new(r#"{"role":"assistant"}"#)
        .add_header(header(":event-type", "messageStart"))
        .add_header(header(":content-type", "application/json"))
        .add_header(header(":message-type", "event"));
    let exception = Message::new(r#"{"message":"Too many requests, please wait before trying again."}"#)
        .add_header(header(":exception-type", "throttlingException"))
        .add_header(header(":content-type", "application/json"))
        .add_header(header(":message-type", "exception"));
    let mut body = Vec::new();
    for message in [start, exception] {
        write_message_to(&message, &mut body).unwrap();
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let url = answering([head.as_bytes(), &body].concat());
    let throttle = daily(QuotaKind::Requests, 100);
    let mut answer = converse_stream(&throttle.over(&client(&url)), "hi", 5).send().await.unwrap();
    assert!(answer.stream.recv().await.unwrap().is_some());
    let error = answer.stream.recv().await.unwrap_err();
    assert!(text(error).contains("ThrottlingException"));
    assert_is_cautious(&throttle);
}

#[tokio::test]
async fn the_sdk_does_not_retry_before_the_throttle_has_paused() {
    let server = serve(EmulatorConfig { spurious_429: 1.0, ..EmulatorConfig::default() });
    let throttle = daily(QuotaKind::Requests, 100);
    let retries = RetryConfig::standard().with_max_attempts(5);
    let config = config(server.url()).retry_config(retries).build();
    let client = throttle.over(&Client::from_conf(config));
    let call = tokio::time::timeout(LONG / 10, converse(&client, "hi", 5).send()).await;
    assert!(call.is_err(), "a retry did not wait");
    assert_eq!((throttle.stats().sent, throttle.stats().throttled), (1, 1));
}

fn assert_is_cautious(throttle: &Throttle) {
    let stats = throttle.stats();
    assert_eq!((stats.sent, stats.throttled), (1, 1));
    assert!(stats.cautious_until.is_some());
}
