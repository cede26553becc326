//! Font, colours and the placing of things side by side.

use std::sync::Once;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Area, Drawn};

/// Viewers take the first of these that they have; for the PNG and for measuring it names the embedded font.
const FONT: &str = "Helvetica, Arial, sans-serif";
static FONT_FILE: &[u8] = include_bytes!("../../assets/DejaVuSans-latin.ttf");

pub(super) const TITLE: i32 = 38;
pub(super) const LABEL: i32 = 28;

pub(super) const INK: RGBColor = RGBColor(0x22, 0x26, 0x2B);
pub(super) const FAINT_INK: RGBColor = RGBColor(0x5B, 0x63, 0x6E);
pub(super) const GRID: RGBColor = RGBColor(0xDA, 0xDE, 0xE3);
pub(super) const MINUTE: RGBColor = RGBColor(0x8A, 0x93, 0x9E);
// Okabe and Ito's palette: distinct in every common form of colour blindness.
pub(super) const ADMITTED: RGBColor = RGBColor(0x00, 0x72, 0xB2);
pub(super) const THROTTLED: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
pub(super) const FAILED: RGBColor = RGBColor(0x3C, 0x3C, 0x3C);
pub(super) const REMAINING: RGBColor = RGBColor(0x00, 0x7A, 0x5A);
/// Predictions: quiet where they agree.
pub(super) const PALE_ADMITTED: RGBColor = RGBColor(0x8F, 0xBB, 0xD9);
pub(super) const PALE_THROTTLED: RGBColor = RGBColor(0xEC, 0xB1, 0x8A);
pub(super) const CONTRADICTED: RGBColor = RGBColor(0xA8, 0x00, 0x4F);
/// Phases, in the order of their first appearance.
pub(super) const TINTS: [RGBColor; 4] = [
    RGBColor(0xE6, 0xEE, 0xF7),
    RGBColor(0xF8, 0xEF, 0xDC),
    RGBColor(0xE7, 0xF3, 0xE8),
    RGBColor(0xF5, 0xE8, 0xF1),
];

pub(super) fn register_font() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // An unreadable font would show in every test that draws text.
        let _ = plotters::style::register_font(FONT, FontStyle::Normal, FONT_FILE);
    });
}

pub(super) fn text_style(size: i32, color: &RGBColor) -> TextStyle<'_> {
    TextStyle::from((FONT, size)).color(color)
}

/// The width of `text` in the embedded font, which is wider than most that viewers substitute.
pub(super) fn width(text: &str, size: i32) -> i32 {
    text_style(size, &INK).font.box_size(text).map_or(0, |(width, _)| width as i32)
}

/// `text` without control characters, shortened until it fits into `room`.
pub(super) fn fitted(text: &str, size: i32, room: i32) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if width(&clean, size) <= room {
        return clean;
    }
    let mut kept = String::new();
    for c in clean.chars() {
        if width(&format!("{kept}{c}…"), size) > room {
            break;
        }
        kept.push(c);
    }
    format!("{}…", kept.trim_end())
}

/// Writes one line of text, with `horizontal` as its anchor and centred on the height of `at`.
pub(super) fn write<DB: DrawingBackend>(
    root: &Area<DB>,
    text: &str,
    at: (i32, i32),
    horizontal: HPos,
    style: &TextStyle<'_>,
) -> Drawn<DB> {
    root.draw_text(text, &style.pos(Pos::new(horizontal, VPos::Center)), at)
}

/// For each span, in order of its start, a lane in which it touches none before it; `None` if `most` lanes are full.
pub(super) fn lanes(spans: impl IntoIterator<Item = (i32, i32)>, most: usize) -> Vec<Option<usize>> {
    let mut ends: Vec<i32> = Vec::new();
    let place = |(start, end): (i32, i32)| match ends.iter().position(|last| *last <= start) {
        Some(lane) => {
            ends[lane] = end;
            Some(lane)
        }
        None if ends.len() < most => {
            ends.push(end);
            Some(ends.len() - 1)
        }
        None => None,
    };
    spans.into_iter().map(place).collect()
}
