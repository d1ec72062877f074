//! What happens to packets, ICMP errors and timeouts: which association they belong to, and what
//! becomes of it.

use std::borrow::Cow;
use std::task::Context;
use std::time::Duration;

use dcsctp::api::{ErrorKind, SocketEvent};

use super::arrivals::{Arrivals, Verdict};
use super::association::{Association, Phase};
use super::cookie::Baked;
use super::encapsulation::{Route, Unreachable};
use super::endpoint::{MTU_V6, UserlandEndpoint, reseed};
use super::limits::Network;
use super::machine::Machine;
use super::packet::{
    Edit, HEADER, Packet, Refusal, abort, chunk, half, out_of_the_blue, sack_of, word,
};
use crate::backlog::{Overdue, TooMuch};
use crate::endpoint::{AssocId, AssocInfo, Backend, DownReason, Event, Ppid};
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

    /// A packet as the machine gets it; `None` where the peer breaks the rules of fragments.
    fn screen<'a>(
        &mut self,
        id: AssocId,
        packet: &Packet<'a>,
        now: Duration,
    ) -> Option<Cow<'a, [u8]>> {
        if !packet.has_data && !packet.shuts_down {
            return Some(Cow::Borrowed(packet.octets));
        }
        let association = self.table.get_mut(id)?;
        // RFC 9260 §9.2: what is queued goes before SHUTDOWN ACK. The machine would forget it, so it
        // does not hear of the SHUTDOWN, which the peer repeats, until the queue is empty. Nor does
        // it see that a SHUTDOWN acknowledges DATA, and some peers then send no SACK.
        let waits = packet.shuts_down && association.waiting() > 0;
        let (window, acknowledges) = (association.window, packet.window.is_none());
        let mut arrivals = association.coming.as_mut().or(association.arrivals.as_mut());
        let network = Network::of(association.route.remote.ip());
        let (message_max, statistics) = (self.options.message_max, &mut self.statistics);
        let (fragments, charged, mut most_kept) = (&self.fragments, association.charged, None);
        let mut sound = true;
        let octets = packet.edited(|chunk| match chunk[0] {
            chunk::DATA => {
                let Some(arrivals) = arrivals.as_mut() else { return Edit::Keep };
                let kept = arrivals.cost();
                let room = || {
                    // What this association keeps already is in what is charged.
                    let most = || fragments.room(network) + charged;
                    most_kept.get_or_insert_with(most).saturating_sub(kept)
                };
                match arrivals.take(chunk, message_max, room, now) {
                    Verdict::Taken => return Edit::Keep,
                    Verdict::Far => statistics.data_far_ahead += 1,
                    Verdict::NoRoom => statistics.fragments_dropped += 1,
                    Verdict::Violation => sound = false,
                }
                Edit::Drop
            }
            chunk::SHUTDOWN if waits => Edit::Replace(sack_of(chunk, window)),
            chunk::SHUTDOWN if acknowledges => Edit::Precede(sack_of(chunk, window)),
            _ => Edit::Keep,
        });
        self.charge(id);
        sound.then_some(octets)
    }

    /// Counts what an association keeps of unfinished messages.
    fn charge(&mut self, id: AssocId) {
        let Some(association) = self.table.get_mut(id) else { return };
        let kept = |arrivals: &Option<Arrivals>| arrivals.as_ref().map_or(0, Arrivals::cost);
        let kept = kept(&association.arrivals) + kept(&association.coming);
        let before = std::mem::replace(&mut association.charged, kept);
        let network = Network::of(association.route.remote.ip());
        self.fragments.change(network, before, kept);
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

    /// Takes out of a machine whatever is in it after it was touched: packets, changes of state,
    /// messages, tag and timer.
    pub(super) fn settle(&mut self, mut id: AssocId, now: Duration) {
        loop {
            let Some(association) = self.table.get_mut(id) else { return };
            match association.machine.poll_event() {
                Some(SocketEvent::SendPacket(octets)) => {
                    association.note_sent(&octets);
                    if association.dial.is_some() && octets.get(HEADER) == Some(&chunk::INIT) {
                        self.send_init(id, &octets);
                        continue;
                    }
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
        if let Some(association) = self.table.get_mut(id) {
            let waiting = association.waiting();
            self.events.extend(self.backlogs.note(id, &mut association.backlog, waiting));
        }
        if !self.table.index_tag(id) {
            return self.give_up(id, DownReason::Reset);
        }
        let Some(association) = self.table.get_mut(id) else { return };
        let deadline = association.deadline();
        // Any call above may be the one that it panicked in.
        if association.machine.is_broken() {
            return self.broke(id);
        }
        self.timers.arm(id, deadline, &mut association.armed);
    }

    /// Ends an association whose machine panicked: the peer is told in its place.
    fn broke(&mut self, id: AssocId) {
        self.statistics.broken += 1;
        if let Some(association) = self.table.get_mut(id)
            && let Some(tag) = association.peer_tag
        {
            let (route, port) = (association.route, association.remote_port);
            self.write(&route, &abort([self.local.port, port], tag));
        }
        self.down(id, DownReason::Reset);
    }

    /// Begins the SHUTDOWN that waited for the send queue; true where the machine has to be asked
    /// again.
    fn drained(&mut self, id: AssocId) -> bool {
        let Some(association) = self.table.get_mut(id) else { return false };
        match association.phase {
            // The machine would not wait for what it has not sent once.
            Phase::Draining if association.waiting() == 0 => {
                association.phase = Phase::Closing;
                association.machine.shutdown();
                true
            }
            Phase::Up if association.machine.shuts_down() => {
                association.phase = Phase::Closing;
                self.backlogs.close(id, &mut association.backlog);
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
        while let Some(message) = association.machine.next_message() {
            if message.payload.len() > self.options.message_max {
                self.statistics.malformed += 1;
                return false;
            }
            let (ppid, octets) = (Ppid(message.ppid.0), message.payload);
            self.events.push_back(Event::Message { assoc: id, ppid, octets });
        }
        true
    }

    /// The next event to report. What asks more of a peer that does not take its answers is held
    /// back, and handed in before anything newer once it takes them.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        while let Some(id) = self.backlogs.resumed() {
            let Some(association) = self.table.get_mut(id) else { continue };
            let pauses = association.pauses_reading();
            let event = self.backlogs.resume(id, &mut association.backlog, pauses);
            if event.is_some() {
                return event;
            }
        }
        while let Some(event) = self.events.pop_front() {
            if !self.backlogs.may_hold() {
                return Some(event);
            }
            let id = event.assoc();
            let Some(association) = self.table.get_mut(id) else { return Some(event) };
            let pauses = association.pauses_reading();
            match self.backlogs.hold(&mut association.backlog, pauses, event) {
                Ok(None) => {}
                Ok(event) => return event,
                Err(TooMuch) => {
                    self.statistics.over_budget += 1;
                    self.give_up(id, DownReason::Stalled);
                }
            }
            if self.backlogs.is_over_budget() {
                self.relieve();
            }
        }
        None
    }

    /// Ends associations whose peers take nothing of what waits for them, and closes that do not go
    /// on.
    pub(super) fn poll_overdue(&mut self, cx: &mut Context<'_>) {
        while let Some((at, id)) = self.backlogs.poll_deadlines(cx) {
            let Some(association) = self.table.get_mut(id) else { continue };
            match self.backlogs.overdue((at, id), &mut association.backlog) {
                None => {}
                Some(Overdue::Stalled) => {
                    self.statistics.stalled += 1;
                    self.give_up(id, DownReason::Stalled);
                }
                Some(Overdue::Close) => self.give_up(id, DownReason::Timeout),
            }
        }
    }

    /// Ends the greatest queues while more waits in all than may.
    pub(super) fn relieve(&mut self) {
        if !self.backlogs.is_over_budget() {
            return;
        }
        for id in self.backlogs.excess(self.table.backlogs()) {
            self.statistics.over_budget += 1;
            self.give_up(id, DownReason::Stalled);
        }
    }

    /// An association is up; one that was up already has a peer that restarted, and gets a new name.
    fn up(&mut self, id: AssocId) -> AssocId {
        let Some(association) = self.table.get_mut(id) else { return id };
        let phase = std::mem::replace(&mut association.phase, Phase::Up);
        if let Some(coming) = association.coming.take() {
            association.arrivals = Some(coming);
        }
        let mut name = id;
        if !matches!(phase, Phase::Dialing { .. } | Phase::Accepting) {
            association.clear();
            self.backlogs.forget(&mut association.backlog);
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
        let is_known = self.table.get_mut(id).is_some_and(|a| a.phase != Phase::Accepting);
        self.discard(id);
        if is_known {
            self.events.push_back(Event::Down { assoc: id, reason });
        }
    }

    /// Forgets an association that is over.
    fn down(&mut self, id: AssocId, reason: DownReason) {
        if reason == DownReason::Closed
            && let Some(association) = self.table.get_mut(id)
        {
            self.backlogs.release(id, &mut association.backlog, &mut self.events);
        }
        let Some(association) = self.remove(id) else { return };
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
