//! Several machines in virtual time, with associations between them.

mod upset;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rserpool_wire::enrp::Body;
use rserpool_wire::param::{RegistrarId, SctpTransport, Transport, TransportUse};
use rserpool_wire::registry::{ASAP_PORT, ENRP_PORT};
use rserpool_wire::{Message, Protocol};

use super::lab::{element, pool};
use crate::element::{self, PoolElement};
use crate::machine::{Carrier, Input, Link, Machine, Output, Peer, Target};
use crate::registrar::{Command, Config, Event, Registrar};
use crate::time::Time;

/// How long anything takes to get to another machine.
const DELAY: Duration = Duration::from_millis(1);
/// How long a dial into nothing takes.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) enum Node {
    Registrar(Box<Registrar>),
    Element(Box<PoolElement>),
}

struct Place {
    node: Node,
    alive: bool,
    frozen: Option<VecDeque<Arrival>>,
    /// What [`Target::Configured`] counts.
    configured: Vec<usize>,
    carrier: Carrier,
    /// Nobody can dial it: an element that registers over TCP.
    dials_only: bool,
    accepted: u64,
}

#[derive(Clone, Debug)]
enum Arrival {
    Up(Peer, Link),
    Down(Peer),
    Message(Peer, Message),
    Dialed { from: usize, peer: Peer, protocol: Protocol },
}

pub(super) struct Net {
    places: Vec<Place>,
    pub(super) now: Time,
    queue: BTreeMap<(Time, u64), (usize, Arrival)>,
    sequence: u64,
    /// The other end of each association.
    ends: BTreeMap<(usize, Peer), (usize, Peer)>,
    cuts: BTreeSet<(usize, usize)>,
    /// What could not pass a cut.
    kept: Vec<(usize, usize, Arrival)>,
    /// ENRP messages by sender, receiver and kind.
    pub(super) trace: Vec<(Time, usize, usize, Body)>,
    pub(super) events: Vec<(Time, usize, Event)>,
}

pub(super) fn address(place: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 1, u8::try_from(place).expect("a small net")))
}

pub(super) fn id(place: usize) -> RegistrarId {
    RegistrarId::new(0x100 + u32::try_from(place).expect("a small net")).expect("not 0")
}

pub(super) fn enrp_at(place: usize) -> SctpTransport {
    let addresses = address(place).into();
    SctpTransport { port: ENRP_PORT, transport_use: TransportUse::DataOnly, addresses }
}

impl Net {
    pub(super) fn new() -> Self {
        Self {
            places: Vec::new(),
            now: Time::ZERO,
            queue: BTreeMap::new(),
            sequence: 0,
            ends: BTreeMap::new(),
            cuts: BTreeSet::new(),
            kept: Vec::new(),
            trace: Vec::new(),
            events: Vec::new(),
        }
    }

    /// So many registrars, each of which is told of all others.
    pub(super) fn of(registrars: usize) -> Self {
        let mut net = Self::new();
        for place in 0..registrars {
            net.registrar((0..registrars).filter(|other| *other != place).collect(), |_| {});
        }
        (0..registrars).for_each(|place| net.start(place));
        net.run(4_000);
        net
    }

    /// A registrar that has not been started; its place.
    pub(super) fn registrar(
        &mut self,
        configured: Vec<usize>,
        change: impl FnOnce(&mut Config),
    ) -> usize {
        let place = self.places.len();
        let node = Node::Registrar(Box::new(make(place, configured.len(), 1, change)));
        self.places.push(Place::new(node, configured));
        place
    }

    /// An element that registers at the first of these that takes it; its place.
    pub(super) fn element(&mut self, registrars: Vec<usize>) -> usize {
        let place = self.places.len();
        let param = element(1, &[address(place)]);
        let mut config = element::Config::new(pool(), param.user_transport);
        config.registrars = registrars.len();
        let machine = PoolElement::new(config, place as u64);
        let mut own = Place::new(Node::Element(Box::new(machine)), registrars);
        own.carrier = Carrier::Sctp;
        self.places.push(own);
        self.input_element(place, Input::Command(element::Command::Register));
        place
    }

