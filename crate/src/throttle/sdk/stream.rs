//! An event stream, watched as its reader reads it.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_eventstream::smithy::parse_response_headers;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::event_stream::Message;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde_json::Value;

use super::call::Answering;
use super::usage::{Reported, ended};
use crate::throttle::Ended;

/// `body`, unchanged for its reader; what it says about its tokens ends the reservation. So does dropping it before
/// that: then nobody knows.
pub(super) fn watched(body: SdkBody, answering: Answering) -> SdkBody {
    let mut watching =
        Some(Watching { answering, buffer: BytesMut::new(), decoder: MessageFrameDecoder::new() });
    SdkBody::from_body_1_x(body.inspect_frame(move |frame| {
        if let Some(data) = frame.data_ref() {
            watching = watching.take().and_then(|watching| watching.read(data));
        }
    }))
}

#[derive(Debug)]
struct Watching {
    answering: Answering,
    buffer: BytesMut,
    decoder: MessageFrameDecoder,
}

impl Watching {
    /// Reads on; `None` if it has seen what it waits for, or what is no event stream.
    fn read(mut self, data: &Bytes) -> Option<Self> {
        self.buffer.extend_from_slice(data);
        while let DecodedFrame::Complete(message) = self.decoder.decode_frame(&mut self.buffer).ok()? {
            match told(&message) {
                Told::Nothing => {}
                Told::Used(reported) => {
                    self.answering.answered(reported);
                    return None;
                }
                Told::Failed(ended) => {
                    self.answering.end(ended);
                    return None;
                }
            }
        }
        Some(self)
    }
}

/// What an event says about the reservation.
enum Told {
    Nothing,
    Used(Reported),
    Failed(Ended),
}

fn told(message: &Message) -> Told {
    let Ok(headers) = parse_response_headers(message) else { return Told::Nothing };
    let reported = match (headers.message_type.as_str(), headers.smithy_type.as_str()) {
        ("event", "metadata") => json(message.payload()).and_then(|event| Reported::in_usage(&event)),
        ("event", "chunk") => chunk(message.payload()).and_then(|chunk| Reported::in_metrics(&chunk)),
        ("event", _) => None,
        (_, exception) => return Told::Failed(ended(None, Some(exception), message.payload())),
    };
    reported.map_or(Told::Nothing, Told::Used)
}

/// What a chunk of InvokeModel's stream holds: JSON of the model's own.
fn chunk(event: &[u8]) -> Option<Value> {
    let event = json(event)?;
    json(&BASE64_STANDARD.decode(event.get("bytes")?.as_str()?).ok()?)
}

fn json(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}
