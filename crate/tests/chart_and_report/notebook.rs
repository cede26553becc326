//! What a notebook shows.

use std::process::Command;

use bedrock_tpm::Chart;
use roxmltree::Document;

use crate::fixture::{inconclusive, observation};

/// Prints what the next test reads.
#[test]
fn chart_and_verdict_are_shown() {
    Chart::new(&[observation("fill", "consume_1", 35.0, 200)], None).evcxr_display();
    inconclusive().evcxr_display();
}

#[test]
fn a_notebook_gets_every_form() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "notebook::chart_and_verdict_are_shown", "--nocapture"])
        .output()
        .unwrap();
    let shown = String::from_utf8(child.stdout).unwrap();
    let forms: Vec<(&str, &str)> = shown
        .split("EVCXR_BEGIN_CONTENT ")
        .skip(1)
        .map(|block| block.split_once("\nEVCXR_END_CONTENT\n").unwrap().0.split_once('\n').unwrap())
        .collect();
    let kinds: Vec<&str> = forms.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["image/svg+xml", "image/png", "text/plain", "text/html", "text/plain"]);
    assert!(Document::parse(forms[0].1).is_ok());
    assert!(forms[1].1.starts_with("iVBORw0KGgo"), "PNG in base64");
    assert!(forms[3].1.contains("<table>"));
    assert_eq!(forms[4].1, inconclusive().to_string());
}
