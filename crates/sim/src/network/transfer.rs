//! Parcels in order, and heartbeats.

use std::sync::Arc;

use rserpool_proto::machine::Peer;
use rserpool_proto::time::Time;

use super::association::{Association, Parcel, Reason, State, UnderWay};
use super::{Arrival, AssocId, Network, NetworkEvent, Payload, Refused, Side};
use crate::program::NodeId;

impl Network {
    /// Queues a message.
    ///
    /// # Errors
    ///
    /// [`Refused::Full`] where too much waits for this peer already. An association that is gone
    /// takes everything: its process will hear of that.
    pub(crate) fn send(
        &mut self,
        now: Time,
        from: NodeId,
        peer: Peer,
        payload: Payload,
        octets: Arc<[u8]>,
    ) -> Result<(), Refused> {
        let Some(&(id, side)) = self.by_peer.get(&(from, peer)) else { return Ok(()) };
        let Some(association) = self.associations.get(&id) else { return Ok(()) };
        let end = association.end(side);
        if end.is_up() && end.octets_under_way + octets.len() > self.settings.send_queue_max {
            return Err(Refused::Full);
        }
        self.push(now, id, side, Parcel::Message(payload, octets));
        Ok(())
    }

    /// The process has read this many octets.
    pub(crate) fn read(&mut self, (id, side): (AssocId, Side), octets: usize) {
        if let Some(association) = self.associations.get_mut(&id) {
            let end = association.end_mut(side);
            end.unread = end.unread.saturating_sub(octets);
        }
    }

    pub(super) fn push(&mut self, now: Time, id: AssocId, side: Side, parcel: Parcel) {
        let Some(association) = self.associations.get_mut(&id) else { return };
        let end = association.end_mut(side);
        if end.is_up() {
            end.sent += 1;
            let number = end.sent;
            end.octets_under_way += parcel.octets();
            end.under_way.insert(number, UnderWay::new(parcel));
            self.note_congestion(id, side);
            self.transmit(now, id, side, number);
        }
    }

    /// Tells a process once when its peer takes less than is sent, and once when that is over.
    fn note_congestion(&mut self, id: AssocId, side: Side) {
        let congested_at = self.settings.congested_at;
        let Some(association) = self.associations.get_mut(&id) else { return };
        let end = association.end_mut(side);
        let (is_more, is_less) =
            (end.octets_under_way >= congested_at, end.octets_under_way < congested_at / 2);
        let (true, Some(peer)) = (if end.is_congested { is_less } else { is_more }, end.peer)
        else {
            return;
        };
        end.is_congested = is_more;
        let arrival = if is_more { Arrival::Congested(peer) } else { Arrival::Drained(peer) };
        self.arrivals.push_back((end.host, arrival));
    }

