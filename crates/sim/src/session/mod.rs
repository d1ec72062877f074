//! What runs sessions: a ping-pong service beside a pool element, and a client beside a pool user.
//!
//! Both are built from the real machines of [`rserpool_proto::session`]. The client numbers its
//! requests and sends those without a reply again after a failover; the service counts its replies,
//! and hands the count over in a cookie before the reply that it covers. So the count goes on
//! without gap or repeat, whatever happens to servers.

mod client;
mod pingpong;
mod server;

use std::time::Duration;

use rserpool_proto::machine::Peer;
use rserpool_proto::session::client as machine;
use rserpool_proto::time::Time;
use rserpool_wire::param::PeId;

pub(crate) use client::{Caller, Taken};
pub(crate) use pingpong::{Ping, Pong};
pub(crate) use server::{Post, Service};

/// How a client holds its session.
#[derive(Clone, Debug)]
pub struct Calling {
    /// How the session is kept.
    pub session: machine::Config,
    /// The application has its turn about so often, and sends a request.
    pub period: Duration,
    /// So many requests may be without a reply.
    pub window: u64,
    /// Without a reply for so long, the application says that the server has failed; `None`: it
    /// waits for ever.
    pub patience: Option<Duration>,
    /// How many elements a resolution asks for; `None` leaves it to the registrar.
    pub items: Option<u32>,
}

impl Calling {
    /// A session with the defaults, and a request every 10 ms.
    pub fn new(session: machine::Config) -> Self {
        let period = Duration::from_millis(10);
        Self { session, period, window: 1, patience: None, items: Some(3) }
    }
}

/// How a server makes its cookies, and what else it tells its clients.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// The pool's keys; the first seals, all of them open. Without any, cookies are plain.
    pub keys: Vec<[u8; 32]>,
    /// Sealed cookies are encrypted, too.
    pub encrypts: bool,
    /// New clients get a business card with all other servers of the pool.
    pub names_others: bool,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionProgress {
    /// The server of the moment.
    pub server: Option<PeId>,
    /// Replies that the application has got, since its process was started.
    pub replies: u64,
}

/// What a node's process does in sessions.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    Client(Box<Calling>),
    Server(Serving),
}

/// The sessions in the memory of a process.
#[derive(Debug)]
pub(crate) enum Sessions {
    None,
    Client(Box<Caller>),
    Server(Box<Service>),
}

impl Sessions {
    pub(crate) fn begin(role: Option<&Role>, seed: u64, now: Time) -> Self {
        match role {
            None => Self::None,
            Some(Role::Client(calling)) => {
                Self::Client(Box::new(Caller::new(calling.as_ref().clone(), now)))
            }
            Some(Role::Server(serving)) => {
                Self::Server(Box::new(Service::new(serving.clone(), seed)))
            }
        }
    }

    /// True for an association of a session.
    pub(crate) fn has(&self, peer: Peer) -> bool {
        match self {
            Self::None => false,
            Self::Client(caller) => caller.has(peer),
            Self::Server(service) => service.has(peer),
        }
    }

    /// When to hand in a timeout, by the clock of the process.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        match self {
            Self::Client(caller) => caller.machine.next_timeout(),
            Self::None | Self::Server(_) => None,
        }
    }
}
