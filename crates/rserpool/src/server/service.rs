//! What a server does for its users.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use rserpool_wire::param::{Load, Policy};

use super::Session;
use crate::setters::setters;

/// What an element does for its users: one call for each session. [`service_fn`] makes one of a
/// function.
pub trait Service: Send + Sync + 'static {
    /// Serves one session, from its first message to its end: returning ends it in good order,
    /// after what was sent is delivered. A panic ends it as a crash would.
    ///
    /// It runs as a task of its own. What keeps a processor busy for long belongs into
    /// [`spawn_blocking`](tokio::task::spawn_blocking).
    fn serve(self: Arc<Self>, session: Session) -> impl Future<Output = ()> + Send;

    /// What the registrar is told whenever a session begins or ends, or
    /// [`Session::load_changed`] is called. Default: the share of the sessions that there may
    /// be, as load.
    fn load_report(&self, sessions: usize, sessions_max: usize) -> LoadReport {
        LoadReport::of_sessions(sessions, sessions_max)
    }
}

/// What a pool's policy goes by, as far as the element says it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LoadReport {
    /// For policies by load.
    pub load: Load,
    /// Another value of the pool's policy, such as a measured weight; `None` leaves it.
    pub policy: Option<Policy>,
}

impl LoadReport {
    /// This load, and the policy as it is.
    pub fn new(load: Load) -> Self {
        Self { load, policy: None }
    }

    setters! {
        load: as Load;
        policy: into Option<Policy>;
    }

    /// The share of the sessions that there may be, as load.
    pub fn of_sessions(sessions: usize, sessions_max: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a load is no more precise")]
        let share = sessions as f64 / sessions_max.max(1) as f64;
        Self::new(Load::from_fraction(share.min(1.0)))
    }
}

/// A service that is a function: one call for each session. The load that it tells is the share of
/// the sessions that there may be.
///
/// # Examples
///
/// ```
/// use rserpool::server::{Event, service_fn};
/// use rserpool::{Server, ServerConfig};
/// # use rserpool::{PoolUser, Registrar, RegistrarConfig, Session, SessionConfig, UserConfig, session};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), rserpool::Error> {
/// # let registrar = Registrar::start(RegistrarConfig::new(vec!["tcp://127.0.0.1:0".parse()?]))?;
/// # let registrars = registrar.urls().to_vec();
/// let echo = service_fn(async |mut session| {
///     while let Some(event) = session.next().await {
///         let Event::Message { ppid, octets } = event else { continue };
///         let Ok(()) = session.send(ppid, &octets).await else { return };
///     }
/// });
/// let url = "tcp://127.0.0.1:0".parse()?;
/// let server = Server::start(ServerConfig::new(registrars, "EchoPool".parse()?, url), echo)?;
/// # server.element().registered().await?;
/// # let user = PoolUser::start(UserConfig::new(registrar.urls().to_vec()))?;
/// # let session = Session::connect(user, "EchoPool".parse()?, SessionConfig::default()).await?;
/// # session.send(b"hello").await?;
/// # assert_eq!(session.next().await?, session::Event::Received(b"hello".to_vec()));
/// server.stop().await;
/// # Ok(())
/// # }
/// ```
pub fn service_fn<F, R>(serve: F) -> ServiceFn<F>
where
    F: Fn(Session) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    ServiceFn(serve)
}

/// What [`service_fn`] returns.
#[derive(Clone, Copy)]
pub struct ServiceFn<F>(F);

impl<F> fmt::Debug for ServiceFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceFn").finish_non_exhaustive()
    }
}

impl<F, R> Service for ServiceFn<F>
where
    F: Fn(Session) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    fn serve(self: Arc<Self>, session: Session) -> impl Future<Output = ()> + Send {
        (self.0)(session)
    }
}
