//! What people look at: the chart, the report and the verdict as text.

mod fixture;

use std::path::Path;
use std::process::Command;

use bedrock_tpm::{
    Binding, Chart, ClockAnswer, Conclusion, Mechanism, Observation, QuotaKind, Report, Trace, Verdict,
};
use fixture::{classic_run, conclusive, inconclusive, observation, steady_run};
use roxmltree::{Document, Node};

const ADMITTED: &str = "#0072B2";
const THROTTLED: &str = "#D55E00";
const FAILED: &str = "#3C3C3C";
const REMAINING: &str = "#007A5A";

fn real_run() -> Vec<Observation> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/nova-pro-2025-07.jsonl");
    Trace::load(path).expect("the fixture is a trace").observations().to_vec()
}

fn mixed(index: u32) -> u16 {
    if index % 7 == 6 { 503 } else { [200, 429, 200][index as usize % 3] }
}

fn hostile_run() -> Vec<Observation> {
    let mut run = classic_run();
    for (index, seen) in run.iter_mut().enumerate() {
        seen.phase = format!("<script>alert({index})</script> & \u{1b}[31m \"phase\"");
        seen.name = "</td><img src=x onerror=alert(1)>".into();
        seen.error = Some("<b>'bold'</b>".into());
        seen.model = "m".repeat(3_000);
        seen.endpoint = "https://example.com/<script>".into();
    }
    run
}

/// Every kind of trace that a chart has to cope with.
fn runs() -> Vec<(&'static str, Vec<Observation>)> {
    vec![
        ("empty", Vec::new()),
        ("one", classic_run()[..1].to_vec()),
        ("real", real_run()),
        ("classic", classic_run()),
        ("thirty", steady_run(30, 3.1, mixed)),
        ("hours", steady_run(500, 30.0, mixed)),
        ("dense", steady_run(500, 0.01, |_| 200)),
        ("days", steady_run(300, 2_000.0, mixed)),
        ("throttled", steady_run(30, 1.0, |_| 429)),
        ("hostile", hostile_run()),
    ]
}

fn count(document: &Document, tag: &str, attribute: &str, color: &str) -> usize {
    let found = |node: &Node| node.has_tag_name(tag) && node.attribute(attribute) == Some(color);
    document.descendants().filter(found).count()
}

/// Markers drawn for admitted, throttled and failed requests, without those of the legend.
fn markers(document: &Document) -> (usize, usize, usize) {
    let failed = count(document, "polygon", "fill", FAILED);
    (
        count(document, "circle", "fill", ADMITTED) - 1,
        count(document, "polyline", "stroke", THROTTLED) - 1,
        failed.saturating_sub(1),
    )
}

fn number(node: &Node, attribute: &str) -> f64 {
    node.attribute(attribute).and_then(|value| value.parse().ok()).expect("a number")
}

#[test]
fn each_request_has_a_marker_of_its_outcome() {
    for (name, run) in runs() {
        for verdict in [None, Some(inconclusive())] {
            let svg = Chart::new(&run, verdict.as_ref()).svg().unwrap();
            let document = Document::parse(&svg).unwrap_or_else(|error| panic!("{name}: {error}"));
            if run.is_empty() {
                assert!(svg.contains("No requests were observed yet"), "{svg}");
                continue;
            }
            let admitted = run.iter().filter(|seen| seen.outcome().is_admitted()).count();
            let throttled = run.iter().filter(|seen| seen.outcome().is_throttled()).count();
            let expected = (admitted, throttled, run.len() - admitted - throttled);
            assert_eq!(markers(&document), expected, "{name}");
        }
    }
}

#[test]
fn markers_have_an_area_in_proportion_to_the_tokens() {
    let mut run = classic_run()[..2].to_vec();
    run[1].input_tokens = Some(run[1].max_tokens * 24 + 6 * 1_000 - 2_250);
    let large = run[1].reserved() as f64 / run[0].reserved() as f64;
    let svg = Chart::new(&run, None).svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    let filled = |node: &Node| node.attribute("fill") == Some(ADMITTED);
    let radii: Vec<f64> = document.descendants().filter(filled).map(|node| number(&node, "r")).collect();
    let ratio = (radii[1] / radii[0]).powi(2);
    assert!((ratio / large - 1.0).abs() < 0.25, "area {ratio}, tokens {large}");
}

