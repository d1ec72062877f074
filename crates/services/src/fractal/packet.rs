//! What a client wants of a fractal generator, what it gets, and the state in between, as rsplib's
//! programs speak.
//!
//! ```text
//! Parameter (1)                        Data (2)
//! +------+-------+--------+            +------+-------+--------+
//! | type | flags | length |            | type | flags | length |
//! +------+-------+--------+            +------+-------+--------+
//! |         width         |            |        first x        |
//! |         height        |            |        first y        |
//! |    most iterations    |            |    number of points   |
//! |  algorithm, 1 or 2    |            +-----------------------+
//! +-----------------------+            |  iterations of each   |
//! | c of the first corner |            |  point, row by row,   |
//! |  (two binary64)       |            |   at most 324 of them |
//! | c of the opposite one |            +-----------------------+
//! |  (two binary64)       |
//! | N        (binary64)   |
//! +-----------------------+
//! ```
//!
//! Data at (0xffffffff, 0xffffffff) without points is the end. The cookie is `<FG-TD1>`, the
//! parameter, and the coordinates of the next point.

use rserpool::transport::Ppid;
use rserpool::wire::codec::{Reader, Skipped};
use rserpool::wire::error::{DecodeError, DecodeErrorKind};

use crate::packet;

/// The payload protocol identifier.
pub const PPID: Ppid = Ppid(32);
/// Points in one message.
pub const POINTS_MAX: usize = 324;
/// Iterations for one point: more would keep a processor for too long to be interrupted.
pub const ITERATIONS_MAX: u32 = 1_000_000;
/// The largest exponent.
const EXPONENT_MAX: u32 = 10_000;
/// The widest and highest picture.
const SIDE_MAX: u32 = 1 << 20;

const PARAMETER: u8 = 1;
const DATA: u8 = 2;
const COOKIE_START: &[u8; 8] = b"<FG-TD1>";
/// How rsplib writes the header of the parameter in a cookie, with a length of 4.
const COOKIE_HEADER: [u8; 4] = [PARAMETER, 0, 0, 4];
const END: u32 = u32::MAX;

/// A picture, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// Points in a row; 1 to 2²⁰.
    pub width: u32,
    /// Rows; 1 to 2²⁰.
    pub height: u32,
    /// Who has not escaped by then does not; 1 to [`ITERATIONS_MAX`].
    pub iterations_max: u32,
    /// What is iterated.
    pub algorithm: Algorithm,
    /// Real and imaginary part of c at the first point.
    pub first: [f64; 2],
    /// Real and imaginary part of c behind the last point of the last row.
    pub opposite: [f64; 2],
}

/// What is iterated, from z = 0 until |z|² ≥ 2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// z² − c.
    Mandelbrot,
    /// zᴺ − c, N from 1 to 10 000.
    MandelbrotN(u32),
}

/// Points of a picture.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Data {
    /// The iterations of points in a row, going on in the next one.
    Points {
        /// Column of the first.
        x: u32,
        /// Row of the first.
        y: u32,
        /// Their iterations.
        iterations: Vec<u32>,
    },
    /// There are no more.
    End,
}

