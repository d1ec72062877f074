//! Hosts, and associations between them: what kernels and wires do.
//!
//! An association is modelled as SCTP and TCP have it: set up by a handshake over the links, then
//! ordered and reliable in each direction. What is lost is sent again after a timeout that doubles,
//! or sooner where what follows is reported to have arrived; a peer that lets too many timeouts pass
//! is given up. Idle associations are asked by heartbeats;
//! these are only played where there is something to find out, for they would change nothing else.
//!
//! | file | what it holds |
//! |---|---|
//! | `link` | delay, loss, cuts |
//! | `association` | the two ends and what is under way |
//! | `handshake` | from a dial to an association |
//! | `transfer` | parcels, heartbeats |
//! | `repair` | how what was lost is sent again |
//! | `ending` | closed, aborted, given up |

mod association;
mod ending;
mod handshake;
mod link;
mod repair;
mod transfer;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rserpool_proto::machine::{Carrier, Link, Peer};
use rserpool_proto::time::Time;
use rserpool_proto::timing::Timing;
use rserpool_wire::Protocol;

use crate::program::NodeId;

pub use association::Reason;
pub use link::Impairment;

pub(crate) use association::{AssocId, Side};
pub(crate) use link::Links;

use association::{Association, Parcel};

/// Who runs the transport of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stack {
    /// The kernel: it acknowledges what arrives, also while the process is frozen.
    Kernel,
    /// The process itself: while it is frozen, nobody answers.
    Process,
}

/// What a process is told by its transport.
#[derive(Clone, Debug)]
pub(crate) enum Arrival {
    Up(Peer, Link),
    /// An association for a session is up, with the host at the other end.
    Session(Peer, NodeId),
    /// More waits for the peer than it takes.
    Congested(Peer),
    /// That is over.
    Drained(Peer),
    /// With the host at the other end.
    Down(Peer, Reason, NodeId),
    Message {
        peer: Peer,
        payload: Payload,
        octets: Arc<[u8]>,
        over: (AssocId, Side),
    },
    Announce(IpAddr, Protocol, Arc<[u8]>),
}

/// What a message is, as its payload protocol identifier says; of a port, what it is there for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Payload {
    /// Of a protocol. Where a port is there for data, ASAP is the control channel beside it.
    Protocol(Protocol),
    /// What applications send each other in sessions.
    Data,
}

/// What is to happen in the network.
#[derive(Clone, Debug)]
pub(crate) enum NetworkEvent {
    /// A dialer asks, again.
    Init(AssocId),
    /// The dialer's question arrives.
    InitArrives(AssocId),
    /// The answer arrives: yes.
    InitReply(AssocId),
    /// The answer arrives: nobody is there.
    Refusal(AssocId),
    /// A side sends a parcel again that has not been acknowledged since this attempt.
    Repeat(AssocId, Side, u64, u32),
    /// A side hears that what it sent at this time with this number has arrived, and something
    /// before it has not.
    Missing(AssocId, Side, u64, Time),
    /// A parcel arrives at this side.
    Arrives(AssocId, Side, u64, Parcel),
    /// A side asks by a heartbeat whether the other one is there.
    Heartbeat(AssocId, Side),
    /// This side learns that the other one knows nothing of the association.
    Abort(AssocId, Side),
    /// A datagram arrives.
    Datagram(NodeId, IpAddr, Protocol, Arc<[u8]>),
}

/// A process as its host sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Process {
    Absent,
    Running,
    Frozen,
}

/// A machine with addresses; it runs one process.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) stack: Stack,
    pub(crate) is_on: bool,
    pub(crate) process: Process,
    /// Where the process listens, and for what.
    pub(crate) listens: Vec<(u16, Payload)>,
    /// The announces of which protocols the process hears.
    pub(crate) hears: Vec<Protocol>,
    /// The port from which it dials by SCTP where it does not listen for the same.
    pub(crate) dials_from: u16,
    /// The next port that nobody has used here.
    pub(crate) free_port: u16,
    accepted: u64,
}

impl Host {
    /// A host that is on and runs nothing yet.
    pub(crate) fn new(addresses: Vec<IpAddr>, stack: Stack) -> Self {
        Self {
            addresses,
            stack,
            is_on: true,
            process: Process::Absent,
            listens: Vec::new(),
            hears: Vec::new(),
            dials_from: 0,
            free_port: FIRST_FREE_PORT,
            accepted: 0,
        }
    }

    /// True where its transport answers.
    fn responds(&self) -> bool {
        self.is_on && (self.stack == Stack::Kernel || self.process == Process::Running)
    }

    /// A port that nobody has used yet.
    pub(crate) fn draw_port(&mut self) -> u16 {
        let port = self.free_port;
        self.free_port = self.free_port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
        port
    }

    fn accept(&mut self) -> Peer {
        self.accepted += 1;
        Peer::accepted(self.accepted)
    }
}

const FIRST_FREE_PORT: u16 = 32_768;

/// What the transports are set to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) rto_initial: Duration,
    pub(crate) rto_min: Duration,
    pub(crate) rto_max: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) retransmits_max: u32,
    pub(crate) connect_timeout: Duration,
    /// Octets that may wait for one peer.
    pub(crate) send_queue_max: usize,
    /// From so many on the process is told, and again once less than half of these are left.
    pub(crate) congested_at: usize,
    /// Octets that a kernel takes for a process that does not read.
    pub(crate) window: usize,
}

