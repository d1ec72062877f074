//! Which association a packet is for (RFC 9260 §8.5): they are found by their tag, and by where their
//! peers have answered.

use std::net::SocketAddr;

use crate::association::State;
use crate::chunk::{REFLECTED, kind};
use crate::endpoint::{Endpoint, Place};
use crate::event::{AssociationId, Way};
use crate::packet::Packet;

impl Endpoint {
    /// The association that a packet is for (RFC 9260 §8.5): the tag decides, as a peer may speak from
    /// an address that is not known yet.
    pub(crate) fn find(&self, way: Way, packet: &Packet<'_>) -> Option<AssociationId> {
        let flags = packet.chunks().next()?.flags;
        let reflects = matches!(packet.first, kind::ABORT | kind::SHUTDOWN_COMPLETE);
        let id = if reflects && flags & REFLECTED != 0 {
            *self.by_remote.get(&(way.remote, packet.header.source))?
        } else {
            *self.by_tag.get(&packet.header.tag)?
        };
        let association = &self.places.get(&id)?.association;
        let flags = if reflects { flags } else { 0 };
        let accepts = association.accepts_tag(packet.header.tag, flags);
        (accepts && association.ports[1] == packet.header.source).then_some(id)
    }

    /// The association with the peer at this address and port.
    pub fn with_remote(&self, remote: SocketAddr, port: u16) -> Option<AssociationId> {
        let id = *self.by_remote.get(&(remote, port))?;
        // One that is over has only something to say yet.
        (self.association(id)?.state != State::Closed).then_some(id)
    }

    /// The association with this own tag.
    pub fn with_tag(&self, tag: u32) -> Option<AssociationId> {
        self.by_tag.get(&tag).copied()
    }

    /// Makes an association found by its tag and by where its peer has answered. Places that another
    /// one has are left to it.
    pub(crate) fn index(&mut self, id: AssociationId) {
        let Some(place) = self.places.get_mut(&id) else { return };
        let association = &place.association;
        if place.tag != association.own_tag {
            if self.by_tag.get(&place.tag) == Some(&id) {
                self.by_tag.remove(&place.tag);
            }
            place.tag = association.own_tag;
            self.by_tag.entry(place.tag).or_insert(id);
        }
        let dialed = association.dialed_addresses().iter().map(|way| way.remote);
        let confirmed = association.paths.iter().filter(|path| path.confirmed);
        let remotes = dialed.chain(confirmed.map(|path| path.way.remote));
        if remotes.clone().eq(place.remotes.iter().copied()) {
            return;
        }
        let port = association.ports[1];
        let remotes: Vec<SocketAddr> = remotes.collect();
        for old in std::mem::replace(&mut place.remotes, remotes) {
            if self.by_remote.get(&(old, port)) == Some(&id) {
                self.by_remote.remove(&(old, port));
            }
        }
        for remote in &place.remotes {
            self.by_remote.entry((*remote, port)).or_insert(id);
        }
    }

    /// An association that is over is not found any more.
    pub(crate) fn lose(&mut self, id: AssociationId, place: &Place) {
        let port = place.association.ports[1];
        for remote in &place.remotes {
            if self.by_remote.get(&(*remote, port)) == Some(&id) {
                self.by_remote.remove(&(*remote, port));
            }
        }
        if self.by_tag.get(&place.tag) == Some(&id) {
            self.by_tag.remove(&place.tag);
        }
    }

    /// Gives an association another name, as if it was a new one; `None` where there is none.
    pub fn rename(&mut self, id: AssociationId) -> Option<AssociationId> {
        let mut place = self.places.remove(&id)?;
        self.last += 1;
        let new = AssociationId(self.last);
        let port = place.association.ports[1];
        for at in &place.remotes {
            let name = self.by_remote.get_mut(&(*at, port));
            name.filter(|name| **name == id).into_iter().for_each(|name| *name = new);
        }
        let name = self.by_tag.get_mut(&place.tag);
        name.filter(|name| **name == id).into_iter().for_each(|name| *name = new);
        place.armed = None;
        place.is_dirty = false;
        self.places.insert(new, place);
        self.touch(new);
        Some(new)
    }
}
