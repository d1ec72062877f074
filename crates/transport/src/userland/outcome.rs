//! What comes out of machines, and what becomes of their associations.

use std::task::Context;
use std::time::Duration;

use dcsctp::api::{ErrorKind, SocketEvent};

use super::association::Phase;
use super::encapsulation::Route;
use super::endpoint::UserlandEndpoint;
use super::packet::{HEADER, abort, chunk};
use crate::backlog::{Overdue, TooMuch};
use crate::endpoint::{AssocId, AssocInfo, Backend, DownReason, Event, Ppid};

impl UserlandEndpoint {
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
            identity: None,
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
    pub(super) fn down(&mut self, id: AssocId, reason: DownReason) {
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
    pub(super) fn sign_and_write(&mut self, route: &Route, mut octets: Vec<u8>, now: Duration) {
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
