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
pub mod blocking;
mod deadline;
mod driver;
pub mod element;
mod error;
mod inspect;
mod log;
pub mod observer;
mod random;
pub mod registrar;
pub mod server;
pub mod session;
mod setters;
mod transport_options;
pub mod user;

pub use attempts::{Attempt, DownReason};
pub use element::{Config as ElementConfig, PoolElement};
pub use error::{
    DeregisterError, Error, KeysError, RegisterError, ResolveError, SessionError, StartError,
    Stopped, TransportError, TransportErrorKind,
};
pub use registrar::{Config as RegistrarConfig, Registrar};
pub use server::{Config as ServerConfig, Server, Service};
pub use session::{Config as SessionConfig, Session};
pub use transport_options::TransportLimits;
pub use user::{Config as UserConfig, PoolUser};

pub use rserpool_proto::dialect::Dialect;
pub use rserpool_proto::timing::{Profile, Timing};
pub use rserpool_transport::multicast::Group;
pub use rserpool_transport::{Address, Host, ParseError, Scheme};
pub use rserpool_wire::param::{
    Cause, Load, ParseHandleError, PeId, Policy, PoolHandle, RegistrarId, SctpTransport, Transport,
    TransportUse,
};
pub use rserpool_wire::registry::{CauseCode, PolicyType};

#[doc(hidden)]
pub use transport_options::transport_options;
/// What this crate is made of, for other crates of this project: no versions are promised for it.
#[doc(hidden)]
pub use {rserpool_proto as proto, rserpool_transport as transport, rserpool_wire as wire};

/// All of them may be moved to other threads, and looked at from several at once.
const _: () = {
    const fn moves_and_is_shared<T: Send + Sync + 'static>() {}
    moves_and_is_shared::<Registrar>();
    moves_and_is_shared::<PoolElement>();
    moves_and_is_shared::<PoolUser>();
    moves_and_is_shared::<Session>();
    moves_and_is_shared::<Server>();
    moves_and_is_shared::<server::Session>();
    moves_and_is_shared::<RegistrarConfig>();
    moves_and_is_shared::<ElementConfig>();
    moves_and_is_shared::<UserConfig>();
    moves_and_is_shared::<ServerConfig>();
    moves_and_is_shared::<SessionConfig>();
    moves_and_is_shared::<blocking::PoolUser>();
    moves_and_is_shared::<blocking::PoolElement>();
    moves_and_is_shared::<blocking::Session>();
    moves_and_is_shared::<blocking::Registrar>();
    moves_and_is_shared::<Error>();
};

/// The examples of the README, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
