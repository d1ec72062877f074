//! The same picture, computed here.

use std::thread;

use super::picture::Picture;
use super::view::View;
use rserpool_services::fractal::compute::points;

/// Computes all of it, in no tiles, on all processors.
pub(super) fn compute(view: &View) -> Picture {
    let whole = view.parameter(view.whole());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let rows = (view.height as usize).div_ceil(threads).max(1);
    let bands = (0..view.height as usize).step_by(rows);
    let width = view.width as usize;
    let band = |first: usize| {
        let count = rows.min(view.height as usize - first) * width;
        points(&whole, (first * width) as u64, count, || true)
    };
    let bands: Vec<Vec<u32>> = thread::scope(|scope| {
        let threads: Vec<_> = bands.map(|first| scope.spawn(move || band(first))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
    });
    let mut picture = Picture::new(view);
    picture.place(view.whole(), &bands.concat());
    picture
}
