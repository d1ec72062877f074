//! SCTP (RFC 9260) as a state machine: several paths with failover, authenticated address changes,
//! stateless cookies, and a bound for everything that a peer can make grow. No sockets, no clock, no
//! randomness of its own, no unsafe code.
//!
//! ```text
//!   packets, ──handle(now, input)──> Endpoint ──> Association ──poll()──> packets, events
//!   commands,                        ports, tags,  RFC 9260
//!   time                             cookies
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `endpoint`, `stranger` | one port with its associations; what is answered without one |
//! | `demultiplex`, `unreachable` | which association a packet is for; packets that did not arrive |
//! | `association` | one association: what becomes of each chunk |
//! | `setup`, `cookie` | how it begins, also anew; what its peer keeps for us meanwhile |
//! | `shutdown` | how it ends |
//! | `send`, `acknowledge`, `congestion` | what is on its way, what has arrived of it, how much may be |
//! | `receive`, `reassembly`, `stream` | TSNs and SACKs; fragments; the order of messages |
//! | `path`, `deadlines` | the addresses of a peer and how well they do; timers |
//! | `asconf`, `auth` | addresses that come and go (RFC 5061); who may say so (RFC 4895) |
//! | `transmit`, `build` | which packet is sent next |
//! | `packet`, `chunk`, `parameter`, `cause`, `crc` | octets |
//! | `config`, `event` | settings; what goes in and comes out |
//!
//! # Examples
//!
//! Two endpoints that hand each other their packets:
//!
//! ```
//! use std::net::SocketAddr;
//! use std::time::Duration;
//! use rserpool_sctp::{Config, Endpoint, Event, Input, Message, Output, Way};
//!
//! let at: [SocketAddr; 2] = ["10.0.0.1:9899".parse()?, "10.0.0.2:9899".parse()?];
//! let mut ends = [1, 2].map(|seed| Endpoint::new(Config::default(), 7, vec![], [seed; 32]));
//! ends[1].listen(true);
//! let now = Duration::ZERO;
//! let id = ends[0].connect(now, &[at[1]], 7)?;
//! let mut packet = Vec::new();
//! let mut messages = 0;
//! while messages == 0 {
//!     for end in [0, 1] {
//!         while let Some(output) = ends[end].poll(&mut packet) {
//!             match output {
//!                 Output::Packet(_) => {
//!                     let way = Way { local: None, remote: at[end] };
//!                     ends[1 - end].handle(now, Input::Packet { way, octets: &packet });
//!                 }
//!                 Output::Event(_, Event::Up(up)) if up.dialed => {
//!                     let octets = "hello".into();
//!                     let message = Message { stream: 0, ppid: 11, unordered: false, octets };
//!                     ends[end].send(now, id, message)?;
//!                 }
//!                 Output::Event(_, Event::Message(message)) => {
//!                     assert_eq!(&message.octets[..], b"hello");
//!                     messages += 1;
//!                 }
//!                 Output::Event(..) => {}
//!             }
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod acknowledge;
mod asconf;
mod association;
mod auth;
mod build;
pub mod cause;
pub mod chunk;
mod config;
mod congestion;
mod cookie;
pub mod crc;
mod deadlines;
mod demultiplex;
mod endpoint;
mod event;
pub mod fuzzing;
pub mod packet;
pub mod parameter;
mod path;
mod random;
mod read;
mod reassembly;
mod receive;
mod send;
mod serial;
mod setup;
mod shutdown;
mod stranger;
mod stream;
mod transmit;
mod unreachable;

pub use config::Config;
pub use endpoint::Endpoint;
pub use event::{
    AddressChange, AssociationId, Command, ConnectError, DownReason, Event, Input, Message, Output,
    PathChange, SendError, Statistics, Step, Up, Way,
};
