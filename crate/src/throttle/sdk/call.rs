use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::usage::Reported;
use crate::throttle::ended::{Ended, UnderWay};
use crate::{Error, RequestSize, Result, Throttle, TokenEstimator};

/// What all calls of a client share.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) throttle: Throttle,
    /// Output tokens that a request without `max_tokens` reserves.
    pub(super) model_max_tokens: u64,
    pub(super) estimator: Mutex<TokenEstimator>,
}

/// One call of an operation, through all its attempts.
#[derive(Debug)]
pub(super) struct Call {
    client: Arc<Client>,
    model: String,
    size: RequestSize,
    attempt: Mutex<Option<UnderWay>>,
}

/// An attempt that was sent. Dropped, it counts as used up.
#[derive(Debug)]
pub(super) struct Answering {
    call: Arc<Call>,
    attempt: UnderWay,
}

impl Client {
    fn estimator(&self) -> MutexGuard<'_, TokenEstimator> {
        self.estimator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    pub(super) fn new(client: Arc<Client>, model: &str, size: RequestSize) -> Self {
        Self { client, model: model.to_owned(), size, attempt: Mutex::default() }
    }

    /// Waits for the throttle, unless this attempt has.
    ///
    /// # Errors
    /// A usage error if the request can never pass.
    pub(super) async fn acquire(&self) -> Result<()> {
        if self.attempt().is_some() {
            return Ok(());
        }
        let (throttle, max_tokens) = (&self.client.throttle, self.max_tokens());
        let room = throttle.largest_input(max_tokens);
        let input_tokens = self.client.estimator().to_reserve(&self.model, self.size, room);
        match throttle.acquire(input_tokens, max_tokens).await {
            Ok(reservation) => *self.attempt() = Some(UnderWay::new(reservation)),
            Err(error) if self.size.max_tokens.is_none() && max_tokens > 0 => {
                return Err(Error::usage(format!(
                    "the request does not set max_tokens (maxTokens in inferenceConfig), so Bedrock reserves the model's \
                     maximum, here taken for {max_tokens}: set it"
                ))
                .because(error));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn max_tokens(&self) -> u64 {
        // Embeddings are no output tokens.
        let unset = if self.model.contains("embed") { 0 } else { self.client.model_max_tokens };
        self.size.max_tokens.unwrap_or(unset)
    }

    /// The attempt leaves now.
    pub(super) fn sent(&self) {
        if let Some(attempt) = self.attempt().as_mut() {
            attempt.sent();
        }
    }

    /// The attempt that is over, if it was sent. One that was not gives back what it has reserved.
    pub(super) fn answering(self: &Arc<Self>) -> Option<Answering> {
        let attempt = self.attempt().take().filter(UnderWay::is_sent)?;
        Some(Answering { call: self.clone(), attempt })
    }

    fn attempt(&self) -> MutexGuard<'_, Option<UnderWay>> {
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answering {
    pub(super) fn answered(self, reported: Reported) {
        let Call { client, model, size, .. } = &*self.call;
        client.estimator().learn(model, *size, reported.prompt_tokens);
        self.end(Ended::Used(reported.usage));
    }

    pub(super) fn end(self, ended: Ended) {
        self.attempt.end(ended);
    }
}
