use std::error::Error as StdError;
use std::mem;
use std::sync::Arc;

use aws_sdk_bedrockruntime::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
    FinalizerInterceptorContextRef,
};
use aws_sdk_bedrockruntime::config::timeout::TimeoutConfig;
use aws_sdk_bedrockruntime::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_bedrockruntime::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use super::call::{Call, Client};
use super::stream::watched;
use super::usage::{Reported, failed};
use crate::RequestSize;
use crate::throttle::Ended;

/// The operations that the quotas per minute count.
const COUNTED: [&str; 4] = ["Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream"];
const STREAMING: [&str; 2] = [COUNTED[1], COUNTED[3]];

/// The call that is under way, where the parts of the SDK find it.
#[derive(Clone, Debug)]
pub(super) struct Ongoing(pub(super) Arc<Call>);

impl Storable for Ongoing {
    type Storer = StoreReplace<Self>;
}

/// Tells a call what becomes of its attempts.
#[derive(Debug)]
pub(super) struct Interceptor(pub(super) Arc<Client>);

type Done = Result<(), BoxError>;

impl Intercept for Interceptor {
    fn name(&self) -> &'static str {
        "Throttle"
    }

    fn read_after_serialization(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Done {
        if is_one_of(&COUNTED, config) {
            let request = context.request();
            let size = RequestSize::of_bytes(request.body().bytes().unwrap_or_default());
            let call = Call::new(self.0.clone(), model(request.uri()), size);
            config.interceptor_state().store_put(Ongoing(Arc::new(call)));
            take_waiting_out_of_the_timeout(config);
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Done {
        if let Some(Ongoing(call)) = config.load::<Ongoing>() {
            call.sent();
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Done {
        let response = context.response_mut();
        if is_one_of(&STREAMING, config)
            && response.status().is_success()
            && let Some(Ongoing(call)) = config.load::<Ongoing>()
            && let Some(answering) = call.answering()
        {
            let body = mem::replace(response.body_mut(), SdkBody::taken());
            *response.body_mut() = watched(body, answering);
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Done {
        let Some(Ongoing(call)) = config.load::<Ongoing>() else { return Ok(()) };
        let Some(answering) = call.answering() else { return Ok(()) };
        match context.response() {
            Some(response) if response.status().is_success() => match Reported::in_response(response) {
                Some(reported) => answering.answered(reported),
                None => answering.end(Ended::Unknown),
            },
            Some(response) => answering.end(failed(response)),
            None if never_connected(context) => answering.end(Ended::NotSent),
            None => answering.end(Ended::Unknown),
        }
        Ok(())
    }
}

fn is_one_of(operations: &[&str], config: &ConfigBag) -> bool {
    config.load::<Metadata>().is_some_and(|operation| operations.contains(&operation.name()))
}

/// The model's id as it stands in `/model/{id}/converse`.
fn model(uri: &str) -> &str {
    let id = uri.split_once("/model/").and_then(|(_, rest)| rest.rsplit_once('/'));
    id.map_or(uri, |(id, _)| id)
}

/// The timeout of an attempt begins before the attempt waits for the throttle. So it is taken for the timeout of the
/// answer, which begins when the request leaves.
fn take_waiting_out_of_the_timeout(config: &mut ConfigBag) {
    let Some(timeouts) = config.load::<TimeoutConfig>() else { return };
    let Some(attempt) = timeouts.operation_attempt_timeout() else { return };
    let read = timeouts.read_timeout().map_or(attempt, |read| read.min(attempt));
    let timeouts = timeouts.to_builder().disable_operation_attempt_timeout().read_timeout(read).build();
    config.interceptor_state().store_put(timeouts);
}

fn never_connected(context: &FinalizerInterceptorContextRef<'_>) -> bool {
    let error = context.output_or_error().and_then(Result::err).and_then(|error| error.as_connector_error());
    let mut cause = error.map(|error| error as &(dyn StdError + 'static));
    while let Some(error) = cause {
        if error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect()) {
            return true;
        }
        cause = error.source();
    }
    false
}
