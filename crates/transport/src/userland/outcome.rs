//! What comes out of the protocol, and what becomes of its associations.

use std::net::IpAddr;
use std::task::Context;

use rserpool_sctp as sctp;
use rserpool_sctp::{AssociationId, Output, PathChange, Step, Up};

use super::association::{Association, Phase};
use super::encapsulation::Route;
use super::endpoint::UserlandEndpoint;
use super::limits::Network;
use super::table::{association_id, name};
use crate::backlog::{Overdue, TooMuch};
use crate::endpoint::{AssocId, AssocInfo, Backend, DownReason, Event, Ppid};
use crate::source_limit::Source;

impl UserlandEndpoint {
    /// Does whatever there is to do after something was handed in: packets, events, accounts.
    pub(super) fn flush(&mut self) {
        self.unflushed = 0;
        let mut packet = std::mem::take(&mut self.packet);
        while let Some(step) = self.engine.step(&mut packet) {
            match step {
                Step::Output(Output::Packet(way)) => {
                    let socket = self.socket(way.remote.ip(), way.local).unwrap_or(usize::MAX);
                    let route = Route { socket, local: way.local, remote: way.remote };
                    if !self.write(&route, &packet) {
                        self.engine.unsent(way.remote, &packet);
                    }
                }
                Step::Output(Output::Event(id, event)) => self.on_event(id, event),
                Step::Settled(id) => self.settled(id),
            }
        }
        self.packet = packet;
    }

    /// Keeps the accounts of an association that has nothing more to say for now.
    fn settled(&mut self, id: AssociationId) {
        let id = name(id);
        self.charge(id);
        let Some(association) = self.table.get_mut(id) else { return };
        let waiting = self.engine.queued(association_id(id));
        self.events.extend(self.backlogs.note(id, &mut association.backlog, waiting));
    }

    fn on_event(&mut self, id: AssociationId, event: sctp::Event) {
        let assoc = name(id);
        match event {
            sctp::Event::Up(up) => self.up(assoc, up),
            sctp::Event::Restarted(up) => self.restarted(id, up),
            sctp::Event::Message(message) => {
                if self.table.get_mut(assoc).is_some() {
                    let (ppid, octets) = (Ppid(message.ppid), message.octets.into());
                    self.events.push_back(Event::Message { assoc, ppid, octets });
                }
            }
            sctp::Event::Path(address, change) => self.path(assoc, address, change),
            sctp::Event::PeerShutdown => {
                if let Some(association) = self.table.get_mut(assoc) {
                    association.phase = Phase::Closing;
                    self.backlogs.close(assoc, &mut association.backlog);
                }
            }
            sctp::Event::Down(reason) => self.ended(assoc, reason),
            sctp::Event::Address(address, change) => self.own_address(assoc, address, change),
            // Queues have their own bound.
            sctp::Event::Writable => {}
        }
    }

    /// The protocol says that it is over.
    fn ended(&mut self, assoc: AssocId, reason: sctp::DownReason) {
        let Some(association) = self.table.get_mut(assoc) else { return };
        let is_dialing = matches!(association.phase, Phase::Dialing { .. });
        let reason = match reason {
            sctp::DownReason::Closed => DownReason::Closed,
            sctp::DownReason::Refused => DownReason::Refused,
            sctp::DownReason::Unreachable if is_dialing => DownReason::Refused,
            sctp::DownReason::Timeout => DownReason::Timeout,
            sctp::DownReason::TooOld => {
                self.statistics.fragments_too_old += 1;
                DownReason::Timeout
            }
            sctp::DownReason::Violation => {
                self.statistics.malformed += 1;
                DownReason::Framing
            }
            _ => DownReason::Reset,
        };
        self.down(assoc, reason);
    }

    /// Something happened to an address of the peer; only who has several is spoken of.
    fn path(&mut self, assoc: AssocId, address: IpAddr, change: PathChange) {
        let Some(association) = self.table.get_mut(assoc) else { return };
        let Association { remote, local, unreachable, .. } = association;
        let known = remote.contains(&address);
        let is_lost = unreachable.contains(&address);
        match change {
            // Who merely names an address has not shown that it is there.
            PathChange::Confirmed if !known => remote.push(address),
            PathChange::Removed if known => {
                remote.retain(|other| *other != address);
                unreachable.retain(|other| *other != address);
            }
            PathChange::Unreachable if known && !is_lost && remote.len() > 1 => {
                unreachable.push(address);
                return self.events.push_back(Event::Path { assoc, address, reachable: false });
            }
            PathChange::Reachable if is_lost => {
                unreachable.retain(|other| *other != address);
                return self.events.push_back(Event::Path { assoc, address, reachable: true });
            }
            _ => return,
        }
        let (remote, local) = (remote.clone(), local.clone());
        self.events.push_back(Event::Addresses { assoc, remote, local });
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

    /// An association is up, dialed or accepted.
    fn up(&mut self, assoc: AssocId, up: Up) {
        if self.table.get_mut(assoc).is_none() {
            if up.dialed {
                // Its user has dropped it meanwhile.
                return;
            }
            let mut association = Box::new(Association::new(Phase::Up));
            if let Some(from) = up.remote.first().map(|ip| Source::of(*ip)) {
                association.from = Some(from);
                self.sources.came(from);
            }
            self.table.insert(assoc, association);
        }
        self.introduce(assoc, up);
    }

    /// The peer of an association has restarted: it gets a new name.
    fn restarted(&mut self, id: AssociationId, up: Up) {
        let old = name(id);
        let Some(mut association) = self.table.remove(old) else { return };
        self.backlogs.forget(&mut association.backlog);
        association.dialed = false;
        self.events.push_back(Event::Down { assoc: old, reason: DownReason::Restarted });
        let Some(new) = self.engine.rename(id).map(name) else { return };
        self.table.insert(new, association);
        self.introduce(new, up);
    }

    fn introduce(&mut self, assoc: AssocId, mut up: Up) {
        // The others that the peer has named follow when they answer.
        up.remote.truncate(1);
        let Some(association) = self.table.get_mut(assoc) else { return };
        if let Phase::Dialing { deadline } = association.phase {
            self.dials.remove(&(deadline, assoc));
        }
        association.phase = Phase::Up;
        if association.network.is_none() {
            association.network = up.remote.first().map(|ip| Network::of(*ip));
        }
        association.remote.clone_from(&up.remote);
        association.local.clone_from(&up.local);
        association.unreachable = Vec::new();
        let peer = up.remote.first().copied();
        let info = AssocInfo {
            backend: Backend::UserlandSctp,
            dialed: association.dialed,
            remote: up.remote,
            remote_port: up.peer_port,
            local: up.local,
            local_port: self.local.port,
            identity: None,
        };
        self.events.push_back(Event::Up { assoc, info });
        peer.into_iter().for_each(|peer| self.follow_host(peer));
    }

    /// Ends an association that the peer may still believe in.
    pub(super) fn give_up(&mut self, id: AssocId, reason: DownReason) {
        if self.discard(id) {
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
        if self.remove(id).is_some() {
            self.events.push_back(Event::Down { assoc: id, reason });
        }
    }
}