/// Estimated with 0.55 em a character, which is wide for a proportional font.
#[test]
fn no_text_is_clipped_or_covers_another() {
    for (name, run) in runs() {
        let svg = Chart::new(&run, Some(&inconclusive())).svg().unwrap();
        let document = Document::parse(&svg).unwrap();
        let root = document.root_element();
        let drawn: Vec<f64> =
            root.attribute("viewBox").unwrap().split(' ').map(|part| part.parse().unwrap()).collect();
        let mut boxes: Vec<(f64, f64, f64, f64, String)> = Vec::new();
        for node in document.descendants().filter(|node| node.has_tag_name("text")) {
            let text = node.text().unwrap().trim().to_string();
            let (x, y, size) = (number(&node, "x"), number(&node, "y"), number(&node, "font-size"));
            let width = 0.55 * size * text.chars().count() as f64;
            let left = match node.attribute("text-anchor") {
                Some("middle") => x - width / 2.0,
                Some("end") => x - width,
                _ => x,
            };
            let new = (left, y - size * 0.4, left + width, y + size * 0.4, text);
            assert!(new.0 >= 0.0 && new.2 <= drawn[2], "{name}: {new:?} is clipped");
            assert!(new.1 >= 0.0 && new.3 <= drawn[3], "{name}: {new:?} is clipped");
            for old in &boxes {
                let apart = new.2 <= old.0 || old.2 <= new.0 || new.3 <= old.1 || old.3 <= new.1;
                assert!(apart, "{name}: {new:?} covers {old:?}");
            }
            boxes.push(new);
        }
    }
}

#[test]
fn phases_minutes_and_what_was_measured_are_named() {
    let svg = Chart::new(&classic_run(), Some(&conclusive())).svg().unwrap();
    for text in
        ["fill", "before the minute", "12:01\n", "12:01:10", "2025-07-14 UTC", "us-east-1", "admitted (200)"]
    {
        assert!(svg.contains(text), "{text} is not in the chart");
    }
    let unknown_day = Chart::new(&real_run(), None).svg().unwrap();
    assert!(!unknown_day.contains("1970") && unknown_day.contains("13:19:00"), "{unknown_day}");
}

/// The heights of the remaining quota from left to right, as y of the drawing.
fn line_heights(svg: &str) -> Vec<i32> {
    let document = Document::parse(svg).expect("well-formed");
    let drawn = |node: &Node| node.attribute("stroke") == Some(REMAINING);
    let pieces = document.descendants().filter(drawn).filter_map(|node| node.attribute("points"));
    let points = pieces.skip(1).flat_map(str::split_whitespace).filter_map(|point| point.split_once(','));
    let mut points: Vec<(i32, i32)> =
        points.map(|(x, y)| (x.parse().expect("x"), y.parse().expect("y"))).collect();
    points.sort_by_key(|(x, _)| *x);
    points.into_iter().map(|(_, y)| y).collect()
}

#[test]
fn the_line_shows_the_quota_used_up_and_reset_on_the_minute() {
    let heights = line_heights(&Chart::new(&classic_run(), Some(&conclusive())).svg().unwrap());
    let full = heights[0];
    let lowest = heights.iter().position(|y| y == heights.iter().max().unwrap()).unwrap();
    assert_eq!(heights[..lowest].iter().min(), Some(&full), "never more than full: {heights:?}");
    assert!(heights[lowest..].contains(&full), "full again after the minute: {heights:?}");
    assert!(*heights.last().unwrap() > full, "charged by the last request: {heights:?}");
}

