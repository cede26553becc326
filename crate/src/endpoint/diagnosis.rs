use std::fmt;

use super::Response;
use crate::{Error, Outcome, ThrottleMessage};

/// What a failure means, and what to do about it: a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What happened.
    pub what: String,
    /// What to do next.
    pub remedy: String,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl From<Diagnosis> for Error {
    fn from(diagnosis: Diagnosis) -> Self {
        Self::setup(diagnosis.to_string())
    }
}

const SIGN_IN: &str = "sign in with `aws sso login` or `aws configure` and set AWS_PROFILE, or, however you signed in, \
                       run `eval \"$(aws configure export-credentials --format env)\"`";

impl Diagnosis {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }

    /// Whether the credentials have to be renewed before any request can pass.
    pub(crate) fn is_about_signing_in(&self) -> bool {
        self.remedy.contains(SIGN_IN)
    }

    pub(super) fn no_region() -> Self {
        Self::new(
            "no AWS Region is configured",
            "pass --region, set AWS_REGION, or set region in ~/.aws/config",
        )
    }

    pub(super) fn no_credentials(cause: &str) -> Self {
        // The default chain's own list of what it tried is long and says no more than this.
        let cause = match cause {
            exhausted if exhausted.is_empty() || exhausted.contains("no credentials found in chain") => {
                "neither in the environment, nor a profile, nor from the container or instance"
            }
            other => other,
        };
        Self::new(format!("no AWS credentials were found ({cause})"), SIGN_IN)
    }

    /// What `response` to a request for `model` means; `None` if it was admitted.
    pub(super) fn of(model: &str, region: &str, endpoint: &str, response: &Response) -> Option<Self> {
        let (kind, message) = (response.error_type.as_deref(), response.error.as_deref());
        let said = message.unwrap_or("no message");
        let text = said.to_lowercase();
        match response.outcome() {
            Outcome::Admitted => return None,
            Outcome::Throttled(by) => return Some(Self::throttled(by, region, said)),
            Outcome::Failed => {}
        }
        let kind = kind.unwrap_or_default();
        let diagnosis = match kind {
            "DispatchFailure" if text.contains("credential") => Self::no_credentials(said),
            "DispatchFailure" if text.contains("dns error") => Self::new(
                format!("the name of the endpoint cannot be resolved ({said})"),
                format!(
                    "check that Region {region} exists and offers Bedrock, and that this machine has a network"
                ),
            ),
            "DispatchFailure" => Self::new(
                format!("no connection to {} ({said})", place(endpoint, region)),
                "check that it is running, its address and port, and any proxy or firewall between",
            ),
            "ConnectTimeoutError" => Self::new(
                format!("{} did not accept a connection in time ({said})", place(endpoint, region)),
                "check its address, and whether a firewall or VPC endpoint policy drops the packets",
            ),
            "TimeoutError" => Self::new(
                format!(
                    "{} accepted the request but did not answer in time ({said})",
                    place(endpoint, region)
                ),
                "it may have been charged; ask for fewer output tokens, or allow more time",
            ),
            "ResponseError" => Self::new(
                format!("{} answered, but not as Bedrock does ({said})", place(endpoint, region)),
                "check that the URL is that of a Bedrock-compatible endpoint and that no proxy answers instead",
            ),
            "ExpiredTokenException" | "ExpiredToken" => Self::new(
                format!("the AWS credentials have expired ({said})"),
                format!("renew them: {SIGN_IN}"),
            ),
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "MissingAuthenticationTokenException" => Self::new(
                format!("AWS does not know these credentials ({said})"),
                format!("they may be expired, deleted or of another partition: {SIGN_IN}"),
            ),
            "InvalidSignatureException" | "SignatureDoesNotMatch" | "RequestTimeTooSkewed" => Self::new(
                format!("AWS rejects the request's signature ({said})"),
                "check the secret access key, and that this machine's clock is right",
            ),
            "AccessDeniedException" if text.contains("not authorized to perform") => Self::new(
                format!("the credentials lack a permission ({said})"),
                "allow bedrock:InvokeModel on the model, and on the inference profile if you call one, in IAM",
            ),
            "AccessDeniedException" => Self::new(
                format!("this account has no access to {model} in {region} ({said})"),
                "enable the model under Model access in the Bedrock console, and allow bedrock:InvokeModel in IAM",
            ),
            "ValidationException" if text.contains("on-demand throughput") => Self::new(
                format!("{model} can only be called through an inference profile"),
                format!("use {}, or another profile that contains it", profile_ids(model, region)),
            ),
            "ValidationException" if text.contains("model identifier is invalid") => Self::new(
                format!("{model} is not a model id that {region} knows"),
                "check its spelling, version suffix included, and that the Region offers it",
            ),
            "ValidationException" => Self::new(
                format!("{} rejects the request as malformed ({said})", place(endpoint, region)),
                "adapt the request to what the message says; retrying will not help",
            ),
            "ResourceNotFoundException" if text.contains("legacy") || text.contains("end of its life") => {
                Self::new(
                    format!("{model} is retired, or legacy and unused by this account ({said})"),
                    "choose an active model of the same family",
                )
            }
            "ResourceNotFoundException" => Self::new(
                format!("{region} does not have {model} ({said})"),
                "check the id and the Region; first use of some models needs a form in the Bedrock console",
            ),
            "ModelNotReadyException" => Self::new(
                format!("{model} is still loading ({said})"),
                "wait a minute and try again; this is no quota",
            ),
            "ModelTimeoutException" => Self::new(
                format!("{model} took too long ({said})"),
                "ask for fewer output tokens or send a shorter prompt; it may have been charged",
            ),
            _ if text.contains("overloaded") || text.contains("too many connections") => Self::new(
                format!("the capacity that all customers share is exhausted ({said})"),
                "this is not your quota: try later, another Region or a cross-Region profile",
            ),
            _ => Self::unexpected(kind, said, endpoint, region, response.status),
        };
        Some(diagnosis)
    }

    fn throttled(by: ThrottleMessage, region: &str, said: &str) -> Self {
        let what = format!("a quota throttled the request ({said})");
        match by {
            ThrottleMessage::TokensPerDay => Self::new(
                what,
                format!(
                    "on a first call this often means an applied quota of 0: look it up with `bedrock-tpm quotas` and \
                     ask AWS Support to raise it in {region}; otherwise wait for the next day"
                ),
            ),
            _ => Self::new(
                what,
                "wait a minute and try again; if even the first call is throttled, compare it with the applied quotas \
                 (`bedrock-tpm quotas`): a request that reserves more than the quota never passes",
            ),
        }
    }

    fn unexpected(kind: &str, said: &str, endpoint: &str, region: &str, status: Option<u16>) -> Self {
        let place = place(endpoint, region);
        let code = status.map_or_else(String::new, |status| format!("HTTP {status} "));
        match status {
            Some(500..) => Self::new(
                format!("{place} failed with {code}{kind} ({said})"),
                "this is no quota: try again later; if it stays, give AWS Support the request id",
            ),
            _ => Self::new(
                format!("{place} answered {code}{kind} ({said})"),
                "check the endpoint and the model; give AWS Support the request id if it is AWS",
            ),
        }
    }
}

fn place(endpoint: &str, region: &str) -> String {
    match endpoint {
        "aws" => format!("Bedrock in {region}"),
        other => other.to_owned(),
    }
}

/// The inference profiles that hold `model` by AWS's naming: one for the Region's geography, one for all Regions.
fn profile_ids(model: &str, region: &str) -> String {
    // An ARN ends in the model's id.
    let model = model.rsplit('/').next().unwrap_or(model);
    let geography = match region.split('-').next() {
        Some("us") if region.starts_with("us-gov-") => "us-gov",
        Some("us" | "ca") => "us",
        Some("eu") => "eu",
        Some("ap") => "apac",
        _ => return format!("global.{model}"),
    };
    format!("{geography}.{model} or global.{model}")
}
