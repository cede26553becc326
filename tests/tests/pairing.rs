//! The real program pairs two models, two Regions and two endpoints of emulators in another process.

use bedrock_tpm_tests::{Finished, Program, Running};
use serde_json::Value;
use tokio::sync::Mutex;

/// What every run here says of the first target.
const MEASURE: [&str; 8] = [
    "measure",
    "--protocol=classic",
    "--tpm=8000",
    "--time-scale=60",
    "--json",
    "--seed=3",
    "--trace=t.jsonl",
    "--region=us-east-1",
];

async fn emulator(program: &Program, pools: &str) -> (Running, String) {
    let pools = format!("--pools={pools}");
    let arguments =
        ["emulate", "--port=0", "--time-scale=60", "--tpm=8000", "--mechanism=token_bucket", &pools];
    let mut emulator = program.start(&arguments);
    let url = emulator.first_line().await;
    (emulator, url)
}

async fn measured(program: &Program, url: &str, paired: &[&str]) -> Finished {
    program.run(&[&MEASURE[..], &["--endpoint-url", url], paired].concat()).await
}

/// Those that measure time do so one after another.
static TURN: Mutex<()> = Mutex::const_new(());

fn paired(finished: &Finished) -> Value {
    let paired = finished.json()["paired"].clone();
    let probability = paired["probability"].as_f64().unwrap_or(-1.0);
    match paired["shares"].as_str() {
        Some("yes") => assert!(probability >= 0.99, "{paired}"),
        Some("no") => assert!(probability <= 0.01, "{paired}"),
        _ => panic!("no answer: {finished:?}"),
    }
    assert!(paired["because"].as_str().is_some_and(|because| because.contains("tokens in")), "{paired}");
    paired
}

#[tokio::test]
async fn targets_that_share_a_quota_are_told_from_those_that_do_not() {
    let _turn = TURN.lock().await;
    for (pools, flag, target, shares) in [
        ("one", "--paired-model", "other-model", "yes"),
        ("each", "--paired-model", "other-model", "no"),
        ("one", "--paired-region", "eu-west-1", "yes"),
        ("each", "--paired-region", "eu-west-1", "no"),
    ] {
        let program = Program::default();
        let (_emulator, url) = emulator(&program, pools).await;
        let finished = measured(&program, &url, &[flag, target]).await;
        let paired = paired(&finished);
        assert_eq!((&paired["target"], &paired["shares"]), (&target.into(), &shares.into()), "{paired}");
        // The trace alone says the same, and so does the report.
        let analyzed = program.run(&["analyze", "t.jsonl", "--json"]).await;
        assert_eq!(analyzed.json()["paired"], paired);
        assert_eq!(analyzed.json()["verdict"], finished.json()["verdict"]);
        assert!(program.read("report.html").contains("Another target"));
    }

    let program = Program::default();
    let ((_one, first), (_other, second)) =
        (emulator(&program, "one").await, emulator(&program, "one").await);
    let finished = measured(&program, &first, &["--paired-endpoint-url", &second]).await;
    let paired = paired(&finished);
    assert_eq!((&paired["target"], &paired["shares"]), (&second.into(), &"no".into()), "{paired}");
}

/// And with more, the same trace goes on to an answer.
#[tokio::test]
async fn a_budget_that_does_not_allow_an_answer_is_kept_and_leaves_it_open() {
    let _turn = TURN.lock().await;
    let program = Program::default();
    let (_emulator, url) = emulator(&program, "each").await;
    let finished = measured(&program, &url, &["--paired-model=other-model", "--budget-tokens=30000"]).await;
    let document = finished.json();
    assert_eq!(document["paired"]["shares"], "unknown", "{document}");
    assert!(document["spent"]["tokens"].as_u64().is_some_and(|spent| spent <= 30_000), "{document}");
    let warnings = document["warnings"].to_string();
    assert!(warnings.contains("count the two as one"), "{warnings}");

    let sent = program.read("t.jsonl").lines().count();
    let more = ["measure", "--resume=t.jsonl", "--json", "--protocol=classic", "--budget-tokens=200000"];
    let to = ["--region=us-east-1", "--endpoint-url", &url];
    let another = program.run(&[&more[..], &to, &["--paired-model=third-model"]].concat()).await;
    another.assert_failure(2, "the trace is paired with other-model");
    let resumed = program.run(&[&more[..], &to, &["--paired-model=other-model"]].concat()).await;
    assert_eq!(paired(&resumed)["shares"], "no");
    let spent = &resumed.json()["spent"];
    assert!(spent["requests"].as_u64().is_some_and(|requests| requests > sent as u64), "{spent}");
}

#[tokio::test]
async fn a_second_target_that_is_none_is_wrong_usage() {
    let program = Program::default();
    let (_emulator, url) = emulator(&program, "one").await;
    let same = measured(&program, &url, &["--paired-region=us-east-1"]).await;
    same.assert_failure(2, "the second target is the first one");
    let elsewhere = measured(&program, &url, &["--paired-endpoint-url=http://192.0.2.1:80"]).await;
    elsewhere.assert_failure(2, "time scale 60 needs an endpoint on loopback");
    let real_time = ["measure", "--tpm=8000", "--endpoint-url", &url];
    let unasked =
        program.run(&[&real_time[..], &["--paired-endpoint-url=http://192.0.2.1:80"]].concat()).await;
    unasked.assert_failure(2, "add --yes to agree");
}
