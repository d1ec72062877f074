//! A client of pools.

mod config;

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rserpool_proto::user as machine;
use rserpool_proto::user::{Command, Request, RequestId};
use rserpool_transport::multicast::Listener;
use rserpool_transport::{Address, Endpoints, Options, Tls};
use rserpool_wire::Protocol;
use rserpool_wire::param::{PeId, PoolHandle};
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast, oneshot};
use tokio::time::timeout;
use tracing::{debug, info};

use crate::associations::Associations;
use crate::attempts::{Attempt, Attempts};
use crate::deadline::FAR_FUTURE;
use crate::driver::{self, Requests};
use crate::log;
use crate::random::seed;
use crate::transport_options::transport_options;
use crate::{StartError, Stopped};

pub use config::Config;
pub use rserpool_proto::stats::{HuntStats, UserStats as Stats};
pub use rserpool_proto::user::{Answer, Event, Resolution, ResolveError, Source};
pub use rserpool_wire::param::PoolElement as Element;

/// A client of pools: resolves handles, through whichever registrar answers, and reports elements
/// that do not answer. Clones share one association to a registrar and one cache. Dropping the last
/// one ends it at once; [`stop`](Self::stop) and [`drain`](Self::drain) end it for all of them.
///
/// # Examples
///
/// ```
/// use rserpool::{PoolUser, UserConfig};
/// # use rserpool::{ElementConfig, PoolElement, Registrar, RegistrarConfig, Transport};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), rserpool::Error> {
/// # let registrar = Registrar::start(RegistrarConfig::new(vec!["tcp://127.0.0.1:0".parse()?]))?;
/// # let registrars = registrar.urls().to_vec();
/// # let at = Transport::tcp(([127, 0, 0, 1], 8080).into());
/// # let element = PoolElement::start(ElementConfig::new(registrars.clone(), "WebPool".parse()?, at))?;
/// # element.registered().await?;
/// let user = PoolUser::start(UserConfig::new(registrars))?;
/// let answer = user.resolve(&"WebPool".parse()?, None).await?;
/// for address in answer.socket_addrs() {
///     println!("{address}");
/// }
/// # assert_eq!(answer.socket_addrs().collect::<Vec<_>>(), [([127, 0, 0, 1], 8080).into()]);
/// user.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PoolUser {
    requests: Requests<machine::PoolUser>,
    /// The driver's: gone when it is.
    waiting: Weak<Waiting>,
    last: Arc<AtomicU64>,
    events: broadcast::Sender<Event>,
    attempts: Attempts,
    tls: Option<Tls>,
}

/// Who waits for which answer.
#[derive(Default)]
struct Waiting {
    requests: Mutex<Senders>,
    /// The last one was answered.
    emptied: Notify,
}

type Senders = HashMap<RequestId, oneshot::Sender<Result<Answer, ResolveError>>>;

/// A resolution that is under way. Dropping it gives the answer up.
pub(crate) struct Resolving(oneshot::Receiver<Result<Answer, ResolveError>>);

impl PoolUser {
    /// Starts a client, in a task of the current runtime, and returns at once.
    ///
    /// # Errors
    ///
    /// Nothing runs then.
    ///
    /// - [`StartError::NoRegistrarConfigured`].
    /// - [`StartError::Transport`]: a group cannot be listened to.
    /// - [`StartError::NoRuntime`].
    ///
    /// # Panics
    ///
    /// Where the runtime was built without IO or time, see
    /// [`enable_all`](tokio::runtime::Builder::enable_all).
    pub fn start(config: Config) -> Result<Self, StartError> {
        if config.registrars.is_empty() && config.listen.is_empty() {
            return Err(StartError::NoRegistrarConfigured);
        }
        let tls = config.tls.clone();
        let endpoints = Endpoints::new(Options { tls, ..transport_options(&config.timing) });
        Self::start_over(endpoints, config)
    }

