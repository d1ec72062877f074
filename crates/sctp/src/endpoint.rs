//! An endpoint: one SCTP port, its associations, and what is answered without one (RFC 9260 §5.1,
//! §8.4, §8.5).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::association::{Association, State};
use crate::chunk::kind;
use crate::config::Config;
use crate::cookie::Cookies;
use crate::event::{
    AssociationId, ConnectError, Event, Input, Message, Output, SendError, Statistics, Step, Way,
};
use crate::packet::{Packet, PacketError};
use crate::random::Random;

/// Answers without an association that wait to be sent.
const ANSWERS_MAX: usize = 64;
/// Tags whose associations ended lately: their cookies are not taken again.
const SPENT_MAX: usize = 4096;

/// An association and what the endpoint knows of it.
pub(crate) struct Place {
    pub(crate) association: Box<Association>,
    /// The entry in the timers that counts.
    pub(crate) armed: Option<Duration>,
    /// It has to be asked what it wants.
    pub(crate) is_dirty: bool,
    /// Under what it can be found.
    pub(crate) tag: u32,
    pub(crate) remotes: Vec<SocketAddr>,
}

/// One SCTP port with its associations: a state machine without sockets, clock and randomness.
///
/// One rule: after every [`handle`](Self::handle), [`connect`](Self::connect) or
/// [`send`](Self::send), call [`poll`](Self::poll) until it returns `None`, then ask for
/// [`next_timeout`](Self::next_timeout). Several inputs that arrive together may be handled before one
/// drain, and are answered together then. Time is counted from any moment and never runs backwards.
pub struct Endpoint {
    pub(crate) config: Arc<Config>,
    pub(crate) port: u16,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) listening: bool,
    pub(crate) random: Random,
    pub(crate) cookies: Cookies,
    pub(crate) now: Duration,
    pub(crate) places: HashMap<AssociationId, Place>,
    pub(crate) by_tag: HashMap<u32, AssociationId>,
    pub(crate) by_remote: HashMap<(SocketAddr, u16), AssociationId>,
    pub(crate) last: u64,
    timers: BinaryHeap<Reverse<(Duration, AssociationId)>>,
    dirty: VecDeque<AssociationId>,
    pub(crate) answers: VecDeque<(Way, Vec<u8>)>,
    spent: VecDeque<(Duration, u32)>,
    pub(crate) statistics: Statistics,
}

impl Endpoint {
    /// An endpoint at this SCTP port. `addresses` are its own, which its peers are told; none where
    /// there is one only, or the system is to choose. `seed` comes from the system's random numbers:
    /// tags, TSNs, keys of cookies and of AUTH are made of it.
    pub fn new(config: Config, port: u16, addresses: Vec<IpAddr>, seed: [u8; 32]) -> Self {
        let config = config.bounded();
        let mut random = Random::new(seed);
        let cookies = Cookies::new(&random.octets(), config.cookie_life);
        Self {
            config: Arc::new(config),
            port,
            addresses,
            listening: false,
            random,
            cookies,
            now: Duration::ZERO,
            places: HashMap::new(),
            by_tag: HashMap::new(),
            by_remote: HashMap::new(),
            last: 0,
            timers: BinaryHeap::new(),
            dirty: VecDeque::new(),
            answers: VecDeque::new(),
            spent: VecDeque::new(),
            statistics: Statistics::default(),
        }
    }

    /// Other own addresses for associations that begin from now on; for those that there are, see
    /// [`Command::AddAddress`](crate::Command::AddAddress).
    pub fn set_addresses(&mut self, addresses: Vec<IpAddr>) {
        self.addresses = addresses;
    }

    /// The own addresses of an association; none where the system chooses, and nothing has changed.
    pub fn own_addresses(&self, id: AssociationId) -> &[IpAddr] {
        self.association(id).map_or(&[], |association| &association.own)
    }

    /// Whether associations that peers begin are taken; not before this is called.
    pub fn listen(&mut self, listening: bool) {
        self.listening = listening;
    }

    /// Begins an association with the peer that has these addresses and this SCTP port: they are
    /// dialed one after the other, each a [`Config::head_start`] after the one before, and the first
    /// that answers is used. [`Event::Up`] or [`Event::Down`] follows.
    ///
    /// # Errors
    ///
    /// What [`ConnectError`] says.
    pub fn connect(
        &mut self,
        now: Duration,
        remotes: &[SocketAddr],
        port: u16,
    ) -> Result<AssociationId, ConnectError> {
        let ways: Vec<Way> =
            remotes.iter().map(|remote| Way { local: None, remote: *remote }).collect();
        self.connect_over(now, &ways, port)
    }