    /// Runs for so many milliseconds.
    pub(super) fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until this holds; how long that took.
    pub(super) fn run_until(&mut self, mut holds: impl FnMut(&Self) -> bool) -> Duration {
        let begin = self.now;
        let end = begin + Duration::from_secs(120);
        while !holds(self) {
            assert!(self.step(end), "does not come to hold: {}", self.describe());
        }
        self.now - begin
    }

    fn step(&mut self, end: Time) -> bool {
        let arrival = self.queue.first_key_value().map(|((at, _), _)| *at);
        let running = self.places.iter().enumerate();
        let running = running.filter(|(_, place)| place.alive && place.frozen.is_none());
        let timeouts = running.filter_map(|(row, place)| Some((place.next_timeout()?, row)));
        let timeout = timeouts.min();
        let at = arrival.into_iter().chain(timeout.map(|(at, _)| at)).min();
        let Some(at) = at.filter(|at| *at <= end) else { return false };
        self.now = self.now.max(at);
        if arrival.is_some_and(|arrival| timeout.is_none_or(|(timeout, _)| arrival <= timeout)) {
            if let Some((_, (place, arrival))) = self.queue.pop_first() {
                self.arrive(place, arrival);
            }
        } else if let Some((_, place)) = timeout {
            match self.places[place].node {
                Node::Registrar(_) => self.input(place, Input::Timeout),
                Node::Element(_) => self.input_element(place, Input::Timeout),
            }
        }
        true
    }

    fn arrive(&mut self, place: usize, arrival: Arrival) {
        if let Some(frozen) = &mut self.places[place].frozen
            && !matches!(arrival, Arrival::Dialed { .. })
        {
            frozen.push_back(arrival);
            return;
        }
        if let Arrival::Dialed { from, peer, protocol } = arrival {
            self.dialed(place, from, peer, protocol);
            return;
        }
        if !self.places[place].alive {
            return;
        }
        match self.places[place].node {
            Node::Registrar(_) => self.input(place, as_input(arrival)),
            Node::Element(_) => self.input_element(place, as_input(arrival)),
        }
    }

    /// Someone dials this place: its kernel answers, whatever the process does.
    fn dialed(&mut self, place: usize, from: usize, peer: Peer, protocol: Protocol) {
        if !self.places[place].alive || self.places[place].dials_only {
            self.send(place, from, Arrival::Down(peer));
            return;
        }
        let is_element = |node: &Node| matches!(node, Node::Element(_));
        let carrier = match is_element(&self.places[place].node) {
            true => Carrier::Sctp,
            false => self.places[from].carrier,
        };
        self.places[place].accepted += 1;
        let accepted = Peer::accepted(self.places[place].accepted);
        self.ends.insert((place, accepted), (from, peer));
        self.ends.insert((from, peer), (place, accepted));
        let link = |remote: usize, own: usize, port| Link {
            protocol,
            carrier,
            remote: vec![address(remote)],
            remote_port: port,
            local: vec![address(own)],
            identity: None,
        };
        let port = if protocol == Protocol::Enrp { ENRP_PORT } else { ASAP_PORT };
        // Nothing that is sent over it gets there sooner.
        self.send(place, from, Arrival::Up(peer, link(place, from, port)));
        self.arrive(place, Arrival::Up(accepted, link(from, place, port)));
    }

    fn send(&mut self, from: usize, to: usize, arrival: Arrival) {
        if self.cuts.contains(&(from, to)) {
            match arrival {
                Arrival::Dialed { from, peer, .. } => {
                    self.sequence += 1;
                    let at = (self.now + DIAL_TIMEOUT, self.sequence);
                    self.queue.insert(at, (from, Arrival::Down(peer)));
                }
                other => self.kept.push((from, to, other)),
            }
            return;
        }
        self.sequence += 1;
        self.queue.insert((self.now + DELAY, self.sequence), (to, arrival));
    }

