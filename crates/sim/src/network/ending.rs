//! How associations end: closed, aborted, given up.

use rserpool_proto::machine::Peer;
use rserpool_proto::time::Time;

use super::association::{Parcel, Reason, State};
use super::{Arrival, AssocId, Network, NetworkEvent, Side};
use crate::program::NodeId;

impl Network {
    /// A process ends an association after what it has sent.
    pub(crate) fn close(&mut self, now: Time, from: NodeId, peer: Peer) {
        let Some((id, side)) = self.leave(from, peer) else { return };
        let is_up = self.associations.get(&id).is_some_and(|a| a.end(side).is_up());
        if is_up {
            self.push(now, id, side, Parcel::End);
        } else {
            self.vanish(now, id, side, true);
        }
    }

    /// A process ends an association now.
    pub(crate) fn abort(&mut self, now: Time, from: NodeId, peer: Peer) {
        if let Some((id, side)) = self.leave(from, peer) {
            self.vanish(now, id, side, true);
        }
    }

    /// All associations of a host end, for their process has. A host that is still there tells.
    pub(crate) fn end_all(&mut self, now: Time, host: NodeId, tells: bool) {
        let mut ended = Vec::new();
        for (&id, association) in &self.associations {
            let own = |side: &Side| association.end(*side).host == host;
            ended.extend(Side::BOTH.into_iter().filter(own).map(|side| (id, side)));
        }
        for (id, side) in ended {
            match self.associations.get_mut(&id) {
                Some(association) if tells && association.ends_in_order(side) => {
                    association.end_mut(side).peer = None;
                    self.push(now, id, side, Parcel::End);
                }
                _ => self.vanish(now, id, side, tells),
            }
        }
        self.by_peer.retain(|(at, _), _| *at != host);
        self.hosts[host.0].accepted = 0;
    }

    /// The process has left; the host may still have to send.
    fn leave(&mut self, from: NodeId, peer: Peer) -> Option<(AssocId, Side)> {
        let (id, side) = self.by_peer.remove(&(from, peer))?;
        self.associations.get_mut(&id)?.end_mut(side).peer = None;
        Some((id, side))
    }

    /// An end is no more, without its process being told. The other end finds out.
    fn vanish(&mut self, now: Time, id: AssocId, side: Side, tells: bool) {
        let Some(association) = self.associations.get_mut(&id) else { return };
        let (from, to) = association.hosts(side);
        let end = association.end_mut(side);
        let was_alive = end.is_alive();
        end.state = State::Gone;
        end.under_way.clear();
        end.octets_under_way = 0;
        end.early.clear();
        end.peer = None;
        if was_alive && association.end(side.other()).is_alive() {
            if tells {
                self.send_packet(now, from, to, NetworkEvent::Abort(id, side.other()));
            }
            // In case that it is not told.
            self.suspect(now, id, side.other());
        }
        self.bury(id);
    }

    /// An end gives the association up, and its process is told.
    pub(super) fn give_up(&mut self, now: Time, id: AssocId, side: Side, reason: Reason) {
        let Some(association) = self.associations.get_mut(&id) else { return };
        let end = association.end(side);
        if !end.is_alive() {
            return;
        }
        let (peer, hosts) = (end.peer, association.hosts(side));
        self.vanish(now, id, side, false);
        self.tell(hosts, peer, reason);
    }

    /// The peer says that it knows nothing of the association.
    pub(super) fn aborted(&mut self, now: Time, id: AssocId, side: Side) {
        let host = self.associations.get(&id).map(|association| association.end(side).host);
        if host.is_some_and(|host| self.hosts[host.0].responds()) {
            self.give_up(now, id, side, Reason::Reset);
        }
    }

    /// The peer has sent its last.
    pub(super) fn ended_by_peer(&mut self, now: Time, id: AssocId, side: Side) {
        let Some(association) = self.associations.get_mut(&id) else { return };
        let (peer, hosts) = (association.end(side).peer, association.hosts(side));
        // The end of the exchange is not played: both know now.
        association.end_mut(side.other()).state = State::Gone;
        self.vanish(now, id, side, false);
        self.tell(hosts, peer, Reason::Closed);
    }

    fn tell(&mut self, (host, other): (NodeId, NodeId), peer: Option<Peer>, reason: Reason) {
        if let Some(peer) = peer {
            self.by_peer.remove(&(host, peer));
            self.arrivals.push_back((host, Arrival::Down(peer, reason, other)));
        }
    }

    fn bury(&mut self, id: AssocId) {
        // An end that has not heard of it yet may still do so: what was sent is under way.
        if self.associations.get(&id).is_some_and(|a| a.ends.iter().all(|e| e.state == State::Gone))
        {
            self.associations.remove(&id);
        }
    }
}
