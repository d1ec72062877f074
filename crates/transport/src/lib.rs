//! Message transports: the one crate that knows sockets.
//!
//! | module | what it holds | source |
//! |---|---|---|
//! | [`address`] | URLs of endpoints, `sctp://10.0.0.1,10.0.1.1:3863` | |
//! | `address_watch` | whether this host has other addresses than before |
//! | `backlog` | what waits for peers: congestion, and the sum of it | |
//! | [`endpoint`] | the [`Endpoint`] contract, its events and errors | |
//! | `endpoints` | [`Endpoints`]: all the endpoints of a node as one | |
//! | [`fuzzing`] | what must hold for whatever peers send | |
//! | [`kernel`] | SCTP of the Linux kernel | RFC 9260, RFC 6458 |
//! | `memory` | [`MemoryNetwork`]: a network inside the process, for tests | |
//! | [`probe`](mod@probe) | which back ends work here, and what to type where one does not | |
//! | [`multicast`] | announcements to a group, sent and received | RFC 5352 §3.6 |
//! | `id_hash` | [`BuildIdHasher`]: quick tables of what is named here | |
//! | `resolve` | from the names in a URL to what is dialed and bound | |
//! | [`ready`] | which of many sources have something to do | |
//! | `source_limit` | incoming associations of each source | |
//! | `sctp` | [`SctpEndpoint`]: SCTP of the kernel and in userland as one | |
//! | `source` | which own address a dial leaves from | |
//! | [`tls`] | keys, whom they make trusted, and who a peer has proved to be | RFC 8446, RFC 7250 |
//! | `tcp` | [`TcpEndpoint`]: ASAP and ENRP messages, records, or plain octets over TCP | RFC 5352 §2.1 |
//! | [`userland`] | SCTP without a kernel that has it, in UDP | RFC 9260, RFC 6951 |
//!
//! Every back end keeps message boundaries, names associations by [`AssocId`] and reports through
//! [`Event`]. One conformance suite (`tests/conformance/`) runs over all of them.

#![deny(unsafe_code)]

pub mod address;
mod address_watch;
mod backlog;
mod dual_stack;
pub mod endpoint;
mod endpoints;
pub mod fuzzing;
mod id_hash;
#[cfg(target_os = "linux")]
pub mod kernel;
mod memory;
pub mod multicast;
pub mod probe;
pub mod ready;
mod resolve;
mod sctp;
mod source;
mod source_limit;
#[allow(unsafe_code, reason = "system calls that no crate wraps; the only such place")]
mod sys;
mod tcp;
pub mod tls;
mod udp;
pub mod userland;

pub use address::{Address, Host, ParseError, Scheme};
pub use endpoint::{
    AssocId, AssocInfo, Backend, Counters, DownReason, Endpoint, Error, Event, Local, Options,
    Ppid, Remote, Rto, SendError,
};
pub use endpoints::Endpoints;
pub use id_hash::{BuildIdHasher, IdHasher};
#[cfg(target_os = "linux")]
pub use kernel::KernelEndpoint;
pub use memory::{MemoryEndpoint, MemoryNetwork};
pub use probe::{Finding, Subject, kernel_sctp_available, probe};
pub use sctp::SctpEndpoint;
pub use source_limit::Source;
pub use tcp::{Framing, TcpEndpoint};
pub use tls::{Expected, Identity, Tls};
pub use udp::UdpEndpoint;
