//! What goes wrong.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::Chaos;
use crate::fault::Fault;
use crate::network::Impairment;
use crate::program::{MachineCommand, NodeId};

impl Chaos {
    /// Faults, some at once and some one after the other; then what must not last ends.
    pub(super) fn storm(&mut self) -> Duration {
        let begin = self.world.now();
        self.kill_a_server();
        let window = self.pace.mul_f64(self.rng.random_range(0.5..=8.0));
        let count = self.rng.random_range(1..=if self.clients.is_empty() { 8 } else { 16 });
        for _ in 0..count {
            if self.rng.random_bool(0.7) {
                let pause = (2 * window / count).mul_f64(self.rng.random_range(0.0..=1.0));
                self.world.run_for(pause);
            }
            if self.rng.random_bool(0.7) {
                self.hurry();
            }
            let fault = self.fault();
            self.world.inject(&fault);
        }
        let pause = self.pace.mul_f64(self.rng.random_range(0.0..=2.0));
        self.world.run_for(pause);
        self.restore();
        self.world.now() - begin
    }

    /// All clients have something to ask, so that the next fault finds requests, cookies and replies
    /// on their way.
    fn hurry(&mut self) {
        for client in self.clients.clone() {
            for _ in 0..self.rng.random_range(1..=4) {
                self.world.order(client, MachineCommand::Session);
            }
        }
        if !self.clients.is_empty() {
            let round_trip = self.calm.round_trip_max();
            self.world.run_for(round_trip.mul_f64(self.rng.random_range(0.0..=1.5)));
        }
    }

    /// While all else is well, the server of a session dies: another one has to have it soon.
    fn kill_a_server(&mut self) {
        let Some(&client) = self.clients.choose(&mut self.rng) else { return };
        let Some((server, bound)) = self.world.replaceable(client) else { return };
        self.hurry();
        let killed = self.world.now();
        self.world.inject(&Fault::Kill(server));
        self.world.run_for(bound);
        self.world.check_failover(client, killed);
    }

    fn restore(&mut self) {
        self.world.inject(&Fault::Heal);
        self.world.inject(&Fault::Impairment(self.calm));
        for registrar in self.registrars.clone() {
            if self.world.is_leaving(registrar) {
                self.world.inject(&Fault::Kill(registrar));
            }
        }
        for node in self.world.nodes() {
            if self.world.is_present(node) {
                self.world.inject(&Fault::Thaw(node));
                self.world.inject(&Fault::Slow(node, Duration::ZERO));
            } else if self.rng.random_bool(0.7) {
                self.world.inject(&Fault::Start(node));
            }
        }
        let is_present = |node: &NodeId| self.world.is_present(*node);
        if !self.registrars.iter().any(is_present)
            && let Some(registrar) = self.registrars.choose(&mut self.rng)
        {
            self.world.inject(&Fault::Start(*registrar));
        }
    }

    fn fault(&mut self) -> Fault {
        let node = self.victim();
        let kind = self.rng.random_range(0..24);
        match kind {
            0..=4 => Fault::Kill(node),
            5..=6 => Fault::PowerOff(node),
            7..=10 => Fault::Start(self.absentee().unwrap_or(node)),
            11..=12 => Fault::Freeze(node),
            13..=14 => Fault::Thaw(node),
            15 => Fault::Slow(node, self.pace.mul_f64(self.rng.random_range(0.001..=0.2))),
            16..=17 => {
                let share = self.rng.random_range(0.1..=0.6);
                let cut = self.world.nodes().filter(|_| self.rng.random_bool(share)).collect();
                Fault::Isolate(cut)
            }
            18 => Fault::CutOneWay(node, self.victim()),
            19 => Fault::Heal,
            20 => Fault::Impairment(self.storm_weather()),
            21 => Fault::Leave(node),
            22 => Fault::Join(node),
            _ => Fault::Load(self.element(), self.rng.random_range(0..=100)),
        }
    }

    fn storm_weather(&mut self) -> Impairment {
        Impairment {
            delay: self.calm.delay.mul_f64(self.rng.random_range(0.5..=3.0)),
            jitter: self.calm.delay.mul_f64(self.rng.random_range(0.0..=10.0)),
            loss: self.rng.random_range(0.0..=0.3),
            duplication: self.rng.random_range(0.0..=0.5),
        }
    }

    /// Registrars are hit more often than their number says, and servers that have a session.
    fn victim(&mut self) -> NodeId {
        if self.rng.random_bool(0.5)
            && let Some(client) = self.clients.choose(&mut self.rng)
            && let Some(server) = self.world.server_of(*client)
        {
            return server;
        }
        let all: Vec<NodeId> = self.world.nodes().collect();
        let from = if self.rng.random_bool(0.4) { &self.registrars } else { &all };
        from.choose(&mut self.rng).copied().unwrap_or(NodeId(0))
    }

    fn absentee(&mut self) -> Option<NodeId> {
        let absent: Vec<NodeId> =
            self.world.nodes().filter(|node| !self.world.is_present(*node)).collect();
        absent.choose(&mut self.rng).copied()
    }

    fn element(&mut self) -> NodeId {
        self.elements.choose(&mut self.rng).copied().unwrap_or(NodeId(0))
    }
}
