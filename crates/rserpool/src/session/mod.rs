//! A client's connection to a pool: moved to another server when its server fails.

mod config;
mod driver;

use std::collections::VecDeque;
use std::time::Duration;

use rserpool_proto::machine::Peer;
use rserpool_proto::session::client::{Client, Input};
use rserpool_proto::stats::SessionStats;
use rserpool_proto::time::Time;
use rserpool_transport::{
    AssocId, Endpoints, Error as TransportError, Event as TransportEvent, Options, SendError,
};
use rserpool_wire::param::{PeId, PoolElement, PoolHandle};
use tokio::time::{Instant, timeout};

use crate::node::FAR_FUTURE;
use crate::user::Resolving;
use crate::{Error, PoolUser};

pub use config::Config;
pub use rserpool_proto::session::KeepAlive;
pub use rserpool_proto::session::client::{FailureReason, Order};

/// What happens in a session.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Octets from the server: over SCTP and framed TCP a message, over UDP a datagram, over plain
    /// TCP whatever was there.
    Received(Vec<u8>),
    /// The server failed; another one is sought with the next call. Not told where the application
    /// said so itself.
    FailoverNeeded {
        /// The server that failed.
        from: PeId,
        /// How the failure showed.
        reason: FailureReason,
    },
    /// Another server has the session. What was sent and not answered is to be sent again.
    FailedOver {
        /// The server that failed.
        from: PeId,
        /// The server that has the session now; the same one where there is no other.
        to: PeId,
        /// How the failure showed.
        reason: FailureReason,
        /// The newest cookie went before, so that the server knows what the last one told in it.
        /// Without one the session begins anew.
        resumed: bool,
    },
}

/// A connection to whichever server of a pool is right, as its policy says.
///
/// Where servers have a control channel it carries the session's state: the newest cookie of a
/// server goes to the next one before anything else.
pub struct Session {
    pool: Pool,
    client: Client,
    origin: Instant,
    /// The association of the moment: dialed, or up.
    assoc: Option<(Peer, AssocId)>,
    /// What is asked of the registrars.
    resolving: Option<(u64, Resolving)>,
    /// The server of the moment; while another one is sought, the last one.
    server: Option<PoolElement>,
    /// Why this host could not dial.
    refusal: Option<TransportError>,
    /// What the application is still to be told.
    told: VecDeque<Result<Told, Error>>,
}

enum Told {
    Connected,
    Event(Event),
}

/// The pool, and what it takes to reach it.
struct Pool {
    user: PoolUser,
    handle: PoolHandle,
    config: Config,
    endpoints: Endpoints,
}

/// How long the farewell to a server may take.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

impl Session {
    /// Connects to a server of the pool.
    ///
    /// # Errors
    ///
    /// Nobody took the session within [`Config::failover_timeout`] and [`Config::dials_max`]; an
    /// unknown pool fails at once, unless [`Config::waits_for_pool`].
    ///
    /// - [`Error::NoElement`]: none that was tried accepts.
    /// - [`Error::Resolve`], [`Error::NoRegistrar`]: nobody says which elements there are.
    /// - [`Error::Transport`]: this host cannot dial what there is.
    /// - [`Error::Stopped`]: the runtime of `user` has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancelling gives the session up.
    pub async fn connect(
        user: PoolUser,
        handle: PoolHandle,
        config: Config,
    ) -> Result<Self, Error> {
        let options = Options {
            connect_timeout: config.connect_timeout.min(FAR_FUTURE),
            ..config.transport.clone()
        };
        let endpoints = Endpoints::new(options);
        Self::connect_over(Pool { user, handle, config, endpoints }).await
    }

    async fn connect_over(pool: Pool) -> Result<Self, Error> {
        let mut session = Self::new(pool);
        loop {
            if let Told::Connected = session.told().await? {
                return Ok(session);
            }
        }
    }

    fn new(pool: Pool) -> Self {
        Self {
            client: Client::new(pool.config.machine(pool.handle.clone())),
            pool,
            origin: Instant::now(),
            assoc: None,
            resolving: None,
            server: None,
            refusal: None,
            told: VecDeque::new(),
        }
    }

    /// The server of the moment; while another one is sought, the last one.
    pub fn server(&self) -> Option<&PoolElement> {
        self.server.as_ref()
    }

    /// True where the last server has handed over a state that the next one will get.
    pub fn has_cookie(&self) -> bool {
        self.client.cookie().is_some()
    }

    /// What was counted.
    pub fn stats(&self) -> SessionStats {
        self.client.stats()
    }

    /// Queues octets for the server: over SCTP as one message. They leave with the next call of
    /// [`next`](Self::next). Where the server has failed they are dropped: the failover that
    /// `next` reports says that they are to be sent again.
    ///
    /// # Errors
    ///
    /// - [`SendError::Full`]: the server takes less than is sent, and nothing of it was queued. There
    ///   is room again when [`next`](Self::next) has run for a while, be it some milliseconds.
    /// - [`SendError::TooLong`]: over [`Options::message_max`].
    pub fn send(&mut self, octets: &[u8]) -> Result<(), SendError> {
        // A failover that nobody was told of yet is one, too.
        let Some(assoc) = self.connected() else { return Ok(()) };
        // Checklist 40.
        match self.pool.endpoints.send(assoc, self.pool.config.ppid.of_data(), octets) {
            Err(SendError::Gone) => Ok(()),
            sent => sent,
        }
    }

    /// Waits for what happens next. Where the server fails, it reports it, resolves again, and
    /// connects to another one. A server that ended the session in good order is not reported, but
    /// another one comes first.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and [`Error::Resolve`] for a pool that is gone: nobody took
    /// the session in time. Calling again tries again, for as long.
    ///
    /// # Cancel safety
    ///
    /// Cancelling loses nothing and delays nothing: what is under way goes on with the next call.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Told::Event(event) = self.told().await? {
                return Ok(event);
            }
        }
    }

    /// Says that the server of the moment has failed, though its association has not: the next call
    /// of [`next`](Self::next) moves on to another one.
    pub fn fail_over(&mut self) {
        self.client.handle(self.now(), Input::FailOver);
        self.drain();
    }

    /// Wants another server, though the one of the moment has not failed: it may not have what is
    /// asked for. The next call of [`next`](Self::next) moves on; nobody is reported. Where there is
    /// no other server, the same one has the session again after a pause.
    pub fn move_on(&mut self) {
        self.client.handle(self.now(), Input::MoveOn);
        self.drain();
    }

    /// Ends the session after what was sent is delivered, as far as the server takes it in a
    /// second.
    ///
    /// # Cancel safety
    ///
    /// Cancelling ends the session at once; what was not delivered by then is lost.
    pub async fn close(mut self) {
        let Some(current) = self.connected() else { return };
        let endpoints = &mut self.pool.endpoints;
        endpoints.close(current);
        let gone = async {
            loop {
                match endpoints.next().await {
                    TransportEvent::Down { assoc, .. } if assoc == current => return,
                    _ => {}
                }
            }
        };
        let _ = timeout(FAREWELL_MAX, gone).await;
    }

    /// The association to the server of the moment.
    fn connected(&self) -> Option<AssocId> {
        let (peer, _) = self.client.server()?;
        self.assoc.filter(|(known, _)| *known == peer).map(|(_, assoc)| assoc)
    }

    fn now(&self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }
}

#[cfg(test)]
mod tests;
