//! The server's side of a session: what the control channel brings.

use rserpool_wire::Asap;
use rserpool_wire::asap::{BusinessCard, KeepAliveAck};
use rserpool_wire::param::{PeId, PoolHandle};

use super::cookie::{Cookies, Refusal};

/// Who the server is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Its pool.
    pub handle: PoolHandle,
    /// Its identifier.
    pub id: PeId,
}

/// The control channel of one session, at its server.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// The session has begun: a cookie comes too late now.
    begun: bool,
}

/// What comes of a message on the control channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reaction {
    /// To be sent back.
    Reply(Asap),
    /// The session goes on from this state.
    Resumed(Vec<u8>),
    /// The state that was echoed is not to be trusted: the session begins anew.
    Refused(Refusal),
    /// A second cookie, or one in mid-session: ignored.
    TooLate,
    /// Where the user is found, which is itself an element.
    Card(BusinessCard),
    /// Not for this server, or not for any: ignored.
    Ignored,
}

impl Control {
    /// Data has arrived.
    pub fn data(&mut self) {
        self.begun = true;
    }

    /// Takes a message; `now` in seconds of Unix time, for the expiry of cookies.
    pub fn handle(
        &mut self,
        now: u64,
        message: Asap,
        identity: &Identity,
        cookies: &Cookies,
    ) -> Reaction {
        match message {
            Asap::CookieEcho(_) if self.begun => Reaction::TooLate,
            Asap::CookieEcho(cookie) => {
                self.begun = true;
                match cookies.open(&identity.handle, now, cookie.as_bytes()) {
                    Ok(state) => Reaction::Resumed(state),
                    Err(refusal) => Reaction::Refused(refusal),
                }
            }
            // Of a registrar it would have a sender. A user may know this server by the identifier
            // that it, or another one in its place, had before: the answer tells the right one.
            Asap::KeepAlive(question)
                if question.sender.is_none() && question.handle == identity.handle =>
            {
                let Identity { handle, id } = identity.clone();
                Reaction::Reply(Asap::KeepAliveAck(KeepAliveAck { handle, id }))
            }
            Asap::BusinessCard(card) => Reaction::Card(card),
            _ => Reaction::Ignored,
        }
    }
}
