//! Registrars, elements and a user that talk to each other, octet by octet, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use rserpool_proto::machine::{Carrier, Input, Link, Machine, Output, Peer, Target, read};
use rserpool_proto::registrar::{self, Registrar};
use rserpool_proto::time::Time;
use rserpool_proto::user::{self, PoolUser, Request, RequestId, Source};
use rserpool_proto::{element, element::PoolElement};
use rserpool_wire::Protocol;
use rserpool_wire::param::{Load, Policy, PoolHandle, Transport, TransportUse};

const LATENCY: Duration = Duration::from_millis(1);

enum Node {
    Registrar(Box<Registrar>),
    Element(PoolElement),
    User(PoolUser),
}

/// One end of an association: a node and its name for it.
type End = (usize, Peer);

#[derive(Clone)]
enum Arrival {
    Dialed(End),
    Up(Peer, Link),
    Down(Peer),
    Octets(Peer, Vec<u8>),
}

enum Command {
    Element(element::Command),
    User(user::Command),
}

/// Nodes with a network of 1 ms between them; the registrars come first.
struct World {
    nodes: Vec<Node>,
    now: Time,
    /// By time, and in order.
    arrivals: BTreeMap<(Time, u64), (usize, Arrival)>,
    sent: u64,
    ends: BTreeMap<End, End>,
    accepted: u64,
    /// They take associations, as a kernel does, and nothing else.
    frozen: BTreeSet<usize>,
    dead: BTreeSet<usize>,
    element_events: Vec<(Time, element::Event)>,
    user_events: Vec<(Time, user::Event)>,
}

fn address(node: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(node).unwrap_or(u8::MAX)])
}

fn link(to: usize, from: usize) -> Link {
    let link = Link::new(Protocol::Asap, Carrier::Sctp, vec![address(to)], 3863);
    link.local(vec![address(from)])
}

fn pool() -> PoolHandle {
    PoolHandle::new(*b"pool").expect("neither empty nor long")
}

fn feed<M: Machine>(machine: &mut M, now: Time, arrival: Arrival) {
    match arrival {
        Arrival::Dialed(_) => {}
        Arrival::Up(peer, link) => machine.handle(now, Input::Up(peer, link)),
        Arrival::Down(peer) => machine.handle(now, Input::Down(peer)),
        Arrival::Octets(peer, octets) => {
            let (first, second) = read(peer, Protocol::Asap, &octets);
            machine.handle(now, first);
            second.into_iter().for_each(|second| machine.handle(now, second));
        }
    }
}

fn drain<M: Machine>(machine: &mut M) -> Vec<Output<M::Event>> {
    std::iter::from_fn(|| machine.poll()).collect()
}

impl World {
    /// So many registrars, elements that use least used, and a user; all of them know all
    /// registrars.
    fn new(registrars: usize, elements: usize) -> Self {
        let mut nodes = Vec::new();
        for seed in 0..registrars {
            let registrar = Registrar::new(registrar::Config::default(), seed as u64);
            nodes.push(Node::Registrar(Box::new(registrar)));
        }
        for number in 0..elements {
            let any = IpAddr::from([0, 0, 0, 0]);
            let transport_use = TransportUse::DataOnly;
            let transport = Transport::Tcp { port: 7, transport_use, address: any };
            let policy = Policy::least_used(Load(0));
            let config =
                element::Config { policy, registrars, ..element::Config::new(pool(), transport) };
            nodes.push(Node::Element(PoolElement::new(config, number as u64 + 100)));
        }
        let config = user::Config { registrars, ..user::Config::default() };
        nodes.push(Node::User(PoolUser::new(config, 1000)));
        Self {
            nodes,
            now: Time::ZERO,
            arrivals: BTreeMap::new(),
            sent: 0,
            ends: BTreeMap::new(),
            accepted: 0,
            frozen: BTreeSet::new(),
            dead: BTreeSet::new(),
            element_events: Vec::new(),
            user_events: Vec::new(),
        }
    }

