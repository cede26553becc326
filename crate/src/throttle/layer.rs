use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::Throttle;
use super::ended::{Ended, UnderWay};

/// As `tower` has it.
type BoxError = Box<dyn StdError + Send + Sync>;

/// A `tower` layer that lets each request of a service wait for a [`Throttle`]; made by [`Throttle::layer`].
#[derive(Clone, Debug)]
pub struct ThrottleLayer<F> {
    throttle: Throttle,
    functions: F,
}

/// A service behind a [`ThrottleLayer`].
#[derive(Clone, Debug)]
pub struct ThrottledService<S, F> {
    inner: S,
    throttle: Throttle,
    functions: F,
}

impl Throttle {
    /// A `tower` layer around any client. `estimate` tells of a request its input tokens and its `max_tokens`, as
    /// [`acquire`](Self::acquire) takes them; `outcome` tells of a result how the request ended. Put it inside of a layer
    /// that retries, so that retries wait like first attempts.
    ///
    /// The service is always ready and its requests queue in the throttle; dropping a call gives back what it has reserved,
    /// or counts it as used up if it has been sent. It ends with the result of the inner service: what a body that is
    /// streamed afterwards reports comes too late.
    ///
    /// ```
    /// use bedrock_tpm::{Clock, Ended, Throttle, ThrottleSettings, Timestamp, Usage};
    /// use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
    ///
    /// struct Answer { input_tokens: u64, output_tokens: u64 }
    ///
    /// fn outcome(result: &Result<Answer, BoxError>) -> Ended {
    ///     match result {
    ///         Ok(Answer { input_tokens, output_tokens }) => Ended::Used(Usage {
    ///             input_tokens: *input_tokens, output_tokens: *output_tokens, ..Usage::default()
    ///         }),
    ///         Err(error) if error.to_string().contains("ThrottlingException") => Ended::Throttled(None),
    ///         Err(_) => Ended::Unknown,
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), BoxError> {
    /// let client = service_fn(async |prompt: &'static str| {
    ///     Ok(Answer { input_tokens: prompt.len() as u64 / 4, output_tokens: 2 })
    /// });
    /// let settings = ThrottleSettings::stated(Some(4_000), Some(4));
    /// let throttle = Throttle::new(settings, Clock::virtual_from(Timestamp::EPOCH))?;
    ///
    /// let estimate = |prompt: &&str| (prompt.len() as u64 / 3, 300);
    /// let client = ServiceBuilder::new().layer(throttle.layer(estimate, outcome)).service(client);
    /// let answer = client.oneshot("How many tokens is this?").await?;
    /// # assert_eq!((answer.output_tokens, throttle.stats().sent), (2, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn layer<E, O>(&self, estimate: E, outcome: O) -> ThrottleLayer<(E, O)> {
        ThrottleLayer { throttle: self.clone(), functions: (estimate, outcome) }
    }
}

impl<S, F: Clone> Layer<S> for ThrottleLayer<F> {
    type Service = ThrottledService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        ThrottledService { inner, throttle: self.throttle.clone(), functions: self.functions.clone() }
    }
}

impl<S, R, E, O> Service<R> for ThrottledService<S, (E, O)>
where
    S: Service<R, Future: Send, Error: Into<BoxError>> + Clone + Send + 'static,
    R: Send + 'static,
    E: Fn(&R) -> (u64, u64),
    O: Fn(&Result<S::Response, S::Error>) -> Ended + Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (estimate, outcome) = &self.functions;
        let (input_tokens, max_tokens) = estimate(&request);
        let (throttle, outcome, mut inner) = (self.throttle.clone(), outcome.clone(), self.inner.clone());
        Box::pin(async move {
            let mut under_way = UnderWay::new(throttle.acquire(input_tokens, max_tokens).await?);
            poll_fn(|context| inner.poll_ready(context)).await.map_err(Into::into)?;
            under_way.sent();
            let result = inner.call(request).await;
            under_way.end(outcome(&result));
            result.map_err(Into::into)
        })
    }
}
