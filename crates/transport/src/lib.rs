//! Message transports: the one crate that knows sockets.
//!
//! | module | what it holds | source |
//! |---|---|---|
//! | [`address`] | URLs of endpoints, `sctp://10.0.0.1,10.0.1.1:3863` | |
//! | [`endpoint`] | the [`Endpoint`] contract, its events and errors | |
//! | `memory` | [`MemoryNetwork`]: a network inside the process, for tests | |
//! | `tcp` | [`TcpEndpoint`]: ASAP and ENRP messages, records, or plain octets over TCP | RFC 5352 §2.1 |
//! | [`userland`] | SCTP without a kernel that has it, in UDP | RFC 9260, RFC 6951 |
//!
//! Every back end keeps message boundaries, names associations by [`AssocId`] and reports through
//! [`Event`]. One conformance suite (`tests/conformance/`) runs over all of them.

pub mod address;
pub mod endpoint;
mod memory;
mod ready;
mod sys;
mod tcp;
pub mod userland;

pub use address::{Address, Host, ParseError, Scheme};
pub use endpoint::{
    AssocId, AssocInfo, Backend, Counters, DownReason, Endpoint, Error, Event, Local, Options,
    Ppid, Remote, Rto, SendError,
};
pub use memory::{MemoryEndpoint, MemoryNetwork};
pub use tcp::{Framing, TcpEndpoint};
