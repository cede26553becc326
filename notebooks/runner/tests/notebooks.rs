//! The project's own notebooks run from the first cell to the last.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The outputs of each code cell of an executed notebook.
fn execute(name: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let executed = folder.path().join("executed.ipynb");
    let notebook = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let output = Command::new(env!("CARGO_BIN_EXE_bedrock-tpm-runner"))
        .arg(notebook)
        .arg("--out")
        .arg(&executed)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let notebook: Value = serde_json::from_str(&std::fs::read_to_string(executed).unwrap()).unwrap();
    let cells = notebook["cells"].as_array().unwrap();
    cells.iter().filter(|cell| cell["cell_type"] == "code").map(|cell| cell["outputs"].clone()).collect()
}

fn text(outputs: &Value) -> String {
    outputs.to_string()
}

#[test]
fn window_test() {
    let cells = execute("window_test.ipynb");
    let with = |what: &str| cells.iter().filter(|outputs| text(outputs).contains(what)).count();
    for outputs in &cells {
        assert!(!text(outputs).contains("\"error\""), "{outputs}");
    }
    assert!(with("after the minute") > 0, "the phases are shown: {cells:?}");
    assert!(with("image/svg+xml") == 1, "the chart is shown: {cells:?}");
    assert!(with("token_bucket") > 0, "the verdict names the mechanism: {cells:?}");
    assert!(with("Absolute or relative minutes? neither") > 0, "a bucket follows no minute: {cells:?}");
}
