//! What is to follow to registrars whose send queues are full.

use std::collections::{HashMap, VecDeque};

use rserpool_proto::machine::Peer;

/// Octets that may follow, to all together.
const OVERFLOW_MAX: usize = 64 << 20;
/// What a message costs beside its octets.
const MESSAGE_COST: usize = 64;

/// Messages that follow when their peers have taken what was sent before.
#[derive(Default)]
pub(super) struct Overflow {
    queues: HashMap<Peer, VecDeque<Vec<u8>>>,
    octets: usize,
}

impl Overflow {
    /// Whether something is to follow to a peer.
    pub(super) fn has(&self, peer: Peer) -> bool {
        !self.queues.is_empty() && self.queues.contains_key(&peer)
    }

    /// One more message is to follow; false where there are too many.
    pub(super) fn push(&mut self, peer: Peer, octets: &[u8]) -> bool {
        let cost = octets.len() + MESSAGE_COST;
        if self.octets + cost > OVERFLOW_MAX {
            return false;
        }
        self.octets += cost;
        self.queues.entry(peer).or_default().push_back(octets.to_vec());
        true
    }

    /// What follows next.
    pub(super) fn first(&self, peer: Peer) -> Option<&[u8]> {
        self.queues.get(&peer)?.front().map(Vec::as_slice)
    }

    /// What followed next was sent.
    pub(super) fn pop(&mut self, peer: Peer) {
        let Some(queue) = self.queues.get_mut(&peer) else { return };
        if let Some(octets) = queue.pop_front() {
            self.octets -= octets.len() + MESSAGE_COST;
        }
        if queue.is_empty() {
            self.queues.remove(&peer);
        }
    }

    /// Nothing follows to a peer.
    pub(super) fn forget(&mut self, peer: Peer) {
        for octets in self.queues.remove(&peer).into_iter().flatten() {
            self.octets -= octets.len() + MESSAGE_COST;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_is_bounded_for_all_together() {
        let mut overflow = Overflow::default();
        let message = vec![0; 1 << 20];
        let mut taken = 0;
        while overflow.push(Peer::accepted(taken % 3 + 1), &message) {
            taken += 1;
        }
        assert_eq!(taken, 63);
        overflow.forget(Peer::accepted(1));
        assert!(!overflow.has(Peer::accepted(1)));
        assert!(overflow.push(Peer::accepted(2), &message));
        for peer in [2, 3].map(Peer::accepted) {
            while overflow.first(peer).is_some() {
                overflow.pop(peer);
            }
        }
        assert_eq!((overflow.octets, overflow.queues.len()), (0, 0));
    }
}
