//! A world: nodes, a network, time.

mod application;
mod deliver;
mod drive;
mod inject;
mod nodes;
mod quiet;
mod sessions;
mod setup;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rserpool_proto::element::PoolElement;
use rserpool_proto::registrar::Registrar;
use rserpool_proto::time::Time;
use rserpool_wire::param::{PeId, PoolHandle, RegistrarId};

pub use setup::{Acquaintance, Setup};

use crate::application::{Application, Membership};
use crate::bounds::Bounds;
use crate::clock::Agenda;
use crate::crowd::Crowd;
use crate::invariant::{Invariant, Violation};
use crate::network::{Links, Network, NetworkEvent, Process, Settings};
use crate::node::Node;
use crate::program::{MachineCommand, NodeId, Program};
use crate::trace::Trace;

/// What a world has counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Messages that machines sent.
    pub messages: u64,
    /// Packets that got lost.
    pub lost: u64,
    /// Things that were done to it.
    pub faults: u64,
    /// Requests of users that ended with elements.
    pub resolved: u64,
    /// Requests of users that ended otherwise.
    pub failed: u64,
    /// Rounds of all drivers.
    pub rounds: u64,
    /// Replies that applications got in sessions.
    pub replies: u64,
    /// Replies that they had already.
    pub repeated: u64,
    /// Sessions that moved to another server, or to the same one again.
    pub failovers: u64,
    /// Those of them that were resumed from a cookie.
    pub resumed: u64,
    /// Elements that registrars suggested to each other.
    pub suggestions: u64,
    /// How often a registrar found out that another one has its identifier.
    pub duplicate_ids: u64,
}

#[derive(Debug)]
pub(crate) enum Event {
    Network(NetworkEvent),
    /// A process has something to do; only in that life of it.
    Wake(NodeId, u64),
    /// A user's application wants something; only in that life.
    Ask(NodeId, u64),
    /// The application of a session has its turn; only in that life.
    Turn(NodeId, u64),
    /// A process has done its work; only in that life.
    Exit(NodeId, u64),
    /// An application gives a command; only in that life.
    Order(NodeId, u64, Box<MachineCommand>),
}

/// Nodes, a network, time.
#[derive(Debug)]
pub struct World {
    pub(crate) setup: Setup,
    now: Time,
    agenda: Agenda<Event>,
    network: Network,
    nodes: Vec<Node>,
    /// What nodes are called.
    names: Vec<String>,
    /// The identifiers of registrars in this life or their last.
    identities: Vec<Option<RegistrarId>>,
    /// How many elements crowds have.
    crowded: usize,
    /// How many nodes mean no good.
    pub(crate) hostile: usize,
    /// The second in which their messages are counted, how many there were, and in the one before.
    hostile_sent: (u64, u64, u64),
    rng: StdRng,
    trace: Trace,
    counts: Counts,
    violations: Vec<Violation>,
    pub(crate) bounds: Bounds,
    /// Who is in which pool, while nothing changes and everybody must know.
    pub(crate) expected: Option<BTreeMap<PoolHandle, BTreeSet<PeId>>>,
    /// No element may be taken out.
    removals_forbidden: bool,
}

/// More violations of one world tell nothing new.
const VIOLATIONS_MAX: usize = 16;

/// How long a process is busy with one round.
const COST: Duration = Duration::from_micros(20);

impl World {
    /// A world without nodes.
    pub fn new(setup: Setup) -> Self {
        let mut rng = StdRng::seed_from_u64(setup.seed);
        let links = Links::new(setup.weather, rng.random());
        Self {
            now: Time::ZERO,
            agenda: Agenda::default(),
            network: Network::new(links, Settings::of(&setup.timing)),
            nodes: Vec::new(),
            names: Vec::new(),
            identities: Vec::new(),
            crowded: 0,
            hostile: 0,
            hostile_sent: (0, 0, 0),
            rng,
            trace: Trace::new(setup.trace),
            counts: Counts::default(),
            violations: Vec::new(),
            bounds: Bounds::new(setup.timing, setup.weather, setup.clock_error),
            expected: None,
            removals_forbidden: false,
            setup,
        }
    }

