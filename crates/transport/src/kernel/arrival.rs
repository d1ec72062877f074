//! What arrived on the socket becomes events: messages and notifications.

use std::net::{IpAddr, SocketAddr};

use super::association::{Association, Piece, State};
use super::notification::{AddressChange, KernelId, Notification};
use super::{KernelEndpoint, Socket};
use super::{sockaddr, socket};
use crate::endpoint::{AssocId, AssocInfo, Backend, DownReason, Event};
use crate::source_limit::Source;
use crate::sys::sctp::{self, Received};

impl KernelEndpoint {
    /// Takes a message, a notification, or a piece of one.
    pub(super) fn take(&mut self, received: Received<'_>) {
        let end = received.flags & libc::MSG_EOR != 0;
        if received.flags & sctp::MSG_NOTIFICATION != 0 {
            // Only those with a message in them are long; all that matters is in the first piece.
            let first = !self.notification_goes_on;
            self.notification_goes_on = !end;
            if let Some(notification) = Notification::decode(received.octets).filter(|_| first) {
                let peer = sockaddr::decode(received.sender).map(|(address, _)| address);
                self.notice(notification, peer);
            }
            return;
        }
        let Some((kernel, ppid)) = received.rcvinfo.as_ref().map(socket::rcvinfo) else { return };
        // What an aborted association left in the socket.
        let Some((assoc, association)) = self.table.find(kernel) else { return };
        match association.inbound.take(received.octets, end, self.options.message_max) {
            Piece::Whole(octets) => self.events.push_back(Event::Message { assoc, ppid, octets }),
            Piece::TooLong => self.counters.malformed += 1,
            Piece::Part => {}
        }
    }

    fn notice(&mut self, notification: Notification, peer: Option<SocketAddr>) {
        match notification {
            Notification::Up(kernel) => self.up(kernel, peer),
            Notification::Restarted(kernel) => {
                if let Some((assoc, _)) = self.table.find(kernel) {
                    self.end(assoc, DownReason::Restarted);
                    self.up(kernel, peer);
                }
            }
            Notification::Closing(kernel) => {
                if let Some((assoc, association)) = self.table.find(kernel) {
                    self.undelivered += association.outbound.clear();
                    association.state = State::Closing { kernel };
                    self.backlogs.close(assoc, &mut association.backlog);
                    self.events.extend(association.note(assoc, &mut self.backlogs));
                }
            }
            Notification::Closed(kernel) => self.gone(kernel, DownReason::Closed),
            Notification::NotStarted(kernel) => self.gone(kernel, DownReason::Refused),
            Notification::Lost { assoc, aborted: true } => self.gone(assoc, DownReason::Reset),
            Notification::Lost { assoc, aborted: false } => self.gone(assoc, DownReason::Timeout),
            Notification::Address { assoc, change: AddressChange::Set, .. } => {
                self.addresses_changed(assoc);
            }
            Notification::Address { assoc, address, change } => {
                self.path_changed(assoc, address, change == AddressChange::Reachable);
            }
            Notification::Unsent(_) => self.undelivered += 1,
            Notification::Cut(kernel) => {
                if let Some((_, association)) = self.table.find(kernel) {
                    association.inbound.cut();
                }
            }
            Notification::Dry(kernel) => self.dry(kernel),
        }
    }

    /// An association is up: one that was dialed, or a new one.
    fn up(&mut self, kernel: KernelId, peer: Option<SocketAddr>) {
        if self.killed.contains(&kernel) {
            return;
        }
        // The kernel has forgotten a short association whose messages are still to be read.
        let peers =
            self.socket.get_ref().peers(kernel).unwrap_or_else(|_| peer.into_iter().collect());
        let remote: Vec<IpAddr> = peers.iter().map(|peer| peer.ip()).collect();
        let Some(port) = peers.first().map(|peer| peer.port()) else { return };

        let dialed = match self.table.find(kernel) {
            Some((assoc, association)) if association.state.deadline().is_some() => Some(assoc),
            // Both sides dialed at once; the kernel may say so twice.
            Some(_) => return,
            // The peer dialed as well, and was first.
            None => self.waiting_for(&remote, port),
        };
        if dialed.is_none() && self.table.len() >= self.options.associations_max {
            self.counters.over_limit += 1;
            self.kill(kernel);
            return;
        }
        let from = match (dialed, remote.first()) {
            (None, Some(ip)) => Some(Source::of(*ip)),
            (Some(_), _) | (None, None) => None,
        };
        if let Some(from) = from {
            if !self.sources.may_come(from, self.options.associations_max) {
                self.counters.over_source_limit += 1;
                self.kill(kernel);
                return;
            }
            self.sources.came(from);
        }
        if let Some(assoc) = dialed {
            self.forget(assoc);
        }
        let assoc = dialed.unwrap_or_else(|| self.table.name());
        let state = State::Up { kernel };
        let mut association = Association::new(state, dialed.is_some(), remote, port);
        association.from = from;
        self.table.insert(assoc, association);
        self.say_up(assoc, kernel);
    }

