//! From iterations to colours, and to a file.

use std::io;

use anyhow::Context as _;

use super::view::{Tile, View};

/// The iterations of all points of a view.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Picture {
    view_width: usize,
    view_height: usize,
    iterations: Vec<u32>,
    iterations_max: u32,
}

/// Colours along the way from the first points to escape to the last; the way is closed.
const PALETTE: [[u8; 3]; 8] = [
    [4, 6, 38],
    [16, 44, 122],
    [38, 128, 214],
    [160, 226, 246],
    [255, 250, 214],
    [255, 184, 44],
    [206, 62, 30],
    [74, 10, 60],
];
/// How often the way is gone: more make more rings.
const ROUNDS: f64 = 2.0;
/// Points that do not escape.
const INSIDE: [u8; 3] = [2, 2, 10];

impl Picture {
    /// One without points yet.
    pub(super) fn new(view: &View) -> Self {
        let (view_width, view_height) = (view.width as usize, view.height as usize);
        let iterations_max = view.parameter(view.whole()).iterations_max;
        Self {
            view_width,
            view_height,
            iterations: vec![0; view_width * view_height],
            iterations_max,
        }
    }

    /// Puts the points of a tile in their place.
    pub(super) fn place(&mut self, tile: Tile, points: &[u32]) {
        let width = tile.width as usize;
        for (row, y) in points.chunks(width).zip(tile.y as usize..) {
            let start = y * self.view_width + tile.x as usize;
            self.iterations[start..start + row.len()].copy_from_slice(row);
        }
    }

    /// Writes it as PNG; each pixel is the mean of `samples` by `samples` points.
    pub(super) fn write(&self, samples: u32, to: impl io::Write) -> anyhow::Result<()> {
        let side = samples.max(1) as usize;
        let (width, height) = (self.view_width / side, self.view_height / side);
        let pixels = self.pixels(side, width, height);
        let size = |side: usize| u32::try_from(side).context("a picture without end");
        let mut encoder = png::Encoder::new(to, size(width)?, size(height)?);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        Ok(writer.finish()?)
    }

    fn pixels(&self, side: usize, width: usize, height: usize) -> Vec<u8> {
        let colors = self.colors();
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let mut sum = [0_u32; 3];
                for row in 0..side {
                    let start = (y * side + row) * self.view_width + x * side;
                    for &count in &self.iterations[start..start + side] {
                        let color = colors.get(count as usize).unwrap_or(&INSIDE);
                        for (sum, part) in sum.iter_mut().zip(color) {
                            *sum += u32::from(*part).pow(2);
                        }
                    }
                }
                pixels.extend(sum.map(|sum| mean(sum, side)));
            }
        }
        pixels
    }

    /// The colour of each number of iterations. The way through the palette is so long for each
    /// number as there are points with it: each colour has its share of the picture, whatever it
    /// shows.
    fn colors(&self) -> Vec<[u8; 3]> {
        let mut counts = vec![0_u32; self.iterations_max as usize];
        let outside = self.iterations.iter().filter(|&&count| count < self.iterations_max);
        outside.clone().for_each(|&count| counts[count as usize] += 1);
        let total = f64::from(counts.iter().sum::<u32>().max(1));
        let mut before = 0;
        counts
            .iter()
            .map(|&count| {
                let middle = f64::from(before) + f64::from(count) / 2.0;
                before += count;
                color(middle / total * ROUNDS)
            })
            .collect()
    }
}

/// The colour at a place on the way; whole numbers are its beginning.
fn color(way: f64) -> [u8; 3] {
    let place = way.fract() * PALETTE.len() as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
    let index = place as usize % PALETTE.len();
    let (from, to) = (PALETTE[index], PALETTE[(index + 1) % PALETTE.len()]);
    let share = place.fract();
    // Slow at the stops, so that no edge is seen there.
    let share = share * share * (3.0 - 2.0 * share);
    std::array::from_fn(|part| {
        let (from, to) = (f64::from(from[part]), f64::from(to[part]));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
        let mixed = (from + (to - from) * share).round() as u8;
        mixed
    })
}

/// The mean of `side` by `side` parts of colours, whose squares make `sum`: light adds up, and is
/// about the square of what a file says.
fn mean(sum: u32, side: usize) -> u8 {
    #[expect(clippy::cast_precision_loss, reason = "a few points")]
    let mean = (f64::from(sum) / (side * side) as f64).sqrt().round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
    let part = mean as u8;
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use rserpool_services::fractal::packet::Algorithm;

    fn picture() -> Picture {
        let view = View::new([4, 2], [0.0, 0.0], 1.0, Algorithm::Mandelbrot, 3).unwrap();
        Picture::new(&view)
    }

    #[test]
    fn tiles_come_to_their_place() {
        let mut picture = picture();
        picture.place(Tile { x: 1, y: 0, width: 2, height: 2 }, &[1, 2, 3, 1]);
        assert_eq!(picture.iterations, [0, 1, 2, 0, 0, 3, 1, 0]);
    }

    #[test]
    fn a_pixel_is_the_mean_of_its_points() {
        let mut picture = picture();
        picture.place(Tile { x: 0, y: 0, width: 4, height: 2 }, &[3, 3, 3, 3, 3, 3, 0, 0]);
        let pixels = picture.pixels(2, 2, 1);
        assert_eq!(pixels[..3], INSIDE);
        assert!(pixels[3..] != pixels[..3]);
        assert_eq!(mean(2 * 100_u32.pow(2) + 2 * 200_u32.pow(2), 2), 158);
    }

    #[test]
    fn what_is_written_is_a_picture_of_that_size() {
        let mut octets = Vec::new();
        picture().write(1, &mut octets).unwrap();
        let decoder = png::Decoder::new(io::Cursor::new(octets));
        let reader = decoder.read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (4, 2));
    }

    #[test]
    fn the_way_through_the_palette_is_closed() {
        assert_eq!(color(0.0), PALETTE[0]);
        assert_eq!(color(1.0), PALETTE[0]);
        assert_eq!(color(0.5), PALETTE[4]);
    }
}
