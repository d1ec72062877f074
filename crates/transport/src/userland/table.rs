//! The associations of an endpoint, by name, by own verification tag and by where the peer is.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::association::Association;
use super::encapsulation::Route;
use crate::backlog::Backlog;
use crate::endpoint::AssocId;
use crate::id_hash::BuildIdHasher;

/// All associations. Their tags and remote ends change only through it.
#[derive(Default)]
pub(super) struct Table {
    by_id: HashMap<AssocId, Box<Association>, BuildIdHasher>,
    by_tag: HashMap<u32, AssocId, BuildIdHasher>,
    by_remote: HashMap<(SocketAddr, u16), AssocId>,
    last: u64,
}

impl Table {
    /// Adds an association under a new name. Its remote end must be free, and all that it dials.
    pub(super) fn insert(&mut self, association: Association) -> AssocId {
        let id = self.next();
        let port = association.remote_port;
        for at in association.dial.iter().flat_map(|dial| dial.remotes()) {
            self.by_remote.insert((at, port), id);
        }
        self.by_remote.insert(remote(&association), id);
        self.by_id.insert(id, Box::new(association));
        id
    }

    /// Takes an association out.
    pub(super) fn remove(&mut self, id: AssocId) -> Option<Box<Association>> {
        let association = self.by_id.remove(&id)?;
        self.by_tag.remove(&association.tag);
        let dialed = association.dial.iter().flat_map(|dial| dial.remotes());
        for at in dialed.chain([association.route.remote]) {
            self.free(id, at, association.remote_port);
        }
        Some(association)
    }

    /// The peer is at `to`, and at none of the places `dialed` besides.
    pub(super) fn choose(
        &mut self,
        id: AssocId,
        to: Route,
        dialed: impl Iterator<Item = SocketAddr>,
    ) {
        let Some(association) = self.by_id.get_mut(&id) else { return };
        let port = association.remote_port;
        association.route = to;
        for at in dialed {
            self.free(id, at, port);
        }
        self.by_remote.insert((to.remote, port), id);
    }

    /// The association is not at this place any more.
    pub(super) fn free(&mut self, id: AssocId, at: SocketAddr, port: u16) {
        if self.by_remote.get(&(at, port)) == Some(&id) {
            self.by_remote.remove(&(at, port));
        }
    }

    /// Gives an association a new name: its peer has restarted.
    pub(super) fn rename(&mut self, id: AssocId) -> Option<AssocId> {
        let association = self.by_id.remove(&id)?;
        let new = self.next();
        self.by_tag.insert(association.tag, new);
        self.by_remote.insert(remote(&association), new);
        self.by_id.insert(new, association);
        Some(new)
    }

    /// Indexes an association by the tag that its machine has now. False where another one has that
    /// tag: this one cannot be told from it and has to go.
    pub(super) fn index_tag(&mut self, id: AssocId) -> bool {
        let Some(association) = self.by_id.get_mut(&id) else { return true };
        let tag = association.machine.tag();
        if tag == association.tag {
            return true;
        }
        if tag != 0 && self.by_tag.contains_key(&tag) {
            return false;
        }
        self.by_tag.remove(&association.tag);
        association.tag = tag;
        if tag != 0 {
            self.by_tag.insert(tag, id);
        }
        true
    }

    /// Notes that the peer's UDP port has changed (RFC 6951 §5.4), unless another peer is there.
    pub(super) fn move_remote(&mut self, id: AssocId, to: SocketAddr) {
        let Some(association) = self.by_id.get_mut(&id) else { return };
        let new = (to, association.remote_port);
        if association.route.remote != to && !self.by_remote.contains_key(&new) {
            self.by_remote.remove(&remote(association));
            association.route.remote = to;
            self.by_remote.insert(new, id);
        }
    }

    /// The association `id`.
    pub(super) fn get_mut(&mut self, id: AssocId) -> Option<&mut Association> {
        self.by_id.get_mut(&id).map(|association| &mut **association)
    }

    /// The association whose own tag is `tag`.
    pub(super) fn with_tag(&self, tag: u32) -> Option<AssocId> {
        self.by_tag.get(&tag).copied()
    }

    /// The association with the peer at this address, UDP port and SCTP port.
    pub(super) fn with_remote(&self, at: SocketAddr, port: u16) -> Option<AssocId> {
        self.by_remote.get(&(at, port)).copied()
    }

    /// What waits for the peers of all.
    pub(super) fn backlogs(&self) -> impl Iterator<Item = (AssocId, &Backlog)> {
        self.by_id.iter().map(|(id, association)| (*id, &association.backlog))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All names, in no order.
    pub(super) fn ids(&self) -> Vec<AssocId> {
        self.by_id.keys().copied().collect()
    }

    fn next(&mut self) -> AssocId {
        self.last += 1;
        AssocId(self.last)
    }
}

fn remote(association: &Association) -> (SocketAddr, u16) {
    (association.route.remote, association.remote_port)
}
