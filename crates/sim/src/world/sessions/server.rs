//! The driver of an element's sessions.

use rserpool_proto::machine::Peer;
use rserpool_proto::session::server::Identity;
use rserpool_wire::Asap;
use rserpool_wire::param::{PoolElement, RegistrationLife};

use crate::invariant::Invariant;
use crate::network::Payload;
use crate::program::{NodeId, Program};
use crate::session::{Ping, Post, Service, Sessions};
use crate::world::{SERVICE_PORT, World};

/// The seconds of Unix time at which worlds begin.
const UNIX: u64 = 1_700_000_000;

impl World {
    pub(super) fn open_service(&mut self, node: NodeId) {
        let listens = (SERVICE_PORT, Payload::Data);
        if self.service_mut(node).is_some()
            && !self.network.hosts[node.0].listens.contains(&listens)
        {
            self.network.hosts[node.0].listens.push(listens);
        }
    }

    /// The server leaves its pool: it takes no more sessions, and ends those that it has.
    pub(super) fn close_service(&mut self, node: NodeId) {
        let Some(service) = self.service_mut(node) else { return };
        let peers = service.leave();
        self.network.hosts[node.0].listens.retain(|(port, _)| *port != SERVICE_PORT);
        for peer in peers {
            self.end(node, peer, "closes its session with");
            self.network.close(self.now, node, peer);
        }
    }

    pub(super) fn take_control(&mut self, node: NodeId, peer: Peer, message: Asap) {
        let (unix, Some(identity)) = (self.unix(), self.identity(node)) else { return };
        let Some(service) = self.service_mut(node) else { return };
        match service.control(unix, peer, message, &identity) {
            Ok(post) => self.post_all(node, peer, post),
            Err(why) => {
                let name = self.names[node.0].clone();
                self.violate(Invariant::CookiesAreTaken, || format!("{name}: {why:?}"));
            }
        }
    }

    pub(super) fn take_ping(&mut self, node: NodeId, peer: Peer, ping: Ping) {
        let (unix, Some(identity)) = (self.unix(), self.identity(node)) else { return };
        let Some(service) = self.service_mut(node) else { return };
        let posts = service.ping(unix, peer, ping, &identity);
        self.post_all(node, peer, posts);
    }

    pub(super) fn post_all(
        &mut self,
        node: NodeId,
        peer: Peer,
        posts: impl IntoIterator<Item = Post>,
    ) {
        for post in posts {
            match post {
                Post::Control(message) => self.post_control(node, peer, &message.into()),
                Post::Pong(pong) => {
                    let text = || format!("pong {}, sequence {}", pong.number, pong.sequence);
                    self.post(node, peer, Payload::Data, &pong.encode().into(), text);
                }
            }
        }
    }

    pub(super) fn identity(&self, node: NodeId) -> Option<Identity> {
        let Program::Element(config) = &self.nodes[node.0].program else { return None };
        Some(Identity { handle: config.handle.clone(), id: self.element(node)?.id() })
    }

    /// The other servers of a server's pool, as things are.
    pub(super) fn colleagues(&self, node: NodeId) -> Vec<PoolElement> {
        let Program::Element(own) = &self.nodes[node.0].program else { return Vec::new() };
        let is_colleague =
            |other: &NodeId| *other != node && self.membership(*other) == Some(&own.handle);
        let servers = self.nodes().filter(|other| is_colleague(other));
        servers.filter_map(|other| self.as_listed(other)).collect()
    }

    pub(super) fn service_mut(&mut self, node: NodeId) -> Option<&mut Service> {
        match &mut self.running(node)?.sessions {
            Sessions::Server(service) => Some(service),
            Sessions::None | Sessions::Client(_) => None,
        }
    }

    fn as_listed(&self, node: NodeId) -> Option<PoolElement> {
        let Program::Element(config) = &self.nodes[node.0].program else { return None };
        Some(PoolElement {
            id: self.element(node)?.id(),
            home: None,
            life: RegistrationLife::FOREVER,
            user_transport: config.user_transport.clone(),
            policy: config.policy.clone(),
            asap_transport: None,
        })
    }

    fn unix(&self) -> u64 {
        UNIX + self.now.since_origin().as_secs()
    }
}
