//! Which association of the transport is which peer of the machine; messages out, inputs in.

mod overflow;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use rserpool_proto::identity::Identity;
use rserpool_proto::machine::{self, Carrier, Input, Link, Peer, Target};
use rserpool_transport::multicast::{Announcement, Announcer, Listener};
use rserpool_transport::tls::{Expected, Role};
use rserpool_transport::{
    Address, AssocId, AssocInfo, Backend, BuildIdHasher, Counters, DownReason, Endpoints, Error,
    Event, Framing, Ppid, Remote, Scheme, SendError,
};
use rserpool_wire::param::Transport;
use rserpool_wire::{Message, Protocol};
use tokio::task::JoinSet;
use tracing::field::display;
use tracing::{debug, info, trace, warn};

use crate::attempts::{Attempt, Attempts};

use self::overflow::Overflow;

/// How many events are taken in a row while the last answers leave, before others have their turn.
const FINISH_BATCH: usize = 32;

/// The associations of one machine.
pub(crate) struct Associations {
    endpoints: Endpoints,
    /// What [`Target::Configured`] counts. A number is for good.
    configured: Arc<[Address]>,
    /// What came of dials to them, and which association is whose.
    attempts: Attempts,
    tells_owner: bool,
    dialed: HashMap<Peer, usize, BuildIdHasher>,
    announcers: Vec<(Announcer, Protocol)>,
    listeners: Vec<(Listener, Protocol)>,
    by_assoc: HashMap<AssocId, (Peer, Protocol), BuildIdHasher>,
    by_peer: HashMap<Peer, AssocId, BuildIdHasher>,
    /// Where the other ends are, for people.
    remotes: HashMap<AssocId, SocketAddr, BuildIdHasher>,
    accepted: u64,
    /// Names that are being looked up, for dials that wait for them.
    lookups: JoinSet<(Peer, Protocol, Result<Remote, Error>)>,
    /// Dials that wait for a name, and are still wanted.
    looking_up: HashSet<Peer, BuildIdHasher>,
    /// What is over already, and the machine does not know yet.
    outcomes: VecDeque<Outcome>,
    /// Associations that are closing; nobody but [`finish`](Self::finish) asks for them.
    closing: HashSet<AssocId, BuildIdHasher>,
    /// What is to follow to registrars whose send queues are full.
    overflow: Overflow,
    /// Messages that were neither of ASAP nor of ENRP.
    foreign: u64,
    /// What is dialed over ASAP.
    asap_role: Role,
}

/// What came of something that the machine wanted, at once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// There is no such association, or there is none any more.
    Lost(Peer),
    /// The association that was asked for is there already, under the second name.
    Known(Peer, Peer),
    /// More waits to be sent over an association than its peer takes.
    Congested(Peer),
}

impl Associations {
    /// Associations over these endpoints; `configured` is what machines know by number.
    pub(crate) fn new(endpoints: Endpoints, configured: Vec<Address>) -> Self {
        let configured: Arc<[Address]> = configured.into();
        Self {
            endpoints,
            attempts: Attempts::of(Arc::clone(&configured)),
            configured,
            tells_owner: false,
            dialed: HashMap::default(),
            announcers: Vec::new(),
            listeners: Vec::new(),
            by_assoc: HashMap::default(),
            by_peer: HashMap::default(),
            remotes: HashMap::default(),
            accepted: 0,
            lookups: JoinSet::new(),
            looking_up: HashSet::default(),
            outcomes: VecDeque::new(),
            closing: HashSet::default(),
            overflow: Overflow::default(),
            foreign: 0,
            asap_role: Role::Registrar,
        }
    }

