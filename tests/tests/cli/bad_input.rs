//! Arguments and output places that cannot work.

use bedrock_tpm_tests::Program;

use super::{CLASSIC, FAILURE, INCONCLUSIVE, WRONG_USAGE};

const FAR_AWAY: &str = "http://192.0.2.1";

#[tokio::test]
async fn wrong_usage_is_named_and_leaves_no_file() {
    let cases: &[(&str, &str)] = &[
        ("measure --tpm 0", "--tpm"),
        ("measure --tpm=-1", "--tpm"),
        ("measure --tpm NaN", "--tpm"),
        ("measure --tpm 1e400", "--tpm"),
        ("measure --tpm 1", "48 or more"),
        ("measure --tpm 47", "48 or more"),
        ("measure --tpm 1 --rpm 1", "48 or more"),
        ("measure --tpm 1000000000000", "one request after the other"),
        ("measure --protocol classic --tpm 47", "48 or more"),
        ("measure --protocol classic --tpm 2000002", "more than one request takes"),
        ("measure --tpm 1000000000001", "--tpm"),
        ("measure --rpm 0", "--rpm"),
        ("measure --rpm 201", "one request after the other"),
        ("measure --rpm 1000000000000", "one request after the other"),
        ("measure --budget-tokens 0", "--budget-tokens"),
        ("measure --budget-tokens 18446744073709551615", "token budget"),
        ("measure --seed 18446744073709551616", "--seed"),
        ("measure --timeout 0", "--timeout"),
        ("measure --time-scale 0", "--time-scale"),
        ("measure --time-scale 3601", "--time-scale"),
        ("measure --protocol mystic", "classic"),
        ("measure --mechanism leaky", "token_bucket"),
        ("measure --mechanism fixed_window --window-s NaN", "finite"),
        ("measure --mechanism fixed_window --window-s inf", "finite"),
        ("measure --mechanism fixed_window --window-s 0", "0.001 to 604800"),
        ("measure --mechanism fixed_window --offset-s=-1", "offset"),
        ("measure --mechanism fixed_window --capacity 5", "has no --capacity"),
        ("measure --mechanism token_bucket --capacity 0", "1 to 1000000000000"),
        ("measure --mechanism stepped_bucket --tick-s 1e-300", "1e-300"),
        ("measure --background NaN", "background traffic NaN"),
        ("measure --error-rate 1e300", "error rate 1e300"),
        ("measure --spurious-429 2", "0 to 1"),
        ("measure --burndown 0", "burndown"),
        ("measure --aws --burndown 5", "--accounting measures"),
        ("measure --tpd 18446744073709551615", "tokens per day"),
        ("measure --model=", "--model"),
        ("measure --aws --region= --tpm 100", "--region"),
        ("measure --aws --endpoint-url http://127.0.0.1:1", "cannot be used with"),
        ("measure --mechanism sliding_log --endpoint-url http://127.0.0.1:1", "cannot be used with"),
        ("batch in.jsonl --out out.jsonl --aws --burndown 5 --refund never", "which quotas?"),
        ("measure --protocol classic --aws", "give --tpm, --rpm or both"),
        ("measure --aws --tpm 100", "add --yes"),
        ("measure --aws --tpm 100 --time-scale 60", "loopback"),
        ("measure --tpm 100 --endpoint-url nonsense", "scheme and host"),
        ("measure --tpm 100 --endpoint-url ftp://127.0.0.1", "scheme and host"),
        ("measure --resume some --trace other", "cannot be used with"),
        ("check --aws --time-scale 60 --yes", "loopback"),
        ("check --aws", "add --yes"),
        ("emulate --time-scale 0", "time scale"),
        ("emulate --port 65536", "--port"),
        (
            "emulate --tpm 1000000000000 --mechanism token_bucket --capacity 1 --background 1",
            "requests a second",
        ),
        ("mystify", "mystify"),
    ];
    let program = Program::default();
    for (arguments, words) in cases {
        let arguments: Vec<_> = arguments.split(' ').collect();
        program.run(&arguments).await.assert_failure(WRONG_USAGE, words);
    }
    let elsewhere = ["measure", "--tpm", "100", "--yes", "--time-scale", "60", "--endpoint-url", FAR_AWAY];
    program.run(&elsewhere).await.assert_failure(WRONG_USAGE, "loopback");
    let secret = ["check", "--endpoint-url", "http://user:secret@127.0.0.1"];
    let refused = program.run(&secret).await;
    refused.assert_failure(WRONG_USAGE, "no user name or password");
    assert!(!refused.stderr.contains("secret"));
    assert_eq!(program.files(), [""; 0]);
}

#[tokio::test]
async fn nothing_is_sent_to_aws_without_region_or_credentials() {
    let program = Program::default();
    for command in [&["check"][..], &["measure", "--tpm", "8000"]] {
        let aws = |more: &[&'static str]| [command, &["--aws", "--yes"], more].concat();
        let (no_region, no_credentials) =
            (program.run(&aws(&[])).await, program.run(&aws(&["--region", "us-east-1"])).await);
        for (finished, what, remedy) in [
            (no_region, "no AWS Region", "--region"),
            (no_credentials, "no AWS credentials", "aws sso login"),
        ] {
            let said = finished.stdout + &finished.stderr;
            assert_eq!(finished.status, Some(FAILURE), "{said}");
            assert!(said.contains(what) && said.contains(remedy), "{said}");
        }
    }
    assert_eq!(program.files(), [""; 0]);
}

#[tokio::test]
async fn places_that_cannot_be_written_lose_nothing() {
    let program = Program::default();
    program.write("taken.jsonl", "");
    for (trace, words) in [("missing/t.jsonl", "folder that exists"), ("taken.jsonl", "--resume")] {
        program.run(&["measure", "--trace", trace]).await.assert_failure(FAILURE, words);
    }
    assert_eq!(program.read("taken.jsonl"), "");

    for (index, report) in ["missing/r.html", "/dev/full"].into_iter().enumerate() {
        let trace = format!("{index}.jsonl");
        let finished = program.run(&[&CLASSIC[..], &["--trace", &trace, "--report", report]].concat()).await;
        assert_eq!(finished.status, Some(FAILURE), "{finished:?}");
        assert!(finished.stderr.contains(report), "{finished:?}");
        assert_eq!(finished.json()["spent"]["requests"], program.read(&trace).lines().count());
    }
    let missing = program.run(&["report", "0.jsonl", "--out", "missing/r"]).await;
    missing.assert_failure(FAILURE, "folder that exists");

    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let running = program.command(&["analyze", "0.jsonl"]).stdout(full).spawn().unwrap();
    let running = running.wait_with_output().await.unwrap();
    assert_eq!(running.status.code(), Some(FAILURE), "{running:?}");
}

#[tokio::test]
async fn a_closed_pipe_is_no_failure() {
    let program = Program::default();
    let measured = program.run(&[&CLASSIC[..], &["--trace", "t.jsonl"]].concat()).await;
    for arguments in [
        &["analyze", "t.jsonl"][..],
        &["report", "t.jsonl"],
        &[&CLASSIC[..], &["--resume", "t.jsonl"]].concat(),
    ] {
        let mut running = program.start(arguments);
        running.close_stdout();
        let finished = running.finish().await;
        assert_eq!(finished.stderr, "", "{arguments:?}");
        let expected = if arguments[0] == "report" { Some(0) } else { measured.status };
        assert_eq!(finished.status, expected, "{arguments:?}");
    }
    assert_eq!(measured.status, Some(INCONCLUSIVE), "{measured:?}");
}
