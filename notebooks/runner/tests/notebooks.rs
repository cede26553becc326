//! The project's own notebooks run from the first cell to the last.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The outputs of each code cell of an executed notebook, none of which failed. Compiles in `build`.
fn execute(name: &str, build: &Path) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let executed = folder.path().join("executed.ipynb");
    let notebook = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let output = Command::new(env!("CARGO_BIN_EXE_bedrock-tpm-runner"))
        .arg(notebook)
        .arg("--out")
        .arg(&executed)
        .arg("--keep")
        .arg(build)
        .output()
        .unwrap();
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
}

fn window_test(cells: &[Value]) {
    assert!(with(cells, "after the minute") > 0, "the phases are shown: {cells:?}");
    assert!(with(cells, "image/svg+xml") == 1, "the chart is shown: {cells:?}");
    assert!(with(cells, "token_bucket") > 0, "the verdict names the mechanism: {cells:?}");
    assert!(
        with(cells, "Absolute or relative minutes? neither") > 0,
        "a bucket follows no minute: {cells:?}"
    );
}

fn adaptive(cells: &[Value]) {
    assert!(with(cells, "inconclusive") == 1, "three requests show no mechanism: {cells:?}");
    assert!(with(cells, "challenge 4") == 2, "each leader is challenged: {cells:?}");
    assert!(with(cells, "Verdict: window of ") == 2, "in the verdict and in its chart: {cells:?}");
    assert!(with(cells, "In plain words: ") == 1, "the verdict is shown: {cells:?}");
    assert!(with(cells, "Verdict: token bucket of ") == 1, "the other mechanism is named: {cells:?}");
    assert!(with(cells, "contradicts none of ") == 2, "the charts compare: {cells:?}");
}
