//! Many processes that share the quotas of one account through a real Redis.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod processes;
mod server;

use bedrock_tpm::{Mechanism, QuotaKind, ThrottleSettings};
use bedrock_tpm_tests::{RedisServer, skip_or_fail};

/// A server, if the machine has one.
fn redis() -> Option<RedisServer> {
    RedisServer::start().inspect_err(|reason| skip_or_fail(reason)).ok()
}

fn settings(quotas: Vec<(QuotaKind, Mechanism)>) -> ThrottleSettings {
    ThrottleSettings { quotas, clock_error_s: 0.02, ..ThrottleSettings::stated(None, None) }
}
