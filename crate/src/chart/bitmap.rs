//! Pixels, and as PNG.

use super::picture::undrawable;
use crate::Result;

/// Bytes of a pixel: red, green, blue.
const RGB: usize = 3;

/// A picture of `size` pixels, row by row.
pub(super) struct Bitmap {
    pub size: (u32, u32),
    pub pixels: Vec<u8>,
}

impl Bitmap {
    pub fn new(size: (u32, u32)) -> Self {
        Self { size, pixels: vec![0; size.0 as usize * size.1 as usize * RGB] }
    }

    /// Half as wide and high: each pixel is the mean of four.
    pub fn halved(&self) -> Self {
        let (width, height) = (self.size.0 as usize / 2, self.size.1 as usize / 2);
        let row = self.size.0 as usize * RGB;
        let mean = |index: usize| {
            let (y, x, colour) = (index / RGB / width, index / RGB % width, index % RGB);
            let first = 2 * y * row + 2 * x * RGB + colour;
            let four = [first, first + RGB, first + row, first + row + RGB];
            (four.iter().map(|at| u32::from(self.pixels[*at])).sum::<u32>() / 4) as u8
        };
        let pixels = (0..width * height * RGB).map(mean).collect();
        Self { size: (width as u32, height as u32), pixels }
    }

    /// The picture as a PNG file.
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.size.0, self.size.1);
        encoder.set_color(png::ColorType::Rgb);
        // Flat colours compress best as they are.
        encoder.set_filter(png::Filter::NoFilter);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header().map_err(undrawable)?;
        writer.write_image_data(&self.pixels).map_err(undrawable)?;
        writer.finish().map_err(undrawable)?;
        Ok(file)
    }
}