#[test]
fn the_line_stays_in_its_panel_however_steep_it_is() {
    let chart = Chart::new(&steady_run(500, 9.7, mixed), Some(&inconclusive()));
    let full = *line_heights(&chart.svg().unwrap()).iter().min().unwrap() as usize;
    let (width, pixels) = decoded(&chart.png().unwrap());
    let green = pixels.chunks(3).enumerate().filter(|(_, pixel)| *pixel == [0x00, 0x7A, 0x5A]);
    let (above, below): (Vec<_>, Vec<_>) =
        green.map(|(index, _)| (index % width, index / width)).partition(|(_, y)| y + 3 < full);
    assert!(!below.is_empty());
    assert!(above.iter().all(|(x, _)| *x <= 302), "only the sample in the caption is above: {above:?}");
}

/// Width and RGB bytes of a PNG image.
fn decoded(png: &[u8]) -> (usize, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("a PNG image");
    let mut pixels = vec![0; reader.output_buffer_size().expect("fits into memory")];
    let info = reader.next_frame(&mut pixels).expect("a whole image");
    (info.width as usize, pixels)
}

#[test]
fn the_line_is_conditional_unless_the_verdict_is_certain() {
    let caption = |verdict: &Verdict| Chart::new(&classic_run(), Some(verdict)).svg().unwrap();
    assert!(caption(&inconclusive()).contains("Remaining tokens if it is a token bucket of 8000"));
    assert!(!caption(&conclusive()).contains("if it is"));
    let requests = Verdict { binding: Binding::Quota(QuotaKind::Requests), ..inconclusive() };
    assert!(caption(&requests).contains("Remaining requests if it is"));
    let nothing = Verdict { binding: Binding::None, ..inconclusive() };
    assert!(!caption(&nothing).contains("Remaining"), "nothing was rejected, so nothing ran out");
}

#[test]
fn the_same_input_gives_the_same_bytes_and_few_of_them() {
    let run = steady_run(30, 3.1, mixed);
    let mut shuffled = run.clone();
    shuffled.reverse();
    let [one, other] = [run, shuffled].map(|run| Chart::new(&run, Some(&inconclusive())).svg().unwrap());
    assert_eq!(one, other);
    assert!(one.len() < 40_000, "{} bytes", one.len());
}

#[test]
fn the_png_is_an_image_of_the_same_shape() {
    for (name, run) in runs() {
        let chart = Chart::new(&run, Some(&inconclusive()));
        let (width, pixels) = decoded(&chart.png().unwrap());
        let shape = format!(r#"viewBox="0 0 {width} {}""#, pixels.len() / 3 / width);
        assert!(chart.svg().unwrap().contains(&shape), "{name}: not {shape}");
        assert!(pixels.iter().any(|value| *value < 0x60), "{name}: nothing dark, so no text, was drawn");
    }
}

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
    for load in ["http:", "https:", "src=", "<link", "@import", "url(", "<script"] {
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
    for markup in ["<script", "<img", "<b>"] {
        assert!(!html.contains(markup), "{markup} in the report");
    }
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

#[test]
#[ignore = "the child of the next test"]
fn shown_in_a_notebook() {
    Chart::new(&[observation("fill", "consume_1", 35.0, 200)], None).evcxr_display();
    inconclusive().evcxr_display();
}

#[test]
fn a_notebook_gets_every_form() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "shown_in_a_notebook", "--ignored", "--nocapture"])
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

#[test]
fn the_smallest_quota_and_the_emptiest_requests_are_drawn() {
    let mut verdict = inconclusive();
    verdict.binding = Binding::Quota(QuotaKind::Requests);
    verdict.ranked[0].parameters = Some(Mechanism::FixedWindow { limit: 1, window_s: 60.0, offset_s: 0.0 });
    let mut run = classic_run();
    for seen in &mut run {
        (seen.tokens_estimated, seen.max_tokens, seen.input_tokens) = (0, 0, None);
    }
    let svg = Chart::new(&run, Some(&verdict)).svg().unwrap();
    assert_eq!(markers(&Document::parse(&svg).unwrap()), (10, 5, 0));
}
