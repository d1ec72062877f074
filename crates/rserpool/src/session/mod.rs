//! A client's connection to a pool: moved to another server when its server fails.

mod channel;
mod config;
mod driver;
mod waiting;

use std::fmt;

use rserpool_transport::{Endpoints, Identity, Options};
use rserpool_wire::param::{PeId, PoolElement, PoolHandle};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::deadline::FAR_FUTURE;
use crate::{PoolUser, SessionError};

use channel::{Channel, Notice};
use driver::Driver;

pub use channel::SendError;
pub use config::Config;
pub use rserpool_proto::session::KeepAlive;
pub use rserpool_proto::session::client::{FailureReason, NextServer};
pub use rserpool_proto::stats::SessionStats as Stats;
pub use rserpool_transport::Ppid;
pub use rserpool_wire::asap::BusinessCard;

/// What happens in a session.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Octets from the server: over SCTP and framed TCP a message, over UDP a datagram, over plain
    /// TCP whatever was there.
    Received(Vec<u8>),
    /// The server failed; another one is sought. Not told where the application said so itself.
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
        /// The newest cookie went before, so that the server knows what the last one told in it,
        /// unless it refuses the cookie for its age or for want of the key: then
        /// [`Stats::cookies_refused`] has grown when the first answer of that server comes.
        /// Without one the session begins anew.
        resumed: bool,
    },
}

/// A connection to whichever server of a pool is right, as its policy says.
///
/// Where servers have a control channel it carries the session's state: the newest cookie of a
/// server goes to the next one before anything else.
///
/// The session lives in a task of its own: what was sent leaves, the server is watched, and another
/// one is found when it fails, whether or not the application calls anything meanwhile. This is the
/// handle of that task. Its methods take `&self`, so that one task can send while another one waits
/// for what happens. Dropping it ends the session at once; [`close`](Self::close) does it in good
/// order.
///
/// # Bounds
///
/// - What the server has not taken: [`send`](Self::send) waits while more than some
///   [`Config::send_max`](field@Config::send_max) octets are under way.
/// - What the application has not taken: beyond [`Config::unread_max`](field@Config::unread_max)
///   octets nothing more is read of the server, so that TCP slows it down, and so does SCTP of the
///   kernel. Keep-alives rest until reading goes on. SCTP in userland cannot hold back a single
///   peer, and UDP nobody: a server that goes on to send is left as failed, or its datagrams are
///   dropped, beyond [`Config::unread_limit`](field@Config::unread_limit) octets.
/// - Who has a few failovers untaken gets no further ones until they are taken.
///
/// # Examples
///
/// A client that asks, and asks again where its server has failed:
///
/// ```
/// # use rserpool::{Registrar, RegistrarConfig, Server, ServerConfig, server};
/// use rserpool::session::{Event, SendError};
/// use rserpool::{PoolUser, Session, SessionConfig, UserConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), rserpool::Error> {
/// # let registrar = Registrar::start(RegistrarConfig::new(vec!["tcp://127.0.0.1:0".parse()?]))?;
/// # let registrars = registrar.urls().to_vec();
/// # let url = "tcp://127.0.0.1:0".parse()?;
/// # let config = ServerConfig::new(registrars.clone(), "EchoPool".parse()?, url);
/// # let server = Server::start(config, server::service_fn(async |mut session| {
/// #     while let Some(event) = session.next().await {
/// #         let server::Event::Message { ppid, octets } = event else { continue };
/// #         let _ = session.send(ppid, &octets).await;
/// #     }
/// # }))?;
/// # server.element().registered().await?;
/// let user = PoolUser::start(UserConfig::new(registrars))?;
/// let session = Session::connect(user, "EchoPool".parse()?, SessionConfig::new()).await?;
/// // What is said to a server that has failed is said again when another one has the session.
/// let ask = async || match session.send(b"hello").await {
///     Err(SendError::ServerLost) => Ok(()),
///     sent => sent,
/// };
/// ask().await?;
/// let answer = loop {
///     match session.next().await? {
///         Event::Received(answer) => break answer,
///         Event::FailedOver { .. } => ask().await?,
///         _ => {}
///     }
/// };
/// assert_eq!(answer, b"hello");
/// session.close().await;
/// # Ok(())
/// # }
/// ```
pub struct Session {
    channel: Channel,
    close_timeout: std::time::Duration,
    /// The task that has the session; it ends with the handle.
    task: AbortHandle,
}

/// The pool, and what it takes to reach it.
struct Pool {
    user: PoolUser,
    handle: PoolHandle,
    config: Config,
    endpoints: Endpoints,
}

impl Session {
    /// Connects to a server of the pool, in a task of the current runtime.
    ///
    /// # Errors
    ///
    /// Nobody took the session within [`Config::failover_timeout`] and [`Config::dials_max`]; an
    /// unknown pool fails at once, unless [`Config::waits_for_pool`].
    ///
    /// - [`SessionError::NoElement`]: none that was tried accepts.
    /// - [`SessionError::Resolve`]: nobody says which elements there are.
    /// - [`SessionError::CannotDial`]: this host cannot dial what there is.
    /// - [`SessionError::Stopped`]: `user` was stopped, or its runtime has ended.
    /// - [`SessionError::NoRuntime`].
    ///
    /// # Cancel safety
    ///
    /// Cancelling gives the session up.
    ///
    /// # Panics
    ///
    /// In a runtime that was built without IO or time, see
    /// [`enable_all`](tokio::runtime::Builder::enable_all).
    pub async fn connect(
        user: PoolUser,
        handle: PoolHandle,
        config: Config,
    ) -> Result<Self, SessionError> {
        let tls = user.tls().cloned();
        let endpoints = Endpoints::new(Options { tls, ..config.transport() });
        Self::connect_over(Pool { user, handle, config, endpoints }).await
    }

