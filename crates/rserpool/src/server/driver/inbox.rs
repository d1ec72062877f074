//! What comes in from clients, on its way to the services: bounded, and slowed down.

use rserpool_proto::session::cookie::Refusal;
use rserpool_proto::session::server::{Identity, Reaction};
use rserpool_transport::{AssocId, Ppid};
use rserpool_wire::asap::KeepAliveAck;
use rserpool_wire::param::Cause;
use rserpool_wire::registry::CauseCode;
use rserpool_wire::{Asap, Message, Protocol};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{ServerDriver, Setup, unix_time};
use crate::server::channel::HandedOver;
use crate::server::{Event, Service};

impl<S: Service> ServerDriver<S> {
    pub(super) fn on_data(&mut self, assoc: AssocId, ppid: Ppid, octets: Vec<u8>) {
        let Some(entry) = self.sessions.get_mut(&assoc) else { return };
        entry.control.data();
        let count = octets.len();
        self.heard(assoc);
        self.hand_over(assoc, Event::Message { ppid, octets }, count);
    }

    pub(super) fn on_control(&mut self, assoc: AssocId, octets: &[u8]) {
        self.heard(assoc);
        let Some(entry) = self.sessions.get_mut(&assoc) else { return };
        let Ok(Message::Asap(message)) =
            Message::decode(Protocol::Asap, octets).map(|decoded| decoded.message)
        else {
            self.stats.malformed += 1;
            return;
        };
        let Setup { handle, element, cookies, .. } = &self.setup;
        let identity = Identity { handle: handle.clone(), id: element.id() };
        match entry.control.handle(unix_time(), message, &identity, cookies) {
            Reaction::Reply(asap) => self.control(assoc, asap),
            Reaction::Resumed(state) => {
                self.stats.resumed += 1;
                self.hand_over(assoc, Event::Resumed(state), octets.len());
            }
            Reaction::Refused(refusal) => {
                self.stats.cookies_refused += 1;
                if !std::mem::replace(&mut self.has_warned, true) {
                    let client = self.client(assoc);
                    warn!(client, %refusal, "a session's cookie is refused: it begins anew");
                }
                // Who made something up gets no answer.
                if !matches!(refusal, Refusal::Unsealed | Refusal::Tampered | Refusal::Version) {
                    self.control(assoc, Asap::Error(vec![Cause::new(CauseCode::INVALID_VALUES)]));
                }
            }
            Reaction::TooLate => self.stats.cookies_late += 1,
            Reaction::Card(card) => self.hand_over(assoc, Event::Card(card), octets.len()),
            Reaction::Ignored => self.stats.malformed += 1,
        }
    }

    /// The client has said something.
    fn heard(&mut self, assoc: AssocId) {
        if let Some(entry) = self.sessions.get_mut(&assoc)
            && std::mem::take(&mut entry.is_silent)
        {
            self.sources.heard(entry.client.ip(), assoc);
        }
    }

    /// What came in so many octets is for a session's service. Where too much waits already its
    /// client is slowed down, and where that cannot be, cut off.
    fn hand_over(&mut self, assoc: AssocId, event: Event, octets: usize) {
        let Some(entry) = self.sessions.get(&assoc) else { return };
        match entry.channels.hand_over(event, octets) {
            HandedOver::Taken => {}
            HandedOver::Much => self.pause(assoc),
            HandedOver::Overrun => {
                let client = self.client(assoc);
                debug!(client, "the client sends more than its service takes: cut off");
                self.stats.overrun += 1;
                self.endpoints.abort(assoc);
                self.forget(assoc);
            }
        }
    }

    fn pause(&mut self, assoc: AssocId) {
        if !self.paused.contains_key(&assoc) && self.endpoints.pause_reading(assoc) {
            self.stats.paused += 1;
            let left = self.waiting(assoc);
            self.paused.insert(assoc, (left, Instant::now()));
            self.next_sign = self.next_sign.max(Instant::now());
        }
        if let Some(entry) = self.sessions.get(&assoc)
            && self.paused.contains_key(&assoc)
            && entry.channels.pause()
        {
            self.read_on(assoc);
        }
    }

    /// The service has taken enough for its client to go on.
    pub(super) fn read_on(&mut self, assoc: AssocId) {
        if self.paused.remove(&assoc).is_some() {
            self.endpoints.resume_reading(assoc);
        }
    }

    /// Clients that are slowed down do not hear answers to their keep-alives, which wait to be read:
    /// they are told that the server lives. Those whose service takes nothing any more are ended.
    pub(super) fn look_after_paused(&mut self, now: Instant) {
        if self.paused.is_empty() || now < self.next_sign {
            return;
        }
        self.next_sign = now + super::SIGN_OF_LIFE;
        let paused: Vec<_> = self.paused.keys().copied().collect();
        for assoc in paused {
            let left = self.waiting(assoc);
            let Some((before, since)) = self.paused.get_mut(&assoc) else { continue };
            if left < *before {
                (*before, *since) = (left, now);
            } else if now - *since >= self.setup.stall_timeout {
                let client = self.client(assoc);
                debug!(client, "a service takes nothing of its client: the session is ended");
                self.stats.overrun += 1;
                self.endpoints.abort(assoc);
                self.forget(assoc);
                continue;
            }
            if self.setup.has_control {
                let (handle, id) = (self.setup.handle.clone(), self.setup.element.id());
                self.control(assoc, Asap::KeepAliveAck(KeepAliveAck { handle, id }));
            }
        }
    }

    /// What the events cost that a service has not taken.
    fn waiting(&self, assoc: AssocId) -> usize {
        let entry = self.sessions.get(&assoc);
        entry.map_or(0, |entry| entry.channels.waiting())
    }
}
