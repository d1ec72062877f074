//! How processes work in sessions: the drivers of the session machines, and the applications.

mod client;
mod invariant;
mod server;

use std::sync::Arc;

use rserpool_proto::element;
use rserpool_proto::machine::Peer;
use rserpool_proto::session::client::{Input, Loss};
use rserpool_wire::param::{PoolHandle, Transport, TransportUse};
use rserpool_wire::{Asap, Message, Protocol};

use super::World;
use crate::application::Asking;
use crate::invariant::Invariant;
use crate::network::{Payload, Reason};
use crate::program::{MachineCommand, NodeId};
use crate::session::{Calling, Ping, Pong, Role, Serving};
use crate::trace::summary;

impl World {
    /// Adds an element of a pool that serves sessions, switched on and not started.
    pub fn add_server(
        &mut self,
        handle: PoolHandle,
        serving: Serving,
        tweak: impl FnOnce(&mut element::Config),
    ) -> NodeId {
        let node = self.add_element(handle, |config| {
            match &mut config.user_transport {
                Transport::Sctp(sctp) => sctp.transport_use = TransportUse::DataPlusControl,
                Transport::Tcp { transport_use, .. } => {
                    *transport_use = TransportUse::DataPlusControl;
                }
                _ => {}
            }
            tweak(config);
        });
        self.nodes[node.0].role = Some(Role::Server(serving));
        node
    }

    /// Adds a user that holds a session, switched on and not started.
    pub fn add_client(&mut self, calling: Calling) -> NodeId {
        let node = self.add_user(Asking::default());
        self.names[node.0] = self.numbered("C");
        self.nodes[node.0].role = Some(Role::Client(Box::new(calling)));
        node
    }

    /// A process has started.
    pub(super) fn begin_sessions(&mut self, node: NodeId) {
        let port = self.network.hosts[node.0].draw_port();
        if let Some(caller) = self.caller_mut(node) {
            caller.port = Some(port);
            self.order(node, MachineCommand::Session);
            self.plan_turn(node);
        }
    }

    /// What an order to a machine means for sessions.
    pub(super) fn heed_order(&mut self, node: NodeId, order: &MachineCommand) {
        match order {
            MachineCommand::Element(element::Command::Register) => self.open_service(node),
            MachineCommand::Element(element::Command::Deregister) => self.close_service(node),
            MachineCommand::Registrar(_)
            | MachineCommand::Element(_)
            | MachineCommand::User(_)
            | MachineCommand::Session => {}
        }
    }

    /// An association for a session is up.
    pub(super) fn session_up(&mut self, node: NodeId, peer: Peer, other: NodeId) {
        self.trace.line(self.now, || {
            let how = if peer.is_dialed() { "reaches" } else { "is reached by" };
            format!("{} {how} {} (session)", self.names[node.0], self.names[other.0])
        });
        if let Some(caller) = self.caller_mut(node) {
            let Some(name) = caller.named_by_machine(peer) else { return };
            return self.feed_session(node, Input::Up(name));
        }
        let Some(identity) = self.identity(node) else { return };
        let others = self.colleagues(node);
        let Some(service) = self.service_mut(node) else { return };
        let post = service.begin(peer, &identity, others);
        self.post_all(node, peer, post);
    }

    /// An association of a session is gone.
    pub(super) fn session_down(&mut self, node: NodeId, peer: Peer, reason: Reason) {
        if let Some(service) = self.service_mut(node) {
            return service.end(peer);
        }
        let Some(caller) = self.caller_mut(node) else { return };
        let Some((name, _)) = caller.assoc.take_if(|(_, known)| *known == peer) else { return };
        let loss = match reason {
            Reason::Closed => Loss::Closed,
            Reason::Local => Loss::System,
            Reason::Reset | Reason::Refused | Reason::Timeout | Reason::Restarted => Loss::Lost,
        };
        self.feed_session(node, Input::Down(name, loss));
    }

    /// A message has come over the association of a session.
    pub(super) fn session_message(
        &mut self,
        node: NodeId,
        peer: Peer,
        payload: Payload,
        octets: &[u8],
    ) {
        let read = match payload {
            Payload::Data if self.caller_mut(node).is_some() => {
                Pong::decode(octets).map(|pong| self.take_pong(node, peer, pong))
            }
            Payload::Data => Ping::decode(octets).map(|ping| self.take_ping(node, peer, ping)),
            Payload::Protocol(protocol) => {
                read_control(protocol, octets).map(|message| match self.caller_mut(node) {
                    Some(_) => self.hear_control(node, peer, message),
                    None => self.take_control(node, peer, message),
                })
            }
        };
        if read.is_none() {
            let name = self.names[node.0].clone();
            self.violate(Invariant::MessagesAreLegible, || format!("{name} cannot read it"));
        }
    }

    fn post_control(&mut self, node: NodeId, peer: Peer, message: &Message) {
        let octets: Arc<[u8]> = message.encode().into();
        let payload = Payload::Protocol(message.protocol());
        self.post(node, peer, payload, &octets, || summary(message));
    }
}

fn read_control(protocol: Protocol, octets: &[u8]) -> Option<Asap> {
    match Message::decode(protocol, octets).ok()?.message {
        Message::Asap(message) => Some(message),
        Message::Enrp(_) => None,
    }
}