    /// Lets time pass until then.
    pub fn run_until(&mut self, until: Time) {
        while let Some((at, event)) = self.agenda.take_due(until) {
            if at < self.now {
                self.violate(Invariant::TimeAdvances, || "the agenda went back".into());
            }
            self.now = self.now.max(at);
            self.happen(event);
            self.collect();
        }
        self.now = self.now.max(until);
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        Counts { lost: self.network.lost, ..self.counts }
    }

    /// What was violated so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// What happened.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What happened, to be forgotten.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// The registrar that runs on this node.
    pub fn registrar(&self, node: NodeId) -> Option<&Registrar> {
        self.nodes[node.0].registrar()
    }

    /// The element that runs on this node.
    pub fn element(&self, node: NodeId) -> Option<&PoolElement> {
        self.nodes[node.0].element()
    }

    /// How often the home of an element of a crowd said that it is out of its pool.
    pub fn evictions(&self) -> u64 {
        self.nodes().filter_map(|node| self.node(node).crowd()).map(Crowd::evictions).sum()
    }

    /// What a node is called.
    pub fn name(&self, node: NodeId) -> &str {
        &self.names[node.0]
    }

    /// True where the process runs and is not frozen.
    pub fn is_running(&self, node: NodeId) -> bool {
        self.network.hosts[node.0].process == Process::Running
    }

    /// True where the process runs, frozen or not.
    pub fn is_present(&self, node: NodeId) -> bool {
        self.network.hosts[node.0].process != Process::Absent
    }

    /// True where the process runs, and was asked to end.
    pub fn is_leaving(&self, node: NodeId) -> bool {
        let is_asked = matches!(
            self.nodes[node.0].application,
            Application::Registrar(Membership { wanted: false })
        );
        is_asked && self.is_present(node)
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// What a node runs.
    pub fn program(&self, node: NodeId) -> &Program {
        &self.nodes[node.0].program
    }

    /// True where a registrar has told its application that its identifier is another one's, too.
    pub(crate) fn has_told_of_twin(&self, node: NodeId) -> bool {
        self.nodes[node.0].running.as_ref().is_some_and(|running| running.has_twin)
    }

    /// Notes that something is not as it has to be.
    pub(crate) fn violate(&mut self, invariant: Invariant, detail: impl FnOnce() -> String) {
        if self.violations.len() < VIOLATIONS_MAX {
            let violation = Violation { invariant, at: self.now, detail: detail() };
            self.trace.line(self.now, || format!("*** {violation}"));
            self.violations.push(violation);
        }
    }

    pub(crate) fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.0]
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Network(happening) => self.network.happen(self.now, happening),
            Event::Wake(node, life) if self.nodes[node.0].starts == life => self.wake(node),
            Event::Ask(node, life) if self.nodes[node.0].starts == life => self.ask(node),
            Event::Turn(node, life) if self.nodes[node.0].starts == life => self.turn(node),
            Event::Order(node, life, order) if self.nodes[node.0].starts == life => {
                self.order(node, *order);
            }
            Event::Exit(node, life) if self.nodes[node.0].starts == life => self.kill(node),
            Event::Wake(..)
            | Event::Ask(..)
            | Event::Turn(..)
            | Event::Order(..)
            | Event::Exit(..) => {}
        }
    }

    /// Takes what the network has for the agenda and for processes.
    fn collect(&mut self) {
        for (at, happening) in self.network.planned.drain(..) {
            self.agenda.plan(at, Event::Network(happening));
        }
        while let Some((node, arrival)) = self.network.arrivals.pop_front() {
            if let Some(running) = &mut self.nodes[node.0].running {
                running.inbox.push_back(arrival);
                self.plan_wake(node, self.now);
            }
        }
    }
}

/// Where elements serve.
const SERVICE_PORT: u16 = 7;