impl Parameter {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        packet::encode(PARAMETER, |octets| self.write(octets))
    }

    /// Takes a message apart.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        packet::decode(octets, |kind, fields| {
            if kind != PARAMETER {
                return Err(fields.error(DecodeErrorKind::Message(kind)));
            }
            let parameter = Self::read(fields)?;
            packet::finish(fields, parameter)
        })
    }

    /// The state in which the next server goes on, at point number `next`.
    pub fn cookie(&self, next: u64) -> Vec<u8> {
        let mut octets = [&COOKIE_START[..], &COOKIE_HEADER].concat();
        self.write(&mut octets);
        let width = u64::from(self.width);
        let place = [next % width, next / width];
        let place = place.map(|side| u32::try_from(side).unwrap_or(END).to_be_bytes());
        octets.extend(place.concat());
        octets
    }

    /// The state in a cookie: the picture, and the number of its next point.
    pub fn from_cookie(octets: &[u8]) -> Option<(Self, u64)> {
        let rest = octets.strip_prefix(COOKIE_START)?;
        let skipped = Skipped::default();
        let mut fields = Reader::new(rest.get(COOKIE_HEADER.len()..)?, &skipped);
        let parameter = Self::read(&mut fields).ok()?;
        let (x, y) = (fields.u32("x").ok()?, fields.u32("y").ok()?);
        let next = u64::from(y) * u64::from(parameter.width) + u64::from(x);
        let is_there = fields.is_empty() && x < parameter.width && next <= parameter.points();
        is_there.then_some((parameter, next))
    }

    /// How many points there are.
    pub fn points(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    fn write(&self, octets: &mut Vec<u8>) {
        let (algorithm, n) = match self.algorithm {
            Algorithm::Mandelbrot => (1, 2),
            Algorithm::MandelbrotN(n) => (2, n),
        };
        for number in [self.width, self.height, self.iterations_max, algorithm] {
            octets.extend(number.to_be_bytes());
        }
        for number in [self.first, self.opposite].as_flattened() {
            octets.extend(number.to_be_bytes());
        }
        octets.extend(f64::from(n).to_be_bytes());
    }

    fn read(fields: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let width = bounded(fields, "width", SIDE_MAX)?;
        let height = bounded(fields, "height", SIDE_MAX)?;
        let iterations_max = bounded(fields, "most iterations", ITERATIONS_MAX)?;
        let algorithm = bounded(fields, "algorithm", 2)?;
        let mut corner = |field| Ok([finite(fields, field)?, finite(fields, field)?]);
        let (first, opposite) = (corner("first corner")?, corner("opposite corner")?);
        let n = finite(fields, "N")?;
        let algorithm = if algorithm == 1 {
            Algorithm::Mandelbrot
        } else if (1.0..=f64::from(EXPONENT_MAX)).contains(&n) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
            let n = n as u32;
            Algorithm::MandelbrotN(n)
        } else {
            let kind = DecodeErrorKind::Value { field: "N", value: 0 };
            return Err(fields.error_before(8, kind));
        };
        Ok(Self { width, height, iterations_max, algorithm, first, opposite })
    }
}

impl Data {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        packet::encode(DATA, |octets| match self {
            Self::Points { x, y, iterations } => {
                let points = &iterations[..iterations.len().min(POINTS_MAX)];
                let count = u32::try_from(points.len()).unwrap_or_default();
                for number in [*x, *y, count].iter().chain(points) {
                    octets.extend(number.to_be_bytes());
                }
            }
            Self::End => {
                for number in [END, END, 0] {
                    octets.extend(number.to_be_bytes());
                }
            }
        })
    }

    /// Takes a message apart.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        packet::decode(octets, |kind, fields| {
            if kind != DATA {
                return Err(fields.error(DecodeErrorKind::Message(kind)));
            }
            let (x, y, count) = (fields.u32("x")?, fields.u32("y")?, fields.u32("points")?);
            // The number of points at the end is 0 or 0xffffffff, which rsplib's versions differ in.
            if (x, y) == (END, END) {
                return Ok(Self::End);
            }
            if count as usize > POINTS_MAX {
                let kind = DecodeErrorKind::Value { field: "points", value: count };
                return Err(fields.error_before(4, kind));
            }
            let iterations = (0..count).map(|_| fields.u32("iterations"));
            let iterations = iterations.collect::<Result<_, _>>()?;
            packet::finish(fields, Self::Points { x, y, iterations })
        })
    }
}

/// A number between 1 and `most`.
fn bounded(fields: &mut Reader<'_>, field: &'static str, most: u32) -> Result<u32, DecodeError> {
    match fields.u32(field)? {
        value if (1..=most).contains(&value) => Ok(value),
        value => Err(fields.error_before(4, DecodeErrorKind::Value { field, value })),
    }
}

/// A number that is one.
fn finite(fields: &mut Reader<'_>, field: &'static str) -> Result<f64, DecodeError> {
    let number = f64::from_be_bytes(fields.array(field)?);
    if number.is_finite() {
        return Ok(number);
    }
    let value = u32::MAX;
    Err(fields.error_before(8, DecodeErrorKind::Value { field, value }))
}
