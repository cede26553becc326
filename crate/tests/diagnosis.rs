//! What each failure means, and what to do about it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use bedrock_tpm::{Clock, Diagnosis, Endpoint, Response, Target, Timeouts, Timestamp};

const MODEL: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

async fn endpoint(region: &str) -> Endpoint {
    let target = Target::Url { url: "http://127.0.0.1:9".into(), region: Some(region.into()) };
    Endpoint::connect(&target, Timeouts::default(), Clock::system()).await.unwrap()
}

fn response(status: Option<u16>, error_type: &str, error: &str) -> Response {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Response {
        sent: Timestamp::EPOCH,
        finished: Timestamp::EPOCH,
        status,
        error_type: text(error_type),
        error: text(error),
        request_id: None,
        usage: None,
    }
}

async fn diagnose(region: &str, response: Response) -> Diagnosis {
    endpoint(region).await.diagnose(MODEL, &response).unwrap()
}

#[tokio::test]
async fn every_known_failure_has_its_own_remedy() {
    let lookup = "client error (Connect): dns error: failed to lookup address information";
    let profile = "Invocation of model ID X with on-demand throughput isn’t supported. Retry your request with the ID \
                   or ARN of an inference profile that contains this model.";
    let cases = [
        (
            None,
            "DispatchFailure",
            "no providers in chain provided credentials",
            "credentials",
            "aws sso login",
        ),
        (None, "DispatchFailure", lookup, "cannot be resolved", "eu-west-9"),
        (None, "DispatchFailure", "Connection refused", "no connection", "running"),
        (None, "ConnectTimeoutError", "5 s", "accept a connection", "firewall"),
        (None, "TimeoutError", "60 s", "did not answer", "charged"),
        (Some(200), "ResponseError", "expected value", "not as Bedrock", "proxy"),
        (Some(403), "ExpiredTokenException", "expired", "expired", "renew"),
        (Some(403), "UnrecognizedClientException", "invalid token", "does not know", "partition"),
        (Some(403), "InvalidSignatureException", "signature", "signature", "clock"),
        (
            Some(403),
            "AccessDeniedException",
            "User: x is not authorized to perform: bedrock:InvokeModel",
            "lack a permission",
            "bedrock:InvokeModel",
        ),
        (
            Some(403),
            "AccessDeniedException",
            "You don't have access to the model",
            "no access",
            "Model access",
        ),
        (Some(400), "ValidationException", profile, "inference profile", "eu.anthropic"),
        (
            Some(400),
            "ValidationException",
            "The provided model identifier is invalid.",
            "not a model id",
            "spelling",
        ),
        (Some(400), "ValidationException", "something else", "malformed", "retrying will not help"),
        (
            Some(404),
            "ResourceNotFoundException",
            "This Model is marked by provider as Legacy",
            "legacy",
            "active model",
        ),
        (
            Some(404),
            "ResourceNotFoundException",
            "Could not resolve the foundation model",
            "does not have",
            "the Region",
        ),
        (Some(429), "ModelNotReadyException", "not ready", "still loading", "wait"),
        (Some(408), "ModelTimeoutException", "too long", "too long", "fewer output tokens"),
        (
            Some(429),
            "ThrottlingException",
            "Model X is currently overloaded",
            "all customers",
            "not your quota",
        ),
        (
            Some(503),
            "ServiceUnavailableException",
            "Too many connections, please wait",
            "all customers",
            "not your quota",
        ),
        (
            Some(503),
            "ServiceUnavailableException",
            "Bedrock is unable to process your request.",
            "HTTP 503",
            "no quota",
        ),
        (Some(500), "", "HTTP 500 with text/html and no AWS error message", "HTTP 500", "no quota"),
        (Some(424), "ModelErrorException", "the model failed", "ModelErrorException", "request id"),
        (
            Some(429),
            "ThrottlingException",
            "Too many tokens per day, please wait before trying again.",
            "throttled",
            "quota of 0",
        ),
        (
            Some(429),
            "ThrottlingException",
            "Too many tokens, please wait before trying again.",
            "throttled",
            "never passes",
        ),
    ];
    for (status, error_type, error, what, remedy) in cases {
        let diagnosis = diagnose("eu-west-9", response(status, error_type, error)).await;
        assert!(diagnosis.what.contains(what), "{error_type} {error}: {diagnosis:?}");
        assert!(diagnosis.remedy.contains(remedy), "{error_type} {error}: {diagnosis:?}");
        assert!(!diagnosis.what.contains('\n') && !diagnosis.remedy.contains('\n'), "{diagnosis:?}");
    }
    let admitted = response(Some(200), "", "");
    assert_eq!(endpoint("eu-west-9").await.diagnose(MODEL, &admitted), None);
}

#[tokio::test]
async fn the_profile_that_is_named_fits_the_region() {
    let profile_only = || response(Some(400), "ValidationException", "on-demand throughput isn't supported");
    for (region, profile) in [
        ("us-east-1", "use us.anthropic"),
        ("us-gov-west-1", "use us-gov.anthropic"),
        ("eu-central-1", "use eu.anthropic"),
        ("ap-south-1", "use apac.anthropic"),
        ("sa-east-1", "use global.anthropic"),
    ] {
        let diagnosis = diagnose(region, profile_only()).await;
        assert!(diagnosis.remedy.starts_with(profile), "{region}: {diagnosis:?}");
    }
}
