//! The application of a session, and what it takes to check it.

use rserpool_proto::machine::Peer;
use rserpool_proto::session::Client;
use rserpool_proto::time::Time;
use rserpool_wire::param::{PeId, Transport};

use super::Calling;
use super::pingpong::{Ping, Pong};

/// A session and its application.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) config: Calling,
    pub(crate) machine: Client,
    /// The association of the moment, dialed or up: what the machine calls it, and the network.
    pub(crate) assoc: Option<(Peer, Peer)>,
    /// Over SCTP it dials from here.
    pub(crate) port: Option<u16>,
    /// Counts associations.
    named: u64,
    /// The last request that was sent, and the last reply.
    asked: u64,
    pub(crate) replied: u64,
    /// When it came.
    pub(crate) replied_at: Time,
    /// Since when the application waits for the next, as far as this server is concerned.
    waits_since: Time,
    /// When the server of the moment got the session.
    connected_at: Time,
    /// Since when the server of the moment was not heard of.
    pub(crate) heard_at: Time,
    /// The server of the moment has answered a keep-alive.
    pub(crate) is_answered: bool,
    /// The second that questions about the pool are counted in, and how many there were.
    searched: (u64, u32),
}

/// What became of a reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// The one that had to come.
    Next,
    /// It was there already: dropped.
    Again,
    /// Something is missing, or was counted twice; this was expected.
    OutOfSequence(Pong),
}

/// Names of associations of sessions begin here: those of pool users are smaller.
const NAMES: u64 = 1 << 40;

impl Caller {
    pub(super) fn new(config: Calling, now: Time) -> Self {
        Self {
            machine: Client::new(config.session.clone()),
            config,
            assoc: None,
            port: None,
            named: 0,
            asked: 0,
            replied: 0,
            replied_at: now,
            waits_since: now,
            connected_at: now,
            heard_at: now,
            is_answered: false,
            searched: (0, 0),
        }
    }

    pub(super) fn has(&self, peer: Peer) -> bool {
        self.named_by_machine(peer).is_some()
    }

    /// What the machine calls an association of the network.
    pub(crate) fn named_by_machine(&self, peer: Peer) -> Option<Peer> {
        self.assoc.filter(|(_, known)| *known == peer).map(|(name, _)| name)
    }

    /// What the network calls an association of the machine.
    pub(crate) fn named_by_network(&self, name: Peer) -> Option<Peer> {
        self.assoc.filter(|(known, _)| *known == name).map(|(_, peer)| peer)
    }

    /// A name for the network.
    pub(crate) fn dialed(&mut self, name: Peer) -> Peer {
        self.named += 1;
        let peer = Peer::dialed(NAMES + self.named);
        self.assoc = Some((name, peer));
        peer
    }

    /// The association to the server, where there is one, and that server.
    pub(crate) fn server(&self) -> Option<(Peer, PeId)> {
        let (name, server) = self.machine.server()?;
        Some((self.named_by_network(name)?, server.id))
    }

    /// The pool is asked for once more; how often in this second.
    pub(crate) fn count_question(&mut self, now: Time) -> u32 {
        let second = now.since_origin().as_secs();
        let before = if self.searched.0 == second { self.searched.1 } else { 0 };
        self.searched = (second, before + 1);
        before + 1
    }

    /// A server has the session: requests without a reply are sent again.
    pub(crate) fn connected(&mut self, now: Time) -> Vec<Ping> {
        (self.connected_at, self.heard_at, self.waits_since) = (now, now, now);
        // Over TCP all servers are known to answer.
        let server = self.machine.server().map(|(_, server)| &server.user_transport);
        self.is_answered = matches!(server, Some(Transport::Tcp { .. }));
        (self.replied + 1..=self.asked).map(|number| Ping { number }).collect()
    }

    /// True where the server of the moment got the session after `then`, and has replied.
    pub(crate) fn goes_on_since(&self, then: Time) -> bool {
        self.machine.server().is_some()
            && self.replied_at >= self.connected_at
            && self.connected_at > then
    }

    /// The next request, where the window is open.
    pub(crate) fn ping(&mut self, now: Time) -> Option<Ping> {
        if self.asked == self.replied {
            self.waits_since = now;
        }
        if self.asked - self.replied >= self.config.window {
            return None;
        }
        self.asked += 1;
        Some(Ping { number: self.asked })
    }

    /// True where the application has waited for a reply for too long.
    pub(crate) fn is_impatient(&self, now: Time) -> bool {
        let waits = self.asked > self.replied;
        waits && self.config.patience.is_some_and(|patience| now - self.waits_since > patience)
    }

    /// A reply has come.
    pub(crate) fn pong(&mut self, now: Time, pong: Pong) -> Taken {
        let next = self.replied + 1;
        let expected = Pong { number: next, sequence: next };
        match pong {
            _ if pong == expected => {
                self.replied = next;
                (self.replied_at, self.waits_since) = (now, now);
                Taken::Next
            }
            Pong { number, sequence } if number == sequence && number < next => Taken::Again,
            _ => Taken::OutOfSequence(expected),
        }
    }
}
