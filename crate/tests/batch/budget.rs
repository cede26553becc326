use bedrock_tpm::{BatchEnd, EmulatorConfig, MechanismId};

use crate::{World, enforcing, in_virtual_time};

#[test]
fn a_budget_is_never_passed() {
    in_virtual_time(async {
        let mut world = World::new(60, enforcing(MechanismId::TokenBucket));
        world.settings.budget_tokens = Some(6_000);
        let mut answered = 0;
        for _ in 0..3 {
            let (report, end) = world.run().await;
            let BatchEnd::Failed(error) = end else { panic!("{end:?}") };
            assert!(error.is_budget(), "{error}");
            let used = report.progress.input_tokens + report.progress.output_tokens;
            assert!((5_000..=6_000).contains(&used), "{used}");
            assert!(report.progress.answered >= answered, "those of earlier runs count");
            answered = report.progress.answered;
        }
    });
}

#[test]
fn a_budget_counts_what_earlier_runs_may_have_used_without_an_answer() {
    in_virtual_time(async {
        let config = EmulatorConfig { error_rate: 1.0, ..enforcing(MechanismId::TokenBucket) };
        let mut world = World::new(60, config);
        world.settings.budget_tokens = Some(3_000);
        // The smallest request may use 70 tokens.
        let most = 3_000 / 70;
        let mut sent = 0;
        for seconds in [0.5, 0.5, 3.0, 20.0, 60.0].into_iter().chain([1e9; 20]) {
            let ended = world.run_for(seconds).await;
            let before = std::mem::replace(&mut sent, world.emulator.answers().unavailable);
            assert!((1..=most).contains(&sent), "{sent} attempts, of which {most} at most fit the budget");
            if let Some((_, BatchEnd::Failed(error))) = ended
                && error.is_budget()
                && before == sent
            {
                return;
            }
        }
        panic!("it went on after {sent} attempts");
    });
}