    /// A parcel arrives at `side`.
    pub(super) fn arrives(
        &mut self,
        now: Time,
        id: AssocId,
        side: Side,
        number: u64,
        parcel: Parcel,
    ) {
        let is_dialing = |a: &Association| matches!(a.end(side).state, State::Dialing { .. });
        if self.associations.get(&id).is_some_and(is_dialing) {
            // Whoever sends has taken the association: as good as an answer.
            self.init_reply(now, id);
        }
        let Some(association) = self.associations.get_mut(&id) else { return };
        let (to, from) = association.hosts(side);
        let end = association.end_mut(side);
        if !self.hosts[to.0].responds() {
            return self.plan_repetition(now, id, side.other(), number);
        }
        match end.state {
            State::Gone => {
                // Out of the blue: its sender is told, if that gets through.
                if !self.send_packet(now, to, from, NetworkEvent::Abort(id, side.other())) {
                    self.plan_repetition(now, id, side.other(), number);
                }
                return;
            }
            // The dialer has not heard the answer yet.
            State::Unborn | State::Dialing { .. } => {
                return self.plan_repetition(now, id, side.other(), number);
            }
            State::Up => {}
        }
        let is_new = number >= end.expected && !end.early.contains_key(&number);
        let waits: usize = end.early.values().map(Parcel::octets).sum();
        if is_new && end.unread + waits + parcel.octets() > self.settings.window && end.unread > 0 {
            // The process does not read: its host says so, and that is a sign of life.
            // What is to be read first asks for room, the rest follows.
            let is_first = number == end.expected;
            association.end_mut(side.other()).errors = 0;
            let doublings = if is_first { 1 } else { 4 };
            return self.repeat_later(now, id, side.other(), number, doublings);
        }
        if is_new {
            end.early.insert(number, parcel);
        }
        let is_early = number > end.expected;
        // The acknowledgement needs the way back.
        if self.links.is_open(to, from) {
            let sender = association.end_mut(side.other());
            let arrived = sender.under_way.remove(&number);
            sender.octets_under_way -= arrived.as_ref().map_or(0, |it| it.parcel.octets());
            sender.errors = 0;
            // Where nothing was lost, what is missing is on its way.
            let is_hole = is_early && sender.under_way.range(..number).any(|(_, it)| it.is_lost);
            if let Some(arrived) = arrived.filter(|_| is_hole) {
                let missing = NetworkEvent::Missing(id, side.other(), number, arrived.sent);
                self.send_packet(now, to, from, missing);
            }
            self.note_congestion(id, side.other());
        } else {
            self.plan_repetition(now, id, side.other(), number);
        }
        self.deliver(now, id, side);
    }

    /// Hands over what is in order.
    fn deliver(&mut self, now: Time, id: AssocId, side: Side) {
        while let Some(association) = self.associations.get_mut(&id) {
            let end = association.end_mut(side);
            let Some(parcel) = end.early.remove(&end.expected) else { return };
            end.expected += 1;
            match (parcel, end.peer) {
                (Parcel::Message(payload, octets), Some(peer)) => {
                    end.unread += octets.len();
                    let over = (id, side);
                    let message = Arrival::Message { peer, payload, octets, over };
                    self.arrivals.push_back((end.host, message));
                }
                // A process that has left hears nothing more.
                (Parcel::Message(..), None) => {}
                (Parcel::End, _) => return self.ended_by_peer(now, id, side),
            }
        }
    }

    /// Plans a heartbeat, for there is something to find out.
    pub(super) fn suspect(&mut self, now: Time, id: AssocId, side: Side) {
        let interval = self.settings.heartbeat_interval;
        let Some(association) = self.associations.get_mut(&id) else { return };
        let end = association.end_mut(side);
        if end.is_up() && !end.is_asking {
            end.is_asking = true;
            let pause = self.links.part_of(interval);
            self.plan(now + pause, NetworkEvent::Heartbeat(id, side));
        }
    }

    pub(super) fn heartbeat(&mut self, now: Time, id: AssocId, side: Side) {
        let Some(association) = self.associations.get(&id) else { return };
        let (from, to) = association.hosts(side);
        let (near, far) = (association.end(side), association.end(side.other()));
        let (is_up, far_is_gone) = (near.is_up(), far.state == State::Gone);
        if !is_up {
            return;
        }
        let interval = self.settings.heartbeat_interval;
        if !self.hosts[from.0].responds() {
            return self.plan(now + interval, NetworkEvent::Heartbeat(id, side));
        }
        let way = self.links.carry(from, to);
        let is_answered =
            way.is_some() && self.links.is_open(to, from) && self.hosts[to.0].responds();
        let Some(association) = self.associations.get_mut(&id) else { return };
        let end = association.end_mut(side);
        if !is_answered {
            end.errors += 1;
            let errors = end.errors;
            if errors > self.settings.retransmits_max {
                return self.give_up(now, id, side, Reason::Timeout);
            }
            let pause = interval + self.backoff(errors);
            return self.plan(now + pause, NetworkEvent::Heartbeat(id, side));
        }
        end.is_asking = false;
        if far_is_gone {
            let there_and_back = 2 * way.unwrap_or_default();
            self.plan(now + there_and_back, NetworkEvent::Abort(id, side));
        } else {
            end.errors = 0;
        }
    }
}
