//! Message transports: the one crate that knows sockets.
//!
//! | module | what it holds | source |
//! |---|---|---|
//! | [`address`] | URLs of endpoints, `sctp://10.0.0.1,10.0.1.1:3863` | |
//! | [`endpoint`] | the [`Endpoint`] contract, its events and errors | |
//!
//! Every back end keeps message boundaries, names associations by [`AssocId`] and reports through
//! [`Event`]. One conformance suite (`tests/conformance.rs`) runs over all of them.

pub mod address;
pub mod endpoint;
mod sys;
pub mod userland;

pub use address::{Address, Host, ParseError, Scheme};
pub use endpoint::{
    AssocId, AssocInfo, Backend, Counters, DownReason, Endpoint, Error, Event, Local, Options,
    Ppid, Remote, Rto, SendError,
};
