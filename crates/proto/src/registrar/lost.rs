//! Elements whose association has ended: taken out at once where they are few, some at a time where
//! they are many.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::association::Association;
use super::evidence::Ended;
use super::{Deadline, LeaveReason, Registrar};
use crate::handlespace::ElementIndex;
use crate::machine::Peer;
use crate::time::Time;

/// So many elements are taken out at once: some 0.1 ms.
const LOST_AT_ONCE: usize = 64;

/// Elements that are still to be taken out, and what was known of the associations that they are
/// lost with.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Those of one association stand together.
    queue: VecDeque<(Peer, ElementIndex)>,
    ended: BTreeMap<Peer, Ended>,
}

impl Lost {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The elements, and the associations.
    pub(super) fn lens(&self) -> [usize; 2] {
        [self.queue.len(), self.ended.len()]
    }

    /// What was known of an association that has ended, while elements of it are to be taken out.
    pub(super) fn association(&self, peer: Peer) -> Option<&Ended> {
        self.ended.get(&peer)
    }

    fn push(&mut self, peer: Peer, elements: BTreeSet<ElementIndex>) {
        self.queue.extend(elements.into_iter().map(|index| (peer, index)));
    }

    /// The first of them, at most [`LOST_AT_ONCE`].
    fn pop_some(&mut self) -> Vec<(Peer, ElementIndex)> {
        let count = self.queue.len().min(LOST_AT_ONCE);
        self.queue.drain(..count).collect()
    }

    /// These have been taken out: of all associations but the next one they were the last.
    fn forget(&mut self, taken: &[(Peer, ElementIndex)]) {
        let next = self.queue.front().map(|(peer, _)| *peer);
        for (peer, _) in taken.iter().filter(|(peer, _)| Some(*peer) != next) {
            self.ended.remove(peer);
        }
    }
}

impl Registrar {
    /// The association of these elements has ended.
    pub(super) fn lose_all(
        &mut self,
        now: Time,
        peer: Peer,
        association: &Association,
        elements: BTreeSet<ElementIndex>,
    ) {
        if elements.is_empty() {
            return;
        }
        self.lost.ended.insert(peer, Ended::of(association));
        if elements.len() <= LOST_AT_ONCE {
            for index in elements {
                self.lose(now, index);
            }
            self.lost.ended.remove(&peer);
        } else {
            self.lost.push(peer, elements);
            self.arm_lost(now);
        }
    }

    /// Takes out some of those whose associations are gone. Of very many it takes out few at a time,
    /// and between them others have their answers.
    pub(super) fn remove_lost(&mut self, now: Time) {
        let taken = self.lost.pop_some();
        for &(peer, index) in &taken {
            // It may have registered again meanwhile.
            if self.supervised.get(index).is_some_and(|it| it.association == Some(peer)) {
                self.lose(now, index);
            }
        }
        self.lost.forget(&taken);
        if !self.lost.is_empty() {
            self.arm_lost(now);
        }
    }

    /// At once, but not before what has arrived is handed in.
    fn arm_lost(&mut self, now: Time) {
        self.deadlines.arm(Deadline::Lost, now + Duration::from_nanos(1));
    }

    /// The association of an element is gone.
    fn lose(&mut self, now: Time, index: ElementIndex) {
        if self.succeed(now, index) {
            return;
        }
        if self.is_on_its_way(now, index) {
            self.await_other_home(now, index);
        } else {
            self.remove(now, index, LeaveReason::AssociationLost);
        }
    }
}
