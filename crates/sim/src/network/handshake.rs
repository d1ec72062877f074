//! From a dial to an association.

use rserpool_proto::machine::{Carrier, Link, Peer};
use rserpool_proto::time::Time;

use super::association::{Association, End, Reason, State};
use super::{Arrival, AssocId, Dial, Network, NetworkEvent, Payload, Process, Refused, Side};
use crate::program::NodeId;

impl Network {
    /// A process dials.
    ///
    /// # Errors
    ///
    /// [`Refused::Connected`]: between two SCTP ports there is one association at most.
    pub(crate) fn connect(
        &mut self,
        now: Time,
        from: NodeId,
        peer: Peer,
        dial: &Dial,
    ) -> Result<(), Refused> {
        // An address that nobody has is a host that is off for ever.
        let to = dial.addresses.iter().find_map(|address| self.host_of(*address)).unwrap_or(from);
        let host = &mut self.hosts[from.0];
        let listening = host.listens.iter().find(|(_, purpose)| *purpose == dial.purpose);
        let port = match (dial.carrier, dial.from, listening) {
            (Carrier::Tcp, ..) => host.draw_port(),
            (Carrier::Sctp, Some(port), _) => port,
            (Carrier::Sctp, None, Some((port, _))) => *port,
            (Carrier::Sctp, None, None) => host.dials_from,
        };
        let taken = |association: &Association| {
            Side::BOTH.into_iter().any(|side| {
                association.end(side).is_alive()
                    && association.ports(side) == [(from, port), (to, dial.port)]
            })
        };
        if dial.carrier == Carrier::Sctp
            && let Some(association) = self.associations.values().find(|it| taken(it))
        {
            let own = Side::BOTH
                .into_iter()
                .find(|side| association.ports(*side) == [(from, port), (to, dial.port)]);
            return Err(Refused::Connected(own.and_then(|side| association.end(side).peer)));
        }
        self.dialed += 1;
        let id = AssocId(self.dialed);
        let mut near = End::new(from, port, State::Dialing { since: now, attempts: 0 });
        near.peer = Some(peer);
        let far = End::new(to, dial.port, State::Unborn);
        let Dial { purpose, carrier, .. } = *dial;
        self.associations.insert(id, Association { purpose, carrier, ends: [near, far] });
        self.by_peer.insert((from, peer), (id, Side::Dialer));
        self.ask(now, id);
        Ok(())
    }

    /// The dialer asks, and plans to ask again.
    pub(super) fn ask(&mut self, now: Time, id: AssocId) {
        let settings = self.settings;
        let Some(association) = self.associations.get_mut(&id) else { return };
        let (from, to) = association.hosts(Side::Dialer);
        let is_unheard = association.end(Side::Acceptor).state == State::Unborn;
        let State::Dialing { since, attempts } = &mut association.end_mut(Side::Dialer).state
        else {
            if is_unheard && !association.end(Side::Dialer).is_alive() {
                self.associations.remove(&id);
            }
            return;
        };
        let left = settings.connect_timeout.saturating_sub(now - *since);
        if left.is_zero() {
            return self.give_up(now, id, Side::Dialer, Reason::Timeout);
        }
        let doubled = settings.rto_initial.saturating_mul(1 << (*attempts).min(16));
        *attempts += 1;
        let pause = doubled.min(settings.rto_max).min(left);
        self.plan(now + pause, NetworkEvent::Init(id));
        if from != to && self.hosts[from.0].responds() {
            self.send_packet(now, from, to, NetworkEvent::InitArrives(id));
        }
    }

    pub(super) fn init_arrives(&mut self, now: Time, id: AssocId) {
        let Some(association) = self.associations.get(&id) else { return };
        let (to, from) = association.hosts(Side::Acceptor);
        let host = &self.hosts[to.0];
        // Where there is no process, the kernel says so for either stack.
        let nobody_is_there = host.is_on && host.process == Process::Absent;
        if !host.responds() && !nobody_is_there {
            return;
        }
        let wanted = (association.end(Side::Acceptor).port, association.purpose);
        let state = association.end(Side::Acceptor).state;
        if nobody_is_there || !host.listens.contains(&wanted) {
            self.send_packet(now, to, from, NetworkEvent::Refusal(id));
            return;
        }
        match state {
            State::Unborn => {
                self.end_older(now, id);
                self.accept(id);
            }
            State::Gone => {
                self.send_packet(now, to, from, NetworkEvent::Refusal(id));
                return;
            }
            State::Up | State::Dialing { .. } => {}
        }
        self.send_packet(now, to, from, NetworkEvent::InitReply(id));
    }

