//! The classic protocol on the emulator, in virtual time: what it may claim, and what it must not.

use bedrock_tpm::protocol::{Schedule, classic};
use bedrock_tpm::{
    BedrockTpmTester, Clock, ClockAnswer, Conclusion, EmulatorConfig, Mechanism, MechanismId, Result,
    Settings, Timestamp, Verdict,
};

const TPM: u64 = 8_000;
const SEEDS: u64 = 20;

async fn verdict_of(mechanism: Mechanism, seed: u64) -> Result<Verdict> {
    let clock = Clock::virtual_from(Timestamp::EPOCH.plus_seconds(86_400.0 + 7.3 * seed as f64));
    let emulator = EmulatorConfig { tokens: Some(mechanism), seed, ..Default::default() };
    let settings = Settings { tpm: Some(TPM), seed, ..Default::default() };
    let mut tester = BedrockTpmTester::simulated(emulator, clock, settings)?;
    let phases = classic(Some(TPM), None)?;
    let schedule = Schedule::new(phases, tester.trace(), clock.now());
    schedule.run(&mut tester).await?;
    Ok(tester.verdict())
}

fn answer_to(id: MechanismId) -> ClockAnswer {
    match id {
        MechanismId::FixedWindow => ClockAnswer::Absolute,
        MechanismId::AnchoredWindow | MechanismId::SlidingLog => ClockAnswer::Relative,
        MechanismId::SlidingCounter
        | MechanismId::TokenBucket
        | MechanismId::SteppedBucket
        | MechanismId::ExponentialDecay => ClockAnswer::Neither,
    }
}

/// "Absolute" or "relative" is never given 0.95 or more where it is false, and no wrong mechanism is named. Answers to the clock
/// question, by seed.
async fn is_honest_about(id: MechanismId) -> Result<Vec<ClockAnswer>> {
    let truth = answer_to(id);
    let mut answers = Vec::new();
    for seed in 1..=SEEDS {
        let verdict = verdict_of(Mechanism::per_minute(id, TPM), seed).await?;
        let said = format!("{id}, seed {seed}: {verdict}");
        assert!(verdict.probability_absolute < 0.95 || truth == ClockAnswer::Absolute, "{said}");
        assert!(verdict.probability_relative < 0.95 || truth == ClockAnswer::Relative, "{said}");
        assert!([ClockAnswer::Unknown, truth].contains(&verdict.clock_question), "{said}");
        assert!([Conclusion::Inconclusive, Conclusion::Mechanism(id)].contains(&verdict.verdict), "{said}");
        assert_eq!(verdict.binding.id(), "tokens", "{said}");
        let truth_in = verdict.ranked.iter().find(|ranked| ranked.mechanism.id() == id.id());
        assert!(truth_in.is_some_and(|ranked| ranked.probability > 0.05), "{said}");
        answers.push(verdict.clock_question);
    }
    Ok(answers)
}

#[tokio::test(start_paused = true)]
async fn fixed_window() -> Result<()> {
    is_honest_about(MechanismId::FixedWindow).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn anchored_window() -> Result<()> {
    is_honest_about(MechanismId::AnchoredWindow).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn sliding_log() -> Result<()> {
    is_honest_about(MechanismId::SlidingLog).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn sliding_counter() -> Result<()> {
    is_honest_about(MechanismId::SlidingCounter).await.map(drop)
}

/// What the protocol is worth: a bucket is told from every window.
#[tokio::test(start_paused = true)]
async fn a_token_bucket_is_known_to_be_neither() -> Result<()> {
    let answers = is_honest_about(MechanismId::TokenBucket).await?;
    assert_eq!(answers, [ClockAnswer::Neither; SEEDS as usize]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn stepped_bucket() -> Result<()> {
    is_honest_about(MechanismId::SteppedBucket).await.map(drop)
}

/// The published rule reads only the status at :05, and calls a window of another phase absolute or relative.
#[tokio::test(start_paused = true)]
async fn a_window_of_another_phase_is_neither() -> Result<()> {
    for seed in 1..=SEEDS {
        let mechanism = Mechanism::FixedWindow { limit: TPM, window_s: 60.0, offset_s: 2.8 * seed as f64 };
        let verdict = verdict_of(mechanism, seed).await?;
        assert!(verdict.probability_absolute < 0.95, "offset {}: {verdict}", 2.8 * seed as f64);
        assert!(verdict.probability_relative < 0.95, "offset {}: {verdict}", 2.8 * seed as f64);
    }
    Ok(())
}
