//! Which association of the transport is which peer of the machine; messages out, inputs in.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::task::{Context, Poll};

use rserpool_proto::machine::{self, Carrier, Input, Link, Peer, Target};
use rserpool_transport::{
    Address, AssocId, AssocInfo, Backend, Endpoints, Error, Event, Multicast, Ppid, Remote, Scheme,
    SendError,
};
use rserpool_wire::param::Transport;
use rserpool_wire::{Message, Protocol};
use tokio::task::JoinSet;
use tracing::{debug, trace, warn};

/// The associations of one machine.
pub(crate) struct Associations {
    endpoints: Endpoints,
    multicast: Option<Multicast>,
    /// What [`Target::Configured`] counts.
    configured: Vec<Address>,
    by_assoc: HashMap<AssocId, (Peer, Protocol)>,
    by_peer: HashMap<Peer, AssocId>,
    accepted: u64,
    /// Names that are being looked up, for dials that wait for them.
    lookups: JoinSet<(Peer, Protocol, Result<Remote, Error>)>,
    /// Peers that are lost, and the machine does not know yet.
    lost: VecDeque<Peer>,
}
