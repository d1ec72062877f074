//! Associations that nobody uses, and how many one source has.
//!
//! Elements and users come to the ASAP port, and anyone can. An association over which nobody
//! registered, subscribed or asked anything for [`Config::idle_timeout`](super::Config::idle_timeout)
//! ends: a user that wants something again comes again. Those of elements and subscribers stay.

use std::collections::BTreeSet;
use std::time::Duration;

use rserpool_wire::Protocol;

use super::association::Association;
use super::quota::{Quota, count};
use super::supervision::LATENESS_TOLERATED;
use super::{Deadline, Registrar};
use crate::machine::{Carrier, Link, Output, Peer, Source};
use crate::time::Time;

/// An association that has said nothing for so long makes room for a new one of its source.
const SILENT_MIN: Duration = Duration::from_secs(1);
/// So many are looked at to find one.
const LOOKED_AT_MAX: usize = 64;
/// The wait for what may lie in a queue that this registrar had no time to read.
const EXTENSION: Duration = Duration::from_secs(1);

/// Associations over which nothing was said yet, by the source that each came from.
#[derive(Debug, Default)]
pub(super) struct Silent(BTreeSet<(Source, Peer)>);

impl Silent {
    fn enter(&mut self, source: Option<Source>, peer: Peer) {
        self.0.extend(source.map(|source| (source, peer)));
    }

    fn leave(&mut self, source: Option<Source>, peer: Peer) {
        source.and_then(|source| self.0.take(&(source, peer)));
    }

    /// Those of one source, the oldest first.
    fn of(&self, source: Source) -> impl Iterator<Item = Peer> + '_ {
        let from_there = self.0.range((source, Peer::accepted(0))..);
        from_there.take_while(move |(of, _)| *of == source).map(|(_, peer)| *peer)
    }
}

impl Registrar {
    /// Somebody comes to the ASAP port. False where there are as many of its source as may be, and
    /// none of these is of no use.
    pub(super) fn makes_room(&mut self, now: Time, peer: Peer, link: &Link) -> bool {
        if link.protocol != Protocol::Asap || peer.is_dialed() {
            return true;
        }
        let source = link.source();
        let (used, quotas) = (self.usage.of(source), &self.config.quotas);
        let is_tcp = link.carrier == Carrier::Tcp;
        let no_connections = is_tcp && used.connections >= quotas.connections_per_source;
        if used.associations < quotas.associations_per_source && !no_connections {
            return true;
        }
        self.quota_reached(now, Quota::AssociationsPerSource, source);
        let carrier = no_connections.then_some(Carrier::Tcp);
        match self.longest_silent(now, source, carrier) {
            Some(silent) => {
                self.end_idle(now, silent);
                true
            }
            None => false,
        }
    }

    /// The oldest association of a source over which nothing was ever said, of those over this
    /// carrier.
    fn longest_silent(
        &self,
        now: Time,
        source: Option<Source>,
        carrier: Option<Carrier>,
    ) -> Option<Peer> {
        let source = source?;
        let mut silent = self.silent.of(source).take(LOOKED_AT_MAX);
        silent.find(|peer| {
            self.associations.get(peer).is_some_and(|it| {
                let is_meant = carrier.is_none_or(|carrier| it.link.carrier == carrier);
                is_meant && now - it.last_used >= SILENT_MIN
            })
        })
    }

    /// An association of an element or a user is up.
    pub(super) fn count_association(&mut self, now: Time, peer: Peer) {
        let Some(association) = self.associations.get(&peer) else { return };
        if association.link.protocol != Protocol::Asap || peer.is_dialed() {
            return;
        }
        self.silent.enter(association.source, peer);
        let is_tcp = association.link.carrier == Carrier::Tcp;
        self.usage.change(association.source, |used| {
            used.associations += 1;
            used.connections += u32::from(is_tcp);
        });
        self.deadlines.arm(Deadline::Idle(peer), now + self.config.idle_timeout);
    }

    /// An association is over: what is counted for it is counted no more, but its elements.
    pub(super) fn discount_association(&mut self, peer: Peer, association: &Association) {
        self.dismiss(peer, &association.link);
        let source = association.source;
        let subscriptions = count(self.subscriptions.forget(peer));
        let held_octets = self.held.forget(peer);
        let came = association.link.protocol == Protocol::Asap && !peer.is_dialed();
        let is_tcp = association.link.carrier == Carrier::Tcp;
        self.usage.change(source, |used| {
            used.associations -= u32::from(came);
            used.connections -= u32::from(came && is_tcp);
            used.subscriptions -= subscriptions;
            used.held_octets -= held_octets;
        });
        self.deadlines.disarm(Deadline::Idle(peer));
        self.silent.leave(source, peer);
    }

    /// Something came over an association to the port of this protocol. False where there is no
    /// such association.
    pub(super) fn is_used(&mut self, now: Time, peer: Peer, protocol: Protocol) -> bool {
        let Some(association) = self.associations.get_mut(&peer) else { return false };
        if association.link.protocol != protocol {
            return false;
        }
        association.last_used = now;
        self.arrival = Some((peer, association.reach));
        if !std::mem::replace(&mut association.has_spoken, true) {
            self.silent.leave(association.source, peer);
        }
        true
    }

    /// It is time to see whether an association is of use.
    pub(super) fn on_idle_timeout(&mut self, now: Time, due: Time, peer: Peer) {
        let Some(association) = self.associations.get(&peer) else { return };
        let idle_timeout = self.config.idle_timeout;
        let is_of_use = !association.elements.is_empty()
            || association.claims > 0
            || self.subscriptions.count_of(peer) > 0
            || self.held.holds(peer);
        let idle_at = association.last_used + idle_timeout;
        let next = if is_of_use {
            now + idle_timeout
        } else if idle_at > now {
            idle_at
        } else if now - due > LATENESS_TOLERATED {
            now + EXTENSION
        } else {
            self.end_idle(now, peer);
            return;
        };
        self.deadlines.arm(Deadline::Idle(peer), next);
    }

    fn end_idle(&mut self, now: Time, peer: Peer) {
        self.stats.idle_ended += 1;
        self.outputs.push_back(Output::Close(peer));
        self.on_down(now, peer);
    }
}