    /// The same, where it matters from which own address each of them is dialed. Where there are several,
    /// and the endpoint has none that it tells all its peers, this one is told of them.
    ///
    /// # Errors
    ///
    /// What [`ConnectError`] says.
    pub fn connect_over(
        &mut self,
        now: Duration,
        ways: &[Way],
        port: u16,
    ) -> Result<AssociationId, ConnectError> {
        self.now = self.now.max(now);
        let mut candidates: Vec<Way> = Vec::new();
        for way in ways.iter().take(self.config.addresses_max) {
            if candidates.iter().all(|other| other.remote != way.remote) {
                candidates.push(*way);
            }
        }
        if candidates.is_empty() || port == 0 {
            return Err(ConnectError::NoAddress);
        }
        let known = |way: &Way| self.by_remote.get(&(way.remote, port)).copied();
        if let Some(id) = candidates.iter().find_map(known) {
            return Err(ConnectError::Connected(id));
        }
        if self.places.len() >= self.config.associations_max {
            self.statistics.over_limit += 1;
            return Err(ConnectError::Limit);
        }
        let random = self.fork();
        let ports = [self.port, port];
        let (config, own) = (&self.config, &self.addresses);
        let association = Association::dial(config, ports, own, candidates, random, self.now);
        Ok(self.insert(association))
    }

    /// Queues a message.
    ///
    /// # Errors
    ///
    /// What [`SendError`] says.
    pub fn send(
        &mut self,
        now: Duration,
        id: AssociationId,
        message: Message,
    ) -> Result<(), SendError> {
        self.now = self.now.max(now);
        let place = self.places.get_mut(&id).ok_or(SendError::NotUp)?;
        let sent = place.association.send_message(message);
        self.touch(id);
        sent
    }

    /// Takes one input at `now`.
    pub fn handle(&mut self, now: Duration, input: Input<'_>) {
        self.now = self.now.max(now);
        match input {
            Input::Packet { way, octets } => self.on_octets(way, octets),
            Input::Unreachable { remote, quote } => self.on_unreachable(remote, quote),
            Input::Command(id, command) => {
                if let Some(place) = self.places.get_mut(&id) {
                    place.association.command(command, self.now);
                    self.touch(id);
                }
            }
            Input::Timeout => self.on_timeout(now),
        }
    }

    /// The next thing to do, in order; `None` when there is nothing until the next input. A packet is
    /// in `buffer`, which is overwritten in any case.
    pub fn poll(&mut self, buffer: &mut Vec<u8>) -> Option<Output> {
        loop {
            if let Step::Output(output) = self.step(buffer)? {
                return Some(output);
            }
        }
    }

    /// The same for who keeps accounts of each association: it is also said which one has nothing
    /// more to say for now.
    pub fn step(&mut self, buffer: &mut Vec<u8>) -> Option<Step> {
        if let Some((way, answer)) = self.answers.pop_front() {
            *buffer = answer;
            return Some(Step::Output(Output::Packet(way)));
        }
        let id = self.dirty.front().copied()?;
        let Some(place) = self.places.get_mut(&id) else {
            self.dirty.pop_front();
            return Some(Step::Settled(id));
        };
        if let Some(event) = place.association.next_event() {
            if matches!(event, Event::Restarted(_)) {
                self.index(id);
            }
            return Some(Step::Output(Output::Event(id, event)));
        }
        if let Some(way) = place.association.transmit(buffer, self.now) {
            return Some(Step::Output(Output::Packet(way)));
        }
        self.dirty.pop_front();
        place.is_dirty = false;
        self.settle(id);
        Some(Step::Settled(id))
    }

    /// When to hand in [`Input::Timeout`] if nothing else happens before. An early one does nothing.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// How many associations there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no association.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Octets of messages that wait to be sent or acknowledged.
    pub fn waiting(&self, id: AssociationId) -> usize {
        self.places.get(&id).map_or(0, |place| place.association.send.waiting())
    }

    /// Octets of messages that were not sent yet.
    pub fn queued(&self, id: AssociationId) -> usize {
        self.places.get(&id).map_or(0, |place| place.association.send.queued)
    }

    /// Where its packets go, and from where, once its peer has answered.
    pub fn way(&self, id: AssociationId) -> Option<Way> {
        self.association(id)?.paths.current().map(|path| path.way)
    }

    /// The own tag and the peer's: for tests.
    #[doc(hidden)]
    pub fn tags(&self, id: AssociationId) -> Option<[u32; 2]> {
        self.association(id).map(|association| [association.own_tag, association.peer_tag])
    }

    /// Octets that messages of its peer take which cannot be delivered yet.
    pub fn held(&self, id: AssociationId) -> usize {
        self.places.get(&id).map_or(0, |place| place.association.held())
    }

    /// Bounds [`held`](Self::held): what is beyond it is dropped as if it had been lost, but for what
    /// fills the first gap.
    pub fn set_room(&mut self, id: AssociationId, octets: usize) {
        if let Some(place) = self.places.get_mut(&id) {
            place.association.receive.room = octets;
        }
    }

    /// What it has seen, up to the last time that [`poll`](Self::poll) had nothing more.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Whether the sums of all associations are right and what they keep is within its bounds: for
    /// tests.
    #[doc(hidden)]
    pub fn is_consistent(&self) -> bool {
        let is_right = |association: &Association| {
            let flight: usize = association.paths.iter().map(|path| path.congestion.flight).sum();
            association.send.is_right()
                && flight == association.send.flight
                && association.receive.is_bounded(&self.config)
                && association.replies.len() <= crate::config::REPLIES_MAX
        };
        let is_quiet = |place: &Place| place.is_dirty || place.association.is_quiet();
        self.places.values().all(|place| is_right(&place.association) && is_quiet(place))
            && self.answers.len() <= ANSWERS_MAX
            && self.spent.len() <= SPENT_MAX
    }

