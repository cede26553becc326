//! A batch that is stopped or killed goes on, and sends nothing twice that was answered.

use bedrock_tpm::Clock;
use bedrock_tpm_tests::{Program, deaf};
use rustix::process::Signal;

use super::{BATCH, answered, with_requests};
use crate::FAILURE;

/// The number behind `what` in a line such as `admitted 7 requests, throttled 0 (429), failed 0 (503)`.
fn count(line: &str, what: &str) -> u64 {
    let rest = line.split(what).nth(1).unwrap_or_else(|| panic!("no {what} in {line}"));
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// About 25 minutes of the quotas, in 25 seconds.
#[tokio::test]
async fn a_thousand_requests_are_answered_once_each_without_a_429_through_two_kills() {
    const REQUESTS: usize = 1_000;
    let (server, program) = (Program::default(), with_requests(REQUESTS));
    let quotas = ["--time-scale", "60", "--tpm", "8000", "--rpm", "40"];
    let emulate = ["emulate", "--port", "0", "--mechanism", "sliding_log"];
    let mut emulator = server.start(&[&emulate[..], &quotas].concat());
    let url = emulator.first_line().await;
    let batch = [&BATCH[..], &quotas, &["--endpoint-url", &url]].concat();
    let clock = Clock::system();
    let started = clock.now();

    for lines in [REQUESTS * 3 / 10, REQUESTS * 6 / 10] {
        let mut running = program.start(&batch);
        running.until_lines(&program.path("out.jsonl"), lines).await;
        running.signal(Signal::KILL);
        assert_eq!(running.finish().await.status, None);
        let so_far = program.read("out.jsonl");
        let whole = &so_far[..so_far.rfind('\n').map_or(0, |end| end + 1)];
        // One line each, whatever the kill cut off.
        assert!(whole.lines().count() >= lines && whole.lines().count() < REQUESTS);
    }
    let finished = program.run(&batch).await;
    assert_eq!((finished.status, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    let took_s = clock.now().seconds_since(started);

    assert_eq!(answered(&program), (1..=REQUESTS as u64).collect());
    assert_eq!(program.read("out.jsonl").lines().count(), REQUESTS);
    emulator.signal(Signal::INT);
    let emulated = emulator.finish().await.stderr;
    let answers = emulated.lines().last().unwrap();
    assert_eq!((count(answers, "throttled "), count(answers, "failed ")), (0, 0), "{answers}");
    let again = count(answers, "admitted ") - REQUESTS as u64;
    assert!(again <= 2 * 40, "{again} were under way when the program was killed");
    println!(
        "{REQUESTS} requests, killed twice, {took_s:.0} s: each is answered once; the emulator {answers}"
    );
    println!("{}", finished.stdout);
}

#[tokio::test]
async fn a_line_that_was_cut_off_is_dropped_and_its_request_sent_again() {
    let program = with_requests(8);
    program.run(&BATCH).await;
    let whole = program.read("out.jsonl");
    let last_line = whole.trim_end().rfind('\n').unwrap() + 1;
    for (end, sent) in [(last_line + 1, 1), (whole.len() - 20, 1), (last_line, 1), (whole.len() - 1, 0)] {
        program.write("out.jsonl", &whole[..end]);
        let finished = program.run(&[&BATCH[..], &["--json"]].concat()).await;
        assert_eq!(finished.status, Some(0), "{finished:?}");
        assert_eq!(finished.json()["sent"], sent, "cut off at {end}");
        assert_eq!(answered(&program), (1..=8).collect());
        assert!(program.read("out.jsonl").starts_with(&whole[..last_line]));
    }
}

#[tokio::test]
async fn ctrl_c_lets_what_is_under_way_end_and_says_how_to_go_on() {
    for signal in [Signal::INT, Signal::TERM] {
        let program = with_requests(100);
        // A request takes up to 1.5 of these seconds.
        let slowly = [&BATCH[..], &["--rpm", "40", "--time-scale", "10", "--json"]].concat();
        let mut running = program.start(&slowly);
        running.until_lines(&program.path("out.jsonl"), 1).await;
        running.signal(signal);
        let stopped = running.finish().await;
        assert_eq!(stopped.status, Some(FAILURE), "{stopped:?}");
        assert!(stopped.stderr.ends_with("stopped; the same command goes on\n"), "{stopped:?}");
        let report = stopped.json();
        assert_eq!(report["sent"], report["answered"], "none was abandoned");
        assert_eq!(report["answered"], answered(&program).len());
        assert!(report["left"].as_u64() > Some(50), "{report}");
    }
}

#[tokio::test]
async fn ctrl_c_twice_stops_at_once() {
    let program = with_requests(3);
    let (listener, url) = deaf();
    let mut running = program.start(&[&BATCH[..], &["--rpm", "40", "--endpoint-url", &url]].concat());
    let _connection = tokio::task::spawn_blocking(move || listener.accept()).await.unwrap().unwrap();
    running.signal(Signal::INT);
    running.until_stderr("Ctrl-C again").await;
    running.signal(Signal::INT);
    let stopped = running.finish().await;
    assert_eq!(stopped.status, Some(FAILURE), "{stopped:?}");
    assert!(stopped.stderr.ends_with("and sends again what was under way\n"), "{stopped:?}");
}
