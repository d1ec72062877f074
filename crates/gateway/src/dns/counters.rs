//! What became of queries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What became of queries. Counts only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Queries that came.
    pub queries: u64,
    /// Those that were none, or of a kind that is not answered.
    pub malformed: u64,
    /// Those for other zones, and for what is not told.
    pub refused: u64,
    /// Those for names that are not there.
    pub no_name: u64,
    /// Those that could not be answered: no registrar, or several pools of that name.
    pub failed: u64,
    /// Answers that did not fit.
    pub truncated: u64,
    /// Answers over UDP without records, for a client had asked too often.
    pub limited: u64,
    /// Connections over TCP that were refused, for there were too many.
    pub connections_refused: u64,
}

/// Counts what becomes of queries.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<[AtomicU64; 8]>);

/// What is counted, in the order of the fields of [`Stats`].
#[derive(Clone, Copy)]
pub(super) enum Count {
    Queries,
    Malformed,
    Refused,
    NoName,
    Failed,
    Truncated,
    Limited,
    ConnectionsRefused,
}

impl Counters {
    /// The counts so far.
    pub fn stats(&self) -> Stats {
        let [queries, malformed, refused, no_name, failed, truncated, limited, connections_refused] =
            [0, 1, 2, 3, 4, 5, 6, 7].map(|number: usize| self.0[number].load(Ordering::Relaxed));
        Stats {
            queries,
            malformed,
            refused,
            no_name,
            failed,
            truncated,
            limited,
            connections_refused,
        }
    }

    pub(super) fn count(&self, what: Count) {
        self.0[what as usize].fetch_add(1, Ordering::Relaxed);
    }
}
