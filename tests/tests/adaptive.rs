//! The adaptive protocol on the emulator, in virtual time.

use bedrock_tpm::protocol::Adaptive;
use bedrock_tpm::{
    BedrockTpmTester, Clock, Conclusion, EmulatorConfig, Mechanism, MechanismId, Result, Settings, Timestamp,
};

const TPM: u64 = 8_000;

/// Measures `mechanism`, with no more tokens than `budget`.
async fn measured(mechanism: Mechanism, budget: Option<u64>) -> Result<BedrockTpmTester> {
    let clock = Clock::virtual_from(Timestamp::EPOCH.plus_seconds(86_417.0));
    let emulator = EmulatorConfig { tokens: Some(mechanism), seed: 5, ..Default::default() };
    let settings = Settings { tpm: Some(TPM), budget_tokens: budget, ..Default::default() };
    let mut tester = BedrockTpmTester::simulated(emulator, clock, settings)?;
    Adaptive::new(tester.settings(), clock.now())?.run(&mut tester).await?;
    Ok(tester)
}

#[tokio::test(start_paused = true)]
async fn every_mechanism_is_named() -> Result<()> {
    for id in MechanismId::ALL {
        let tester = measured(Mechanism::per_minute(id, TPM), None).await?;
        let verdict = tester.verdict();
        assert_eq!(verdict.verdict, Conclusion::Mechanism(id), "{verdict}");
        assert_eq!(verdict.binding.id(), "tokens", "{verdict}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_never_passed() -> Result<()> {
    let tester = measured(Mechanism::per_minute(MechanismId::FixedWindow, TPM), Some(10_000)).await?;
    let spent: u64 = tester.trace().observations().iter().filter_map(|o| o.settled(1)).sum();
    assert!((1..=10_000).contains(&spent), "{spent}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn same_seed_same_probes() -> Result<()> {
    let bucket = Mechanism::per_minute(MechanismId::TokenBucket, TPM);
    let probes = |tester: &BedrockTpmTester| -> Vec<_> {
        tester.trace().observations().iter().map(|o| (o.sent, o.tokens_estimated, o.status)).collect()
    };
    assert_eq!(probes(&measured(bucket, None).await?), probes(&measured(bucket, None).await?));
    Ok(())
}
