//! The pairing phase of a tester, against an emulator in the same process.

use bedrock_tpm::protocol::Pair;
use bedrock_tpm::{
    Assumptions, BedrockTpmTester, Clock, EmulatorConfig, Mechanism, MechanismId, OtherTarget, Pools, Report,
    Settings, Shares, analyze, analyze_all, pair,
};

use crate::{START, TPM};

fn config(pools: Pools) -> EmulatorConfig {
    let tokens = Some(Mechanism::per_minute(MechanismId::TokenBucket, TPM));
    EmulatorConfig { tokens, pools, ..EmulatorConfig::default() }
}

fn other(model: &str) -> OtherTarget {
    OtherTarget { model: Some(model.into()), ..OtherTarget::default() }
}

fn tester(pools: Pools, budget_tokens: Option<u64>) -> BedrockTpmTester {
    let settings = Settings { tpm: Some(TPM), budget_tokens, ..Settings::default() };
    BedrockTpmTester::simulated(config(pools), Clock::virtual_from(START), settings).unwrap()
}

#[tokio::test(start_paused = true)]
async fn models_are_paired_and_the_trace_says_the_same() {
    for (pools, expected) in [(Pools::One, Shares::Yes), (Pools::Each, Shares::No)] {
        let mut tester = tester(pools, None);
        tester.pair_with(&other("other-model")).await.unwrap();
        let before = tester.paired().unwrap();
        assert_eq!((before.shares, before.because.as_str()), (Shares::Unknown, "no request went to it"));
        let verdict = tester.verdict();
        let plan = Pair::new(tester.settings());
        plan.run(&mut tester, &verdict).await.unwrap();

        let paired = tester.paired().unwrap();
        assert_eq!(paired.shares, expected, "{paired}");
        assert_eq!(paired.target, "other-model");
        assert!(tester.spent_at_most() <= plan.tokens_at_most(), "{}", tester.spent_at_most());
        let (seen, assumptions) =
            (tester.trace().observations(), Assumptions { tpm: Some(TPM), ..Assumptions::default() });
        assert_eq!(pair(seen, &verdict, &assumptions).unwrap(), paired);
        // The verdict on the mechanism is the one without the pairing.
        let (judged, accounting) = analyze_all(seen, &assumptions);
        assert_eq!(judged.ranked.len(), analyze(&[], &assumptions).ranked.len());
        assert_eq!((judged.probability, accounting.is_none()), (verdict.probability, true));
        assert_eq!(judged.spent.requests, seen.len() as u64);
        let report = Report::new(seen, judged, false).with_paired(Some(paired.clone())).html().unwrap();
        assert!(report.contains("Does other-model share the quota?"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_budget_holds_for_both_targets_together() {
    let mut tester = tester(Pools::Each, Some(2 * TPM));
    tester.pair_with(&other("other-model")).await.unwrap();
    let verdict = tester.verdict();
    Pair::new(tester.settings()).run(&mut tester, &verdict).await.unwrap();
    assert!((TPM..=2 * TPM).contains(&tester.spent_at_most()), "{}", tester.spent_at_most());
    assert_eq!(tester.paired().unwrap().shares, Shares::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_target_is_not_paired_with_itself() {
    let mut tester = tester(Pools::One, None);
    let first = tester.settings().model.clone();
    let error = tester.pair_with(&other(&first)).await.unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("is the first one"), "{error}");
    let region = OtherTarget { region: Some("eu-west-1".into()), ..OtherTarget::default() };
    assert!(tester.pair_with(&region).await.unwrap_err().is_usage());
    assert!(tester.paired().is_none());
}
