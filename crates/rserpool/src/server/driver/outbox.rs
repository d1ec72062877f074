//! What goes out to clients, as soon as the transport takes it, and how sessions end.

use rserpool_transport::{AssocId, Ppid, SendError};
use rserpool_wire::param::Cookie;
use rserpool_wire::{Asap, Message};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{ServerDriver, Setup, unix_time};
use crate::server::Service;

/// Answers of the control channel that wait; more are dropped.
const OUTBOX_MAX: usize = 64;

impl<S: Service> ServerDriver<S> {
    pub(super) fn send_cookie(&mut self, assoc: AssocId, state: &[u8]) {
        let room = self.setup.sizes.room_for(state.len());
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
        let Setup { has_control: true, card_items, neighbours: Some(neighbours), element, .. } =
            &self.setup
        else {
            return;
        };
        if let Some(card) = neighbours.card(element.id(), *card_items) {
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

    pub(super) fn congested(&mut self, assoc: AssocId) {
        if let Some(entry) = self.sessions.get_mut(&assoc) {
            entry.is_congested = true;
            self.backlog.remove(&assoc);
        }
    }

    pub(super) fn drained(&mut self, assoc: AssocId) {
        if let Some(entry) = self.sessions.get_mut(&assoc) {
            entry.is_congested = false;
            self.flush(assoc);
        }
    }

    pub(super) fn flush_all(&mut self) {
        for assoc in self.backlog.clone() {
            self.flush(assoc);
        }
    }

    pub(super) fn flush(&mut self, assoc: AssocId) {
        let Some(entry) = self.sessions.get_mut(&assoc) else { return };
        while let Some((ppid, octets, room)) = entry.outbox.front() {
            match self.endpoints.send(assoc, *ppid, octets) {
                Ok(()) => entry.channels.give_room(*room),
                Err(SendError::Full) => {
                    if !entry.is_congested {
                        self.backlog.insert(assoc);
                    }
                    return;
                }
                // Its end is on the way.
                Err(SendError::Gone) => {}
                Err(error) => {
                    // The session has looked at it: only the kernel may take shorter ones.
                    let client = entry.client;
                    warn!(%client, %error, "a service's message cannot be sent: its session is ended");
                    self.endpoints.abort(assoc);
                    return self.forget(assoc);
                }
            }
            if let Some(end) = self.ending.get_mut(&assoc) {
                // It takes something: it may take its time.
                *end = Instant::now() + self.setup.close_timeout;
            }
            entry.outbox.pop_front();
        }
        self.backlog.remove(&assoc);
        if self.ending.contains_key(&assoc) {
            self.close(assoc);
        }
    }

    /// The service has ended a session: what it has sent is still delivered.
    pub(super) fn end(&mut self, assoc: AssocId) {
        let Some(entry) = self.sessions.get(&assoc) else { return };
        let is_sent = entry.outbox.is_empty();
        let end = Instant::now() + self.setup.close_timeout;
        self.ending.entry(assoc).or_insert(end);
        self.read_on(assoc);
        if is_sent {
            self.close(assoc);
        }
    }

    /// Has the transport end it once all is delivered, within a time of its own.
    fn close(&mut self, assoc: AssocId) {
        self.ending.remove(&assoc);
        self.endpoints.close(assoc);
    }

    /// Ends at once the sessions whose clients take nothing of what is still to be delivered.
    pub(super) fn look_after_ending(&mut self, now: Instant) {
        let over = self.ending.iter().filter(|(_, end)| **end <= now);
        let over: Vec<_> = over.map(|(assoc, _)| *assoc).collect();
        for assoc in over {
            let client = self.client(assoc);
            debug!(client, "the client takes nothing: its session is ended at once");
            self.stats.undelivered += 1;
            self.endpoints.abort(assoc);
            self.forget(assoc);
        }
    }
}