    /// The numbers of these addresses; those that have none yet are given the next ones. `None`, and
    /// nothing has changed, where that would be more than `max`.
    pub(crate) fn configure(&mut self, addresses: &[Address], max: usize) -> Option<Vec<usize>> {
        let mut known = self.configured.to_vec();
        let mut numbers = Vec::with_capacity(addresses.len());
        for address in addresses {
            let number = known.iter().position(|it| it == address).unwrap_or_else(|| {
                known.push(address.clone());
                known.len() - 1
            });
            numbers.push(number);
        }
        if known.len() > max {
            return None;
        }
        if known.len() > self.configured.len() {
            self.configured = known.into();
            self.attempts.resize(Arc::clone(&self.configured));
        }
        Some(numbers)
    }

    /// These are a registrar's: over ASAP it dials elements.
    pub(crate) fn of_registrar(mut self) -> Self {
        self.asap_role = Role::Server;
        self
    }

    /// Sends what the machine announces of this protocol to one more group.
    pub(crate) fn announce_to(&mut self, announcer: Announcer, protocol: Protocol) {
        self.announcers.push((announcer, protocol));
    }

    /// Hears what others announce of this protocol to one more group.
    pub(crate) fn listen_to(&mut self, listener: Listener, protocol: Protocol) {
        self.listeners.push((listener, protocol));
    }

    /// Starts a dial; its outcome comes as an input.
    pub(crate) fn connect(&mut self, peer: Peer, target: Target, protocol: Protocol) {
        match target {
            Target::Configured(number) => match self.configured.get(number).cloned() {
                Some(address) => {
                    self.dialed.insert(peer, number);
                    self.note(peer, Attempt::Dialing);
                    self.connect_to(peer, address, protocol);
                }
                None => self.outcomes.push_back(Outcome::Lost(peer)),
            },
            Target::Learned(transport) => match remote_of(&transport, &self.endpoints) {
                Some(remote) => self.dial(peer, protocol, Ok(remote)),
                None => self.outcomes.push_back(Outcome::Lost(peer)),
            },
        }
    }

    fn connect_to(&mut self, peer: Peer, address: Address, protocol: Protocol) {
        match address.literal() {
            Some(remote) => self.dial(peer, protocol, Ok(remote)),
            None => {
                self.looking_up.insert(peer);
                let lookup = async move { (peer, protocol, address.resolve().await) };
                self.lookups.spawn(lookup);
            }
        }
    }

    /// What came of dials to the configured ones.
    /// The owner tells of them, so that the log need not warn.
    pub(crate) fn attempts(&mut self) -> Attempts {
        self.tells_owner = true;
        self.attempts.clone()
    }

    /// Notes what came of a dial, where that was to a configured one.
    fn note(&self, peer: Peer, attempt: Attempt) {
        if let Some(&number) = self.dialed.get(&peer) {
            self.attempts.note(number, attempt);
        }
    }

    fn dial(&mut self, peer: Peer, protocol: Protocol, remote: Result<Remote, Error>) {
        let first = remote.as_ref().ok().and_then(Remote::first);
        let role = match protocol {
            Protocol::Asap => self.asap_role,
            Protocol::Enrp => Role::Registrar,
        };
        let dialed = remote.and_then(|mut remote| {
            remote.expected.role = Some(role);
            debug!(%remote, "dialing");
            self.endpoints.connect(&remote, speaks(protocol))
        });
        match dialed {
            Ok(assoc) => {
                self.remotes.extend(first.map(|first| (assoc, first)));
                self.by_assoc.insert(assoc, (peer, protocol));
                self.by_peer.insert(peer, assoc);
            }
            Err(Error::Connected(assoc)) => {
                // One that is being set up has no name yet: it is worth another attempt.
                let there = self.by_assoc.get(&assoc).map(|(there, _)| *there);
                let outcome = there.map_or(Outcome::Lost(peer), |it| Outcome::Known(peer, it));
                self.outcomes.push_back(outcome);
            }
            Err(error) => {
                let remote = first.map(display);
                match self.tells_owner {
                    true => info!(remote, %error, "cannot dial"),
                    false => warn!(remote, %error, "cannot dial"),
                }
                self.note(peer, Attempt::Impossible(error.to_string()));
                self.dialed.remove(&peer);
                self.outcomes.push_back(Outcome::Lost(peer));
            }
        }
    }

