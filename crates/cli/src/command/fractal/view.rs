//! Which part of the plane a picture shows, and how it is cut into tiles.

use anyhow::ensure;

use rserpool_services::fractal::packet::{Algorithm, Parameter};

/// A picture's points in the plane.
///
/// All coordinates are multiples of one power of two, with so few digits that sums and products of
/// them are exact: a tile's points are the same numbers as those of the whole picture, whatever the
/// size of the tiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct View {
    /// Points in a row.
    pub(super) width: u32,
    /// Rows.
    pub(super) height: u32,
    iterations_max: u32,
    algorithm: Algorithm,
    first: [f64; 2],
    step: f64,
}

/// A rectangle of points.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Tile {
    /// Column of its first point.
    pub(super) x: u32,
    /// Row of its first point.
    pub(super) y: u32,
    /// Points in a row.
    pub(super) width: u32,
    /// Rows.
    pub(super) height: u32,
}

/// The step between points is so many of these units, or up to twice as many.
const STEP_UNITS: f64 = 1024.0;
/// The smallest unit: numbers up to 4 have an exact place in 53 digits, with a few to spare.
const UNIT_MIN: f64 = 1.0 / (1_u64 << 48) as f64;

impl View {
    /// A picture of `width` by `height` points around `center`, `span` wide.
    ///
    /// # Errors
    ///
    /// The span is so small that points cannot be told apart, or the place is too far away.
    pub(super) fn new(
        [width, height]: [u32; 2],
        center: [f64; 2],
        span: f64,
        algorithm: Algorithm,
        iterations_max: u32,
    ) -> anyhow::Result<Self> {
        let step = span / f64::from(width);
        ensure!(span.is_finite() && span > 0.0, "the span must be more than 0");
        ensure!(span <= 8.0, "the span must be at most 8: there is nothing to see beyond");
        ensure!(
            center.iter().all(|part| part.abs() <= 2.0),
            "the center must be within -2 and 2: there is nothing to see beyond"
        );
        let unit = unit_of(step);
        ensure!(unit > UNIT_MIN, "points {step:e} apart cannot be told from each other");
        let snapped = |number: f64| (number / unit).round() * unit;
        let step = snapped(step);
        let first = [(0, width), (1, height)]
            .map(|(axis, side)| snapped(center[axis] - step * f64::from(side) / 2.0));
        Ok(Self { width, height, iterations_max, algorithm, first, step })
    }

    /// The tiles, row by row; at most `side` points wide and high.
    pub(super) fn tiles(&self, side: u32) -> impl Iterator<Item = Tile> + use<> {
        let (width, height) = (self.width, self.height);
        let starts = move |end: u32| (0..end).step_by(side.max(1) as usize);
        starts(height).flat_map(move |y| {
            starts(width).map(move |x| Tile {
                x,
                y,
                width: side.min(width - x),
                height: side.min(height - y),
            })
        })
    }

    /// What a server is asked for.
    pub(super) fn parameter(&self, tile: Tile) -> Parameter {
        let corner = |x: u32, y: u32| {
            [self.first[0] + self.step * f64::from(x), self.first[1] + self.step * f64::from(y)]
        };
        Parameter {
            width: tile.width,
            height: tile.height,
            iterations_max: self.iterations_max,
            algorithm: self.algorithm,
            first: corner(tile.x, tile.y),
            opposite: corner(tile.x + tile.width, tile.y + tile.height),
        }
    }

    /// All of it as one tile.
    pub(super) fn whole(&self) -> Tile {
        Tile { x: 0, y: 0, width: self.width, height: self.height }
    }
}

/// The largest power of two of which a step has enough; [`UNIT_MIN`] where that is as small. By
/// halving, which is exact everywhere.
fn unit_of(step: f64) -> f64 {
    let mut unit = 1.0;
    while unit > UNIT_MIN && unit * STEP_UNITS > step {
        unit /= 2.0;
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use rserpool_services::fractal::compute::points;

    fn view(size: [u32; 2], span: f64) -> View {
        View::new(size, [0.743_643_887, -0.131_825_904], span, Algorithm::Mandelbrot, 200).unwrap()
    }

    #[test]
    fn tiles_cover_the_picture_once() {
        let view = view([100, 70], 0.01);
        let mut seen = vec![0; 7000];
        for tile in view.tiles(32) {
            for y in tile.y..tile.y + tile.height {
                for x in tile.x..tile.x + tile.width {
                    seen[(y * 100 + x) as usize] += 1;
                }
            }
        }
        assert!(seen.iter().all(|&times| times == 1));
        assert_eq!(view.tiles(1000).collect::<Vec<_>>(), [view.whole()]);
    }

    #[test]
    fn a_tile_has_the_points_of_the_whole() {
        for (span, side) in [(3.0, 7), (0.01, 33), (1e-6, 10), (3.3e-9, 64)] {
            let view = view([90, 61], span);
            let whole = points(&view.parameter(view.whole()), 0, 90 * 61, || true);
            for tile in view.tiles(side) {
                let part = points(&view.parameter(tile), 0, 90 * 61, || true);
                let rows = part.chunks(tile.width as usize);
                for (row, y) in rows.zip(tile.y..) {
                    let start = (y * 90 + tile.x) as usize;
                    assert_eq!(row, &whole[start..start + tile.width as usize]);
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        let view = |center, span| View::new([10, 10], center, span, Algorithm::Mandelbrot, 10);
        assert!(view([0.0, 0.0], 0.0).is_err());
        assert!(view([0.0, 0.0], f64::NAN).is_err());
        assert!(view([0.0, 0.0], 9.0).is_err());
        assert!(view([f64::NAN, 0.0], 1.0).is_err());
        assert!(view([0.0, 3.0], 1.0).is_err());
        assert!(view([0.0, 0.0], 1e-13).is_err());
    }
}
