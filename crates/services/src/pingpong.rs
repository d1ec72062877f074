//! Ping-pong: numbered answers. The number is the state that the next server goes on from, so that
//! a client can tell whether anything was lost or done twice.

pub mod packet;
pub mod tally;

use std::sync::Arc;

use rserpool::server::{CookieError, Event, Service, Session};
use tracing::field::display;
use tracing::{debug, info};

use packet::Packet;

/// The service.
#[derive(Debug)]
pub(crate) struct PingPong;

impl Service for PingPong {
    async fn serve(self: Arc<Self>, mut session: Session) {
        let mut counter = Counter::default();
        while let Some(event) = session.next().await {
            match event {
                Event::Resumed(state) => {
                    counter.resume(&state);
                    let client = session.client_address().map(display);
                    info!(client, counter.next, "a session goes on");
                }
                Event::Message { octets, .. } => {
                    let Some(answer) = counter.answer(&octets) else { continue };
                    if answer.send(&session).await.is_err() {
                        return;
                    }
                }
                // The next server has the state already.
                Event::Draining => return,
                _ => {}
            }
        }
    }
}

/// A session as its server sees it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Counter {
    next: u64,
}

/// What a ping brings about, to be sent in this order: should the server die in between, the next
/// one does not use the number again.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    /// The new state.
    pub(crate) cookie: Vec<u8>,
    /// The pong.
    pub(crate) pong: Vec<u8>,
}

/// The number of the first reply of a session.
pub const FIRST_REPLY: u64 = 1;

impl Default for Counter {
    fn default() -> Self {
        Self { next: FIRST_REPLY }
    }
}

impl Counter {
    /// Goes on where the former server was. What is no state of this service changes nothing.
    pub(crate) fn resume(&mut self, cookie: &[u8]) {
        match packet::next_reply(cookie) {
            Some(next) => self.next = next,
            None => debug!("a cookie of something else"),
        }
    }

    /// Answers a ping; anything else has no answer.
    pub(crate) fn answer(&mut self, octets: &[u8]) -> Option<Answer> {
        let (message, text) = match Packet::decode(octets) {
            Ok(Packet::Ping { message, text }) => (message, text),
            Ok(Packet::Pong { .. }) => return None,
            Err(error) => {
                debug!(%error, "no ping");
                return None;
            }
        };
        let reply = self.next;
        self.next = self.next.wrapping_add(1);
        let pong = Packet::Pong { message, reply, text }.encode();
        Some(Answer { cookie: packet::cookie(self.next), pong })
    }
}

impl Answer {
    async fn send(&self, session: &Session) -> Result<(), CookieError> {
        session.send_cookie(&self.cookie).await?;
        Ok(session.send(packet::PPID, &self.pong).await?)
    }
}

#[cfg(test)]
mod tests;