    fn command(&mut self, node: usize, command: Command) {
        match (&mut self.nodes[node], command) {
            (Node::Element(machine), Command::Element(command)) => {
                machine.handle(self.now, Input::Command(command));
            }
            (Node::User(machine), Command::User(command)) => {
                machine.handle(self.now, Input::Command(command));
            }
            (Node::Registrar(_) | Node::Element(_) | Node::User(_), _) => panic!("wrong node"),
        }
        self.carry(node);
    }

    fn user(&self) -> usize {
        self.nodes.len() - 1
    }

    fn element(&self, node: usize) -> &PoolElement {
        match &self.nodes[node] {
            Node::Element(element) => element,
            Node::Registrar(_) | Node::User(_) => panic!("no element"),
        }
    }

    fn home_of(&self, node: usize) -> Option<usize> {
        match self.element(node).home()?.target {
            Some(Target::Configured(registrar)) => Some(registrar),
            _ => None,
        }
    }

    fn post(&mut self, node: usize, arrival: Arrival) {
        self.sent += 1;
        self.arrivals.insert((self.now + LATENCY, self.sent), (node, arrival));
    }

    /// Does what a node wants done.
    fn carry(&mut self, node: usize) {
        let now = self.now;
        match &mut self.nodes[node] {
            Node::Registrar(machine) => {
                let outputs = drain(machine.as_mut());
                outputs.into_iter().for_each(|output| drop(self.act(node, output)));
            }
            Node::Element(machine) => {
                let outputs = drain(machine);
                let events: Vec<_> =
                    outputs.into_iter().filter_map(|output| self.act(node, output)).collect();
                self.element_events.extend(events.into_iter().map(|event| (now, event)));
            }
            Node::User(machine) => {
                let outputs = drain(machine);
                let events: Vec<_> =
                    outputs.into_iter().filter_map(|output| self.act(node, output)).collect();
                self.user_events.extend(events.into_iter().map(|event| (now, event)));
            }
        }
    }

    fn act<E>(&mut self, node: usize, output: Output<E>) -> Option<E> {
        match output {
            Output::Event(event) => return Some(event),
            Output::Connect(peer, Target::Configured(registrar), _) => {
                self.post(registrar, Arrival::Dialed((node, peer)));
            }
            Output::Send(peer, message) => {
                if let Some(&(other, name)) = self.ends.get(&(node, peer)) {
                    self.post(other, Arrival::Octets(name, message.encode()));
                }
            }
            Output::GroupCast(peers, message) => {
                for peer in peers {
                    self.act(node, Output::<E>::Send(peer, message.clone()));
                }
            }
            Output::Close(peer) | Output::Abort(peer) => self.end((node, peer)),
            encoded @ Output::SendEncoded(..) => {
                let legible = encoded.legible().expect("machines encode what can be read");
                return self.act(node, legible);
            }
            Output::Connect(_, Target::Learned(_), _) | Output::Announce(_) => {}
        }
        None
    }

    fn end(&mut self, end: End) {
        if let Some((other, name)) = self.ends.remove(&end) {
            self.ends.remove(&(other, name));
            self.post(other, Arrival::Down(name));
        }
    }

    fn kill(&mut self, node: usize) {
        self.dead.insert(node);
        let ends: Vec<End> = self.ends.keys().copied().filter(|end| end.0 == node).collect();
        ends.into_iter().for_each(|end| self.end(end));
    }

    fn arrive(&mut self, node: usize, arrival: Arrival) {
        if let Arrival::Dialed((from, name)) = arrival {
            if self.dead.contains(&node) {
                self.post(from, Arrival::Down(name));
                return;
            }
            self.accepted += 1;
            let own = Peer::accepted(self.accepted);
            self.ends.insert((node, own), (from, name));
            self.ends.insert((from, name), (node, own));
            self.post(from, Arrival::Up(name, link(node, from)));
            self.arrive(node, Arrival::Up(own, link(from, node)));
            return;
        }
        if self.dead.contains(&node) || self.frozen.contains(&node) {
            return;
        }
        match &mut self.nodes[node] {
            Node::Registrar(machine) => feed(machine.as_mut(), self.now, arrival),
            Node::Element(machine) => feed(machine, self.now, arrival),
            Node::User(machine) => feed(machine, self.now, arrival),
        }
        self.carry(node);
    }

