//! A client of pools.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rserpool_proto::user as machine;
use rserpool_proto::user::{Answer, Command, Event, Request, RequestId, ResolveError};
use rserpool_transport::multicast::{Group, Listener};
use rserpool_transport::{Address, Endpoints};
use rserpool_wire::Protocol;
use rserpool_wire::param::{PeId, PoolHandle};
use tokio::sync::{broadcast, oneshot};
use tracing::{debug, info};

use crate::Error;
use crate::associations::Associations;
use crate::attempts::{Attempt, Attempts};
use crate::driver::{self, Requests};
use crate::log;
use crate::node::{seed, transport_options};

/// Whom a client asks, and how.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Registrars to try. May be empty where [`listen`](Self::listen) is not.
    pub registrars: Vec<Address>,
    /// Multicast groups on which registrars announce themselves. Default: none.
    pub listen: Vec<Group>,
    /// Timers, cache, limits.
    pub user: machine::Config,
    /// Decides the order in which registrars are tried. `None`: the system's generator.
    pub seed: Option<u64>,
}

impl Config {
    /// A client of these registrars, with the default of everything else.
    pub fn new(registrars: Vec<Address>) -> Self {
        Self { registrars, ..Self::default() }
    }
}

/// A client of pools: resolves handles, through whichever registrar answers, and reports elements
/// that do not answer. Clones share one association to a registrar and one cache.
#[derive(Clone)]
pub struct PoolUser {
    requests: Requests<machine::PoolUser>,
    /// The driver's: gone when it is.
    waiting: Weak<Waiting>,
    last: Arc<AtomicU64>,
    events: broadcast::Sender<Event>,
    attempts: Attempts,
}

/// Who waits for which answer.
#[derive(Default)]
struct Waiting(Mutex<HashMap<RequestId, oneshot::Sender<Result<Answer, ResolveError>>>>);

/// A resolution that is under way. Dropping it gives the answer up.
pub(crate) struct Resolving(oneshot::Receiver<Result<Answer, ResolveError>>);

impl PoolUser {
    /// Starts a client, in a task of the current runtime, and returns at once.
    ///
    /// # Errors
    ///
    /// [`Error::NoRegistrarConfigured`], or [`Error::Transport`] where a group cannot be listened
    /// to. Nothing runs then.
    pub fn start(config: Config) -> Result<Self, Error> {
        if config.registrars.is_empty() && config.listen.is_empty() {
            return Err(Error::NoRegistrarConfigured);
        }
        let endpoints = Endpoints::new(transport_options(&config.user.timing));
        Self::start_over(endpoints, config)
    }

    /// A client that dials through these endpoints.
    pub(crate) fn start_over(endpoints: Endpoints, config: Config) -> Result<Self, Error> {
        let Config { registrars, listen, mut user, seed: given } = config;
        user.registrars = registrars.len();
        let mut associations = Associations::new(endpoints, registrars);
        for group in &listen {
            associations.listen_to(Listener::join(group)?, Protocol::Asap);
        }
        let machine = machine::PoolUser::new(user, seed(given));
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
        tokio::spawn(driver::run(machine, associations, inbox, on_event));
        Ok(Self { requests, waiting, last: Arc::default(), events, attempts })
    }

    /// The elements of a pool, picked and ordered by its policy. The registrar is asked for at most
    /// `items` of them, 1 or more; where the answer comes from the cache there may be more.
    ///
    /// # Errors
    ///
    /// - [`Error::Resolve`]: there is no such pool, or no registrar answers.
    /// - [`Error::Stopped`]: the runtime in which it was started has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancelling gives the answer up.
    pub async fn resolve(&self, handle: &PoolHandle, items: Option<u32>) -> Result<Answer, Error> {
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
    pub async fn resolve_cached(
        &self,
        handle: &PoolHandle,
        items: Option<u32>,
        max_age: Option<Duration>,
    ) -> Result<Answer, Error> {
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

    /// The configured registrars, each with what came of the last dial to it.
    pub fn attempts(&self) -> Vec<(Address, Attempt)> {
        self.attempts.list()
    }

    /// What happens from now on, but answers. Who does not keep up misses some.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

impl Waiting {
    fn add(&self, id: RequestId, sender: oneshot::Sender<Result<Answer, ResolveError>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
    }

    fn give(&self, id: RequestId, answer: Result<Answer, ResolveError>) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(sender) = sender {
            // Who has given the answer up does not want it.
            let _ = sender.send(answer);
        }
    }
}

impl Future for Resolving {
    type Output = Result<Answer, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(answer.map_err(|_| Error::Stopped)?.map_err(Error::from))
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
