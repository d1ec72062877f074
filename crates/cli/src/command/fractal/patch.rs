//! The points of a tile, as they arrive.

use rserpool_services::fractal::packet::{Data, Parameter};

/// A tile that fills.
#[derive(Debug)]
pub(super) struct Patch {
    parameter: Parameter,
    points: Vec<Option<u32>>,
    missing: usize,
}

/// What an arrival came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrival {
    /// So many points that were not there before.
    Points(usize),
    /// The server says that this is all, and it is.
    Complete,
    /// The server says that this is all, and there are holes: it went on from a place that this
    /// side has not got to.
    Holes,
    /// Not of this tile, or not of this protocol.
    Broken,
}

impl Patch {
    /// An empty one.
    pub(super) fn new(parameter: Parameter) -> Self {
        let count = usize::try_from(parameter.points()).unwrap_or(usize::MAX);
        Self { parameter, points: vec![None; count], missing: count }
    }

    /// Takes a message.
    pub(super) fn receive(&mut self, octets: &[u8]) -> Arrival {
        match Data::decode(octets) {
            Ok(Data::Points { x, y, iterations }) => self.fill(x, y, &iterations),
            Ok(Data::End) if self.missing == 0 => Arrival::Complete,
            Ok(Data::End) => Arrival::Holes,
            Err(_) => Arrival::Broken,
        }
    }

    /// What is asked of a server.
    pub(super) fn request(&self) -> Vec<u8> {
        self.parameter.encode()
    }

    /// The points, once it is complete; 0 for holes.
    pub(super) fn into_points(self) -> Vec<u32> {
        self.points.into_iter().map(Option::unwrap_or_default).collect()
    }

    fn fill(&mut self, x: u32, y: u32, iterations: &[u32]) -> Arrival {
        let start = u64::from(y) * u64::from(self.parameter.width) + u64::from(x);
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let end = start.saturating_add(iterations.len());
        let Some(places) = self.points.get_mut(start..end) else {
            return Arrival::Broken;
        };
        let most = self.parameter.iterations_max;
        if x >= self.parameter.width || iterations.iter().any(|&count| count > most) {
            return Arrival::Broken;
        }
        let mut new = 0;
        for (place, &count) in places.iter_mut().zip(iterations) {
            new += usize::from(place.replace(count).is_none());
        }
        self.missing -= new;
        Arrival::Points(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rserpool_services::fractal::packet::Algorithm;

    fn patch() -> Patch {
        Patch::new(Parameter {
            width: 4,
            height: 2,
            iterations_max: 9,
            algorithm: Algorithm::Mandelbrot,
            first: [0.0; 2],
            opposite: [1.0; 2],
        })
    }

    fn points(x: u32, y: u32, iterations: &[u32]) -> Vec<u8> {
        Data::Points { x, y, iterations: iterations.into() }.encode()
    }

    #[test]
    fn a_tile_fills_in_any_order_and_twice() {
        let mut patch = patch();
        assert_eq!(patch.receive(&points(3, 0, &[1, 2])), Arrival::Points(2));
        assert_eq!(patch.receive(&Data::End.encode()), Arrival::Holes);
        assert_eq!(patch.receive(&points(0, 0, &[5, 5, 5, 1, 2])), Arrival::Points(3));
        assert_eq!(patch.receive(&points(1, 1, &[7, 8, 9])), Arrival::Points(3));
        assert_eq!(patch.receive(&Data::End.encode()), Arrival::Complete);
        assert_eq!(patch.into_points(), [5, 5, 5, 1, 2, 7, 8, 9]);
    }

    #[test]
    fn what_is_not_of_this_tile_changes_nothing() {
        let mut patch = patch();
        for octets in [
            points(4, 0, &[1]),
            points(3, 1, &[1, 2]),
            points(0, 2, &[]),
            points(0, u32::MAX, &[1]),
            points(0, 0, &[10]),
            b"garbage".to_vec(),
        ] {
            assert!(matches!(patch.receive(&octets), Arrival::Broken | Arrival::Points(0)));
        }
        assert_eq!(patch.missing, 8);
    }
}
