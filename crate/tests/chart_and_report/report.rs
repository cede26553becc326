//! The report, and the verdict as text.

use std::path::Path;

use bedrock_tpm::{Binding, ClockAnswer, Conclusion, Report, Verdict};

use crate::fixture::{classic_run, conclusive, hostile_run, inconclusive, real_run};

#[test]
fn the_report_holds_every_request_and_loads_nothing() {
    let html = Report::new(&classic_run(), inconclusive(), false).html().unwrap();
    for seen in classic_run() {
        assert!(html.contains(seen.request_id.as_deref().unwrap()), "{seen:?}");
        assert!(html.contains(&seen.name), "{seen:?}");
    }
    for text in
        ["token_bucket 52 %", "No probe fell between", "One request left 0.4 s late", "<svg", "9,980 tokens"]
    {
        assert!(html.contains(text), "{text} is not in the report");
    }
    let foreign = html.replace("http://www.w3.org/2000/svg", "");
    for load in ["http:", "https:", "src=", "<link", "@import", "url("] {
        assert!(!foreign.contains(load), "{load} in the report");
    }
}

#[test]
fn the_report_says_that_a_run_is_partial_and_a_request_late() {
    let mut run = classic_run();
    let complete = Report::new(&run, inconclusive(), false).html().unwrap();
    assert!(!complete.contains("Partial:") && !complete.contains("s late</em>"));
    run[0].scheduled = Some(run[0].sent.plus_seconds(-0.9));
    let partial = Report::new(&run, inconclusive(), true).html().unwrap();
    assert!(partial.contains("Partial:") && partial.contains("0.9 s late"));
}

#[test]
fn an_imported_time_says_nothing_about_latency() {
    let ours = Report::new(&classic_run(), inconclusive(), false).html().unwrap();
    assert!(ours.contains("400 ms"));
    let imported = Report::new(&real_run(), inconclusive(), false).html().unwrap();
    assert!(!imported.contains(" ms<") && imported.contains("Consume_batch_1"));
}

#[test]
fn hostile_names_stay_text() {
    let mut verdict = inconclusive();
    verdict.warnings = vec!["<script>alert('warning')</script>".into()];
    verdict.ranked[0].reason = "<img src=x>".into();
    let html = Report::new(&hostile_run(), verdict, false).html().unwrap();
    for markup in ["<script>alert", "<img", "<b>"] {
        assert!(!html.contains(markup), "{markup} in the report");
    }
    assert_eq!(html.matches("<script").count(), 1, "the report's own");
    assert!(html.contains("alert(14)"));
}

#[test]
fn a_report_is_saved_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let report = |partial| Report::new(&classic_run(), inconclusive(), partial);
    report(true).save(&path).unwrap();
    let earlier = std::fs::File::open(&path).unwrap();
    report(false).save(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), report(false).html().unwrap());
    let earlier = std::io::read_to_string(earlier).unwrap();
    assert_eq!(earlier, report(true).html().unwrap(), "replaced at once, not written over");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "a temporary file was left behind");

    for place in [folder.path().join("missing/report.html"), path.join("report.html"), folder.path().into()] {
        let error = report(false).save(&place).unwrap_err();
        assert!(error.is_output() && error.to_string().contains("name a file"), "{error}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_or_read_only_place_is_an_output_error_and_stays_what_it_is() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let report = Report::new(&classic_run(), inconclusive(), false);
    assert!(report.save("/proc/report.html").unwrap_err().is_output());
    let error = report.save("/dev/full").unwrap_err();
    assert!(error.is_output() && error.to_string().contains("free some space"), "{error}");
    assert!(std::fs::metadata("/dev/full").unwrap().file_type().is_char_device());

    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("report.html"), folder.path().join("latest.html"));
    report.save(&file).unwrap();
    let ordinary = folder.path().join("ordinary");
    std::fs::write(&ordinary, "").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&file), mode(&ordinary), "as readable as any other file");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    report.save(&link).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn the_verdict_reads_as_sentences() {
    let text = inconclusive().to_string();
    assert!(text.starts_with("Verdict: inconclusive: token_bucket 52 %, fixed_window 41 %\n"), "{text}");
    for part in
        ["cannot tell", "something_else", "Because: No probe", "Warning: One", "9,980 tokens in 15 requests"]
    {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert_eq!(
        conclusive().headline(),
        "clock-aligned window of 8000 in 60 s (>99.9 %), limiting tokens per minute"
    );
    assert!(conclusive().to_string().contains("absolute (>99.9 %)"));
    let nothing = Verdict {
        binding: Binding::None,
        clock_question: ClockAnswer::Unknown,
        ranked: Vec::new(),
        ..inconclusive()
    };
    assert_eq!(nothing.headline(), "inconclusive, nothing was throttled");
    let none = Verdict { verdict: Conclusion::NoneOfThese, ..nothing };
    assert_eq!(none.headline(), "none of these mechanisms explains the trace");
}