    fn timeout_of(&self, node: usize) -> Option<Time> {
        if self.dead.contains(&node) || self.frozen.contains(&node) {
            return None;
        }
        match &self.nodes[node] {
            Node::Registrar(machine) => machine.next_timeout(),
            Node::Element(machine) => machine.next_timeout(),
            Node::User(machine) => machine.next_timeout(),
        }
    }

    /// Lets so many milliseconds pass.
    fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        loop {
            let timeout = (0..self.nodes.len())
                .filter_map(|node| self.timeout_of(node).map(|time| (time, node)))
                .min();
            let arrival = self.arrivals.keys().next().map(|&(time, _)| time);
            match (arrival, timeout) {
                (Some(time), timeout) if time <= end && timeout.is_none_or(|t| time <= t.0) => {
                    self.now = self.now.max(time);
                    let Some((_, (node, arrival))) = self.arrivals.pop_first() else { return };
                    self.arrive(node, arrival);
                }
                (_, Some((time, node))) if time <= end => {
                    self.now = self.now.max(time);
                    match &mut self.nodes[node] {
                        Node::Registrar(machine) => machine.handle(self.now, Input::Timeout),
                        Node::Element(machine) => machine.handle(self.now, Input::Timeout),
                        Node::User(machine) => machine.handle(self.now, Input::Timeout),
                    }
                    self.carry(node);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn register_all(&mut self) {
        for node in 0..self.nodes.len() {
            if let Node::Element(_) = self.nodes[node] {
                self.command(node, Command::Element(element::Command::Register));
            }
        }
    }

    fn resolve(&mut self, id: u64) {
        let request = Request::new(RequestId(id), pool());
        self.command(self.user(), Command::User(user::Command::Resolve(request)));
    }

    /// How long after `from` a request was answered, in milliseconds, and with how many elements.
    fn answered(&self, id: u64, from: Time) -> Option<(u128, usize)> {
        self.user_events.iter().find_map(|(when, event)| match event {
            user::Event::Resolved { request, answer } if request.0 == id => {
                assert_eq!(answer.source, Source::Registrar);
                Some(((*when - from).as_millis(), answer.resolution.elements.len()))
            }
            _ => None,
        })
    }

    fn count(&self, wanted: fn(&element::Event) -> bool) -> usize {
        self.element_events.iter().filter(|(_, event)| wanted(event)).count()
    }
}

#[test]
fn elements_register_and_a_user_finds_them() {
    let mut world = World::new(1, 5);
    world.register_all();
    world.run(10);
    assert_eq!(world.count(|event| matches!(event, element::Event::Registered { .. })), 5);
    let asked = world.now;
    world.resolve(1);
    world.run(10);
    // Up to the registrar and back, twice: the association, the question.
    assert_eq!(world.answered(1, asked), Some((4, 5)));
}

#[test]
fn a_load_changes_the_order_within_a_round_trip() {
    let mut world = World::new(1, 2);
    world.register_all();
    world.run(10);
    let busy = world.element(1).id();
    world.command(1, Command::Element(element::Command::SetLoad(Load(9))));
    world.run(2);
    world.resolve(1);
    world.run(10);
    let last = world.user_events.last().unwrap();
    let (_, user::Event::Resolved { answer, .. }) = last else { panic!("{last:?}") };
    let order: Vec<_> = answer.in_order().map(|element| element.id).collect();
    assert_eq!(order, [world.element(2).id(), busy]);
}

#[test]
fn a_live_registrar_is_kept_for_an_hour() {
    let mut world = World::new(3, 4);
    world.register_all();
    world.run(3_600_000);
    let moves =
        world.count(|event| matches!(event, element::Event::HomeLost | element::Event::Expired));
    assert_eq!(moves, 0);
    for node in 3..7 {
        let stats = world.element(node).stats();
        assert!(stats.keep_alives > 6000, "{stats:?}");
        assert_eq!((stats.unanswered, stats.malformed, stats.unexpected), (0, 0, 0));
    }
}

#[test]
fn when_a_registrar_is_killed_its_elements_are_elsewhere_within_two_round_trips() {
    let mut world = World::new(3, 20);
    world.register_all();
    world.run(2000);
    let victim = world.home_of(3).unwrap();
    let its: Vec<usize> = (3..23).filter(|&node| world.home_of(node) == Some(victim)).collect();
    assert!(!its.is_empty() && its.len() < 20, "{its:?}");
    let killed = world.now;
    world.element_events.clear();
    world.kill(victim);
    world.run(1000);
    let registered: Vec<u128> = world
        .element_events
        .iter()
        .filter(|(_, event)| matches!(event, element::Event::Registered { .. }))
        .map(|(when, _)| (*when - killed).as_millis())
        .collect();
    assert_eq!(registered, vec![5; its.len()]);
}

#[test]
fn when_a_registrar_freezes_its_elements_move_within_the_silence_allowed() {
    let mut world = World::new(2, 10);
    world.register_all();
    world.run(3000);
    let frozen = world.home_of(2).unwrap();
    let frozen_at = world.now;
    world.element_events.clear();
    world.frozen.insert(frozen);
    world.run(4000);
    for node in 2..12 {
        assert_eq!(world.home_of(node), Some(1 - frozen));
    }
    let is_move = |event: &element::Event| {
        matches!(event, element::Event::HomeLost | element::Event::Registered { .. })
    };
    let moves = world.element_events.iter().filter(|(_, event)| is_move(event));
    let latest = moves.map(|(when, _)| *when - frozen_at).max();
    assert!(latest.is_some_and(|latest| latest < Duration::from_millis(1510)), "{latest:?}");
}

#[test]
fn a_request_survives_the_death_of_the_registrar_that_it_went_to() {
    let mut world = World::new(2, 0);
    world.resolve(1);
    world.run(10);
    let user::Event::HomeFound { link } = &world.user_events[0].1 else { panic!("a home") };
    let victim = usize::from(link.remote[0] == address(1));
    world.resolve(2);
    let asked = world.now;
    world.kill(victim);
    world.run(20);
    let (when, event) = world.user_events.last().unwrap();
    let error = user::ResolveError::UnknownPool;
    assert_eq!(*event, user::Event::Failed { request: RequestId(2), error });
    assert_eq!((*when - asked).as_millis(), 5);
}

#[test]
fn a_request_survives_a_frozen_registrar_after_t1() {
    let mut world = World::new(2, 3);
    world.register_all();
    world.resolve(1);
    world.run(3000);
    let home = world.user_events.iter().find_map(|(_, event)| match event {
        user::Event::HomeFound { link } => Some(link.remote[0]),
        _ => None,
    });
    let frozen = usize::from(home == Some(address(1)));
    world.frozen.insert(frozen);
    // The elements come over first.
    world.run(3000);
    let asked = world.now;
    world.resolve(2);
    world.run(2000);
    assert_eq!(world.answered(2, asked), Some((1004, 3)));
}

#[test]
fn a_reported_element_that_lives_stays() {
    let mut world = World::new(1, 2);
    world.register_all();
    world.run(10);
    let id = world.element(1).id();
    let report = user::Command::ReportUnreachable { handle: pool(), id };
    world.command(world.user(), Command::User(report));
    world.run(100);
    assert!(world.element(1).stats().keep_alives >= 1);
    let asked = world.now;
    world.resolve(1);
    world.run(10);
    assert_eq!(world.answered(1, asked), Some((2, 2)));
}

#[test]
fn a_subscriber_learns_of_each_change_and_of_the_end() {
    let mut world = World::new(1, 2);
    world.command(world.user(), Command::User(user::Command::Subscribe(pool())));
    world.run(3000);
    world.register_all();
    world.run(2000);
    world.command(1, Command::Element(element::Command::Deregister));
    world.run(10);
    world.kill(2);
    world.run(10);
    let sizes: Vec<usize> = world
        .user_events
        .iter()
        .filter_map(|(_, event)| match event {
            user::Event::Updated { resolution, .. } => {
                Some(resolution.as_ref().map_or(0, |resolution| resolution.elements.len()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [0, 2, 1, 0]);
}

#[test]
fn the_same_seeds_make_the_same_history() {
    let run = || {
        let mut world = World::new(3, 10);
        world.register_all();
        world.run(2000);
        world.kill(0);
        world.run(2000);
        world.frozen.insert(1);
        world.run(5000);
        (world.element_events, world.user_events)
    };
    assert_eq!(run(), run());
}
