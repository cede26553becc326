//! The notebooks in real Jupyter: `notebooks/start` from nothing, JupyterLab in a browser, nbclient, nbconvert.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod start;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedrock_tpm_tests::{chromium, python_with, skip_or_fail};
use serde_json::{Value, json};
use start::{Jupyter, NOTEBOOKS, checkout, ended_well, folder};

const NAMES: [&str; 4] = ["window_test", "adaptive", "analysis", "throttle"];

#[test]
fn every_notebook_runs_in_jupyterlab() {
    let (jupyter, chromium, python) = match browser() {
        Ok(browser) => browser,
        Err(reason) => return skip_or_fail(&reason),
    };
    let pictures = folder("screenshots");
    fs::create_dir_all(&pictures).unwrap();
    let checkout = checkout();
    let server = jupyter.serve(&checkout.path().join("notebooks/window_test.ipynb"));
    let mut lab = Command::new(python);
    lab.arg(script("lab.py")).arg(chromium).arg(&server.url).arg(pictures);
    ended_well(lab.args(NAMES.map(|name| format!("{name}.ipynb"))));
}

#[test]
fn every_notebook_says_the_same_with_and_without_jupyter() {
    let jupyter = match Jupyter::shared() {
        Ok(jupyter) => jupyter,
        Err(reason) => return skip_or_fail(&reason),
    };
    let checkout = checkout();
    for name in NAMES {
        let notebook = checkout.path().join(format!("notebooks/{name}.ipynb"));
        let executed = notebook.with_extension("executed.ipynb");
        ended_well(jupyter.start().arg("--execute").arg(&notebook));
        let with = verdicts(&executed);
        assert!(notebook.with_extension("html").exists());
        ended_well(jupyter.runner().arg(&notebook));
        assert_eq!(with, verdicts(&executed), "{name}");
        assert!(with.iter().any(|verdict| !verdict.is_empty()), "{name} says nothing");
    }
}

#[test]
fn a_killed_kernel_goes_on_from_its_trace() {
    let jupyter = match Jupyter::shared() {
        Ok(jupyter) => jupyter,
        Err(reason) => return skip_or_fail(&reason),
    };
    let checkout = checkout();
    ended_well(jupyter.python().arg(script("resume.py")).arg(checkout.path().join("notebooks")));
}

#[test]
fn nbconvert_shows_the_charts_of_the_notebooks_as_they_are_kept() {
    let jupyter = match Jupyter::shared() {
        Ok(jupyter) => jupyter,
        Err(reason) => return skip_or_fail(&reason),
    };
    for name in NAMES {
        let notebook = Path::new(NOTEBOOKS).join(format!("{name}.ipynb"));
        let html = jupyter.path("html");
        let mut convert = jupyter.python();
        convert.args(["-m", "nbconvert", "--log-level", "ERROR", "--to", "html"]).arg(&notebook);
        ended_well(convert.arg("--output-dir").arg(&html));
        let page = fs::read_to_string(html.join(format!("{name}.html"))).unwrap();
        let charts = read(&notebook).to_string().matches("\"image/svg+xml\"").count();
        let shown = page.matches("src=\"data:image/svg+xml;base64,").count();
        assert!(charts > 0 && shown == charts, "{name}: {shown} of {charts} charts");
    }
}

/// From nothing to nothing, in an environment of its own.
#[test]
fn what_fails_is_told_and_clean_leaves_nothing() {
    // A killed run may have left its own.
    let _ = fs::remove_dir_all(folder("jupyter to clean"));
    let jupyter = match Jupyter::new("jupyter to clean") {
        Ok(jupyter) => jupyter,
        Err(reason) => return skip_or_fail(&reason),
    };
    for (bad, told) in [
        ("let none: Option<u8> = None;\nnone.expect(\"nothing there\");", "nothing there"),
        ("\"x\".parse::<u8>()?;", "invalid digit found in string"),
        ("let text: String = 1_u8;", "mismatched types"),
    ] {
        let notebook = jupyter.path("bad.ipynb");
        fs::write(&notebook, notebook_of(&["1 + 1", bad])).unwrap();
        let output = jupyter.start().arg("--execute").arg(&notebook).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let error = said.lines().last().unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(error.starts_with("error: cell 2 failed: ") && error.contains(told), "{said}");
    }
    let own = jupyter.home();
    let kernels = jupyter.path("data").join("kernels");
    fs::create_dir_all(kernels.join("another")).unwrap();
    fs::write(own.join("of the user"), "").unwrap();
    ended_well(jupyter.start().arg("--clean"));
    assert_eq!(files(&kernels), ["another"]);
    assert_eq!(files(&own), ["of the user"]);
    fs::remove_file(own.join("of the user")).unwrap();
    ended_well(jupyter.start().arg("--clean"));
    assert!(!own.exists());
}

/// Jupyter, and what drives a browser.
fn browser() -> Result<(&'static Jupyter, PathBuf, PathBuf), String> {
    let playwright = python_with(&folder("browser-venv"), &["playwright"])?;
    Ok((Jupyter::shared()?, chromium()?, playwright))
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jupyter").join(name)
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn notebook_of(cells: &[&str]) -> String {
    let cell = |source: &&str| json!({"cell_type": "code", "execution_count": null, "metadata": {}, "outputs": [], "source": source});
    let cells: Vec<Value> = cells.iter().map(cell).collect();
    let kernel = json!({"name": "bedrock-tpm", "display_name": "Rust (bedrock-tpm)", "language": "rust"});
    json!({"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4})
        .to_string()
}

fn read(notebook: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(notebook).unwrap()).unwrap()
}

/// The verdict that each code cell tells, as far as it does not differ from run to run: the mechanism, or that it is
/// inconclusive.
fn verdicts(executed: &Path) -> Vec<String> {
    let notebook = read(executed);
    let cells = notebook["cells"].as_array().unwrap();
    let code = cells.iter().filter(|cell| cell["cell_type"] == "code");
    code.map(|cell| verdict(&cell["outputs"].to_string())).collect()
}

fn verdict(outputs: &str) -> String {
    const VERDICTS: [&str; 4] = ["inconclusive", "window of ", "token bucket of ", "sliding log of "];
    // Text, HTML and titles tell the same: the first is the headline.
    let found = VERDICTS.iter().filter_map(|verdict| Some((outputs.find(verdict)?, verdict)));
    found.min().map_or_else(String::new, |(_, verdict)| (*verdict).to_owned())
}