    async fn connect_over(pool: Pool) -> Result<Self, SessionError> {
        let runtime = Handle::try_current().map_err(|_| SessionError::NoRuntime)?;
        let close_timeout = pool.config.close_timeout.min(FAR_FUTURE);
        let (channel, ends) =
            channel::open(pool.config.transport().message_max, pool.config.room());
        let task = runtime.spawn(Driver::new(pool, ends).run()).abort_handle();
        let session = Self { channel, close_timeout, task };
        loop {
            if let Notice::Connected(_) = session.channel.next().await? {
                return Ok(session);
            }
        }
    }

    /// The server that the last event was of: while another one is sought, the last one.
    pub fn server(&self) -> Option<PoolElement> {
        self.channel.server()
    }

    /// Who that server has proved to be, over TLS: its public key, and the names in its certificate
    /// (RFC 5355 §2.9). It is one of the pool, or it would not have the session; this says which one.
    /// `None` where there is no TLS.
    pub fn server_identity(&self) -> Option<Identity> {
        self.channel.server_identity()
    }

    /// True where the last server has handed over a state that the next one will get.
    pub fn has_cookie(&self) -> bool {
        self.channel.status().has_cookie
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        self.channel.status().stats
    }

    /// Hands octets to the server, over SCTP and framed TCP as one message; waits while it takes
    /// less than is sent. They leave by themselves.
    ///
    /// That they are on their way does not say that they arrive: what was not answered when
    /// [`Event::FailedOver`] comes is to be sent again.
    ///
    /// Who waits here and takes nothing from [`next`](Self::next) meanwhile may wait for a server
    /// that waits for its answers to be taken: do both at once where there is much of both.
    ///
    /// # Errors
    ///
    /// Whatever the error is, nothing was sent.
    ///
    /// - [`SendError::ServerLost`]: the server that the application knows has failed. `next` tells
    ///   who has the session then.
    /// - [`SendError::TooLong`], [`SendError::Empty`]: it is no message of this transport.
    /// - [`SendError::Ended`]: the runtime of the session has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancelling sends nothing.
    ///
    /// # Panics
    ///
    /// Never. It may be awaited in any runtime.
    pub async fn send(&self, octets: &[u8]) -> Result<(), SendError> {
        self.channel.send(octets).await
    }

    /// Waits for what happens next. Where the server fails, the session reports it, resolves again,
    /// and connects to another one. A server that ended the session in good order is not reported,
    /// but another one comes first.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and [`SessionError::Resolve`] for a pool that is gone: nobody
    /// took the session in time. Calling again tries again, for as long. [`SessionError::NotSent`]
    /// changes nothing.
    ///
    /// # Cancel safety
    ///
    /// Cancelling loses nothing and delays nothing: what is under way goes on.
    ///
    /// # Panics
    ///
    /// Never. It may be awaited in any runtime.
    pub async fn next(&self) -> Result<Event, SessionError> {
        loop {
            match self.channel.next().await? {
                Notice::Connected(_) => {}
                Notice::Event(event) | Notice::Moved(event, _) => return Ok(event),
            }
        }
    }

    /// Says that the server has failed, though its association has not, because it answers wrongly or
    /// not at all: its association is ended at once, it is reported to the registrar as unreachable
    /// (RFC 5352 §3.5), and another one is sought. [`Event::FailedOver`] with
    /// [`FailureReason::Reported`] follows; from now until then [`send`](Self::send) fails with
    /// [`SendError::ServerLost`].
    ///
    /// Only the server that the application knows is left: where the session has left that one
    /// already, because a failure showed that [`next`](Self::next) has not told yet, nothing happens.
    pub fn force_failover(&self) {
        self.channel.leave(FailureReason::Reported);
    }

    /// Wants another server, though the one of the moment has not failed: it may not have what is
    /// asked for, or be slower than others. Nobody is reported, so that the server stays in the pool
    /// as it is. [`Event::FailedOver`] with [`FailureReason::Left`] follows, and the newest cookie
    /// goes to the next server as it does after a failure.
    ///
    /// Where there is no other server, the same one has the session again after a pause. As with
    /// [`force_failover`](Self::force_failover), only the server that the application knows is left.
    pub fn switch_server(&self) {
        self.channel.leave(FailureReason::Left);
    }

    /// Ends the session after what was sent is delivered. What still arrives is dropped. True where
    /// the server has taken all and ended the session, too, within [`Config::close_timeout`]; false
    /// where it has not, or where no server had the session.
    ///
    /// # Cancel safety
    ///
    /// Cancelling ends the session at once; what was not delivered by then is lost.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time.
    pub async fn close(self) -> bool {
        timeout(self.close_timeout, self.channel.close()).await.unwrap_or(false)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.server().map(|server| server.id);
        f.debug_struct("Session").field("server", &server).finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
