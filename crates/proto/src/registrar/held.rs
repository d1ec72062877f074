//! Requests that wait while a registrar starts, and are answered once it serves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use rserpool_wire::asap::Asap;
use rserpool_wire::codec::Codec;

use super::quota::Quota;
use super::{Deadline, Registrar, State};
use crate::machine::{Output, Peer};
use crate::time::Time;

/// The requests of each association, in their order.
#[derive(Debug, Default)]
pub(super) struct Held {
    queues: BTreeMap<Peer, Queue>,
    /// The same associations by how much waits there.
    by_octets: BTreeSet<(usize, Peer)>,
    octets: usize,
    /// The last association that had its turn.
    turn: Option<Peer>,
}

#[derive(Debug, Default)]
struct Queue {
    requests: VecDeque<(Asap, usize)>,
    octets: usize,
}

/// So many are answered after each input, so that others have their answers in between.
const ANSWERED_AT_ONCE: usize = 32;

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// True where requests of this association wait.
    pub(super) fn holds(&self, peer: Peer) -> bool {
        self.queues.contains_key(&peer)
    }

    /// Octets of all that waits.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    fn octets_of(&self, peer: Peer) -> usize {
        self.queues.get(&peer).map_or(0, |queue| queue.octets)
    }

    fn push(&mut self, peer: Peer, request: Asap, octets: usize) {
        let queue = self.queues.entry(peer).or_default();
        self.by_octets.remove(&(queue.octets, peer));
        queue.requests.push_back((request, octets));
        queue.octets += octets;
        self.by_octets.insert((queue.octets, peer));
        self.octets += octets;
    }

    fn pop(&mut self, peer: Peer) -> Option<(Asap, usize)> {
        let queue = self.queues.get_mut(&peer)?;
        self.by_octets.remove(&(queue.octets, peer));
        let (request, octets) = queue.requests.pop_front()?;
        queue.octets -= octets;
        self.octets -= octets;
        if queue.requests.is_empty() {
            self.queues.remove(&peer);
        } else {
            self.by_octets.insert((queue.octets, peer));
        }
        Some((request, octets))
    }

    /// Drops what waits of an association; how many octets that were.
    pub(super) fn forget(&mut self, peer: Peer) -> usize {
        let octets = self.queues.remove(&peer).map_or(0, |queue| queue.octets);
        self.by_octets.remove(&(octets, peer));
        self.octets -= octets;
        octets
    }

    /// The association whose turn it is, of those that this is true of.
    fn next(&self, may: impl Fn(Peer) -> bool) -> Option<Peer> {
        let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.queues.range((after, Bound::Unbounded));
        let peers = behind.chain(&self.queues).map(|(&peer, _)| peer);
        peers.take(self.queues.len()).find(|&peer| may(peer))
    }
}

impl Registrar {
    /// True where a request waits, or has to wait behind others of its association.
    pub(super) fn has_to_wait(&self, peer: Peer) -> bool {
        matches!(self.state, State::Starting(_)) || (!self.held.is_empty() && self.held.holds(peer))
    }

    /// Elements and users that ask while this registrar starts wait for their answer: a refusal
    /// would be final for them, and silence would cost them their timeout. Whoever has too much
    /// waiting is turned away; where all have, whoever has most.
    pub(super) fn hold(&mut self, now: Time, peer: Peer, request: Asap) {
        let Some(association) = self.associations.get(&peer) else { return };
        let source = association.source;
        let octets = request.encoded_len() + size_of::<Asap>();
        let quotas = self.config.quotas;
        let of_source = self.usage.of(source).held_octets;
        let reached = if self.held.octets_of(peer) + octets > quotas.held_octets_per_association {
            Some(Quota::HeldOctetsPerAssociation)
        } else if of_source + octets > quotas.held_octets_per_source {
            Some(Quota::HeldOctetsPerSource)
        } else {
            None
        };
        if let Some(quota) = reached {
            self.turn_away_holder(now, quota, peer);
            return;
        }
        while self.held.octets + octets > quotas.held_octets {
            let greatest = self.held.by_octets.last().copied();
            let greatest = greatest.filter(|(most, _)| *most > self.held.octets_of(peer) + octets);
            let victim = greatest.map_or(peer, |(_, greatest)| greatest);
            self.turn_away_holder(now, Quota::HeldOctets, victim);
            if victim == peer {
                return;
            }
        }
        self.stats.held += 1;
        self.held.push(peer, request, octets);
        self.usage.change(source, |used| used.held_octets += octets);
    }

    fn turn_away_holder(&mut self, now: Time, quota: Quota, peer: Peer) {
        let source = self.associations.get(&peer).and_then(|association| association.source);
        self.stats.held_overflows += 1;
        self.quota_reached(now, quota, source);
        self.outputs.push_back(Output::Close(peer));
        self.on_down(now, peer);
    }

    /// Answers some of those that waited: one of each association in turn. Whose answers are not
    /// taken waits on.
    pub(super) fn answer_held(&mut self, now: Time) {
        for _ in 0..ANSWERED_AT_ONCE {
            let associations = &self.associations;
            let takes = |peer| associations.get(&peer).is_some_and(|it| !it.is_congested);
            let Some(peer) = self.held.next(takes) else { return };
            self.held.turn = Some(peer);
            let Some((request, octets)) = self.held.pop(peer) else { return };
            let source = self.associations.get(&peer).and_then(|association| association.source);
            self.usage.change(source, |used| used.held_octets -= octets);
            self.on_asap(now, peer, request, false);
        }
        self.arm_held(now);
    }

    /// At once, but not before what has arrived is handed in.
    pub(super) fn arm_held(&mut self, now: Time) {
        if !self.held.is_empty() {
            self.deadlines.arm(Deadline::Held, now + Duration::from_nanos(1));
        }
    }
}