impl Settings {
    /// As the driver sets them for a timer profile.
    pub(crate) fn of(timing: &Timing) -> Self {
        Self {
            rto_initial: timing.rto_initial,
            rto_min: timing.rto_min,
            rto_max: timing.rto_max,
            heartbeat_interval: timing.heartbeat_interval,
            retransmits_max: timing.association_retransmits_max,
            connect_timeout: timing.hunt_timeout.max(Duration::from_millis(200)),
            send_queue_max: 64 << 10,
            congested_at: 16 << 10,
            window: 16 << 10,
        }
    }
}

/// Whom to dial, and how.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) port: u16,
    pub(crate) purpose: Payload,
    pub(crate) carrier: Carrier,
    /// The own port over SCTP, where it is not the usual one.
    pub(crate) from: Option<u16>,
}

/// Why something was not sent, or a dial not started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    /// More waits for this peer than may.
    Full,
    /// There is an association between these two ports already.
    Connected(Option<Peer>),
}

/// All hosts, links and associations.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) hosts: Vec<Host>,
    pub(crate) links: Links,
    pub(crate) settings: Settings,
    associations: BTreeMap<AssocId, Association>,
    dialed: u64,
    by_peer: BTreeMap<(NodeId, Peer), (AssocId, Side)>,
    /// For the world to plan.
    pub(crate) planned: Vec<(Time, NetworkEvent)>,
    /// For the world to hand to processes.
    pub(crate) arrivals: VecDeque<(NodeId, Arrival)>,
    /// Packets lost on the way.
    pub(crate) lost: u64,
}

impl Network {
    pub(crate) fn new(links: Links, settings: Settings) -> Self {
        Self {
            hosts: Vec::new(),
            links,
            settings,
            associations: BTreeMap::new(),
            dialed: 0,
            by_peer: BTreeMap::new(),
            planned: Vec::new(),
            arrivals: VecDeque::new(),
            lost: 0,
        }
    }

    /// Something planned happens now.
    pub(crate) fn happen(&mut self, now: Time, happening: NetworkEvent) {
        match happening {
            NetworkEvent::Init(id) => self.ask(now, id),
            NetworkEvent::InitArrives(id) => self.init_arrives(now, id),
            NetworkEvent::InitReply(id) => self.init_reply(now, id),
            NetworkEvent::Refusal(id) => self.give_up(now, id, Side::Dialer, Reason::Refused),
            NetworkEvent::Repeat(id, side, number, attempt) => {
                self.repeat(now, id, side, number, attempt);
            }
            NetworkEvent::Missing(id, side, number, sent) => {
                self.report_missing(now, id, side, number, sent);
            }
            NetworkEvent::Arrives(id, side, number, parcel) => {
                self.arrives(now, id, side, number, parcel);
            }
            NetworkEvent::Heartbeat(id, side) => self.heartbeat(now, id, side),
            NetworkEvent::Abort(id, side) => self.aborted(now, id, side),
            NetworkEvent::Datagram(to, from, protocol, octets) => {
                let host = &self.hosts[to.0];
                let hears = host.process != Process::Absent && host.hears.contains(&protocol);
                if host.is_on && hears {
                    self.arrivals.push_back((to, Arrival::Announce(from, protocol, octets)));
                }
            }
        }
    }

    /// Sends a datagram to all who hear announces, the sender aside.
    pub(crate) fn announce(&mut self, now: Time, from: NodeId, protocol: Protocol, octets: &[u8]) {
        let octets: Arc<[u8]> = octets.into();
        let source = self.hosts[from.0].addresses[0];
        for to in (0..self.hosts.len()).map(NodeId).filter(|to| *to != from) {
            let copies = if self.links.doubles() { 2 } else { 1 };
            for _ in 0..copies {
                match self.links.carry(from, to) {
                    Some(way) => {
                        let octets = Arc::clone(&octets);
                        let arrives = NetworkEvent::Datagram(to, source, protocol, octets);
                        self.plan(now + way, arrives);
                    }
                    None => self.lost += 1,
                }
            }
        }
    }

    /// How many associations a host has that its process has not left.
    pub(crate) fn associations_of(&self, host: NodeId) -> usize {
        self.by_peer.range((host, Peer::accepted(0))..).take_while(|(key, _)| key.0 == host).count()
    }

    /// The other host of an association that a process has.
    pub(crate) fn other_host(&self, host: NodeId, peer: Peer) -> Option<NodeId> {
        let &(id, side) = self.by_peer.get(&(host, peer))?;
        Some(self.associations.get(&id)?.end(side.other()).host)
    }

    /// Which host has this address.
    pub(crate) fn host_of(&self, address: IpAddr) -> Option<NodeId> {
        self.hosts.iter().position(|host| host.addresses.contains(&address)).map(NodeId)
    }

    /// A cut between two hosts, or a host that fell silent: who is idle finds out by heartbeats.
    pub(crate) fn suspect_all(&mut self, now: Time, concerns: impl Fn(NodeId, NodeId) -> bool) {
        let concerned = |(id, association): (&AssocId, &Association)| {
            let [a, b] = Side::BOTH.map(|side| association.end(side).host);
            concerns(a, b).then_some(*id)
        };
        let ids: Vec<AssocId> = self.associations.iter().filter_map(concerned).collect();
        for id in ids {
            self.suspect(now, id, Side::Dialer);
            self.suspect(now, id, Side::Acceptor);
        }
    }

    fn plan(&mut self, at: Time, happening: NetworkEvent) {
        self.planned.push((at, happening));
    }

    /// Sends a packet, where it gets through.
    fn send_packet(&mut self, now: Time, from: NodeId, to: NodeId, arrives: NetworkEvent) -> bool {
        let way = self.links.carry(from, to).filter(|_| !self.links.drops(now));
        match way {
            Some(way) => {
                self.plan(now + way, arrives);
                true
            }
            None => {
                self.lost += 1;
                false
            }
        }
    }
}