    pub(super) fn input(&mut self, place: usize, input: Input<Command>) {
        let now = self.now;
        let Node::Registrar(registrar) = &mut self.places[place].node else { return };
        registrar.handle(now, input);
        loop {
            let Node::Registrar(registrar) = &mut self.places[place].node else { return };
            match registrar.poll() {
                None => return,
                Some(Output::Event(event)) => self.events.push((now, place, event)),
                Some(output) => self.output(place, output),
            }
        }
    }

    fn input_element(&mut self, place: usize, input: Input<element::Command>) {
        let now = self.now;
        let Node::Element(element) = &mut self.places[place].node else { return };
        element.handle(now, input);
        loop {
            let Node::Element(element) = &mut self.places[place].node else { return };
            match element.poll() {
                None => return,
                Some(Output::Event(_)) => {}
                Some(output) => self.output(place, output),
            }
        }
    }

    fn output<E>(&mut self, place: usize, output: Output<E>) {
        match output {
            Output::Connect(peer, target, protocol) => {
                let to = match target {
                    Target::Configured(number) => self.places[place].configured[number],
                    Target::Learned(transport) => self.place_of(&transport),
                };
                self.send(place, to, Arrival::Dialed { from: place, peer, protocol });
            }
            Output::Send(peer, message) => self.pass(place, peer, message),
            encoded @ Output::SendEncoded(..) => self.output(place, encoded.legible().unwrap()),
            Output::GroupCast(peers, message) => {
                peers.into_iter().for_each(|peer| self.pass(place, peer, message.clone()));
            }
            Output::Close(peer) | Output::Abort(peer) => {
                if let Some(other) = self.ends.remove(&(place, peer)) {
                    self.ends.remove(&other);
                    self.send(place, other.0, Arrival::Down(other.1));
                }
            }
            Output::Announce(_) | Output::Event(_) => {}
        }
    }

    fn place_of(&self, transport: &Transport) -> usize {
        let first = transport.addresses()[0];
        (0..self.places.len()).find(|place| address(*place) == first).expect("an address here")
    }

    fn pass(&mut self, place: usize, peer: Peer, message: Message) {
        let Some(&(to, other)) = self.ends.get(&(place, peer)) else {
            // The other end knows nothing of this association, and says so.
            self.sequence += 1;
            self.queue.insert((self.now + DELAY, self.sequence), (place, Arrival::Down(peer)));
            return;
        };
        if let Message::Enrp(enrp) = &message {
            self.trace.push((self.now, place, to, enrp.body.clone()));
        }
        // What is sent is what arrives.
        let octets = message.encode();
        let decoded = Message::decode(message.protocol(), &octets).expect("what we send");
        assert_eq!(decoded.message, message);
        self.send(place, to, Arrival::Message(other, message));
    }
}

impl Place {
    fn new(node: Node, configured: Vec<usize>) -> Self {
        let carrier = Carrier::Sctp;
        Self {
            node,
            alive: true,
            frozen: None,
            configured,
            carrier,
            dials_only: false,
            accepted: 0,
        }
    }

    fn next_timeout(&self) -> Option<Time> {
        match &self.node {
            Node::Registrar(registrar) => registrar.next_timeout(),
            Node::Element(element) => element.next_timeout(),
        }
    }
}

fn make(place: usize, peers: usize, seed: u64, change: impl FnOnce(&mut Config)) -> Registrar {
    let enrp = Some(enrp_at(place));
    let mut config = Config { id: Some(id(place)), peers, enrp, ..Config::default() };
    change(&mut config);
    Registrar::new(config, seed ^ place as u64)
}

fn as_input<C>(arrival: Arrival) -> Input<C> {
    match arrival {
        Arrival::Up(peer, link) => Input::Up(peer, link),
        Arrival::Down(peer) => Input::Down(peer),
        Arrival::Message(peer, message) => Input::Message(peer, message),
        Arrival::Dialed { .. } => panic!("for the kernel"),
    }
}