    pub(super) fn init_reply(&mut self, now: Time, id: AssocId) {
        let Some(association) = self.associations.get_mut(&id) else { return };
        let (from, to) = association.hosts(Side::Dialer);
        let far_is_gone = association.end(Side::Acceptor).state == State::Gone;
        let near = association.end_mut(Side::Dialer);
        match (near.state, near.peer) {
            (State::Dialing { .. }, Some(peer)) if self.hosts[from.0].responds() => {
                near.state = State::Up;
                let up = self.up(id, Side::Dialer, peer);
                self.arrivals.push_back((from, up));
                if far_is_gone {
                    self.suspect(now, id, Side::Dialer);
                }
            }
            (State::Gone, _) => {
                self.send_packet(now, from, to, NetworkEvent::Abort(id, Side::Acceptor));
                self.suspect(now, id, Side::Acceptor);
            }
            // An answer to a question that was asked twice, or nobody there to take it.
            (State::Unborn | State::Dialing { .. } | State::Up, _) => {}
        }
    }

    /// The host of the acceptor takes the association, whether its process looks or not.
    fn accept(&mut self, id: AssocId) {
        let collided = self.collided(id);
        let Some(association) = self.associations.get_mut(&id) else { return };
        let (to, _) = association.hosts(Side::Acceptor);
        let name = match collided {
            // RFC 9260 §5.2.1: both dialed, and have one association.
            Some((other, peer)) => {
                self.associations.remove(&other);
                peer
            }
            None => self.hosts[to.0].accept(),
        };
        if let Some(association) = self.associations.get_mut(&id) {
            let end = association.end_mut(Side::Acceptor);
            end.state = State::Up;
            end.peer = Some(name);
        }
        self.by_peer.insert((to, name), (id, Side::Acceptor));
        let up = self.up(id, Side::Acceptor, name);
        self.arrivals.push_back((to, up));
    }

    /// The dial of the acceptor to the dialer that is under way, where there is one.
    fn collided(&self, id: AssocId) -> Option<(AssocId, Peer)> {
        let (&other, association) = self.mirrored(id).find(|(_, other)| {
            matches!(other.end(Side::Dialer).state, State::Dialing { .. })
                && other.end(Side::Acceptor).state == State::Unborn
        })?;
        association.end(Side::Dialer).peer.map(|peer| (other, peer))
    }

    fn mirrored(&self, id: AssocId) -> impl Iterator<Item = (&AssocId, &Association)> {
        let wanted = self.associations.get(&id).map(|it| (it.carrier, it.ports(Side::Acceptor)));
        self.associations.iter().filter(move |(other, association)| {
            **other != id
                && association.carrier == Carrier::Sctp
                && Some((association.carrier, association.ports(Side::Dialer))) == wanted
        })
    }

    /// The dialer has begun anew: what the acceptor still has with those two ports has ended.
    fn end_older(&mut self, now: Time, id: AssocId) {
        let Some(association) = self.associations.get(&id) else { return };
        if association.carrier != Carrier::Sctp {
            return;
        }
        let ports = association.ports(Side::Acceptor);
        let mut older = Vec::new();
        for (&other, association) in self.associations.iter().filter(|(other, _)| **other != id) {
            for side in Side::BOTH {
                if association.end(side).is_up()
                    && association.carrier == Carrier::Sctp
                    && association.ports(side) == ports
                {
                    older.push((other, side));
                }
            }
        }
        for (other, side) in older {
            self.give_up(now, other, side, Reason::Restarted);
        }
    }

    /// What a process is told of an association that is up.
    fn up(&self, id: AssocId, side: Side, peer: Peer) -> Arrival {
        let association = &self.associations[&id];
        let (near, far) = (association.end(side), association.end(side.other()));
        let Payload::Protocol(protocol) = association.purpose else {
            return Arrival::Session(peer, far.host);
        };
        let addresses = |host: NodeId| self.hosts[host.0].addresses.clone();
        let link = Link::new(protocol, association.carrier, addresses(far.host), far.port);
        Arrival::Up(peer, link.local(addresses(near.host)))
    }
}