    /// Queues one message for each of these peers; it is encoded once.
    pub(crate) fn send(&mut self, peers: &[Peer], message: &Message) {
        trace!(?peers, ?message, "sending");
        self.send_octets(peers, message.protocol(), &message.encode());
    }

    /// Queues one message for each of these peers.
    pub(crate) fn send_octets(&mut self, peers: &[Peer], protocol: Protocol, octets: &[u8]) {
        for peer in peers {
            let Some(&assoc) = self.by_peer.get(peer) else {
                continue;
            };
            let sent = match self.overflow.has(*peer) {
                // What overflowed goes first.
                true => Err(SendError::Full),
                false => self.endpoints.send(assoc, ppid(protocol), octets),
            };
            match sent {
                // A peer that is gone is reported by the transport.
                Ok(()) | Err(SendError::Gone) => {}
                Err(SendError::Full) => self.on_full(*peer, protocol, octets),
                Err(error) => {
                    let remote = self.remotes.get(&assoc).map(display);
                    warn!(%peer, remote, %error, "message not sent");
                }
            }
        }
    }

    /// A send queue is full. Between registrars what is said counts: it follows when the peer takes
    /// more, and the machine is told at once to hold back what can wait; the transport ends an
    /// association whose peer takes nothing. Anyone else who takes nothing is as good as gone.
    fn on_full(&mut self, peer: Peer, protocol: Protocol, octets: &[u8]) {
        if protocol == Protocol::Enrp {
            let is_first = !self.overflow.has(peer);
            if self.overflow.push(peer, octets) {
                self.outcomes.extend(is_first.then_some(Outcome::Congested(peer)));
                return;
            }
        }
        let assoc = self.by_peer.get(&peer);
        let remote = assoc.and_then(|assoc| self.remotes.get(assoc)).map(display);
        warn!(%peer, remote, error = %SendError::Full, "association aborted");
        self.abort(peer);
        self.outcomes.push_back(Outcome::Lost(peer));
    }

    /// Sends what follows to a peer that has taken what waited; true when that was all.
    fn send_overflow(&mut self, assoc: AssocId, peer: Peer, protocol: Protocol) -> bool {
        while let Some(octets) = self.overflow.first(peer) {
            if self.endpoints.send(assoc, ppid(protocol), octets) == Err(SendError::Full) {
                return false;
            }
            self.overflow.pop(peer);
        }
        true
    }

    /// Ends an association after what is queued.
    pub(crate) fn close(&mut self, peer: Peer) {
        if let Some(assoc) = self.forget(peer) {
            self.endpoints.close(assoc);
            self.closing.insert(assoc);
        }
    }

    /// Ends an association now.
    pub(crate) fn abort(&mut self, peer: Peer) {
        if let Some(assoc) = self.forget(peer) {
            self.endpoints.abort(assoc);
        }
    }

    fn forget(&mut self, peer: Peer) -> Option<AssocId> {
        self.looking_up.remove(&peer);
        self.overflow.forget(peer);
        self.dialed.remove(&peer);
        let assoc = self.by_peer.remove(&peer)?;
        self.by_assoc.remove(&assoc);
        self.remotes.remove(&assoc);
        Some(assoc)
    }

    /// Sends a message to every group of its protocol.
    pub(crate) fn announce(&mut self, message: &Message) {
        let octets = message.encode();
        for (announcer, protocol) in &self.announcers {
            if *protocol == message.protocol()
                && let Err(error) = announcer.send(&octets)
            {
                debug!(%error, "announce not sent");
            }
        }
    }

    /// What the endpoints refused.
    pub(crate) fn counters(&self) -> Counters {
        self.endpoints.counters()
    }

