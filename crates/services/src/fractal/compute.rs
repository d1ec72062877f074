//! The iterations of points. Only additions and multiplications, in an order that is written down
//! here: every machine comes to the same numbers.

use std::time::{Duration, Instant};

use super::packet::{Algorithm, Parameter};

/// Iterations between two looks at the clock, some tens of microseconds: where reading it is a system
/// call, a look after each point takes longer than the point.
const ITERATIONS_BETWEEN_LOOKS: u32 = 10_000;

/// The iterations of the points from number `from` on, row by row: at most `count`, and fewer where
/// `goes_on` says so, which is asked every now and then.
pub fn points(
    parameter: &Parameter,
    from: u64,
    count: usize,
    mut goes_on: impl FnMut() -> bool,
) -> Vec<u32> {
    let width = u64::from(parameter.width);
    let to = parameter.points().min(from.saturating_add(count as u64));
    let mut iterations = Vec::with_capacity(count);
    let mut done = 0_u32;
    for number in from..to {
        let point = point(parameter, number % width, number / width);
        iterations.push(point);
        // The point itself takes some work, too.
        done = done.saturating_add(point).saturating_add(1);
        if done >= ITERATIONS_BETWEEN_LOOKS {
            if !goes_on() {
                break;
            }
            done = 0;
        }
    }
    iterations
}

/// How many millions of iterations a second one processor does, measured for so long.
pub(super) fn millions_a_second(measuring: Duration) -> f64 {
    // In the middle of the set no point escapes.
    let inside = Parameter {
        width: 1 << 20,
        height: 1 << 20,
        iterations_max: 1000,
        algorithm: Algorithm::Mandelbrot,
        first: [0.0, 0.0],
        opposite: [0.1, 0.1],
    };
    let start = Instant::now();
    let done = points(&inside, 0, 1 << 20, || start.elapsed() < measuring);
    let iterations: f64 = done.into_iter().map(f64::from).sum();
    iterations / start.elapsed().as_secs_f64().max(1e-9) / 1e6
}

fn point(parameter: &Parameter, x: u64, y: u64) -> u32 {
    let [first, opposite] = [parameter.first, parameter.opposite];
    let part = |axis: usize, place: u64, side: u32| {
        let step = (opposite[axis] - first[axis]) / f64::from(side);
        #[expect(clippy::cast_precision_loss, reason = "a side is less than 2^53 points")]
        let place = place as f64;
        first[axis] + place * step
    };
    let c = [part(0, x, parameter.width), part(1, y, parameter.height)];
    match parameter.algorithm {
        Algorithm::Mandelbrot => escape(parameter.iterations_max, c, |z| times(z, z)),
        Algorithm::MandelbrotN(n) => escape(parameter.iterations_max, c, |z| power(z, n)),
    }
}

/// How often z ↦ f(z) − c goes well from 0 on before |z|² ≥ 2.
fn escape(iterations_max: u32, c: [f64; 2], f: impl Fn([f64; 2]) -> [f64; 2]) -> u32 {
    let mut z = [0.0, 0.0];
    for iteration in 0..iterations_max {
        let [real, imaginary] = f(z);
        z = [real - c[0], imaginary - c[1]];
        // What is no number any more has escaped, too.
        if !matches!((z[0] * z[0] + z[1] * z[1]).partial_cmp(&2.0), Some(std::cmp::Ordering::Less))
        {
            return iteration;
        }
    }
    iterations_max
}

fn times(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

/// zⁿ, n ≥ 1, by squaring.
fn power(mut z: [f64; 2], n: u32) -> [f64; 2] {
    let mut product: Option<[f64; 2]> = None;
    let mut rest = n;
    while rest > 0 {
        if rest & 1 == 1 {
            product = Some(product.map_or(z, |product| times(product, z)));
        }
        z = times(z, z);
        rest >>= 1;
    }
    product.unwrap_or([1.0, 0.0])
}
