//! Reliable Server Pooling (RSerPool, RFC 5351 to 5356) on tokio.
//!
//! Servers join a pool under a pool handle; registrars supervise them and share one handlespace;
//! clients resolve a handle to servers that the pool's policy picks, and stay with the pool when
//! their server dies.
//!
//! | type | what it is |
//! |---|---|
//! | [`Registrar`] | keeps the handlespace, supervises elements, answers users |
//! | [`Server`], [`Service`] | a server with its sessions and their state, as a pool element |
//! | [`PoolElement`] | the membership alone, of a server that serves in its own way |
//! | [`PoolUser`] | a client: resolves handles, reports elements that do not answer |
//! | [`Session`] | a client's connection to a pool, moved to another server when its server fails |
//! | [`blocking`] | the same for programs without async |
//!
//! # Ten minutes
//!
//! A pool in one process: a registrar, two servers, and a client whose server dies. In earnest each
//! is a process of its own; `rserpool registrar` is the registrar then.
//!
//! ```
//! use rserpool::server::{self, service_fn};
//! use rserpool::session::Event;
//! use rserpool::{
//!     Address, PoolUser, Registrar, RegistrarConfig, Server, ServerConfig, Session, SessionConfig,
//!     UserConfig,
//! };
//!
//! /// Numbers the messages of a session. The number is its state: each server hands it over to the
//! /// next one, by way of the client.
//! async fn count(mut session: server::Session) {
//!     let mut number = 0_u8;
//!     while let Some(event) = session.next().await {
//!         match event {
//!             server::Event::Resumed(state) => number = state[0],
//!             server::Event::Message { ppid, .. } => {
//!                 number += 1;
//!                 // First the state, then the answer that it covers.
//!                 let Ok(()) = session.send_cookie(&[number]).await else { return };
//!                 let Ok(()) = session.send(ppid, &[number]).await else { return };
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//!
//! /// Asks, and asks again where the server has failed.
//! async fn ask(session: &Session) -> Result<u8, rserpool::Error> {
//!     // Where nothing is sent the server has failed, and a failover follows.
//!     let _ = session.send(b"next").await;
//!     loop {
//!         match session.next().await? {
//!             Event::Received(answer) => return Ok(answer[0]),
//!             Event::FailedOver { .. } => _ = session.send(b"next").await,
//!             _ => {}
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), rserpool::Error> {
//! // Port 0 is any that is free; `sctp://` where the network has SCTP, over UDP where not.
//! let anywhere: Address = "tcp://127.0.0.1:0".parse()?;
//! let registrar = Registrar::start(RegistrarConfig::new(vec![anywhere.clone()]))?;
//! let registrars = registrar.urls().to_vec();
//!
//! let mut servers = Vec::new();
//! for priority in ["priority:2", "priority:1"] {
//!     let config = ServerConfig::new(registrars.clone(), "CountPool".parse()?, anywhere.clone())
//!         .policy(priority.parse()?);
//!     let server = Server::start(config, service_fn(count))?;
//!     server.element().registered().await?;
//!     servers.push(server);
//! }
//!
//! let user = PoolUser::start(UserConfig::new(registrars))?;
//! let session = Session::connect(user, "CountPool".parse()?, SessionConfig::new()).await?;
//! assert_eq!(ask(&session).await?, 1);
//! assert_eq!(ask(&session).await?, 2);
//! // It dies: dropping says nothing to anybody.
//! drop(servers.remove(0));
//! assert_eq!(ask(&session).await?, 3);
//! # Ok(())
//! # }
//! ```
//!
//! What else there is to know: a request that is asked again may be done twice, unless the
//! application numbers its requests (`docs/sessions.md`, and the example `transfer`); clients can
//! change states, unless servers have a key ([`server::sealed_cookies`]).
//!
//! # How things begin and end
//!
//! | | begins | ends in good order | so, and what is under way gets time | at once, as a crash would |
//! |---|---|---|---|---|
//! | [`Registrar`] | `start` | `stop`: its elements are handed over | `drain` | dropping it |
//! | [`PoolElement`] | `start` | `stop`: it leaves the pool | `drain`; `deregister` alone | dropping it |
//! | [`PoolUser`] | `start` | `stop`, for all clones | `drain`: requests are answered | dropping all clones |
//! | [`Server`] | `start` | `stop`: sessions go on elsewhere | `drain`: sessions are told | dropping it |
//! | [`Session`] | `connect` | `close`: what was sent arrives | | dropping it |
//!
//! `start` needs a tokio runtime with IO and time around it, and returns at once; nothing is global,
//! and any number of registrars, elements and users live in one process. All have `stats`.
//! Everything may be used from several threads. Each `async` method says what cancelling does.
//!
//! Errors: a type for each operation, all of which become an [`Error`]; each has a stable `code()`
//! for programs and a sentence for people.
//!
//! # Versions
//!
//! Configurations, counters, events and errors are `#[non_exhaustive]`: what is new among them breaks
//! nobody. Configurations are made by `new` and setters, or by changing fields.
//!
//! The protocols themselves are in `rserpool_proto`, which has no clock and no sockets; this crate
//! gives them both, one task for each machine.

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
pub mod tls;
mod transport_options;
pub mod user;

pub use attempts::{Attempt, DownReason};
pub use element::{Config as ElementConfig, PoolElement};
pub use error::{
    DeregisterError, Error, KeysError, ReconfigureError, RegisterError, ResolveError, SessionError,
    StartError, Stopped, TransportError, TransportErrorKind,
};
pub use registrar::{Config as RegistrarConfig, Registrar};
pub use server::{Config as ServerConfig, Server, Service};
pub use session::{Config as SessionConfig, Session};
pub use transport_options::TransportLimits;
pub use user::{Config as UserConfig, PoolUser};

pub use rserpool_proto::dialect::Dialect;
pub use rserpool_proto::timing::{Profile, Timing};
pub use rserpool_transport::multicast::Group;
pub use rserpool_transport::{Address, Host, ParseError as UrlParseError, Scheme, Tls};
pub use rserpool_wire::param::{
    Cause, HandleParseError, Load, PeId, Policy, PolicyParseError, PoolHandle, RegistrarId,
    SctpTransport, Transport, TransportUse,
};
pub use rserpool_wire::registry::{CauseCode, PolicyType};

#[doc(hidden)]
pub use transport_options::transport_options;
/// What this crate is made of, for other crates of this project: no versions are promised for it.
#[doc(hidden)]
pub use {rserpool_proto as proto, rserpool_transport as transport, rserpool_wire as wire};

/// All of them may be moved to other threads, looked at from several at once, and shown.
const _: () = {
    const fn moves_and_is_shared<T: Send + Sync + std::fmt::Debug + 'static>() {}
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
