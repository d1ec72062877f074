//! The ping-pong service of a pool element.

use std::collections::BTreeMap;

use rserpool_proto::machine::Peer;
use rserpool_proto::session::cookie::{Key, Refusal};
use rserpool_proto::session::server::{Identity, Reaction};
use rserpool_proto::session::{Control, Cookies};
use rserpool_wire::Asap;
use rserpool_wire::asap::BusinessCard;
use rserpool_wire::param::{Cookie, PoolElement};

use super::Serving;
use super::pingpong::{Ping, Pong, State};

/// All sessions of one server.
#[derive(Debug)]
pub(crate) struct Service {
    cookies: Cookies,
    names_others: bool,
    dialogues: BTreeMap<Peer, Dialogue>,
}

/// One session at its server.
#[derive(Debug, Default)]
struct Dialogue {
    control: Control,
    state: State,
}

/// What is to be sent in a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Post {
    Control(Asap),
    Pong(Pong),
}

/// A cookie of the pool that was not taken, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotTaken {
    Refused(Refusal),
    TooLate,
    /// Opened, but it is none of this service.
    Foreign,
}

impl Service {
    pub(crate) fn new(serving: Serving, seed: u64) -> Self {
        let keys = serving.keys.iter().filter_map(|secret| Key::new(secret)).collect();
        let mut nonces = [0; 32];
        nonces[..8].copy_from_slice(&seed.to_be_bytes());
        let cookies = Cookies::sealed(keys, nonces);
        let cookies = if serving.encrypts { cookies.encrypted() } else { cookies };
        Self { cookies, names_others: serving.names_others, dialogues: BTreeMap::new() }
    }

    pub(super) fn has(&self, peer: Peer) -> bool {
        self.dialogues.contains_key(&peer)
    }

    /// A session begins; `others` are the other servers of the pool.
    pub(crate) fn begin(
        &mut self,
        peer: Peer,
        identity: &Identity,
        others: Vec<PoolElement>,
    ) -> Option<Post> {
        self.dialogues.insert(peer, Dialogue::default());
        let card = BusinessCard { handle: identity.handle.clone(), elements: others };
        let is_told = self.names_others && !card.elements.is_empty();
        is_told.then_some(Post::Control(Asap::BusinessCard(card)))
    }

    /// The session of this association has ended.
    pub(crate) fn end(&mut self, peer: Peer) {
        self.dialogues.remove(&peer);
    }

    /// Takes a message on the control channel; `unix` in seconds of Unix time.
    pub(crate) fn control(
        &mut self,
        unix: u64,
        peer: Peer,
        message: Asap,
        identity: &Identity,
    ) -> Result<Option<Post>, NotTaken> {
        let Some(dialogue) = self.dialogues.get_mut(&peer) else { return Ok(None) };
        match dialogue.control.handle(unix, message, identity, &self.cookies) {
            Reaction::Reply(message) => Ok(Some(Post::Control(message))),
            Reaction::Resumed(state) => {
                dialogue.state = State::decode(&state).ok_or(NotTaken::Foreign)?;
                Ok(None)
            }
            Reaction::Refused(refusal) => Err(NotTaken::Refused(refusal)),
            Reaction::TooLate => Err(NotTaken::TooLate),
            Reaction::Card(_) | Reaction::Ignored => Ok(None),
        }
    }

    /// Takes a request: the cookie goes before the reply that it covers.
    pub(crate) fn ping(
        &mut self,
        unix: u64,
        peer: Peer,
        ping: Ping,
        identity: &Identity,
    ) -> Vec<Post> {
        let Some(dialogue) = self.dialogues.get_mut(&peer) else { return Vec::new() };
        dialogue.control.data();
        let pong = dialogue.state.answer(ping);
        let state = dialogue.state.encode();
        let cookie = Cookie::new(self.cookies.seal(&identity.handle, unix, &state));
        let cookie = cookie.map(|cookie| Post::Control(Asap::Cookie(cookie)));
        cookie.into_iter().chain([Post::Pong(pong)]).collect()
    }

    /// The server leaves its pool: all sessions end. Who has a reply has its cookie.
    pub(crate) fn leave(&mut self) -> Vec<Peer> {
        std::mem::take(&mut self.dialogues).into_keys().collect()
    }
}
