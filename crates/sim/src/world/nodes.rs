//! Who is in a world, and whom each of them knows.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rand::RngExt;
use rserpool_proto::machine::Carrier;
use rserpool_proto::time::Time;
use rserpool_proto::{element, registrar, user};
use rserpool_wire::Protocol;
use rserpool_wire::param::{PeId, Policy, PoolHandle, SctpTransport, Transport, TransportUse};
use rserpool_wire::registry::{ASAP_PORT, ENRP_PORT};

use super::{Acquaintance, COST, SERVICE_PORT, World};
use crate::application::{Application, Asked, Asking, Membership};
use crate::crowd;
use crate::hostile;
use crate::network::{Dial, Host, Payload};
use crate::node::Node;
use crate::program::{NodeId, Program};

impl World {
    /// Adds a registrar, switched on and not started.
    pub fn add_registrar(&mut self, mut config: registrar::Config) -> NodeId {
        config.timing = config.dialect.timing(self.setup.timing);
        self.bounds.allow(&config);
        let number = self.numbered("R");
        let address = address_of(self.nodes.len());
        config.enrp = Some(SctpTransport {
            port: ENRP_PORT,
            transport_use: TransportUse::DataOnly,
            addresses: [address].into(),
        });
        if self.setup.announces {
            config.discover = true;
            config.announced = Some(vec![self.transport(address, ASAP_PORT)]);
        }
        let id = self.add(
            number,
            Program::Registrar(config),
            Application::Registrar(Membership { wanted: true }),
        );
        self.network.hosts[id.0].listens = vec![
            (ASAP_PORT, Payload::Protocol(Protocol::Asap)),
            (ENRP_PORT, Payload::Protocol(Protocol::Enrp)),
        ];
        if self.setup.announces {
            self.network.hosts[id.0].hears = vec![Protocol::Asap, Protocol::Enrp];
        }
        self.refresh_programs();
        id
    }

    /// Adds an element of a pool, switched on and not started. It knows all registrars.
    pub fn add_element(
        &mut self,
        handle: PoolHandle,
        tweak: impl FnOnce(&mut element::Config),
    ) -> NodeId {
        let number = self.numbered("E");
        let transport = self.transport(address_of(self.nodes.len()), SERVICE_PORT);
        let mut config = element::Config::new(handle, transport);
        config.timing = self.setup.timing;
        tweak(&mut config);
        let application = Application::Element(Membership { wanted: true });
        let id = self.add(number, Program::Element(config), application);
        if self.setup.announces {
            self.network.hosts[id.0].hears = vec![Protocol::Asap];
        }
        self.refresh_programs();
        id
    }

    /// Adds a user, switched on and not started. It knows all registrars.
    pub fn add_user(&mut self, asking: Asking) -> NodeId {
        let number = self.numbered("U");
        let config = user::Config { timing: self.setup.timing, ..user::Config::default() };
        let id =
            self.add(number, Program::User(config), Application::User(asking, Asked::default()));
        if self.setup.announces {
            self.network.hosts[id.0].hears = vec![Protocol::Asap];
        }
        self.refresh_programs();
        id
    }

    /// Adds very many elements of a pool that share their associations, switched on and not started.
    /// Their identifiers follow each other from `first` on. They know all registrars.
    pub fn add_crowd(
        &mut self,
        handle: PoolHandle,
        policy: Policy,
        first: PeId,
        count: u32,
    ) -> NodeId {
        self.crowded += count as usize;
        let number = self.numbered("M");
        let user_transport = self.transport(address_of(self.nodes.len()), SERVICE_PORT);
        let timing = self.setup.timing;
        let config =
            crowd::Config { handle, policy, user_transport, first, count, registrars: 0, timing };
        let id = self.add(number, Program::Crowd(config), Application::Nothing);
        self.refresh_programs();
        id
    }

    /// Adds a node that means no good to the elements of these pools, switched on and not started. It
    /// knows all registrars.
    pub fn add_hostile(
        &mut self,
        kind: hostile::Kind,
        pools: Vec<(PoolHandle, Policy, TransportUse)>,
        pause: Duration,
    ) -> NodeId {
        self.hostile += 1;
        let number = self.numbered("H");
        let transport = self.transport(address_of(self.nodes.len()), SERVICE_PORT);
        let config = hostile::Config { kind, pools, pause, registrars: 0, transport };
        let id = self.add(number, Program::Hostile(config), Application::Nothing);
        self.refresh_programs();
        id
    }

    fn add(&mut self, name: String, program: Program, application: Application) -> NodeId {
        let id = NodeId(self.nodes.len());
        let address = address_of(id.0);
        self.network.hosts.push(Host::new(vec![address], self.setup.stack));
        let error = self.setup.clock_error;
        self.names.push(name);
        self.identities.push(None);
        self.nodes.push(Node {
            program,
            targets: Vec::new(),
            application,
            role: None,
            seed: self.rng.random(),
            starts: 0,
            rate: self.rng.random_range(1_000_000 - error..=1_000_000 + error),
            cost: COST,
            steady_since: Time::ZERO,
            running: None,
        });
        id
    }

    /// Tells every program whom it can dial.
    fn refresh_programs(&mut self) {
        let is_registrar = |node: &NodeId| matches!(self.program(*node), Program::Registrar(_));
        let registrars: Vec<NodeId> = self.nodes().filter(is_registrar).collect();
        for id in self.nodes() {
            let is_registrar = registrars.contains(&id);
            let protocol = match self.nodes[id.0].hostile() {
                Some(kind) => kind.protocol(),
                None if is_registrar => Protocol::Enrp,
                None => Protocol::Asap,
            };
            let knows = |other: &NodeId| match self.setup.acquaintance {
                _ if !is_registrar => true,
                Acquaintance::All => *other != id,
                Acquaintance::Earlier => *other < id,
                Acquaintance::Nobody => false,
            };
            let others = registrars.iter().filter(|other| knows(other));
            let targets: Vec<Dial> = others.map(|other| self.dial(*other, protocol)).collect();
            let count = targets.len();
            let node = &mut self.nodes[id.0];
            node.targets = targets;
            match &mut node.program {
                Program::Registrar(config) => config.peers = count,
                Program::Element(config) => config.registrars = count,
                Program::User(config) => config.registrars = count,
                Program::Crowd(config) => config.registrars = count,
                Program::Hostile(config) => config.registrars = count,
            }
        }
    }

    fn dial(&self, registrar: NodeId, protocol: Protocol) -> Dial {
        let addresses = self.network.hosts[registrar.0].addresses.clone();
        let port = match protocol {
            Protocol::Asap => ASAP_PORT,
            Protocol::Enrp => ENRP_PORT,
        };
        let (purpose, carrier) = (Payload::Protocol(protocol), self.setup.carrier);
        Dial { addresses, port, purpose, carrier, from: None }
    }

    fn transport(&self, address: IpAddr, port: u16) -> Transport {
        let transport_use = TransportUse::DataOnly;
        match self.setup.carrier {
            Carrier::Sctp => {
                Transport::Sctp(SctpTransport { port, transport_use, addresses: [address].into() })
            }
            Carrier::Tcp => Transport::Tcp { port, transport_use, address },
        }
    }

    pub(super) fn numbered(&self, kind: &str) -> String {
        let same = self.names.iter().filter(|name| name.starts_with(kind)).count();
        format!("{kind}{}", same + 1)
    }
}

fn address_of(number: usize) -> IpAddr {
    let [.., high, low] = (number + 1).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 1, high, low))
}
