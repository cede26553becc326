//! Every request is drawn, and every text can be read.

use bedrock_tpm::{Binding, Chart, Mechanism, Observation, QuotaKind};
use roxmltree::{Document, Node};

use crate::fixture::{classic_run, conclusive, hostile_run, inconclusive, real_run, steady_run};

const ADMITTED: &str = "#0072B2";
const THROTTLED: &str = "#D55E00";
const FAILED: &str = "#3C3C3C";

pub fn mixed(index: u32) -> u16 {
    if index % 7 == 6 { 503 } else { [200, 429, 200][index as usize % 3] }
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

/// Width and RGB bytes of a PNG image.
pub fn decoded(png: &[u8]) -> (usize, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("a PNG image");
    let mut pixels = vec![0; reader.output_buffer_size().expect("fits into memory")];
    let info = reader.next_frame(&mut pixels).expect("a whole image");
    (info.width as usize, pixels)
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
