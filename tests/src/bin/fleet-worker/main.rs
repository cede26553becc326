//! A process of a fleet, for a test to start and to kill: sends requests to an endpoint as fast as the fleet's throttle lets
//! it, and prints the status of each and the tokens that it used.
#![expect(clippy::print_stdout, reason = "it is a program")]

use bedrock_tpm::{
    Clock, Endpoint, Mechanism, QuotaKind, Request, Result, Target, Throttle, ThrottleSettings, Timeouts,
    emulated_input_tokens,
};
use clap::Parser;

const MAX_TOKENS: u32 = 50;

#[derive(Parser)]
struct Args {
    /// The Redis that the fleet shares.
    #[arg(long)]
    redis: String,
    /// What the quotas are called there.
    #[arg(long)]
    name: String,
    /// Where requests go.
    #[arg(long)]
    endpoint_url: String,
    /// A quota as JSON: kind and mechanism.
    #[arg(long = "quota", value_parser = quota)]
    quotas: Vec<(QuotaKind, Mechanism)>,
    /// How many requests it has under way at most.
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// How long a prompt is, in bytes.
    #[arg(long, default_value_t = 600)]
    prompt_bytes: usize,
}

fn quota(json: &str) -> serde_json::Result<(QuotaKind, Mechanism)> {
    serde_json::from_str(json)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let settings =
        ThrottleSettings { quotas: args.quotas, clock_error_s: 0.02, ..ThrottleSettings::stated(None, None) };
    let throttle = Throttle::connect(&args.redis, &args.name, settings).await?;
    let target = Target::Url { url: args.endpoint_url, region: None };
    let endpoint = Endpoint::connect(&target, Timeouts::default(), Clock::system()).await?;
    let prompt = "x".repeat(args.prompt_bytes);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..args.clients {
        clients.spawn(client(throttle.clone(), endpoint.clone(), prompt.clone()));
    }
    clients.join_all().await.into_iter().collect()
}

async fn client(throttle: Throttle, endpoint: Endpoint, prompt: String) -> Result<()> {
    let input_tokens = emulated_input_tokens(prompt.len());
    let request = Request { model: "amazon.nova-pro-v1:0".into(), prompt, max_tokens: MAX_TOKENS };
    loop {
        let reservation = throttle.acquire(input_tokens, MAX_TOKENS.into()).await?;
        let response = endpoint.send(&request).await;
        let tokens = response.usage.map_or(0, |usage| usage.input_tokens + usage.output_tokens);
        println!("{} {tokens}", response.status.unwrap_or(0));
        match (response.usage, response.status) {
            (Some(usage), _) => reservation.settle(usage),
            (None, Some(429)) => reservation.throttled(None),
            (None, _) => reservation.unknown(),
        }
    }
}
