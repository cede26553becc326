//! The report in a real browser: it is used as a reader would use it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedrock_tpm::{Assumptions, Observation, Report, Trace, analyze};
use bedrock_tpm_tests::{chromium, python_with, skip_or_fail};

const BROWSER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/report/browser.py");

#[test]
fn a_marker_shows_the_values_of_its_request() {
    for trace in ["nova-pro-2025-07", "token-bucket"] {
        check("hover", &fixture(trace));
    }
}

#[test]
fn the_keyboard_does_what_the_mouse_does() {
    check("keyboard", &fixture("token-bucket"));
}

#[test]
fn a_finger_does_too() {
    check("touch", &fixture("token-bucket"));
}

#[test]
fn a_header_sorts_its_table() {
    check("sort", &fixture("token-bucket"));
}

#[test]
fn every_text_can_be_read_in_the_light_and_in_the_dark() {
    check("colours", &contradicted());
}

#[test]
fn it_fits_a_wide_window_and_a_narrow_one() {
    check("widths", &fixture("token-bucket"));
}

#[test]
fn it_is_complete_without_its_script() {
    check("without_script", &fixture("token-bucket"));
}

#[test]
fn it_prints_on_white_pages_with_nothing_cut_off() {
    check("paper", &long());
}

#[test]
fn a_hostile_trace_stays_text() {
    check("hostile", &hostile());
}

/// Has `browser.py` check a report of `observations`.
fn check(name: &str, observations: &[Observation]) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (python, chromium) = match tools(target) {
        Ok(tools) => tools,
        Err(reason) => return skip_or_fail(&reason),
    };
    let folder = target.join("report").join(name);
    fs::create_dir_all(&folder).expect("a folder for the report and its pictures");
    let report = folder.join("report.html");
    let verdict = analyze(observations, &Assumptions { tpm: Some(8_000), ..Assumptions::default() });
    Report::new(observations, verdict, false).save(&report).expect("a report");
    let output =
        Command::new(python).args(["-B", BROWSER, name]).args([&chromium, &report, &folder]).output();
    let output = output.expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn tools(target: &Path) -> Result<(PathBuf, PathBuf), String> {
    let python = python_with(&target.join("browser-venv"), &["playwright", "pypdf"])?;
    Ok((python, chromium()?))
}

fn fixture(name: &str) -> Vec<Observation> {
    let path = format!("{}/fixtures/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    Trace::load(path).expect("the fixture is a trace").observations().to_vec()
}

/// With a failed request, and one that no mechanism explains: the chart then has all of its colours.
fn contradicted() -> Vec<Observation> {
    let mut observations = fixture("token-bucket");
    let throttled = observations[9].clone();
    for (index, status) in [(1, 503), (3, 429)] {
        let seen = &mut observations[index];
        seen.status = Some(status);
        seen.error_type = throttled.error_type.clone().filter(|_| status == 429);
        seen.error = throttled.error.clone();
        (seen.input_tokens, seen.output_tokens) = (None, None);
    }
    observations
}

/// More requests than a page holds.
fn long() -> Vec<Observation> {
    let later = |round: u32| {
        contradicted().into_iter().map(move |mut seen| {
            let shift_s = 120.0 * f64::from(round);
            seen.scheduled = None;
            seen.sent = seen.sent.plus_seconds(shift_s);
            seen.finished = seen.finished.plus_seconds(shift_s);
            seen.request_id = seen.request_id.map(|id| format!("{id}-{round}"));
            seen
        })
    };
    (0..5).flat_map(later).collect()
}

/// Text that would run or break the page wherever a trace has text, if it were not only text.
fn hostile() -> Vec<Observation> {
    const MARKUP: &str = concat!(
        "</script><script>window.owned = 1</script>",
        "\"><img src=x onerror=window.owned=2> ' onmouseover='window.owned=3' ",
        "]]></svg></style><!-- {{ 7 * 7 }} \u{0}\u{1b}[31m\u{202e} javascript:window.owned=4",
    );
    let mut observations = fixture("token-bucket");
    for seen in &mut observations {
        for text in [&mut seen.phase, &mut seen.name, &mut seen.model, &mut seen.region, &mut seen.endpoint] {
            *text = MARKUP.into();
        }
        seen.request_id = Some(MARKUP.into());
        seen.error = seen.error.as_ref().map(|_| MARKUP.into());
    }
    observations[0].model = "m".repeat(3_000);
    observations
}
