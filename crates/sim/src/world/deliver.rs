//! What a process is handed: what has arrived, commands, the time.

use rserpool_proto::machine::{BATCH_MAX, Peer};
use rserpool_proto::session;
use rserpool_proto::time::Time;
use rserpool_proto::user::{self, Request};

use super::World;
use super::drive::protocol_text;
use crate::invariant::{Invariant, TIMEOUTS_AT_ONCE_MAX};
use crate::machine::{Legible, MachineInput};
use crate::network::Arrival;
use crate::program::{MachineCommand, NodeId};

impl World {
    /// Hands in what there is; how much that was.
    pub(super) fn feed(&mut self, node: NodeId) -> usize {
        let Some(running) = &mut self.nodes[node.0].running else { return 0 };
        let own = running.clock.show(self.now);
        if running.has_arrivals() {
            let count = running.inbox.len().min(BATCH_MAX);
            for _ in 0..count {
                self.feed_arrival(node, own);
            }
            return count;
        }
        if let Some(order) = running.orders.pop_front() {
            self.feed_order(node, own, order);
            return 1;
        }
        if running.next_timeout().is_none_or(|due| due > own) {
            return 0;
        }
        if running.machine.next_timeout().is_some_and(|due| due <= own) {
            running.machine.feed(own, MachineInput::Timeout);
        } else {
            self.feed_session(node, session::client::Input::Timeout);
        }
        let Some(running) = self.running(node) else { return 1 };
        running.timeouts = match running.timeouts {
            (at, count) if at == own => (at, count + 1),
            _ => (own, 1),
        };
        if running.timeouts.1 > TIMEOUTS_AT_ONCE_MAX {
            let name = self.names[node.0].clone();
            self.violate(Invariant::TimeAdvances, || format!("a timer of {name} stands still"));
        }
        1
    }

    fn feed_order(&mut self, node: NodeId, own: Time, order: MachineCommand) {
        if matches!(order, MachineCommand::Session) {
            return self.work(node);
        }
        self.heed_order(node, &order);
        self.trace
            .line(self.now, || format!("{} is told: {}", self.names[node.0], order_text(&order)));
        if let Some(running) = self.running(node) {
            running.machine.order(own, order);
        }
    }

    fn feed_arrival(&mut self, node: NodeId, own: Time) {
        let Some(running) = self.running(node) else { return };
        let Some(arrival) = running.next_arrival() else { return };
        if let Arrival::Message { peer, octets, over, .. } = &arrival {
            self.network.read(*over, octets.len());
            self.heard_over(node, *peer);
        }
        let Some(running) = self.running(node) else { return };
        if !running.expects(&arrival) {
            return;
        }
        self.trace_arrival(node, &arrival);
        let Some(running) = self.running(node) else { return };
        match arrival {
            Arrival::Session(peer, other) => self.session_up(node, peer, other),
            Arrival::Down(peer, reason, _) if running.sessions.has(peer) => {
                self.session_down(node, peer, reason);
            }
            Arrival::Congested(peer) | Arrival::Drained(peer) if running.sessions.has(peer) => {}
            Arrival::Message { peer, payload, octets, .. } if running.sessions.has(peer) => {
                self.session_message(node, peer, payload, &octets);
            }
            arrival => {
                let from = match &arrival {
                    Arrival::Message { peer, .. } => self.network.other_host(node, *peer),
                    _ => None,
                };
                // Where the association is gone, nobody knows any more who it was.
                let may_be = |it: NodeId| self.nodes[it.0].hostile().is_some();
                let is_hostile = self.hostile > 0 && from.is_none_or(may_be);
                let Some(running) = self.running(node) else { return };
                let legible = running.machine.feed(own, MachineInput::Arrival(arrival));
                if legible == Legible::No && !is_hostile {
                    let name = self.names[node.0].clone();
                    self.violate(Invariant::MessagesAreLegible, || {
                        format!("{name} cannot read it")
                    });
                }
            }
        }
    }

    /// Who is at the other end lives.
    fn heard_over(&mut self, node: NodeId, peer: Peer) {
        let other = self.network.other_host(node, peer);
        if let Some(heard) = other.and_then(|other| self.identities[other.0])
            && let Some(running) = self.running(node)
        {
            running.taken_over.remove(&heard);
        }
    }

    fn trace_arrival(&mut self, node: NodeId, arrival: &Arrival) {
        let name = &self.names[node.0];
        match arrival {
            Arrival::Up(peer, link) => {
                let other = self.network.host_of(link.remote[0]);
                self.trace.line(self.now, || {
                    let other = other.map_or("?", |other| &self.names[other.0]);
                    let how = if peer.is_dialed() { "reaches" } else { "is reached by" };
                    format!("{name} {how} {other} ({})", protocol_text(link.protocol))
                });
            }
            Arrival::Down(_, reason, other) => {
                let other = &self.names[other.0];
                self.trace.line(self.now, || format!("{name} loses {other}: {reason}"));
            }
            Arrival::Congested(peer) | Arrival::Drained(peer) => {
                let other = self.network.other_host(node, *peer);
                let is_over = matches!(arrival, Arrival::Drained(_));
                self.trace.line(self.now, || {
                    let other = other.map_or("?", |other| &self.names[other.0]);
                    let what =
                        if is_over { "has taken what waited" } else { "takes less than is sent" };
                    format!("{name}: {other} {what}")
                });
            }
            // Of sessions by their drivers; of messages it is told who sends them.
            Arrival::Session(..) | Arrival::Message { .. } | Arrival::Announce(..) => {}
        }
    }
}

fn order_text(order: &MachineCommand) -> String {
    match order {
        MachineCommand::Registrar(command) => format!("{command:?}"),
        MachineCommand::Element(command) => format!("{command:?}"),
        MachineCommand::Session => "its session has its turn".into(),
        MachineCommand::User(command) => match command {
            user::Command::Resolve(Request { id, handle, items, .. }) => {
                let items = items.map_or(String::new(), |items| format!(", {items} at most"));
                format!("request {}: {handle}{items}", id.0)
            }
            user::Command::ReportUnreachable { handle, id } => format!("report {id} of {handle}"),
            user::Command::Subscribe(handle) => format!("subscribe to {handle}"),
            user::Command::Unsubscribe(handle) => format!("unsubscribe from {handle}"),
            user::Command::Stop => "stop".into(),
        },
    }
}
