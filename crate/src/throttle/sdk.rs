//! The throttle under every call of a client of the AWS SDK.

mod call;
mod interceptor;
mod stream;
mod usage;

pub(crate) use usage::Reported;

use std::sync::{Arc, Mutex};

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::auth::{DefaultAuthSchemeResolver, Params, ResolveAuthScheme};
use aws_sdk_bedrockruntime::config::{ConfigBag, RuntimeComponents};
use aws_smithy_runtime_api::client::auth::{
    AuthSchemeOptionResolverParams, AuthSchemeOptionsFuture, ResolveAuthSchemeOptions,
    SharedAuthSchemeOptionResolver,
};

use self::interceptor::{Interceptor, Ongoing};
use super::Throttle;

/// What a request without `max_tokens` reserves, for most models at least. Source: AWS's model cards.
const USUAL_MODEL_MAX_TOKENS: u64 = 65_536;

impl Throttle {
    /// A client like `client` that puts this throttle under every call of Converse, ConverseStream, InvokeModel and
    /// InvokeModelWithResponseStream. All else passes as before. The two share connections; a second throttle over a
    /// client replaces the first. Models have quotas of their own: give each its client and its throttle.
    ///
    /// - *When:* each attempt waits before it is signed, retries of the SDK like first attempts. The timeout of an attempt
    ///   does not count the wait: it is taken for the timeout until the answer begins (`read_timeout`). The timeout of an
    ///   operation counts it.
    /// - *Input tokens:* estimated from the bytes of all strings in the request's body by a
    ///   [`TokenEstimator`](crate::TokenEstimator): at a byte a token until an answer has told more. An image counts for
    ///   1,600 tokens, and any other attachment for one by 3 bytes.
    /// - *`max_tokens`:* if the request has none, 65,536; see [`over_model`](Self::over_model).
    /// - *Settled* from the usage in the answer, in a stream from its last event: read streams to their end. One that is
    ///   dropped before counts as used up, and so does a call that is dropped once it was sent, and one that fails in any
    ///   other way than by throttling or for want of a connection.
    /// - *A request that can never pass* is an error of the SDK (`DispatchFailure`) that has the throttle's
    ///   [`Error`](crate::Error) as its source.
    ///
    /// ```no_run
    /// # async fn example(client: aws_sdk_bedrockruntime::Client) -> bedrock_tpm::Result<()> {
    /// use bedrock_tpm::{Clock, Throttle, ThrottleSettings};
    ///
    /// let throttle = Throttle::new(ThrottleSettings::stated(Some(4_000), Some(4)), Clock::system())?;
    /// let client = throttle.over(&client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn over(&self, client: &Client) -> Client {
        self.over_model(client, USUAL_MODEL_MAX_TOKENS)
    }

    /// As [`over`](Self::over), where a request without `max_tokens` reserves `model_max_tokens` output tokens: the most
    /// that the model can be asked for.
    pub fn over_model(&self, client: &Client, model_max_tokens: u64) -> Client {
        let config = client.config();
        let resolver = config.auth_scheme_resolver();
        let inner = resolver.unwrap_or_else(|| DefaultAuthSchemeResolver::default().into_shared_resolver());
        let shared = call::Client { throttle: self.clone(), model_max_tokens, estimator: Mutex::default() };
        let config = config.to_builder().interceptor(Interceptor(Arc::new(shared)));
        Client::from_conf(config.auth_scheme_resolver(Turnstile { inner }).build())
    }
}

/// Where an attempt waits. Of what the SDK awaits in every attempt this comes first, before credentials are resolved
/// and the request is signed: a signature expires after five minutes, and credentials may.
#[derive(Debug)]
struct Turnstile {
    inner: SharedAuthSchemeOptionResolver,
}

impl ResolveAuthScheme for Turnstile {
    fn resolve_auth_scheme<'a>(
        &'a self,
        params: &'a Params,
        config: &'a ConfigBag,
        components: &'a RuntimeComponents,
    ) -> AuthSchemeOptionsFuture<'a> {
        AuthSchemeOptionsFuture::new(async move {
            if let Some(Ongoing(call)) = config.load::<Ongoing>() {
                call.acquire().await?;
            }
            let params = AuthSchemeOptionResolverParams::new(params.clone());
            self.inner.resolve_auth_scheme_options_v2(&params, config, components).await
        })
    }
}
