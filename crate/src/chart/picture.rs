//! What is drawn, in the forms in which it is kept and shown.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plotters::prelude::*;

use super::bitmap::Bitmap;
use super::{Area, Drawn, SHOWN};
use crate::output::write_whole;
use crate::{Error, Forms, Result};

/// Something that can be drawn on every backend, always alike.
pub(super) trait Picture {
    /// Width and height of the drawing.
    fn size(&self) -> (u32, u32);
    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>) -> Drawn<DB>;
    /// The same for a terminal.
    fn text(&self) -> String;
}

/// An SVG document that uses the viewer's sans-serif font.
pub(super) fn svg(picture: &impl Picture) -> Result<String> {
    let mut svg = String::new();
    let (width, height) = picture.size();
    picture
        .draw(&SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area())
        .map_err(undrawable)?;
    let drawn = format!(r#"width="{width}" height="{height}""#);
    let shown = format!(r#"width="{}" height="{}""#, width / SHOWN as u32, height / SHOWN as u32);
    Ok(svg.replacen(&drawn, &shown, 1))
}

pub(super) fn bitmap(picture: &impl Picture) -> Result<Bitmap> {
    let mut bitmap = Bitmap::new(picture.size());
    let (pixels, size) = (&mut bitmap.pixels, bitmap.size);
    picture.draw(&BitMapBackend::with_buffer(pixels, size).into_drawing_area()).map_err(undrawable)?;
    Ok(bitmap)
}

/// Writes PNG if the name ends so, else SVG.
pub(super) fn save(picture: &impl Picture, path: &Path) -> Result<()> {
    match path.extension() {
        Some(ending) if ending == "png" => write_whole(path, &bitmap(picture)?.png()?),
        _ => write_whole(path, svg(picture)?.as_bytes()),
    }
}

/// SVG, PNG for viewers that do not trust SVG, and text.
pub(super) fn forms(picture: &impl Picture) -> Forms {
    let fitting = |svg: String| svg.replacen("<svg ", r#"<svg style="max-width:100%;height:auto" "#, 1);
    let svg = svg(picture).ok().map(|svg| ("image/svg+xml", fitting(svg)));
    let png = bitmap(picture).and_then(|bitmap| bitmap.halved().png()).ok();
    let png = png.map(|png| ("image/png", STANDARD.encode(png)));
    svg.into_iter().chain(png).chain([("text/plain", picture.text())]).collect()
}

pub(super) fn undrawable(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::output("cannot draw the chart (please report this with the trace)").because(cause)
}
