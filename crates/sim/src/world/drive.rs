//! How a node's process works: the tokio driver's loop in virtual time.

use std::sync::Arc;
use std::time::Duration;

use rserpool_proto::machine::{Carrier, Output, Peer, Target};
use rserpool_proto::time::Time;
use rserpool_wire::Message;
use rserpool_wire::Protocol;
use rserpool_wire::enrp::{Body, Enrp};
use rserpool_wire::param::Transport;

use super::{Event, World};
use crate::invariant::{
    ANSWERS_TO_STRANGERS_MAX, Invariant, MESSAGES_PER_SECOND_AND_ELEMENT_MAX,
    MESSAGES_PER_SECOND_MAX, OUTPUTS_PER_ROUND_AND_ELEMENT_MAX, OUTPUTS_PER_ROUND_MAX,
};
use crate::machine::{AnyMachine, MachineInput};
use crate::network::{Dial, Payload, Reason, Refused};
use crate::node::{Known, Running};
use crate::program::{MachineCommand, MachineEvent, NodeId};
use crate::trace::summary;

impl World {
    /// A command for the machine of a node; nothing where it does not run.
    pub fn order(&mut self, node: NodeId, order: MachineCommand) {
        if let Some(running) = &mut self.nodes[node.0].running {
            running.orders.push_back(order);
            self.plan_wake(node, self.now);
        }
    }

    pub(super) fn plan_order(&mut self, node: NodeId, pause: Duration, order: MachineCommand) {
        let life = self.nodes[node.0].starts;
        self.agenda.plan(self.now + pause, Event::Order(node, life, Box::new(order)));
    }

    pub(super) fn plan_wake(&mut self, node: NodeId, at: Time) {
        let Some(running) = &mut self.nodes[node.0].running else { return };
        let at = at.max(running.busy_until);
        if running.wakes_at.is_none_or(|planned| at < planned) {
            running.wakes_at = Some(at);
            self.agenda.plan(at, Event::Wake(node, self.nodes[node.0].starts));
        }
    }

    /// One round: what has arrived, else a command, else the timer; then all outputs.
    pub(super) fn wake(&mut self, node: NodeId) {
        let now = self.now;
        let is_running = self.is_running(node);
        let Some(running) = &mut self.nodes[node.0].running else { return };
        if running.wakes_at != Some(now) {
            return;
        }
        running.wakes_at = None;
        if !is_running {
            return;
        }
        self.counts.rounds += 1;
        let inputs = self.feed(node);
        let outputs = self.drain(node);
        let of_crowds = OUTPUTS_PER_ROUND_AND_ELEMENT_MAX * self.crowded;
        if outputs > OUTPUTS_PER_ROUND_MAX + of_crowds + inputs {
            let detail = format!("{outputs} outputs of {}", self.names[node.0]);
            self.violate(Invariant::OutputsAreBounded, || detail);
        }
        self.check_associations(node);
        let cost = self.nodes[node.0].cost;
        let Some(running) = &mut self.nodes[node.0].running else { return };
        running.busy_until = now + cost;
        running.just_lost.clear();
        let has_more = running.has_arrivals() || !running.orders.is_empty();
        let timer = running.next_timeout().map(|own| running.clock.when(own));
        match timer {
            _ if has_more => self.plan_wake(node, now + cost),
            Some(at) => self.plan_wake(node, at),
            None => {}
        }
    }

    /// Does everything that the machine wants done; how much that was.
    fn drain(&mut self, node: NodeId) -> usize {
        let mut outputs = 0;
        loop {
            while let Some(output) = self.running(node).and_then(|running| running.machine.poll()) {
                outputs += 1;
                self.perform(node, output);
            }
            let now = self.now;
            let Some(running) = self.running(node) else { return outputs };
            if let Some((dialed, there)) = running.there.pop_front() {
                running.known.remove(&dialed);
                let name = &self.names[node.0];
                self.trace.line(now, || format!("{name} has what it dialed"));
                let Some(running) = self.running(node) else { return outputs };
                let own = running.clock.show(now);
                running.machine.feed(own, MachineInput::Known(dialed, there));
                continue;
            }
            let Some(lost) = running.failed.pop_front() else { return outputs };
            running.known.remove(&lost);
            running.just_lost.insert(lost);
            let is_session = running.sessions.has(lost);
            let name = &self.names[node.0];
            self.trace.line(now, || format!("{name} loses what it dialed: {}", Reason::Local));
            if is_session {
                self.session_down(node, lost, Reason::Local);
                continue;
            }
            let Some(running) = self.running(node) else { return outputs };
            let own = running.clock.show(now);
            running.machine.feed(own, MachineInput::Lost(lost));
        }
    }

