//! A client of pools.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
use crate::driver::{self, Requests};
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
    waiting: Waiting,
    last: Arc<AtomicU64>,
    events: broadcast::Sender<Event>,
}

type Waiting = Arc<Mutex<HashMap<RequestId, oneshot::Sender<Result<Answer, ResolveError>>>>>;

impl PoolUser {
    /// Starts a client, in a task of the current runtime, and returns at once.
    ///
    /// # Errors
    ///
    /// [`Error::NoRegistrarConfigured`], or [`Error::Transport`] where a group cannot be listened
    /// to. Nothing runs then.
    pub fn start(config: Config) -> Result<Self, Error> {
        let Config { registrars, listen, mut user, seed: given } = config;
        if registrars.is_empty() && listen.is_empty() {
            return Err(Error::NoRegistrarConfigured);
        }
        user.registrars = registrars.len();
        let endpoints = Endpoints::new(transport_options(&user.timing));
        let mut associations = Associations::new(endpoints, registrars);
        for group in &listen {
            associations.listen_to(Listener::join(group)?, Protocol::Asap);
        }
        let machine = machine::PoolUser::new(user, seed(given));
        let (requests, inbox) = Requests::channel();
        let waiting = Waiting::default();
        let (sender, _) = broadcast::channel(EVENTS_KEPT);
        let events = sender.clone();
        let answers = Arc::clone(&waiting);
        let on_event = move |event: Event| {
            log(&event);
            let (request, result) = match event {
                Event::Resolved { request, answer } => (request, Ok(answer)),
                Event::Failed { request, error } => (request, Err(error)),
                other => {
                    let _ = sender.send(other);
                    return;
                }
            };
            let waiting = answers.lock().unwrap_or_else(PoisonError::into_inner).remove(&request);
            if let Some(waiting) = waiting {
                let _ = waiting.send(result);
            }
        };
        tokio::spawn(driver::run(machine, associations, inbox, on_event));
        Ok(Self { requests, waiting, last: Arc::default(), events })
    }

    /// The elements of a pool, picked and ordered by its policy; at most `items`, where given.
    ///
    /// # Errors
    ///
    /// [`Error::Resolve`]: there is no such pool, or no registrar answers.
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
    pub async fn resolve_cached(
        &self,
        handle: &PoolHandle,
        items: Option<u32>,
        max_age: Option<Duration>,
    ) -> Result<Answer, Error> {
        let id = RequestId(self.last.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let request = Request { id, handle: handle.clone(), items, max_age };
        self.requests.command(Command::Resolve(request));
        let answer = answer.await.map_err(|_| Error::Stopped)?;
        Ok(answer?)
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

    /// What happens from now on, but answers. Who does not keep up misses some.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

/// So many events are kept for who is slow to read them.
const EVENTS_KEPT: usize = 256;

fn log(event: &Event) {
    match event {
        Event::HomeFound { link } => info!(?link, "registrar found"),
        Event::HomeLost => info!("registrar lost"),
        Event::NoRegistrar => info!("no registrar can be reached"),
        other => debug!(?other, "event"),
    }
}
