//! Good cells and bad ones, run by the real binary.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use bedrock_tpm_tests::engine;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::{TempDir, tempdir};

struct Run {
    folder: TempDir,
    output: Output,
    notebook: Value,
}

impl Run {
    /// The outputs of code cell `number`, from 1.
    fn outputs(&self, number: usize) -> &Value {
        &self.notebook["cells"][number]["outputs"]
    }
}

fn notebook(cells: &[&str]) -> Value {
    let code = cells.iter().enumerate().map(|(index, source)| {
        let source: Vec<&str> = source.split_inclusive('\n').collect();
        json!({"cell_type": "code", "execution_count": 9, "id": format!("c{index}"), "metadata": {},
               "outputs": [{"output_type": "stream", "name": "stdout", "text": ["of an earlier run\n"]}],
               "source": source})
    });
    let title = json!({"cell_type": "markdown", "id": "title", "metadata": {}, "source": ["# Größe"]});
    let cells: Vec<Value> = std::iter::once(title).chain(code).collect();
    json!({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
}

fn runner(notebook: &Path, arguments: &[&str]) -> Output {
    let mut runner = Command::new(env!("CARGO_BIN_EXE_bedrock-tpm-runner"));
    runner.env("BEDROCK_TPM_ENGINE", engine()).arg(notebook).args(arguments).output().unwrap()
}

fn run(cells: &[&str]) -> Run {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.ipynb");
    fs::write(&path, notebook(cells).to_string()).unwrap();
    let output = runner(&path, &[]);
    let executed = fs::read_to_string(folder.path().join("a.executed.ipynb")).unwrap();
    Run { folder, output, notebook: serde_json::from_str(&executed).unwrap() }
}

/// Runs a good cell, `bad`, and one that must not run.
fn run_bad(bad: &str, kind: &str, message: &str) -> Run {
    let run = run(&["let n: u8 = 1;\nprintln!(\"before\");", bad, "println!(\"after\");"]);
    let said = String::from_utf8_lossy(&run.output.stderr);
    assert_eq!(run.output.status.code(), Some(1), "{said}");
    let error = said.lines().last().unwrap();
    assert!(error.starts_with(&format!("error: cell 2 failed ({kind}): ")), "{said}");
    assert!(error.contains(message), "{said}");

    assert_eq!(run.outputs(1)[0]["text"], json!(["before\n"]));
    let saved = run.outputs(2).as_array().unwrap().last().unwrap();
    assert_eq!((&saved["output_type"], &saved["ename"]), (&json!("error"), &json!(kind)));
    assert!(saved["evalue"].as_str().unwrap().contains(message), "{saved}");
    assert_eq!(run.outputs(3), &json!([]), "a cell ran after one that failed");
    assert_eq!(run.notebook["cells"][3]["execution_count"], Value::Null);
    run
}

#[test]
fn saves_what_good_cells_print_and_show() {
    let run = run(&[
        "let n: u8 = 41;\nprintln!(\"out\");\neprintln!(\"err\");\neprint!(\"unended\");",
        " ",
        "n + 1",
        r#"struct Chart;
impl Chart {
    fn evcxr_display(&self) {
        println!("EVCXR_BEGIN_CONTENT image/svg+xml\n<svg>\n</svg>\nEVCXR_END_CONTENT");
        println!("EVCXR_BEGIN_CONTENT image/png\niVBORw0KGgo=\nEVCXR_END_CONTENT");
    }
}
Chart"#,
    ]);
    assert!(run.output.status.success(), "{}", String::from_utf8_lossy(&run.output.stderr));
    let stream = |name, text: &[&str]| json!({"output_type": "stream", "name": name, "text": text});
    assert_eq!(
        run.outputs(1),
        &json!([stream("stdout", &["out\n"]), stream("stderr", &["err\n", "unended\n"])])
    );
    assert_eq!(run.outputs(2), &json!([]));
    let shown = |count, data: Value| json!([{"output_type": "execute_result", "execution_count": count, "data": data, "metadata": {}}]);
    assert_eq!(run.outputs(3), &shown(2, json!({"text/plain": ["42"]})));
    let chart = json!({"image/svg+xml": ["<svg>\n", "</svg>"], "image/png": "iVBORw0KGgo="});
    assert_eq!(run.outputs(4), &shown(3, chart));

    let executed = run.folder.path().join("a.executed.ipynb");
    let once = fs::read_to_string(&executed).unwrap();
    assert!(once.starts_with("{\n \"cells\": [\n  {\n   \"cell_type\": \"markdown\",\n   \"id\""), "{once}");
    assert!(once.contains("# Größe") && once.ends_with("}\n"));
    assert!(runner(&executed, &["--inplace"]).status.success());
    assert_eq!(fs::read_to_string(&executed).unwrap(), once, "a second run changes the file");
}

#[test]
fn a_compile_error_fails() {
    let run = run_bad("let text: String = n;", "CompileError", "mismatched types");
    let details = run.outputs(2)[0]["traceback"].to_string();
    assert!(details.contains("let text: String = n;"), "{details}");
}

#[test]
fn a_type_that_cannot_be_told_fails() {
    run_bad("let list = vec![n];", "EngineError", "Please give it an explicit type.");
}

#[test]
fn a_panic_fails() {
    run_bad("let none: Option<u8> = None;\nnone.expect(\"nothing there\");", "Panic", "nothing there");
}

#[test]
fn a_panic_in_another_thread_fails() {
    run_bad("std::thread::spawn(|| panic!(\"elsewhere\")).join().is_err();", "Panic", "elsewhere");
}

#[test]
fn a_returned_error_fails() {
    run_bad("let m: u8 = \"x\".parse::<u8>()?;", "Error", "invalid digit found in string");
}

#[test]
fn a_returned_error_fails_even_after_an_unended_line() {
    let run = run_bad("print!(\"half a line\");\n\"x\".parse::<u8>()?;", "Error", "invalid digit");
    assert_eq!(run.outputs(2)[0]["text"], json!(["half a line\n"]));
}

#[test]
fn a_cell_that_aborts_fails() {
    run_bad("std::process::abort();", "ProcessEnded", "SIGABRT");
}

#[test]
fn a_cell_that_exits_fails() {
    run_bad("std::process::exit(0);", "ProcessEnded", "exit status: 0");
}

/// The cells share one library, found by a path relative to the notebook, and with it what is static there.
#[test]
fn cells_share_a_dylib() {
    let folder = tempdir().unwrap();
    let library = folder.path().join("counter/src");
    fs::create_dir_all(&library).unwrap();
    let manifest = "[package]\nname = \"counter\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"dylib\"]\n";
    fs::write(folder.path().join("counter/Cargo.toml"), manifest).unwrap();
    let code = "use std::sync::atomic::{AtomicU8, Ordering};\nstatic COUNT: AtomicU8 = AtomicU8::new(0);\npub fn next() -> u8 {\n    COUNT.fetch_add(1, Ordering::Relaxed) + 1\n}\n";
    fs::write(library.join("lib.rs"), code).unwrap();
    let path = folder.path().join("a.ipynb");
    let cells = [
        ":dep counter = { path = \"counter\" }\nlet first: u8 = counter::next();",
        "first * 10 + counter::next()",
    ];
    fs::write(&path, notebook(&cells).to_string()).unwrap();

    let output = runner(&path, &["--inplace"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let executed: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(executed["cells"][2]["outputs"][0]["data"]["text/plain"], json!(["12"]));
}

#[test]
fn what_is_no_notebook_is_refused_in_one_line() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("old.ipynb");
    fs::write(&path, r#"{"nbformat": 3, "worksheets": []}"#).unwrap();
    for (path, reason) in [(path, "format 4"), (folder.path().join("none.ipynb"), "cannot read")] {
        let output = runner(&path, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.starts_with("error: ") && said.contains(reason) && said.lines().count() == 1, "{said}");
    }
}