    pub(super) fn running(&mut self, node: NodeId) -> Option<&mut Running> {
        self.nodes[node.0].running.as_mut()
    }

    fn perform(&mut self, node: NodeId, output: Output<MachineEvent>) {
        match output {
            Output::Connect(peer, target, protocol) => self.connect(node, peer, target, protocol),
            Output::Send(peer, message) => self.send(node, &[peer], &message),
            encoded @ Output::SendEncoded(..) => {
                let legible = encoded.legible().expect("machines encode what can be read");
                self.perform(node, legible);
            }
            Output::GroupCast(peers, message) => self.send(node, &peers, &message),
            Output::Close(peer) => {
                self.end(node, peer, "closes");
                self.network.close(self.now, node, peer);
            }
            Output::Abort(peer) => {
                self.end(node, peer, "aborts");
                self.network.abort(self.now, node, peer);
            }
            Output::Announce(message) => {
                self.counts.messages += 1;
                self.trace.line(self.now, || {
                    format!("{} -> all  {}", self.names[node.0], summary(&message))
                });
                let octets = message.encode();
                self.network.announce(self.now, node, message.protocol(), &octets);
            }
            Output::Event(event) => self.told(node, event),
        }
    }

    fn connect(&mut self, node: NodeId, peer: Peer, target: Target, protocol: Protocol) {
        let now = self.now;
        let dial = match target {
            Target::Configured(number) => self.nodes[node.0].targets.get(number).cloned(),
            Target::Learned(transport) => dial_of(&transport, Payload::Protocol(protocol)),
        };
        let other = dial.as_ref().and_then(|dial| self.network.host_of(*dial.addresses.first()?));
        self.trace.line(now, || {
            let other = other.map_or("?", |other| &self.names[other.0]);
            format!("{} dials {other} ({})", self.names[node.0], protocol_text(protocol))
        });
        let mut dial = dial;
        if let Some(dial) = dial.as_mut().filter(|_| self.nodes[node.0].hostile().is_some()) {
            // As many associations as it likes.
            dial.from = Some(self.network.hosts[node.0].draw_port());
        }
        let connected = dial.map(|dial| self.network.connect(now, node, peer, &dial));
        let Some(running) = self.running(node) else { return };
        let is_fresh = peer.is_dialed() && running.last_dialed.is_none_or(|last| last < peer);
        running.last_dialed = Some(peer);
        running.known.insert(peer, Known::Dialing);
        match connected {
            Some(Ok(())) => {}
            // One that is being set up has no name yet: it is worth another attempt.
            Some(Err(Refused::Connected(Some(there))))
                if running.known.get(&there) == Some(&Known::Up) =>
            {
                running.there.push_back((peer, there));
            }
            _ => running.failed.push_back(peer),
        }
        if !is_fresh {
            self.violate(Invariant::NamesAreUsedOnce, || format!("{peer:?}"));
        }
    }

    fn send(&mut self, node: NodeId, peers: &[Peer], message: &Message) {
        let octets: Arc<[u8]> = message.encode().into();
        let payload = Payload::Protocol(message.protocol());
        if let Message::Enrp(Enrp { body: Body::Update(update), .. }) = message {
            self.counts.suggestions += u64::from(update.takeover_suggested);
        }
        for &peer in peers {
            self.check_traffic(node);
            self.check_taken_over(node, peer, message);
            self.post(node, peer, payload, &octets, || summary(message));
        }
    }

    /// Sends octets; `text` says what they are.
    pub(super) fn post(
        &mut self,
        node: NodeId,
        peer: Peer,
        payload: Payload,
        octets: &Arc<[u8]>,
        text: impl Fn() -> String,
    ) {
        self.counts.messages += 1;
        let Some(running) = self.running(node) else { return };
        let is_known = running.known.get(&peer).copied();
        if running.just_lost.contains(&peer) {
            return;
        }
        let other = self.network.other_host(node, peer);
        self.trace.line(self.now, || {
            let other = other.map_or("?", |other| &self.names[other.0]);
            format!("{} -> {other}  {}", self.names[node.0], text())
        });
        if is_known != Some(Known::Up) {
            let name = self.names[node.0].clone();
            return self.violate(Invariant::NothingToTheDeparted, || {
                format!("{name} to {peer:?}: {}", text())
            });
        }
        if self.network.send(self.now, node, peer, payload, Arc::clone(octets)).is_err() {
            self.network.abort(self.now, node, peer);
            if let Some(running) = self.running(node) {
                running.failed.push_back(peer);
            }
        }
    }