    /// A client that dials through these endpoints.
    pub(crate) fn start_over(endpoints: Endpoints, config: Config) -> Result<Self, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let machine = machine::PoolUser::new(config.machine(), seed(config.seed));
        let Config { registrars, listen, tls, .. } = config;
        let mut associations = Associations::new(endpoints, registrars);
        for group in &listen {
            associations.listen_to(Listener::join(group)?, Protocol::Asap);
        }
        let (requests, inbox) = Requests::channel();
        let answers = Arc::new(Waiting::default());
        let waiting = Arc::downgrade(&answers);
        let (sender, _) = broadcast::channel(EVENTS_KEPT);
        let events = sender.clone();
        let on_event = move |event: Event| {
            write_log(&event);
            let (request, result) = match event {
                Event::Resolved { request, answer } => (request, Ok(answer)),
                Event::Failed { request, error } => (request, Err(error)),
                other => {
                    let _ = sender.send(other);
                    return;
                }
            };
            answers.give(request, result);
        };
        let attempts = associations.attempts();
        runtime.spawn(driver::run(machine, associations, inbox, on_event));
        Ok(Self { requests, waiting, last: Arc::default(), events, attempts, tls })
    }

    /// The elements of a pool, picked and ordered by its policy. The registrar is asked for at most
    /// `items` of them, 1 or more; where the answer comes from the cache there may be more.
    ///
    /// # Errors
    ///
    /// [`ResolveError`]: there is no such pool, no registrar answers, or it was stopped.
    ///
    /// # Cancel safety
    ///
    /// Cancelling gives the answer up.
    ///
    /// # Panics
    ///
    /// Never. It may be awaited in any runtime.
    pub async fn resolve(
        &self,
        handle: &PoolHandle,
        items: Option<u32>,
    ) -> Result<Answer, ResolveError> {
        self.resolve_cached(handle, items, None).await
    }

    /// [`resolve`](Self::resolve), where an answer may come from the cache if it is no older than
    /// `max_age`; `None` is the configured age.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve).
    ///
    /// # Cancel safety
    ///
    /// Cancelling gives the answer up.
    ///
    /// # Panics
    ///
    /// Never.
    pub async fn resolve_cached(
        &self,
        handle: &PoolHandle,
        items: Option<u32>,
        max_age: Option<Duration>,
    ) -> Result<Answer, ResolveError> {
        self.ask(handle, items, max_age).await
    }

    /// Begins a resolution, which can be waited for as often as it takes.
    pub(crate) fn ask(
        &self,
        handle: &PoolHandle,
        items: Option<u32>,
        max_age: Option<Duration>,
    ) -> Resolving {
        let id = RequestId(self.last.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        // Without a driver the sender is dropped, and that is the answer.
        if let Some(waiting) = self.waiting.upgrade() {
            waiting.add(id, sender);
        }
        let request = Request { id, handle: handle.clone(), items, max_age };
        self.requests.command(Command::Resolve(request));
        Resolving(answer)
    }

    /// Tells the registrar that an element does not answer (RFC 5352 §3.5), and forgets it.
    pub fn report_unreachable(&self, handle: &PoolHandle, id: PeId) {
        self.requests.command(Command::ReportUnreachable { handle: handle.clone(), id });
    }

    /// Keeps a pool up to date: [`events`](Self::events) has its changes, and resolutions are
    /// answered from the cache.
    pub fn subscribe(&self, handle: &PoolHandle) {
        self.requests.command(Command::Subscribe(handle.clone()));
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, handle: &PoolHandle) {
        self.requests.command(Command::Unsubscribe(handle.clone()));
    }

    /// Its keys.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The configured registrars, each with what came of the last dial to it.
    pub fn attempts(&self) -> Vec<(Address, Attempt)> {
        self.attempts.list()
    }

    /// What happens from now on, but answers. A receiver that lags loses the oldest events, beyond
    /// 256.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// What it counted since it was started.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    ///
    /// # Cancel safety
    ///
    /// Cancelling stops the waiting and nothing else.
    ///
    /// # Panics
    ///
    /// Never.
    pub async fn stats(&self) -> Result<Stats, Stopped> {
        self.requests.inspect(|user| user.stats()).await
    }

    /// Ends it for all clones, and waits until its association is closed. Requests under way fail
    /// with [`ResolveError::Stopped`]; sessions look for no further servers.
    ///
    /// # Cancel safety
    ///
    /// Cancelling stops the waiting: it ends all the same.
    ///
    /// # Panics
    ///
    /// Never.
    pub async fn stop(self) {
        self.requests.end().await;
    }

    /// Waits until all requests under way are answered, at most for `grace`, and [stops](Self::stop)
    /// it then. What clones ask meanwhile counts, too.
    ///
    /// # Cancel safety
    ///
    /// Cancelling leaves it running.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time.
    pub async fn drain(self, grace: Duration) {
        // A driver that is gone answers nothing any more.
        if let Some(waiting) = self.waiting.upgrade() {
            tokio::select! {
                _ = timeout(grace.min(FAR_FUTURE), waiting.empty()) => {}
                () = self.requests.closed() => {}
            }
        }
        self.stop().await;
    }
}

impl fmt::Debug for PoolUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = self.attempts();
        f.debug_struct("PoolUser").field("attempts", &attempts).finish_non_exhaustive()
    }
}

impl Waiting {
    fn add(&self, id: RequestId, sender: oneshot::Sender<Result<Answer, ResolveError>>) {
        self.lock().insert(id, sender);
    }

    fn give(&self, id: RequestId, answer: Result<Answer, ResolveError>) {
        let (sender, is_last) = {
            let mut requests = self.lock();
            let sender = requests.remove(&id);
            (sender, requests.is_empty())
        };
        if let Some(sender) = sender {
            // Who has given the answer up does not want it.
            let _ = sender.send(answer);
        }
        if is_last {
            self.emptied.notify_waiters();
        }
    }

    /// Waits until nobody waits.
    async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.lock().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Nobody panics while it holds this.
    fn lock(&self) -> MutexGuard<'_, Senders> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Resolving {
    type Output = Result<Answer, ResolveError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(answer.unwrap_or(Err(ResolveError::Stopped)))
    }
}

/// So many events are kept for who is slow to read them.
const EVENTS_KEPT: usize = 256;

fn write_log(event: &Event) {
    match event {
        Event::HomeFound { link } => info!(registrar = log::remote(link), "registrar found"),
        Event::HomeLost => info!("registrar lost"),
        Event::NoRegistrar => info!("no registrar can be reached"),
        other => debug!(?other, "event"),
    }
}
