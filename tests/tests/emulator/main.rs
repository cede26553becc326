//! The emulator over HTTP: with the AWS SDK, with plain clients, and with what should not happen.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod http;
mod sdk;

use bedrock_tpm::Mechanism;

const ARN: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc/def";

/// A quota that a test cannot see the end of: its day starts with the first request.
fn daily(limit: u64) -> Option<Mechanism> {
    Some(Mechanism::AnchoredWindow { limit, window_s: 86_400.0 })
}