    fn say_up(&mut self, assoc: AssocId, kernel: KernelId) {
        let Some(association) = self.table.get_mut(assoc) else { return };
        association.local = own_addresses(self.socket.get_ref(), kernel);
        let info = AssocInfo {
            backend: Backend::KernelSctp,
            dialed: association.dialed,
            remote: association.remote.clone(),
            remote_port: association.remote_port,
            local: association.local.clone(),
            local_port: self.local.port,
            identity: None,
        };
        self.events.push_back(Event::Up { assoc, info });
    }

    /// The kernel's last word on an association.
    fn gone(&mut self, kernel: KernelId, reason: DownReason) {
        self.killed.remove(&kernel);
        let Some((assoc, _)) = self.table.find(kernel) else { return };
        self.end(assoc, reason);
    }

    /// The peer has told of other addresses, or this host has others.
    pub(super) fn addresses_changed(&mut self, kernel: KernelId) {
        let socket = self.socket.get_ref();
        let Ok(peers) = socket.peers(kernel) else { return };
        let local = own_addresses(socket, kernel);
        let Some((assoc, association)) = self.table.find(kernel) else { return };
        let remote: Vec<IpAddr> = peers.iter().map(|peer| peer.ip()).collect();
        association.unreachable.retain(|address| remote.contains(address));
        if association.remote != remote || association.local != local {
            association.remote.clone_from(&remote);
            association.local.clone_from(&local);
            self.events.push_back(Event::Addresses { assoc, remote, local });
        }
    }

    /// Looks at the addresses of this host. Peers are told of them by the kernel.
    pub(super) fn look_at_own_addresses(&mut self) {
        let here = own_addresses(self.socket.get_ref(), KernelId::ALL);
        if !self.address_watch.as_mut().is_some_and(|address_watch| address_watch.is_news(here)) {
            return;
        }
        for kernel in self.table.kernel_ids() {
            self.addresses_changed(kernel);
        }
    }

    /// An address of the peer answers, or not. The first confirmation of an address is no news, and
    /// the only address of a peer says nothing that the end of the association does not.
    fn path_changed(&mut self, kernel: KernelId, address: IpAddr, reachable: bool) {
        let Some((assoc, association)) = self.table.find(kernel) else { return };
        let known = association.unreachable.iter().position(|a| *a == address);
        match known {
            Some(at) if reachable => {
                association.unreachable.swap_remove(at);
            }
            None if !reachable && association.remote.len() > 1 => {
                association.unreachable.push(address);
            }
            Some(_) | None => return,
        }
        self.events.push_back(Event::Path { assoc, address, reachable });
    }

    /// The peer has acknowledged all: what waited for that can go.
    fn dry(&mut self, kernel: KernelId) {
        let Some((assoc, association)) = self.table.find(kernel) else { return };
        let outbound = &mut association.outbound;
        self.full -= usize::from(outbound.full().is_some());
        outbound.dry(self.socket.get_ref(), kernel);
        if !outbound.is_empty() {
            self.backlogs.moved(assoc, &mut association.backlog);
        }
        if outbound.can_write() && !outbound.listed {
            outbound.listed = true;
            self.writers.push_back(assoc);
        }
    }
}

fn own_addresses(socket: &Socket, kernel: KernelId) -> Vec<IpAddr> {
    let locals = socket.locals(kernel).unwrap_or_default();
    locals.iter().map(|address| address.ip()).collect()
}
