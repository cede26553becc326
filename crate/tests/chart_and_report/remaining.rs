//! The line of the remaining quota.

use bedrock_tpm::{Binding, Chart, QuotaKind, Verdict};
use roxmltree::{Document, Node};

use crate::chart::{decoded, mixed};
use crate::fixture::{classic_run, conclusive, inconclusive, steady_run};

const REMAINING: &str = "#007A5A";

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
