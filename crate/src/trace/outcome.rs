use crate::QuotaKind;

/// What a response says about a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request passed every quota.
    Admitted,
    /// A quota rejected the request; the message names one, truly or not.
    Throttled(ThrottleMessage),
    /// Anything else: capacity, time-outs, wrong requests. Never evidence of a quota, though it may have been charged.
    Failed,
}

/// Which quota the error message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThrottleMessage {
    /// "Too many requests, ..." or "Your request rate is too high. ...".
    Requests,
    /// "Too many tokens, ...".
    Tokens,
    /// "Too many tokens per day, ...".
    TokensPerDay,
    /// Neither.
    Unspecified,
}

impl Outcome {
    /// Classifies a response by its error type first, because some gateways send throttling as HTTP 400 and
    /// Bedrock sends other errors as 429.
    pub fn of(status: Option<u16>, error_type: Option<&str>, error: Option<&str>) -> Self {
        let message = error.unwrap_or_default().to_lowercase();
        let throttling = match error_type {
            // Streams spell it with a small letter.
            Some(error_type) => error_type.to_lowercase().starts_with("throttlingexception"),
            None => message.contains("throttlingexception") || status == Some(429),
        };
        match status {
            _ if message.contains("overloaded") || message.contains("too many connections") => Self::Failed,
            _ if throttling => Self::Throttled(ThrottleMessage::of(&message)),
            Some(200..=299) if error_type.is_none() => Self::Admitted,
            _ => Self::Failed,
        }
    }

    /// Whether the request passed.
    pub fn is_admitted(self) -> bool {
        self == Self::Admitted
    }

    /// Whether a quota rejected the request.
    pub fn is_throttled(self) -> bool {
        matches!(self, Self::Throttled(_))
    }
}

impl Outcome {
    /// The quota that a rejection names, if it names one.
    pub(crate) fn named(self) -> Option<QuotaKind> {
        match self {
            Self::Throttled(ThrottleMessage::Requests) => Some(QuotaKind::Requests),
            Self::Throttled(ThrottleMessage::Tokens) => Some(QuotaKind::Tokens),
            Self::Throttled(ThrottleMessage::TokensPerDay) => Some(QuotaKind::TokensPerDay),
            _ => None,
        }
    }
}

impl ThrottleMessage {
    fn of(message: &str) -> Self {
        if message.contains("tokens per day") {
            Self::TokensPerDay
        } else if message.contains("too many tokens") {
            Self::Tokens
        } else if message.contains("too many requests") || message.contains("request rate is too high") {
            Self::Requests
        } else {
            Self::Unspecified
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_type_decides_before_the_status() {
        let throttled = "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/";
        let cases = [
            (Some(200), None, None, Outcome::Admitted),
            (Some(429), Some(throttled), Some("Too many tokens, please wait before trying again."), tokens()),
            (Some(400), Some("ThrottlingException"), Some("Too many tokens, please wait"), tokens()),
            (None, Some("throttlingException"), Some("Too many tokens, please wait"), tokens()),
            (
                Some(429),
                Some("ThrottlingException"),
                Some("Too many tokens per day, please wait before trying again."),
                Outcome::Throttled(ThrottleMessage::TokensPerDay),
            ),
            (
                Some(429),
                Some("ThrottlingException"),
                Some("Your request rate is too high. Reduce the frequency of requests."),
                Outcome::Throttled(ThrottleMessage::Requests),
            ),
            (
                Some(429),
                None,
                Some("ThrottlingException: Too many requests, please wait before trying again."),
                Outcome::Throttled(ThrottleMessage::Requests),
            ),
            (Some(429), None, None, Outcome::Throttled(ThrottleMessage::Unspecified)),
            (Some(429), Some("ModelNotReadyException"), Some("not ready"), Outcome::Failed),
            (
                Some(429),
                Some("ThrottlingException"),
                Some("Model x is currently overloaded"),
                Outcome::Failed,
            ),
            (
                Some(503),
                Some("ServiceUnavailableException"),
                Some("Too many connections, please wait before trying again."),
                Outcome::Failed,
            ),
            (None, Some("TimeoutError"), Some("no answer"), Outcome::Failed),
        ];
        for (status, error_type, error, expected) in cases {
            assert_eq!(
                Outcome::of(status, error_type, error),
                expected,
                "{status:?} {error_type:?} {error:?}"
            );
        }
    }

    fn tokens() -> Outcome {
        Outcome::Throttled(ThrottleMessage::Tokens)
    }
}
