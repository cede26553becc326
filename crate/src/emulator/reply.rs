//! Answers over HTTP: whole, as an event stream, or an error.

use std::convert::Infallible;
use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use axum::body::Body;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::Operation;
use super::format::Format;
use super::wire::{Answered, Fault};
use crate::Clock;

const INPUT_TOKENS: HeaderName = HeaderName::from_static("x-amzn-bedrock-input-token-count");
const OUTPUT_TOKENS: HeaderName = HeaderName::from_static("x-amzn-bedrock-output-token-count");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const ERROR_NAMESPACE: &str = ":http://internal.amazon.com/coral/com.amazon.bedrock/";

pub(super) fn whole(operation: Operation, format: Format, answer: &Answered) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    let body = format.whole(answer).to_string();
    match operation {
        Operation::InvokeModel => {
            let counts = [
                (INPUT_TOKENS, answer.usage.input_tokens.to_string()),
                (OUTPUT_TOKENS, answer.usage.output_tokens.to_string()),
            ];
            (json, counts, body).into_response()
        }
        _ => (json, body).into_response(),
    }
}

/// An event stream whose first event comes at once, and the others when the answer is complete.
pub(super) fn streamed(format: Format, answer: &Answered, clock: Clock, until_answer: Duration) -> Response {
    let events = format.events(answer).into_iter();
    let frames: Vec<Vec<u8>> = events.map(|(kind, event)| frame(kind, &event)).collect();
    let parts = stream::iter(frames).enumerate().then(move |(index, frame)| async move {
        if index == 1 {
            clock.sleep(until_answer).await;
        }
        Ok::<_, Infallible>(frame)
    });
    ([(header::CONTENT_TYPE, "application/vnd.amazon.eventstream")], Body::from_stream(parts)).into_response()
}

pub(super) fn rejected(fault: &Fault) -> Response {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error_type = format!("{}{ERROR_NAMESPACE}", fault.error_type);
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned()), (ERROR_TYPE, error_type)];
    (status, headers, json!({ "message": fault.message }).to_string()).into_response()
}

fn frame(kind: &'static str, event: &Value) -> Vec<u8> {
    let payload = match kind {
        "chunk" => json!({ "bytes": BASE64_STANDARD.encode(event.to_string()) }),
        _ => event.clone(),
    };
    let header =
        |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let message = Message::new(payload.to_string())
        .add_header(header(":event-type", kind))
        .add_header(header(":content-type", "application/json"))
        .add_header(header(":message-type", "event"));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("three short headers and a short text fit a frame");
    bytes
}
