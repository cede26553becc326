//! What is reserved for a request.

use aws_sdk_bedrockruntime::error::SdkError;
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ConversationRole, DocumentBlock, DocumentFormat, DocumentSource, Message,
};
use bedrock_tpm::{EmulatorConfig, Mechanism, QuotaKind};
use bedrock_tpm_tests::{refusing, serve};

use crate::{LIMIT, LONG, MODEL, SHORT, at_most, client, converse, of_quota, passes, text, tokens, user};

#[tokio::test]
async fn without_max_tokens_the_models_maximum_is_reserved_and_what_can_never_pass_says_so() {
    let server = serve(EmulatorConfig::default());
    let throttle = tokens();
    let unset = |client: &aws_sdk_bedrockruntime::Client| {
        let call = client.converse().model_id(MODEL).messages(user("hi"));
        async move { tokio::time::timeout(LONG, call.send()).await.unwrap() }
    };
    let error = unset(&throttle.over(&client(server.url()))).await.unwrap_err();
    assert!(matches!(error, SdkError::DispatchFailure(_)));
    let error = text(error);
    for part in ["does not set max_tokens", "inferenceConfig", "65536", "set it", "10000 tokens per minute"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(throttle.stats().sent, 0);

    let small = throttle.over_model(&client(server.url()), 5_000);
    unset(&small).await.map_err(text).unwrap();
    let held = passes(&throttle, LIMIT / 2, LONG).await.unwrap();
    let unset = tokio::time::timeout(SHORT, unset(&small)).await;
    assert!(unset.is_err(), "5,000 are reserved");
    drop(held);
}

#[tokio::test]
async fn what_is_set_but_too_large_says_that_it_is() {
    let throttle = tokens();
    let client = throttle.over(&client(&refusing()));
    for (bytes, max_tokens) in [(2, 10_000), (90_000, 10)] {
        let call = converse(&client, &"a".repeat(bytes), max_tokens).send();
        let error = text(tokio::time::timeout(LONG, call).await.unwrap().unwrap_err());
        assert!(error.contains("lower max_tokens or shorten the prompt"), "{error}");
        assert!(!error.contains("does not set"), "{error}");
    }
}

/// An estimate that only may be too large is cut to the quota: the request waits until all of it is free.
#[tokio::test]
async fn what_may_be_too_large_goes_alone() {
    let server = serve(EmulatorConfig::default());
    let throttle = tokens();
    let client = throttle.over(&client(server.url()));
    let document = DocumentBlock::builder()
        .format(DocumentFormat::Pdf)
        .name("report")
        .source(DocumentSource::Bytes(Blob::new(vec![0; 1_000_000])));
    let message = Message::builder()
        .role(ConversationRole::User)
        .content(ContentBlock::Text("summarise it".into()))
        .content(ContentBlock::Document(document.build().unwrap()))
        .build()
        .unwrap();
    let call = || client.converse().model_id(MODEL).messages(message.clone()).inference_config(at_most(100));
    let one = passes(&throttle, 1, LONG).await.unwrap();
    assert!(
        tokio::time::timeout(SHORT, call().send()).await.is_err(),
        "it did not wait for all of the quota"
    );
    drop(one);
    call().send().await.map_err(text).unwrap();
    assert!(passes(&throttle, LIMIT - 500, LONG).await.is_some(), "settled by what it used");
}

/// The emulator's tokens are longer than a byte.
#[tokio::test]
async fn estimates_follow_the_answers() {
    let server = serve(EmulatorConfig::default());
    // One that is known: of another, more is let through only while nothing else is under way.
    let throttle =
        of_quota(QuotaKind::Tokens, Mechanism::TokenBucket { capacity: LIMIT, refill_per_s: 1e-3 });
    let over = throttle.over(&client(server.url()));
    let prompt = "a".repeat(3_200);
    let reserves = async |tokens: u64| {
        let held = passes(&throttle, tokens, LONG).await.unwrap();
        let waits = tokio::time::timeout(SHORT, converse(&over, &prompt, 1).send()).await.is_err();
        drop(held);
        waits
    };
    assert!(reserves(LIMIT - 3_200).await, "3,204 bytes may be more than 3,200 tokens");
    converse(&over, &prompt, 1).send().await.map_err(text).unwrap();
    assert!(!reserves(LIMIT - 1_008 - 1_130).await, "about 1,007 tokens were, and those need at most 1,124");
}
