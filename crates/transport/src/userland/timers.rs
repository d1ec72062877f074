//! When which association wants to be woken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::endpoint::AssocId;

/// A heap of deadlines. Entries are never taken out when a deadline moves: the association notes its
/// earliest entry, one that moved later is put back when it comes up, and strays are dropped.
#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Duration, AssocId)>>,
}

impl Timers {
    /// Wakes `assoc` at `deadline`, unless its entry at `armed` comes first; `armed` is updated.
    pub(super) fn arm(&mut self, assoc: AssocId, deadline: Duration, armed: &mut Option<Duration>) {
        if deadline != Duration::MAX && armed.is_none_or(|earliest| deadline < earliest) {
            *armed = Some(deadline);
            self.heap.push(Reverse((deadline, assoc)));
        }
    }

    /// The next entry that is due at `now`. It counts only where the association is armed for it.
    pub(super) fn due(&mut self, now: Duration) -> Option<(Duration, AssocId)> {
        let Reverse((deadline, _)) = self.heap.peek()?;
        if *deadline > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// When to look again.
    pub(super) fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse((deadline, _))| *deadline)
    }
}