    /// Octets that wait in all queues of the endpoints.
    pub(crate) fn queued_octets(&self) -> usize {
        self.endpoints.queued_octets()
    }

    /// What is over already and the machine does not know of yet.
    pub(crate) fn take_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// Hands in what has happened, up to `max` events, and returns how many these were; after none
    /// the task is woken when there are some. Writes what is queued.
    pub(crate) fn poll_inputs<C>(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        mut hand_in: impl FnMut(Input<C>),
    ) -> usize {
        while !self.lookups.is_empty()
            && let Poll::Ready(Some(looked_up)) = self.lookups.poll_join_next(cx)
        {
            if let Ok((peer, protocol, remote)) = looked_up
                && self.looking_up.remove(&peer)
            {
                self.dial(peer, protocol, remote);
            }
        }
        let mut count = self.outcomes.len();
        self.outcomes.drain(..).for_each(|outcome| hand_in(outcome.into()));
        while count < max
            && let Poll::Ready(event) = self.endpoints.poll_event(cx)
        {
            count += 1;
            self.on_event(event, &mut hand_in);
            if !self.endpoints.has_more() {
                break;
            }
        }
        for (listener, protocol) in &mut self.listeners {
            while count < max
                && let Poll::Ready(announcement) = listener.poll_next(cx)
            {
                count += 1;
                heard(announcement, *protocol).into_iter().for_each(&mut hand_in);
            }
        }
        count
    }

    fn on_event<C>(&mut self, event: Event, mut hand_in: impl FnMut(Input<C>)) {
        match event {
            Event::Up { assoc, info } => hand_in(self.on_up(assoc, info)),
            Event::Down { assoc, reason } => {
                self.closing.remove(&assoc);
                let remote = self.remotes.remove(&assoc);
                if let Some((peer, _)) = self.by_assoc.remove(&assoc) {
                    let remote = remote.map(display);
                    // An operator has to mend it; the owner of an element or a user is told.
                    match peer.is_dialed() && !self.tells_owner && is_about_trust(reason) {
                        true => warn!(%peer, remote, %reason, "association down"),
                        false => debug!(%peer, remote, %reason, "association down"),
                    }
                    self.note(peer, Attempt::Down(reason));
                    self.dialed.remove(&peer);
                    self.by_peer.remove(&peer);
                    self.overflow.forget(peer);
                    hand_in(Input::Down(peer));
                }
            }
            Event::Message { assoc, ppid, octets } => {
                // What a closing association still brings is for nobody.
                let Some(&(peer, _)) = self.by_assoc.get(&assoc) else {
                    return;
                };
                let Some(protocol) = Protocol::from_ppid(ppid.0) else {
                    self.foreign += 1;
                    let remote = self.remotes.get(&assoc).map(display);
                    debug!(%peer, remote, ppid = ppid.0, count = self.foreign, "message of another protocol");
                    return;
                };
                let (input, report) = machine::read(peer, protocol, &octets);
                hand_in(input);
                report.into_iter().for_each(hand_in);
            }
            Event::Addresses { assoc, remote, local } => {
                if let Some((peer, _)) = self.by_assoc.get(&assoc) {
                    hand_in(Input::Addresses(*peer, remote));
                    hand_in(Input::OwnAddresses(*peer, local));
                }
            }
            Event::Congested { assoc } => {
                if let Some((peer, _)) = self.by_assoc.get(&assoc) {
                    hand_in(Input::Congested(*peer));
                }
            }
            Event::Drained { assoc } => {
                if let Some(&(peer, protocol)) = self.by_assoc.get(&assoc)
                    && self.send_overflow(assoc, peer, protocol)
                {
                    hand_in(Input::Drained(peer));
                }
            }
            Event::Path { assoc, address, reachable } => {
                let remote = self.remotes.get(&assoc).map(display);
                debug!(remote, %address, reachable, "path");
            }
        }
    }

