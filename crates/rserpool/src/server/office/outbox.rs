//! What goes out to clients, as soon as the transport takes it.

use rserpool_transport::{AssocId, Ppid, SendError};
use rserpool_wire::param::Cookie;
use rserpool_wire::{Asap, Message};
use tracing::warn;

use super::{Office, Setup, unix_time};
use crate::server::Service;
use crate::server::session::ROOM;

/// Answers of the control channel that wait; more are dropped.
const OUTBOX_MAX: usize = 64;

impl<S: Service> Office<S> {
    pub(super) fn send_cookie(&mut self, assoc: AssocId, state: &[u8]) {
        let room = state.len().min(ROOM);
        let Setup { handle, cookies, .. } = &mut self.setup;
        if !cookies.is_sealing() && !std::mem::replace(&mut self.has_told_plain, true) {
            warn!("there is no key for cookies: clients can change the state of their sessions");
        }
        // It fits: the session has looked at its length.
        if let Some(cookie) = Cookie::new(cookies.seal(handle, unix_time(), state)) {
            let octets = Message::from(Asap::Cookie(cookie)).encode();
            self.queue(assoc, Ppid::ASAP, octets, room);
        }
    }

    pub(super) fn send_card(&mut self, assoc: AssocId) {
        let Setup { has_control: true, neighbours: Some(neighbours), element, .. } = &self.setup
        else {
            return;
        };
        if let Some(card) = neighbours.card(element.id()) {
            self.control(assoc, Asap::BusinessCard(card));
        }
    }

    pub(super) fn control(&mut self, assoc: AssocId, message: Asap) {
        self.queue(assoc, Ppid::ASAP, Message::from(message).encode(), 0);
    }

    /// Sends octets when it is their turn; `room` is given back to the session then.
    pub(super) fn queue(&mut self, assoc: AssocId, ppid: Ppid, octets: Vec<u8>, room: usize) {
        let Some(entry) = self.sessions.get_mut(&assoc) else { return };
        if entry.outbox.len() >= OUTBOX_MAX && room == 0 {
            // A client that asks and takes no answers.
            return;
        }
        entry.outbox.push_back((ppid, octets, room));
        if entry.outbox.len() == 1 {
            self.flush(assoc);
        }
    }

    pub(super) fn flush_all(&mut self) {
        for assoc in self.backlog.clone() {
            self.flush(assoc);
        }
    }

    fn flush(&mut self, assoc: AssocId) {
        let Some(entry) = self.sessions.get_mut(&assoc) else { return };
        while let Some((ppid, octets, room)) = entry.outbox.front() {
            match self.endpoints.send(assoc, *ppid, octets) {
                Ok(()) => entry.desk.room.add_permits(*room),
                Err(SendError::Full) => {
                    self.backlog.insert(assoc);
                    return;
                }
                // Its end is on the way.
                Err(SendError::Gone) => {}
                Err(error) => {
                    warn!(%error, "a service's message cannot be sent: its session is ended");
                    self.endpoints.abort(assoc);
                    return self.forget(assoc);
                }
            }
            entry.outbox.pop_front();
        }
        self.backlog.remove(&assoc);
        if entry.is_ending {
            self.endpoints.close(assoc);
        }
    }

    /// The service has ended a session.
    pub(super) fn end(&mut self, assoc: AssocId) {
        if let Some(entry) = self.sessions.get_mut(&assoc) {
            entry.is_ending = true;
            if entry.outbox.is_empty() {
                self.endpoints.close(assoc);
            }
        }
    }
}
