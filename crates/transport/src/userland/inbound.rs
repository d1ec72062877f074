//! What happens to packets, ICMP errors and timeouts: which association they belong to, and which are
//! answered without one.

use std::time::Duration;

use dcsctp::api::SocketEvent;

use super::arrivals::Arrivals;
use super::association::{Association, Phase};
use super::cookie::Baked;
use super::encapsulation::{Route, Unreachable};
use super::endpoint::{MTU_V6, UserlandEndpoint, reseed};
use super::limits::Network;
use super::machine::Machine;
use super::packet::{HEADER, Packet, Refusal, chunk, half, out_of_the_blue, word};
use crate::endpoint::{AssocId, DownReason};
use crate::source_limit::Source;

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
            return self.refused(id, route.remote, now);
        }
        if packet.first == chunk::INIT_ACK && association.peer_tag.is_none() {
            let (window, tsn) = packet.initial_window_and_tsn();
            association.window = window;
            association.arrivals = Some(Arrivals::new(tsn));
            self.answered(id, route);
        }
        let Some(association) = self.table.get_mut(id) else { return };
        association.window = packet.window.unwrap_or(association.window);
        if packet.shuts_down {
            association.flush(now);
        }
        let Some(octets) = self.screen(id, packet, now) else {
            self.statistics.malformed += 1;
            return self.give_up(id, DownReason::Framing);
        };
        let Some(association) = self.table.get_mut(id) else { return };
        association.machine.handle(&octets, now);
        // RFC 6951 §5.4: only now, the tag was right.
        if !packet.reflected && association.route.remote.ip() == route.remote.ip() {
            self.table.move_remote(id, route.remote);
        }
        self.settle(id, now);
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
        if !self.inits.take(Network::of(route.remote.ip()), now) {
            return self.statistics.inits_dropped += 1;
        }
        reseed();
        if let Some(id) = self.table.with_remote(route.remote, packet.source) {
            let Some(association) = self.table.get_mut(id) else { return };
            if association.dial.is_some() {
                // Both dial at once: the answer goes to where the peer's INIT comes from.
                association.route = *route;
            }
            association.machine.handle(packet.octets, now);
            return self.settle(id, now);
        }
        if !self.listening {
            return self.on_stray(route, packet);
        }
        if self.refuses(Source::of(route.remote.ip())) {
            return self.on_stray(route, packet);
        }
        self.listener.answer(packet.octets);
        while let Some(event) = self.listener.poll_event() {
            let SocketEvent::SendPacket(mut octets) = event else { continue };
            if octets.len() < HEADER {
                continue;
            }
            octets[2..4].copy_from_slice(&packet.source.to_be_bytes());
            self.sign_and_write(route, octets, now);
        }
        if self.listener.is_broken() {
            self.statistics.broken += 1;
            self.listener = Machine::new(&self.options, [self.local.port, 0], MTU_V6);
        }
    }

    /// Whether there may be no more associations, or none of this source.
    fn refuses(&mut self, from: Source) -> bool {
        let max = self.options.associations_max;
        if self.table.len() >= max {
            self.statistics.over_limit += 1;
            return true;
        }
        let refuses = !self.sources.may_come(from, max);
        self.statistics.over_source_limit += u64::from(refuses);
        refuses
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
            None if self.refuses(Source::of(route.remote.ip())) => return,
            None => {
                let machine = self.machine(route.remote.ip(), packet.source);
                let phase = Phase::Accepting;
                let mut association = Association::new(machine, *route, packet.source, phase);
                let from = Source::of(route.remote.ip());
                association.from = Some(from);
                self.sources.came(from);
                self.table.insert(association)
            }
        };
        self.answered(id, route);
        let Some(association) = self.table.get_mut(id) else { return };
        association.route.local = association.route.local.or(route.local);
        let baked = Baked::of(&plain);
        if association.peer_tag != Some(baked.tag) {
            association.coming = Some(Arrivals::new(baked.tsn));
            association.window = baked.window;
        }
        let plain = Packet { octets: &plain, ..*packet };
        let Some(octets) = self.screen(id, &plain, now) else {
            self.statistics.malformed += 1;
            return self.give_up(id, DownReason::Framing);
        };
        let Some(association) = self.table.get_mut(id) else { return };
        association.machine.handle(&octets, now);
        self.settle(id, now);
        if let Some(association) = self.table.get_mut(id) {
            // The machine did not take the cookie, then.
            association.coming = None;
        }
        self.charge(id);
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
            Phase::Dialing { .. } if association.dial.is_some() => {
                return self.refused(id, unreachable.remote, self.now());
            }
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
        self.dial_on(id, now);
        let Some(association) = self.table.get_mut(id) else { return };
        if association.arrivals.as_ref().and_then(Arrivals::deadline).is_some_and(|due| due <= now)
        {
            self.statistics.fragments_too_old += 1;
            return self.give_up(id, DownReason::Timeout);
        }
        association.machine.advance(now);
        self.settle(id, now);
    }
}
