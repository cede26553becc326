//! What the marks mean.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::backdrop::Backdrop;
use super::requests::{LARGEST, Requests};
use super::style::{FAINT_INK, INK, LABEL, MINUTE, text_style, width, write};
use super::{Area, Drawn, LEFT};
use crate::text::grouped;

const SYMBOL: i32 = 26;
const BETWEEN: i32 = 64;

/// Draws one line of symbols and words, centred on the height of `y`.
pub(super) fn draw<DB: DrawingBackend>(
    root: &Area<DB>,
    y: i32,
    requests: &Requests,
    backdrop: &Backdrop,
) -> Drawn<DB> {
    let mut x = LEFT;
    let mut label = |text: &str| -> std::result::Result<i32, _> {
        write(root, text, (x + SYMBOL, y), HPos::Left, &text_style(LABEL, &INK))?;
        x += SYMBOL + width(text, LABEL) + BETWEEN;
        Ok(x)
    };
    let mut at = LEFT;
    for (mark, count) in requests.counts() {
        mark.draw(root, (at, y), LARGEST)?;
        at = label(&format!("{} {}", grouped(count as u64), mark.name()))?;
    }
    root.draw(&Circle::new((at, y), LARGEST as i32, FAINT_INK.stroke_width(2)))?;
    at = label(&format!("area: {} tokens", grouped(requests.most_tokens)))?;
    if backdrop.has_minutes() {
        for (from, to) in [(-20, -2), (12, 20)] {
            root.draw(&PathElement::new(vec![(at, y + from), (at, y + to)], MINUTE.stroke_width(2)))?;
        }
        label(&match backdrop.minute_step {
            1 => "full minute".into(),
            step if step % 60 == 0 => format!("every {} h", step / 60),
            step => format!("every {step} min"),
        })?;
    }
    Ok(())
}
