//! The real program measures an emulator in another process: every mechanism, and never a wrong verdict.

use std::path::Path;

use bedrock_tpm::MechanismId;
use bedrock_tpm_tests::{Measured, Program, Tally};

const SEEDS: u64 = 5;

async fn measured(enforced: MechanismId, seed: u64) -> Measured {
    let program = Program::default();
    let choice = [format!("--mechanism={enforced}"), format!("--seed={seed}")];
    let mut emulator = program.start(&["emulate", "--port=0", "--time-scale=60", &choice[0], &choice[1]]);
    let url = emulator.first_line().await;
    let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("wire-{enforced}-{seed}.jsonl"));
    Measured::of(&url, enforced, seed, &trace).await
}

/// One after another, because they measure time.
#[tokio::test]
async fn no_verdict_is_wrong_and_most_are_right() {
    let mut tally = Tally::default();
    for enforced in MechanismId::ALL {
        for seed in 1..=SEEDS {
            let measured = measured(enforced, seed).await;
            assert!(measured.document.get("enforced").is_none(), "nobody knows what an endpoint enforces");
            tally.add(measured);
        }
    }
    tally.assert_none_wrong();
    tally.assert_right(0.9);
}
