//! What became of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::connection::End;

/// What became of the connections of a proxy. Counts only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections of clients that were accepted.
    pub accepted: u64,
    /// Those of which both directions ended in good order.
    pub whole: u64,
    /// Those that were reset: by one of their ends, for their age, because their server was gone, or
    /// with the proxy.
    pub reset: u64,
    /// Those that were reset because no server could be reached.
    pub no_server: u64,
    /// Those that were reset because their source had too many.
    pub refused: u64,
    /// Servers that could not be reached, each time that one was tried.
    pub unreachable: u64,
}

/// Counts what becomes of connections.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<[AtomicU64; 6]>);

/// What is counted, in the order of the fields of [`Stats`].
#[derive(Clone, Copy)]
pub(super) enum Count {
    Accepted,
    Whole,
    Reset,
    NoServer,
    Refused,
    Unreachable,
}

impl Counters {
    /// The counts so far.
    pub fn stats(&self) -> Stats {
        let [accepted, whole, reset, no_server, refused, unreachable] =
            [0, 1, 2, 3, 4, 5].map(|number: usize| self.0[number].load(Ordering::Relaxed));
        Stats { accepted, whole, reset, no_server, refused, unreachable }
    }

    pub(super) fn count(&self, what: Count) {
        self.0[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, end: End) {
        self.count(match end {
            End::Whole => Count::Whole,
            End::NoServer => Count::NoServer,
            End::Reset => Count::Reset,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_its_field() {
        let counters = Counters::default();
        for (times, what) in (1..).zip([
            Count::Accepted,
            Count::Whole,
            Count::Reset,
            Count::NoServer,
            Count::Refused,
            Count::Unreachable,
        ]) {
            (0..times).for_each(|_| counters.count(what));
        }
        let expected =
            Stats { accepted: 1, whole: 2, reset: 3, no_server: 4, refused: 5, unreachable: 6 };
        assert_eq!(counters.stats(), expected);
    }
}
