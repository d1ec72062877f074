//! Faults happen to a world.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use rserpool_proto::{element, registrar};
use rserpool_wire::Protocol;
use rserpool_wire::param::{Load, PoolHandle};

use super::{COST, World};
use crate::application::{Application, Membership};
use crate::clock::Clock;
use crate::fault::Fault;
use crate::machine::AnyMachine;
use crate::network::{Payload, Process, Stack};
use crate::node::Running;
use crate::program::{MachineCommand, NodeId, Program};
use crate::session::Sessions;

impl World {
    /// Starts all nodes.
    pub fn start_all(&mut self) {
        for node in self.nodes() {
            self.start(node);
        }
    }

    /// Something happens from outside.
    pub fn inject(&mut self, fault: &Fault) {
        self.expected = None;
        self.counts.faults += 1;
        self.trace.line(self.now, || {
            format!("--- {}", fault.describe(|node| self.names[node.0].clone()))
        });
        match fault {
            Fault::Start(node) => self.start(*node),
            Fault::Kill(node) => self.kill(*node),
            Fault::PowerOff(node) => self.power_off(*node),
            Fault::Freeze(node) => self.freeze(*node),
            Fault::Thaw(node) => self.thaw(*node),
            Fault::Slow(node, cost) => self.slow(*node, *cost),
            Fault::Isolate(nodes) => {
                for a in self.nodes() {
                    for b in self.nodes().filter(|b| nodes.contains(&a) != nodes.contains(b)) {
                        self.network.links.cut(a, b);
                    }
                }
                self.suspect_cut();
            }
            Fault::CutOneWay(from, to) => {
                self.network.links.cut(*from, *to);
                self.suspect_cut();
            }
            Fault::Heal => self.network.links.heal(),
            Fault::Impairment(weather) => self.network.links.weather = *weather,
            Fault::Leave(node) => self.want(*node, false),
            Fault::Join(node) => self.want(*node, true),
            Fault::Load(node, percent) => {
                let load = Load::from_fraction(f64::from(*percent) / 100.0);
                self.order(*node, MachineCommand::Element(element::Command::SetLoad(load)));
            }
        }
        self.collect();
    }

    /// From now on the first packet of an association that is sent in each such time is lost.
    pub fn lose_one_in(&mut self, pause: Duration) {
        self.network.links.drop_every(pause);
    }

    /// From now on all elements live and are connected: none of them may be taken out.
    pub fn forbid_removals(&mut self) {
        self.removals_forbidden = true;
    }

    /// Starts the process of a node; nothing where it runs.
    pub fn start(&mut self, node: NodeId) {
        let host = &mut self.network.hosts[node.0];
        if host.process != Process::Absent {
            return;
        }
        host.is_on = true;
        host.process = Process::Running;
        // Its transport may get the port that it had before.
        let keeps_port = self.rng.random_bool(0.3);
        if host.dials_from == 0 || !keeps_port {
            host.dials_from = host.draw_port();
        }
        let listens_as_element =
            matches!(self.nodes[node.0].program, Program::Element(_) | Program::Crowd(_));
        if listens_as_element {
            host.listens = vec![(host.dials_from, Payload::Protocol(Protocol::Asap))];
        }
        let now = self.now;
        let node_at = &mut self.nodes[node.0];
        node_at.starts += 1;
        node_at.cost = COST;
        node_at.steady_since = now;
        let seed = node_at.seed.wrapping_add(node_at.starts);
        let machine = AnyMachine::begin(&node_at.program, seed);
        let sessions = Sessions::begin(node_at.role.as_ref(), seed, now);
        if let AnyMachine::Registrar(registrar) = &machine {
            self.identities[node.0] = Some(registrar.id());
        }
        node_at.running =
            Some(Running::new(machine, sessions, Clock::start(now, node_at.rate), now));
        self.begin_application(node);
        self.begin_sessions(node);
    }

    pub(super) fn kill(&mut self, node: NodeId) {
        if !self.is_present(node) {
            return;
        }
        let host = &mut self.network.hosts[node.0];
        host.process = Process::Absent;
        let tells = host.stack == Stack::Kernel;
        self.nodes[node.0].running = None;
        self.network.end_all(self.now, node, tells);
    }

    fn power_off(&mut self, node: NodeId) {
        let host = &mut self.network.hosts[node.0];
        host.is_on = false;
        host.process = Process::Absent;
        self.nodes[node.0].running = None;
        self.network.end_all(self.now, node, false);
    }

    fn freeze(&mut self, node: NodeId) {
        let now = self.now;
        let host = &mut self.network.hosts[node.0];
        if host.process != Process::Running {
            return;
        }
        host.process = Process::Frozen;
        if host.stack == Stack::Process {
            self.network.suspect_all(now, |a, b| a == node || b == node);
        }
    }

    fn thaw(&mut self, node: NodeId) {
        let host = &mut self.network.hosts[node.0];
        if host.process != Process::Frozen {
            return;
        }
        host.process = Process::Running;
        self.nodes[node.0].steady_since = self.now;
        if let Some(running) = &mut self.nodes[node.0].running {
            running.wakes_at = None;
        }
        self.plan_wake(node, self.now);
    }

    fn slow(&mut self, node: NodeId, cost: Duration) {
        let node = &mut self.nodes[node.0];
        node.cost = cost.max(COST);
        // What it is at takes as long as it did.
        let busy_until = node.running.as_ref().map_or(self.now, |running| running.busy_until);
        node.steady_since = self.now.max(busy_until);
    }

    fn suspect_cut(&mut self) {
        let mut cut = BTreeSet::new();
        for a in self.nodes() {
            cut.extend(
                self.nodes().filter(|b| !self.network.links.is_whole(a, *b)).map(|b| (a, b)),
            );
        }
        self.network.suspect_all(self.now, |a, b| cut.contains(&(a, b)));
    }

    fn want(&mut self, node: NodeId, wanted: bool) {
        match &self.nodes[node.0].program {
            Program::Registrar(_) if wanted => return self.start(node),
            Program::Registrar(_) => {
                let leaves = Membership { wanted: false };
                self.nodes[node.0].application = Application::Registrar(leaves);
                return self.order(node, MachineCommand::Registrar(registrar::Command::Leave));
            }
            Program::Element(_) | Program::User(_) | Program::Crowd(_) | Program::Hostile(_) => {}
        }
        if let Application::Element(membership) = &mut self.nodes[node.0].application {
            membership.wanted = wanted;
            let command = match wanted {
                true => element::Command::Register,
                false => element::Command::Deregister,
            };
            self.order(node, MachineCommand::Element(command));
        }
    }

    /// The pool that a node's element wants to be in now.
    pub fn membership(&self, node: NodeId) -> Option<&PoolHandle> {
        match (&self.nodes[node.0].application, &self.nodes[node.0].program) {
            (Application::Element(membership), Program::Element(config))
                if membership.wanted && self.is_present(node) =>
            {
                Some(&config.handle)
            }
            _ => None,
        }
    }
}
