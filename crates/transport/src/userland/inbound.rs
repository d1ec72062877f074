//! What happens to packets, ICMP errors and timeouts: which association they belong to, and what
//! becomes of it.

use std::time::Duration;

use dcsctp::api::{DcSctpSocket, ErrorKind, SocketEvent};

use super::association::{Association, Phase, guarded, machine};
use super::encapsulation::{Route, Unreachable};
use super::endpoint::{MTU_V6, UserlandEndpoint, reseed};
use super::packet::{HEADER, Packet, Refusal, chunk, half, out_of_the_blue, word};
use crate::endpoint::{AssocId, AssocInfo, Backend, DownReason, Event, Ppid};

impl UserlandEndpoint {
    /// Handles one datagram.
    pub(super) fn on_datagram(&mut self, route: Route, octets: &[u8]) {
        let packet = match Packet::parse(octets, MTU_V6) {
            Ok(packet) => packet,
            Err(Refusal::Checksum) => return self.statistics.checksum_errors += 1,
            Err(Refusal::Malformed) => return self.statistics.malformed += 1,
        };
        let now = self.now();
        match packet.first {
            _ if packet.destination != self.local.port => self.on_stray(&route, &packet),
            chunk::INIT => self.on_init(&route, &packet, now),
            chunk::COOKIE_ECHO => self.on_cookie_echo(&route, &packet, now),
            _ => match self.find(&route, &packet) {
                Some(id) => self.on_packet(id, &route, &packet, now),
                None => self.on_stray(&route, &packet),
            },
        }
    }

    /// The association that a packet belongs to. The tag decides: a multihomed peer may send from an
    /// address that we do not know.
    fn find(&mut self, route: &Route, packet: &Packet<'_>) -> Option<AssocId> {
        if packet.reflected {
            // RFC 9260 §8.5.1: the tag is the peer's own; so the addresses have to say whose.
            let id = self.table.with_remote(route.remote, packet.source)?;
            return (self.table.get_mut(id)?.peer_tag == Some(packet.tag)).then_some(id);
        }
        let id = self.table.with_tag(packet.tag)?;
        (self.table.get_mut(id)?.remote_port == packet.source).then_some(id)
    }

    fn on_packet(&mut self, id: AssocId, route: &Route, packet: &Packet<'_>, now: Duration) {
        let Some(association) = self.table.get_mut(id) else { return };
        association.route.local = association.route.local.or(route.local);
        if packet.aborts && association.peer_tag.is_none() {
            // RFC 9260 §8.4: nobody listens there. The machine has no association to abort yet.
            return self.give_up(id, DownReason::Refused);
        }
        let mut sound = true;
        if packet.shuts_down {
            sound = association.flush(now);
        }
        // RFC 9260 §9.2: what is queued goes before SHUTDOWN ACK. The machine would forget it, so it
        // does not hear of the SHUTDOWN, which the peer repeats, until the queue is empty.
        sound = sound
            && if packet.shuts_down && association.waiting() > 0 {
                association.handle(&packet.without(chunk::SHUTDOWN), now)
            } else {
                association.handle(packet.octets, now)
            };
        // RFC 6951 §5.4: only now, the tag was right.
        if !packet.reflected && association.route.remote.ip() == route.remote.ip() {
            self.table.move_remote(id, route.remote);
        }
        self.check(id, sound, now);
    }

    /// Answers what belongs to no association, where it may be answered.
    fn on_stray(&mut self, route: &Route, packet: &Packet<'_>) {
        self.statistics.out_of_the_blue += 1;
        if let Some(answer) = out_of_the_blue(packet) {
            self.write(route, &answer);
        }
    }

    /// An INIT goes to the association of its sender, which notices a restart or a collision, and
    /// else gets a cookie: nothing is kept.
    fn on_init(&mut self, route: &Route, packet: &Packet<'_>, now: Duration) {
        reseed();
        if let Some(id) = self.table.with_remote(route.remote, packet.source) {
            let Some(association) = self.table.get_mut(id) else { return };
            let sound = association.handle(packet.octets, now);
            return self.check(id, sound, now);
        }
        if !self.listening {
            return self.on_stray(route, packet);
        }
        if self.table.len() >= self.options.associations_max {
            self.statistics.over_limit += 1;
            return self.on_stray(route, packet);
        }
        let listener = &mut self.listener;
        if !guarded(|| listener.handle_input(packet.octets)) {
            self.listener = machine(&self.options, [self.local.port, 0], MTU_V6);
        }
        while let Some(event) = self.listener.poll_event() {
            let SocketEvent::SendPacket(mut octets) = event else { continue };
            if octets.len() < HEADER {
                continue;
            }
            octets[2..4].copy_from_slice(&packet.source.to_be_bytes());
            self.sign_and_write(route, octets, now);
        }
    }

