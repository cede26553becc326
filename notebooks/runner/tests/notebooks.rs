//! The project's own notebooks run from the first cell to the last.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::process::Command;

use bedrock_tpm_tests::engine;
use serde_json::{Value, json};

fn runner() -> Command {
    let mut runner = Command::new(env!("CARGO_BIN_EXE_bedrock-tpm-runner"));
    runner.env("BEDROCK_TPM_ENGINE", engine());
    runner
}

/// The outputs of each code cell of an executed notebook, none of which failed. Compiles in `build`.
fn execute(name: &str, build: &Path) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let executed = folder.path().join("executed.ipynb");
    let notebook = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let output =
        runner().arg(notebook).arg("--out").arg(&executed).arg("--keep").arg(build).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let notebook: Value = serde_json::from_str(&std::fs::read_to_string(executed).unwrap()).unwrap();
    let cells = notebook["cells"].as_array().unwrap();
    let code = cells.iter().filter(|cell| cell["cell_type"] == "code");
    let outputs: Vec<Value> = code.map(|cell| cell["outputs"].clone()).collect();
    assert!(outputs.iter().all(|outputs| !outputs.to_string().contains("\"error\"")), "{outputs:?}");
    outputs
}

/// How many cells show this.
fn with(cells: &[Value], what: &str) -> usize {
    cells.iter().filter(|outputs| outputs.to_string().contains(what)).count()
}

/// One after the other, in one folder: the second finds the dependencies compiled.
#[test]
fn every_notebook_runs_and_concludes() {
    let build = tempfile::tempdir().unwrap();
    window_test(&execute("window_test.ipynb", build.path()));
    adaptive(&execute("adaptive.ipynb", build.path()));
    analysis(&execute("analysis.ipynb", build.path()));
    throttle(&execute("throttle.ipynb", build.path()));
}

fn window_test(cells: &[Value]) {
    assert!(with(cells, "after the minute") > 0, "the phases are shown: {cells:?}");
    assert!(with(cells, "waiting ") == 0, "no wait is long: {cells:?}");
    assert!(with(cells, "image/svg+xml") == 1, "the chart is shown: {cells:?}");
    assert!(with(cells, "throttled |") == 1, "in characters too: {cells:?}");
    assert!(with(cells, "<th>latency</th>") == 1, "the requests are listed: {cells:?}");
    assert!(with(cells, "token_bucket") > 0, "the verdict names the mechanism: {cells:?}");
    assert!(
        with(cells, "Absolute or relative minutes? neither") > 0,
        "a bucket follows no minute: {cells:?}"
    );
}

fn adaptive(cells: &[Value]) {
    assert!(with(cells, "inconclusive") == 1, "three requests show no mechanism: {cells:?}");
    assert!(with(cells, " challenge 1  ") == 2, "each leader is challenged: {cells:?}");
    assert!(with(cells, "Verdict: window of ") == 2, "in the verdict and in its chart: {cells:?}");
    assert!(with(cells, "In plain words: ") == 1, "the verdict is shown: {cells:?}");
    assert!(with(cells, "Verdict: token bucket of ") == 1, "the other mechanism is named: {cells:?}");
    assert!(with(cells, "contradicts none of ") == 2, "the charts compare: {cells:?}");
}

fn analysis(cells: &[Value]) {
    assert!(with(cells, "Test_at_next_minute_05") > 1, "the requests are listed: {cells:?}");
    assert!(with(cells, "Binding quota: requests") == 1, "the published run measured requests: {cells:?}");
    assert!(with(cells, "image/svg+xml") == 2, "a chart for each trace: {cells:?}");
}

fn throttle(cells: &[Value]) {
    assert!(with(cells, "sliding log of ") > 0, "the mechanism is named: {cells:?}");
    assert!(with(cells, "waiting ") == 0, "no wait is long: {cells:?}");
    assert!(with(cells, "Goodput: before ") == 1, "the chart compares: {cells:?}");
    assert!(with(cells, "a minute with 0 rejected") == 1, "nothing is rejected after: {cells:?}");
}

/// Cells of a notebook in the folder of the notebooks, run one after the other.
fn cells(sources: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let notebooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let dependency = format!(
        ":dep bedrock-tpm-cells = {{ path = {:?} }}\nuse bedrock_tpm_cells::*;",
        notebooks.join("cells")
    );
    let code = [&*dependency].into_iter().chain(sources.iter().copied()).map(|source| {
        json!({"cell_type": "code", "execution_count": null, "metadata": {}, "outputs": [], "source": source})
    });
    let cells: Vec<Value> = code.collect();
    let notebook = json!({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4});
    let path = folder.path().join("a.ipynb");
    std::fs::write(&path, notebook.to_string()).unwrap();
    runner().arg(&path).output().unwrap();
    let executed = std::fs::read_to_string(folder.path().join("a.executed.ipynb")).unwrap();
    let executed: Value = serde_json::from_str(&executed).unwrap();
    executed["cells"].as_array().unwrap()[1..].iter().map(|cell| cell["outputs"].clone()).collect()
}

/// The one line in which a cell failed.
fn error(outputs: &Value) -> &str {
    let errors: Vec<_> =
        outputs.as_array().unwrap().iter().filter(|it| it["output_type"] == "error").collect();
    assert_eq!(errors.len(), 1, "{outputs}");
    let message = errors[0]["evalue"].as_str().unwrap();
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

const TESTER: &str =
    "let mut tester: BedrockTpmTester = in_virtual_time(MechanismId::SlidingLog, 8_000, \"t.jsonl\")?;";

#[test]
fn a_call_that_fails_says_what_to_do() {
    let outputs = cells(&[TESTER, "tester.make_bedrock_request(9_000)?;"]);
    assert!(error(&outputs[1]).contains("use 8000 or fewer"), "{outputs:?}");
}

#[test]
fn a_run_that_is_stopped_goes_on_from_its_trace() {
    let stopped =
        "tester.stop_after(60.0);\nif let Err(error) = tester.run_adaptive() { println!(\"{error}\") }";
    let count = "let before: usize = tester.requests().to_string().lines().count();";
    let again = "let mut tester: BedrockTpmTester = resume(\"t.jsonl\")?;\n\
                 println!(\"kept {}\", before > 3 && before == tester.requests().to_string().lines().count());\n\
                 tester.run_adaptive()?;\nprintln!(\"{}\", tester.verdict().verdict);";
    let outputs = cells(&[TESTER, stopped, count, again]);
    assert!(outputs[1].to_string().contains("the trace is kept: give more time and go on"), "{outputs:?}");
    let last = outputs[3].to_string();
    assert!(last.contains("kept true") && last.contains("sliding_log"), "{outputs:?}");
}
