use std::net::IpAddr;
use std::time::Duration;

use http::Uri;

use crate::{Clock, Error, Result};

/// What to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Real AWS, with the default credential chain.
    Aws {
        /// The Region; `None` takes the default Region chain.
        region: Option<String>,
    },
    /// Any endpoint that speaks Bedrock's Converse API. On loopback it gets fixed dummy credentials, elsewhere the
    /// default chain's.
    Url {
        /// `http://` or `https://`, a host and possibly a port and a path.
        url: String,
        /// The Region; `None` takes `us-east-1` on loopback and the default Region chain elsewhere.
        region: Option<String>,
    },
}

/// How long to wait, in real time whatever the clock's scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included. 5 s by default.
    pub connect: Duration,
    /// For a whole request, connection and answer included. 60 s by default.
    pub attempt: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), attempt: Duration::from_secs(60) }
    }
}

impl Target {
    /// What a trace calls it: `aws`, or the URL.
    pub fn name(&self) -> &str {
        match self {
            Self::Aws { .. } => "aws",
            Self::Url { url, .. } => url,
        }
    }

    /// Whether requests to it leave this machine, and so may cost money.
    ///
    /// # Errors
    /// A usage error if the URL is not one that requests can be sent to, or if `clock` is scaled and the target is
    /// not on loopback: nobody else's minutes run faster.
    pub fn may_spend(&self, clock: Clock) -> Result<bool> {
        let loopback = match self {
            Self::Aws { .. } => false,
            Self::Url { url, .. } => is_loopback(url)?,
        };
        if clock.scale() != 1 && !loopback {
            let scale = clock.scale();
            return Err(Error::usage(format!(
                "time scale {scale} needs an endpoint on loopback, where the other side can live as fast; use 1 here"
            )));
        }
        Ok(!loopback)
    }
}

fn is_loopback(url: &str) -> Result<bool> {
    let uri = url.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let uri = uri.filter(|uri| uri.authority().is_some_and(|authority| !authority.as_str().contains('@')));
    let Some(host) = uri.as_ref().and_then(Uri::host).filter(|host| !host.is_empty()) else {
        let advice = "give scheme and host, such as http://127.0.0.1:8080, and no user name or password";
        return Err(Error::usage(format!(
            "the endpoint URL is not one that requests can be sent to; {advice}"
        )));
    };
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let host = host.to_ascii_lowercase();
    Ok(address.map_or(host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_other_hosts_and_from_nonsense() {
        for url in ["http://127.0.0.1:8080", "http://127.1.2.3", "http://[::1]:80/v1", "https://LOCALHOST/"] {
            assert!(is_loopback(url).unwrap(), "{url}");
        }
        for url in [
            "https://bedrock-runtime.us-east-1.amazonaws.com",
            "http://10.0.0.1",
            "http://localhost.evil.org",
        ] {
            assert!(!is_loopback(url).unwrap(), "{url}");
        }
        for url in
            ["", "127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://user:secret@127.0.0.1", "/model"]
        {
            let error = is_loopback(url).unwrap_err();
            assert!(error.is_usage() && !error.to_string().contains("secret"), "{url}: {error}");
        }
    }

    #[tokio::test]
    async fn scaled_time_is_for_loopback_only() {
        let clock = Clock::scaled(60).unwrap();
        let url = |url: &str| Target::Url { url: url.into(), region: None };
        assert!(!url("http://127.0.0.1:1").may_spend(clock).unwrap());
        assert!(url("http://10.0.0.1:1").may_spend(clock).unwrap_err().is_usage());
        assert!(Target::Aws { region: None }.may_spend(clock).unwrap_err().is_usage());
        assert!(Target::Aws { region: None }.may_spend(Clock::system()).unwrap());
    }
}