    /// A cookie of ours comes back: an association begins, or one begins anew.
    fn on_cookie_echo(&mut self, route: &Route, packet: &Packet<'_>, now: Duration) {
        let Some(plain) = self.cookies.open(packet, route.remote, now) else {
            return self.statistics.cookies_refused += 1;
        };
        reseed();
        let id = match self.table.with_remote(route.remote, packet.source) {
            Some(id) => id,
            // The tag belongs to an association with somebody else; a new INIT gets a new one.
            None if self.table.with_tag(packet.tag).is_some() => {
                return self.statistics.cookies_refused += 1;
            }
            None if self.table.len() >= self.options.associations_max => {
                return self.statistics.over_limit += 1;
            }
            None => {
                let socket = self.machine(route.remote.ip(), packet.source);
                let phase = Phase::Accepting;
                self.table.insert(Association::new(socket, *route, packet.source, phase))
            }
        };
        let Some(association) = self.table.get_mut(id) else { return };
        association.route.local = association.route.local.or(route.local);
        let sound = association.handle(&plain, now);
        self.check(id, sound, now);
        if self.table.get_mut(id).is_some_and(|a| a.phase == Phase::Accepting) {
            self.discard(id);
        }
    }

    /// RFC 9260 §10, RFC 6951 §5.5: nobody is at the port that an association sends to. It counts
    /// where the lost packet has the association's tag, so that nobody else can say so.
    pub(super) fn on_unreachable(&mut self, unreachable: &Unreachable) {
        let quote = &unreachable.quote;
        let (own, peer, tag) = (half(quote, 0), half(quote, 2), word(quote, 4));
        let id = self.table.with_remote(unreachable.remote, peer);
        let association = id.and_then(|id| self.table.get_mut(id));
        let matches = association.as_ref().is_some_and(|association| match tag {
            // An INIT has no tag but proposes one.
            0 => quote[HEADER] == chunk::INIT && word(quote, HEADER + 4) == association.tag,
            tag => association.peer_tag == Some(tag),
        });
        let (Some(id), Some(association)) = (id, association) else {
            return self.statistics.unreachable_ignored += 1;
        };
        if own != self.local.port || !matches {
            return self.statistics.unreachable_ignored += 1;
        }
        self.statistics.unreachable += 1;
        let reason = match association.phase {
            Phase::Dialing { .. } | Phase::Accepting => DownReason::Refused,
            Phase::Up | Phase::Draining | Phase::Closing => DownReason::Reset,
        };
        self.down(id, reason);
    }

    /// An association's timer is due.
    pub(super) fn on_timeout(&mut self, id: AssocId, now: Duration) {
        let Some(association) = self.table.get_mut(id) else { return };
        if matches!(association.phase, Phase::Dialing { deadline } if deadline <= now) {
            return self.give_up(id, DownReason::Timeout);
        }
        let sound = association.advance(now);
        self.check(id, sound, now);
    }

    /// [`settle`](Self::settle)s an association, unless its machine broke.
    pub(super) fn check(&mut self, id: AssocId, sound: bool, now: Duration) {
        if sound {
            self.settle(id, now);
        } else {
            self.statistics.broken += 1;
            self.down(id, DownReason::Reset);
        }
    }

    /// Takes out of a machine whatever is in it after it was touched: packets, changes of state,
    /// messages, tag and timer.
    pub(super) fn settle(&mut self, mut id: AssocId, now: Duration) {
        loop {
            let Some(association) = self.table.get_mut(id) else { return };
            match association.socket.poll_event() {
                Some(SocketEvent::SendPacket(octets)) => {
                    association.note_sent(&octets);
                    let route = association.route;
                    self.sign_and_write(&route, octets, now);
                }
                Some(SocketEvent::OnConnected()) => id = self.up(id),
                Some(SocketEvent::OnClosed()) => return self.down(id, DownReason::Closed),
                Some(SocketEvent::OnAborted(kind, _)) => {
                    let reason = aborted(association.phase, kind);
                    return self.down(id, reason);
                }
                // Errors that an association survives, and what this endpoint does not use.
                Some(_) => {}
                None if self.drained(id) => {}
                None => break,
            }
        }
        if !self.messages(id) {
            return self.give_up(id, DownReason::Framing);
        }
        if !self.table.index_tag(id) {
            return self.give_up(id, DownReason::Reset);
        }
        if let Some(association) = self.table.get_mut(id) {
            let deadline = association.deadline();
            self.timers.arm(id, deadline, &mut association.armed);
        }
    }