    fn on_octets(&mut self, way: Way, octets: &[u8]) {
        let packet = match Packet::parse(octets) {
            Ok(packet) => packet,
            Err(PacketError::Checksum) => return self.statistics.checksum_errors += 1,
            Err(_) => return self.statistics.malformed += 1,
        };
        if packet.header.destination != self.port {
            return self.out_of_the_blue(way, &packet);
        }
        match packet.first {
            kind::INIT => self.on_init(way, &packet),
            kind::COOKIE_ECHO => self.on_cookie_echo(way, &packet),
            _ => match self.find(way, &packet) {
                // §8.5.1 E: it is of an association before this one.
                Some(id) if packet.first == kind::SHUTDOWN_ACK && self.sets_up(id) => {
                    self.out_of_the_blue(way, &packet);
                }
                Some(id) => self.deliver(id, way, &packet),
                None => self.out_of_the_blue(way, &packet),
            },
        }
    }

    fn sets_up(&self, id: AssociationId) -> bool {
        self.association(id).is_some_and(|association| !association.is_up())
    }

    /// Hands a packet to its association.
    pub(crate) fn deliver(&mut self, id: AssociationId, way: Way, packet: &Packet<'_>) {
        if let Some(place) = self.places.get_mut(&id) {
            place.association.packet(way, packet, self.now);
            self.touch(id);
        }
    }

    pub(crate) fn association(&self, id: AssociationId) -> Option<&Association> {
        self.places.get(&id).map(|place| &*place.association)
    }

    pub(crate) fn association_mut(&mut self, id: AssociationId) -> Option<&mut Association> {
        self.places.get_mut(&id).map(|place| &mut *place.association)
    }

    /// A generator of its own for an association.
    pub(crate) fn fork(&mut self) -> Random {
        Random::new(self.random.octets())
    }

    /// Adds an association under a new name.
    pub(crate) fn insert(&mut self, association: Association) -> AssociationId {
        self.last += 1;
        let id = AssociationId(self.last);
        let association = Box::new(association);
        let place =
            Place { association, armed: None, is_dirty: false, tag: 0, remotes: Vec::new() };
        self.places.insert(id, place);
        self.index(id);
        self.touch(id);
        id
    }

    /// Notes that an association has to be asked what it wants.
    pub(crate) fn touch(&mut self, id: AssociationId) {
        if let Some(place) = self.places.get_mut(&id)
            && !place.is_dirty
        {
            place.is_dirty = true;
            self.dirty.push_back(id);
        }
    }

    /// Queues an answer that needs no association.
    pub(crate) fn answer(&mut self, way: Way, packet: Vec<u8>) {
        if self.answers.len() < ANSWERS_MAX {
            self.answers.push_back((way, packet));
        }
    }

    /// What follows once an association has nothing more to say: it is found where it is, woken when
    /// it wants, or forgotten.
    fn settle(&mut self, id: AssociationId) {
        let Some(place) = self.places.get_mut(&id) else { return };
        let association = &mut place.association;
        self.statistics.add(&std::mem::take(&mut association.statistics));
        self.statistics.retransmissions += std::mem::take(&mut association.send.retransmissions);
        if association.state == State::Closed {
            return self.remove(id);
        }
        self.index(id);
        let Some(place) = self.places.get_mut(&id) else { return };
        place.association.shrink();
        if let Some(at) = place.association.next_timeout()
            && place.armed.is_none_or(|armed| at < armed)
        {
            place.armed = Some(at);
            self.timers.push(Reverse((at, id)));
        }
    }

    fn remove(&mut self, id: AssociationId) {
        let Some(place) = self.places.remove(&id) else { return };
        self.lose(id, &place);
        if !place.association.dialed {
            if self.spent.len() >= SPENT_MAX {
                self.spent.pop_front();
            }
            self.spent.push_back((self.now + self.config.cookie_life, place.association.own_tag));
        }
    }

    /// Whether an association with this own tag has ended while its cookie is good.
    pub(crate) fn is_spent(&mut self, tag: u32) -> bool {
        while self.spent.front().is_some_and(|(until, _)| *until < self.now) {
            self.spent.pop_front();
        }
        self.spent.iter().any(|(_, spent)| *spent == tag)
    }

    /// What is due at `now` expires: that may be earlier than the latest packet, where others that
    /// arrived before it were not read yet.
    fn on_timeout(&mut self, now: Duration) {
        while let Some(Reverse((at, id))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            // Entries are not taken out when a deadline moves: only the earliest counts.
            let Some(place) = self.places.get_mut(&id).filter(|p| p.armed == Some(at)) else {
                continue;
            };
            place.armed = None;
            place.association.timeout(now);
            self.touch(id);
        }
    }
}
