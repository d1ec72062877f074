//! A client's connection to a pool, for programs without async.

use std::sync::Arc;
use std::time::Duration;

use rserpool_transport::Identity;
use rserpool_wire::param::{PoolElement, PoolHandle};
use tokio::time::timeout;

use super::{PoolUser, Runtime};
use crate::SessionError;
use crate::deadline::FAR_FUTURE;
use crate::session::{Config, Event, SendError, Stats};

/// A connection to whichever server of a pool is right; see [`crate::Session`].
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use rserpool::blocking::{PoolUser, Session};
/// use rserpool::session::Event;
/// use rserpool::{SessionConfig, UserConfig};
///
/// # fn main() -> Result<(), rserpool::Error> {
/// let user = PoolUser::start(UserConfig::new(vec!["sctp://10.0.0.1:3863".parse()?]))?;
/// let session = Session::connect(&user, "EchoPool".parse()?, SessionConfig::new())?;
/// // Where nothing was sent, the server has failed: then a failover follows.
/// let _ = session.send(b"hello");
/// while let Some(event) = session.next_within(Duration::from_secs(10))? {
///     match event {
///         Event::Received(answer) => return Ok(println!("{}", answer.escape_ascii())),
///         Event::FailedOver { .. } => drop(session.send(b"hello")),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Session {
    session: Arc<crate::Session>,
    runtime: Runtime,
}

impl Session {
    /// Connects to a server of the pool, on the thread of `user`; see [`crate::Session::connect`].
    /// The configuration bounds how long that takes.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub fn connect(
        user: &PoolUser,
        handle: PoolHandle,
        config: Config,
    ) -> Result<Self, SessionError> {
        let runtime = user.runtime.clone();
        let connected = runtime.wait(crate::Session::connect(user.user.clone(), handle, config));
        let session = Arc::new(connected.unwrap_or(Err(SessionError::Stopped))?);
        Ok(Self { session, runtime })
    }

    /// Hands octets to the server; waits while it takes less than is sent. See
    /// [`crate::Session::send`].
    ///
    /// # Errors
    ///
    /// [`SendError`]: nothing was sent.
    pub fn send(&self, octets: &[u8]) -> Result<(), SendError> {
        let (session, octets) = (Arc::clone(&self.session), octets.to_vec());
        let sent = self.runtime.wait(async move { session.send(&octets).await });
        sent.unwrap_or(Err(SendError::Ended))
    }

    /// Waits for what happens next, however long that takes; see [`crate::Session::next`].
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub fn next(&self) -> Result<Event, SessionError> {
        let session = Arc::clone(&self.session);
        let next = self.runtime.wait(async move { session.next().await });
        next.unwrap_or(Err(SessionError::Stopped))
    }

    /// Waits for what happens next, at most for so long; `None` where nothing has by then. With
    /// [`Duration::ZERO`] it only looks.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub fn next_within(&self, time: Duration) -> Result<Option<Event>, SessionError> {
        let session = Arc::clone(&self.session);
        let next =
            async move { timeout(time.min(FAR_FUTURE), session.next()).await.ok().transpose() };
        self.runtime.wait(next).unwrap_or(Err(SessionError::Stopped))
    }

    /// See [`crate::Session::server`].
    pub fn server(&self) -> Option<PoolElement> {
        self.session.server()
    }

    /// See [`crate::Session::server_identity`].
    pub fn server_identity(&self) -> Option<Identity> {
        self.session.server_identity()
    }

    /// See [`crate::Session::has_cookie`].
    pub fn has_cookie(&self) -> bool {
        self.session.has_cookie()
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        self.session.stats()
    }

    /// See [`crate::Session::force_failover`].
    pub fn force_failover(&self) {
        self.session.force_failover();
    }

    /// See [`crate::Session::switch_server`].
    pub fn switch_server(&self) {
        self.session.switch_server();
    }

    /// Ends the session after what was sent is delivered; see [`crate::Session::close`].
    pub fn close(self) -> bool {
        let Self { session, runtime } = self;
        let closed = async move {
            match Arc::into_inner(session) {
                Some(session) => session.close().await,
                // Another call still has it: the last of them ends it.
                None => false,
            }
        };
        runtime.wait(closed).unwrap_or(false)
    }
}