    /// Begins the SHUTDOWN that waited for the send queue; true where the machine has to be asked
    /// again.
    fn drained(&mut self, id: AssocId) -> bool {
        let Some(association) = self.table.get_mut(id) else { return false };
        match association.phase {
            // The machine would not wait for what it has not sent once.
            Phase::Draining if association.waiting() == 0 => {
                association.phase = Phase::Closing;
                association.socket.shutdown();
                true
            }
            Phase::Up if association.shuts_down() => {
                association.phase = Phase::Closing;
                false
            }
            Phase::Dialing { .. }
            | Phase::Accepting
            | Phase::Up
            | Phase::Draining
            | Phase::Closing => false,
        }
    }

    /// Hands out the messages that are whole; false where one is longer than allowed.
    fn messages(&mut self, id: AssocId) -> bool {
        let Some(association) = self.table.get_mut(id) else { return true };
        while let Some(message) = association.socket.get_next_message() {
            if message.payload.len() > self.options.message_max {
                self.statistics.malformed += 1;
                return false;
            }
            let (ppid, octets) = (Ppid(message.ppid.0), message.payload);
            self.events.push_back(Event::Message { assoc: id, ppid, octets });
        }
        true
    }

    /// An association is up; one that was up already has a peer that restarted, and gets a new name.
    fn up(&mut self, id: AssocId) -> AssocId {
        let Some(association) = self.table.get_mut(id) else { return id };
        let phase = std::mem::replace(&mut association.phase, Phase::Up);
        let mut name = id;
        if !matches!(phase, Phase::Dialing { .. } | Phase::Accepting) {
            association.clear();
            association.dialed = false;
            association.armed = None;
            self.events.push_back(Event::Down { assoc: id, reason: DownReason::Restarted });
            name = self.table.rename(id).unwrap_or(id);
        }
        let Some(association) = self.table.get_mut(name) else { return name };
        let info = AssocInfo {
            backend: Backend::UserlandSctp,
            dialed: association.dialed,
            remote: vec![association.route.remote.ip()],
            remote_port: association.remote_port,
            local: association.route.local.into_iter().collect(),
            local_port: self.local.port,
        };
        self.events.push_back(Event::Up { assoc: name, info });
        name
    }

    /// Ends an association that the peer may still believe in.
    pub(super) fn give_up(&mut self, id: AssocId, reason: DownReason) {
        self.discard(id);
        self.events.push_back(Event::Down { assoc: id, reason });
    }

    /// Forgets an association that is over.
    fn down(&mut self, id: AssocId, reason: DownReason) {
        let Some(association) = self.table.remove(id) else { return };
        if association.phase != Phase::Accepting {
            self.events.push_back(Event::Down { assoc: id, reason });
        }
    }

    /// Sends a packet of a machine; the cookie of an INIT ACK is signed first.
    fn sign_and_write(&mut self, route: &Route, mut octets: Vec<u8>, now: Duration) {
        if octets.get(HEADER) == Some(&chunk::INIT_ACK)
            && !self.cookies.sign(&mut octets, route.remote, now)
        {
            return;
        }
        self.write(route, &octets);
    }
}

fn aborted(phase: Phase, kind: ErrorKind) -> DownReason {
    match kind {
        ErrorKind::TooManyRetries => DownReason::Timeout,
        ErrorKind::PeerReported if matches!(phase, Phase::Dialing { .. }) => DownReason::Refused,
        ErrorKind::NoError => DownReason::Closed,
        ErrorKind::PeerReported
        | ErrorKind::NotConnected
        | ErrorKind::ParseFailed
        | ErrorKind::WrongSequence
        | ErrorKind::ProtocolViolation
        | ErrorKind::ResourceExhaustion
        | ErrorKind::UnsupportedOperation => DownReason::Reset,
    }
}