    /// Design 9.13: after its takeover a registrar gets nothing but presences.
    fn check_taken_over(&mut self, node: NodeId, peer: Peer, message: &Message) {
        let is_presence = matches!(message, Message::Enrp(Enrp { body: Body::Presence(_), .. }));
        let other = self.network.other_host(node, peer);
        let identity = other.and_then(|other| self.identities[other.0]);
        let Some(running) = self.running(node) else { return };
        let is_up = running.known.get(&peer) == Some(&Known::Up);
        if is_up && !is_presence && identity.is_some_and(|it| running.taken_over.contains(&it)) {
            let name = self.names[node.0].clone();
            self.violate(Invariant::TakenOverAreLeftAlone, || {
                format!("{name}: {}", summary(message))
            });
        }
    }

    pub(super) fn end(&mut self, node: NodeId, peer: Peer, how: &str) {
        let other = self.network.other_host(node, peer);
        self.trace.line(self.now, || {
            let other = other.map_or("what is gone", |other| &self.names[other.0]);
            format!("{} {how} {other}", self.names[node.0])
        });
        let Some(running) = self.running(node) else { return };
        if running.known.remove(&peer).is_none() && !running.just_lost.contains(&peer) {
            let name = self.names[node.0].clone();
            self.violate(Invariant::NothingToTheDeparted, || format!("{name} {how} {peer:?}"));
        }
    }

    /// A machine sends one more message; what applications do in sessions does not count.
    pub(super) fn check_traffic(&mut self, node: NodeId) {
        let second = self.now.since_origin().as_secs();
        let (at, now, before) = self.hostile_sent;
        let (now, before) = match second - at {
            0 => (now, before),
            1 => (0, now),
            _ => (0, 0),
        };
        if self.nodes[node.0].hostile().is_some() {
            self.hostile_sent = (second, now + 1, before);
            return;
        }
        let of_crowds = MESSAGES_PER_SECOND_AND_ELEMENT_MAX * self.crowded as u64;
        let most = (MESSAGES_PER_SECOND_MAX + of_crowds) * self.bounds.traffic_scale()
            + ANSWERS_TO_STRANGERS_MAX * (now + before);
        let Some(running) = self.running(node) else { return };
        running.sent = match running.sent {
            (at, count) if at == second => (at, count + 1),
            _ => (second, 1),
        };
        if running.sent.1 == most + 1 {
            let name = self.names[node.0].clone();
            self.violate(Invariant::TrafficIsBounded, || format!("{name} sends without end"));
        }
    }

    /// What a registrar believes to be up is what its driver has.
    fn check_associations(&mut self, node: NodeId) {
        let Some(running) = &self.nodes[node.0].running else { return };
        let AnyMachine::Registrar(registrar) = &running.machine else { return };
        let up = running.known.values().filter(|known| **known == Known::Up).count();
        let believed = registrar.associations();
        if self.hostile > 0
            && let Some(size) = registrar.sizes().into_iter().find(|size| !size.is_bounded())
        {
            let (name, len, limit) = (size.name, size.len, size.limit);
            let detail = format!("{}: {len} {name} of {limit}", self.names[node.0]);
            return self.violate(Invariant::SizesAreBounded, || detail);
        }
        if up != believed {
            let detail = format!("{}: {believed} believed, {up} up", self.names[node.0]);
            self.violate(Invariant::AssociationsAreCounted, || detail);
        }
    }
}

/// A transport that a machine has learned of, as its driver dials it.
pub(super) fn dial_of(transport: &Transport, purpose: Payload) -> Option<Dial> {
    let carrier = match transport {
        Transport::Sctp(_) => Carrier::Sctp,
        Transport::Tcp { .. } => Carrier::Tcp,
        _ => return None,
    };
    let addresses = transport.addresses().to_vec();
    Some(Dial { addresses, port: transport.port()?, purpose, carrier, from: None })
}

pub(super) fn protocol_text(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Asap => "ASAP",
        Protocol::Enrp => "ENRP",
    }
}
