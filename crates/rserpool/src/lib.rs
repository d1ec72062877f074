//! Reliable Server Pooling (RSerPool, RFC 5351 to 5356) on tokio.
//!
//! Servers join a pool under a pool handle; registrars supervise them and share one handlespace;
//! clients resolve a handle to servers that the pool's policy picks.
//!
//! | type | what it is |
//! |---|---|
//! | [`Registrar`] | keeps the handlespace, supervises elements, answers users |
//! | [`PoolElement`] | a server's membership in a pool |
//! | [`PoolUser`] | a client: resolves handles, reports elements that do not answer |
//! | [`Session`] | a client's connection to a pool, moved to another server when its server fails |
//! | [`Server`], [`Service`] | a server with its sessions and their state, as a pool element |
//!
//! The protocols themselves are in `rserpool_proto`, which has no clock and no sockets; this crate
//! gives them both, one task for each machine. Nothing here is global: any number of registrars,
//! elements and users live in one process.

#![forbid(unsafe_code)]

mod associations;
mod attempts;
mod driver;
pub mod element;
mod error;
mod inspect;
mod log;
mod node;
pub mod observer;
pub mod registrar;
pub mod server;
pub mod session;
pub mod user;

pub use attempts::Attempt;
pub use element::PoolElement;
pub use error::Error;
pub use node::{TransportLimits, session_options, transport_options};
pub use registrar::Registrar;
pub use server::{Server, Service};
pub use session::Session;
pub use user::PoolUser;

pub use rserpool_proto as proto;
pub use rserpool_transport as transport;
pub use rserpool_wire as wire;

/// The example of the README, so that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