    fn on_up<C>(&mut self, assoc: AssocId, info: AssocInfo) -> Input<C> {
        let (peer, protocol) = match self.by_assoc.get(&assoc) {
            Some(dialed) => *dialed,
            None => {
                self.accepted += 1;
                let accepted = Peer::accepted(self.accepted);
                let protocol = match self.endpoints.speaks(assoc) {
                    Some(Framing::Message(Ppid::ENRP)) => Protocol::Enrp,
                    _ => Protocol::Asap,
                };
                self.by_assoc.insert(assoc, (accepted, protocol));
                self.by_peer.insert(accepted, assoc);
                (accepted, protocol)
            }
        };
        self.note(peer, Attempt::Up);
        let first = info.remote.first().map(|&ip| SocketAddr::new(ip, info.remote_port));
        self.remotes.extend(first.map(|first| (assoc, first)));
        let identity = info.identity.as_ref().map(proved);
        let who = identity.as_ref().map(display);
        debug!(%peer, remote = first.map(display), backend = %info.backend, who, "association up");
        let carrier = match info.backend {
            Backend::Tcp | Backend::Tls => Carrier::Tcp,
            _ => Carrier::Sctp,
        };
        let AssocInfo { remote, remote_port, local, .. } = info;
        let mut link = Link::new(protocol, carrier, remote, remote_port).local(local);
        link.identity = identity;
        Input::Up(peer, link)
    }

    /// Waits until what was sent before a close is delivered, and writes what else is queued.
    pub(crate) async fn finish(&mut self) {
        poll_fn(|cx| {
            for _ in 0..FINISH_BATCH {
                match self.endpoints.poll_event(cx) {
                    Poll::Ready(Event::Down { assoc, .. }) => _ = self.closing.remove(&assoc),
                    Poll::Ready(_) => {}
                    Poll::Pending if self.closing.is_empty() => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            // Peers may send for ever; who waits for this has a time-out that wants its turn.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// Something that was heard by multicast; nothing where it cannot be read, for anyone can send it.
fn heard<C>(announcement: Announcement, protocol: Protocol) -> Option<Input<C>> {
    match Message::decode(protocol, &announcement.octets) {
        Ok(decoded) => Some(Input::Announce(announcement.source.ip(), decoded.message)),
        Err(error) => {
            debug!(source = %announcement.source, %error, "announce not understood");
            None
        }
    }
}

/// What a peer has proved, as machines know it.
fn proved(identity: &rserpool_transport::Identity) -> Identity {
    Identity::new(*identity.key(), identity.names().iter().map(ToString::to_string).collect())
}

/// Whether an association ended for who its ends are.
fn is_about_trust(reason: DownReason) -> bool {
    matches!(
        reason,
        DownReason::NotTls
            | DownReason::SpeaksTls
            | DownReason::Identity(_)
            | DownReason::Untrusted
            | DownReason::Tls
    )
}

/// How to dial a transport, where this library can. Who has keys speaks TLS: what is learned from
/// the wire does not say so, and nobody else can make it plain.
pub(crate) fn remote_of(transport: &Transport, endpoints: &Endpoints) -> Option<Remote> {
    let scheme = match transport {
        Transport::Tcp { .. } if endpoints.has_keys() => Scheme::Tls,
        _ if endpoints.has_keys() => return None,
        Transport::Sctp(_) => Scheme::Sctp,
        Transport::Tcp { .. } => Scheme::Tcp,
        Transport::Udp { .. } => Scheme::Udp,
        _ => return None,
    };
    let addresses = transport.addresses().to_vec();
    Some(Remote {
        scheme,
        addresses,
        port: transport.port()?,
        encapsulation: None,
        zone: 0,
        expected: Expected::default(),
    })
}

/// What is spoken at a port for this protocol.
pub(crate) fn speaks(protocol: Protocol) -> Framing {
    Framing::Message(ppid(protocol))
}

fn ppid(protocol: Protocol) -> Ppid {
    Ppid(protocol.ppid())
}
