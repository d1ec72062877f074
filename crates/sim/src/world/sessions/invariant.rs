//! What has to hold for sessions.

use std::time::Duration;

use rserpool_proto::time::Time;

use crate::invariant::Invariant;
use crate::network::Stack;
use crate::program::{NodeId, Program};
use crate::session::Role;
use crate::world::World;

impl World {
    /// How long sessions may take to go on, once registrars agree.
    pub fn resumption(&self) -> Duration {
        let elements =
            self.nodes().filter(|node| matches!(self.program(*node), Program::Element(_))).count();
        let of = |node: NodeId| {
            let Program::User(config) = self.program(node) else { return None };
            let calling = self.calling(node)?;
            let repetitions = config.request_retransmits_max;
            Some(self.bounds.resumption(calling, repetitions, elements))
        };
        self.nodes().filter_map(of).max().unwrap_or_default()
    }

    /// The server of a client's session, where its death would be told, and another one could take
    /// the session; and how long that may take.
    pub fn replaceable(&self, client: NodeId) -> Option<(NodeId, Duration)> {
        let (server, calling) = (self.server_of(client)?, self.calling(client)?);
        let handle = &calling.session.handle;
        let others = |node: &NodeId| *node != server && self.membership(*node) == Some(handle);
        let card = match self.role(server) {
            Some(Role::Server(serving)) if serving.names_others => self.nodes().count(),
            _ => 0,
        };
        let is_there = self.is_running(client) && self.setup.stack == Stack::Kernel;
        // Who dials few in one search may find those only that a stranger has entered, and goes on
        // when its application asks again.
        let is_held_up = self.hostile > 0 && calling.session.dials_max.is_some();
        (is_there && !is_held_up && self.nodes().any(|node| others(&node)))
            .then(|| (server, self.bounds.failover(calling, card)))
    }

    /// The server of a client was killed then, and another one has had time to take the session.
    pub fn check_failover(&mut self, client: NodeId, killed: Time) {
        let Some(caller) = self.caller(client) else { return };
        if !caller.goes_on_since(killed) {
            let detail = format!("{} has had no reply of another server", self.name(client));
            self.violate(Invariant::FailoversAreQuick, || detail);
        }
    }

    /// A server that has answered keep-alives and is silent now has to be left in time.
    pub(crate) fn check_silence(&mut self, node: NodeId) {
        let Some(caller) = self.caller(node) else { return };
        let (Some((_, server)), Some(keep_alive)) =
            (caller.server(), caller.config.session.keep_alive)
        else {
            return;
        };
        if !caller.is_answered || !self.is_running(node) || !self.is_quick(node) {
            return;
        }
        let silent = self.now() - caller.heard_at.max(self.node(node).steady_since);
        if silent > self.bounds.silence(keep_alive) {
            let detail = format!("{} hears nothing of {server} for {silent:?}", self.name(node));
            self.violate(Invariant::SilentAreLeft, || detail);
        }
    }

    /// What the machine believes to be its server is what its driver has an association with.
    pub(crate) fn check_server(&mut self, node: NodeId) {
        let Some(caller) = self.caller(node) else { return };
        if caller.machine.server().is_some() && caller.server().is_none() {
            let detail = format!("{} believes in one that it has not", self.name(node));
            self.violate(Invariant::OneServerAtOnce, || detail);
        }
    }

    /// How many clients have their session with this server.
    pub(crate) fn callers_of(&self, node: NodeId) -> usize {
        self.nodes().filter(|client| self.server_of(*client) == Some(node)).count()
    }

    /// In quiet a session with a pool that has members goes on.
    pub(crate) fn check_session(&self, node: NodeId, findings: &mut Vec<(Invariant, String)>) {
        let (Some(caller), Some(handle)) = (self.caller(node), self.session_pool(node)) else {
            return;
        };
        let members = self.members();
        if !self.is_running(node) || !members.contains_key(&handle) {
            return;
        }
        // It may be with one that has left its pool and still serves.
        let waits = self.now() - caller.replied_at;
        if waits > self.bounds.reply(caller.config.period) {
            let server = caller.server().map_or_else(|| "nobody".into(), |(_, id)| id.to_string());
            let detail =
                format!("{} is with {server}, and has had no reply for {waits:?}", self.name(node));
            findings.push((Invariant::SessionsGoOn, detail));
        }
        if caller.config.session.keep_alive.is_some() && !caller.is_answered {
            let detail = format!("{}: silence would not count", self.name(node));
            findings.push((Invariant::KeepAlivesAreAnswered, detail));
        }
    }
}
