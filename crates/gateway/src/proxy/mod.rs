//! A pool behind a local port, for clients that know nothing of pools.

mod config;
mod connection;
mod counters;
mod pool;
mod proxy_protocol;
mod pump;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rserpool::{PoolUser, StartError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

pub use config::{Config, Removed, RemovedParseError};
pub use counters::{Counters, Stats};

pub use proxy_protocol::{ProxyProtocol, ProxyProtocolParseError};

use crate::sources::{OfSource, Sources};
use counters::Count;
use pool::Pool;

/// How long nothing is accepted where there are no descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// A place cannot be listened at.
    #[error("cannot listen at tcp://{at}: {source}")]
    Bind {
        /// Where.
        at: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The client of the pool cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A pool behind local ports.
pub struct Proxy {
    config: Arc<Config>,
    user: PoolUser,
    pool: Arc<Pool>,
    listeners: Vec<TcpListener>,
    listen: Vec<SocketAddr>,
    counters: Counters,
}

impl Proxy {
    /// Listens. Nothing is accepted before [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// [`ProxyError`].
    ///
    /// # Panics
    ///
    /// Outside of a runtime with IO and time.
    pub async fn start(mut config: Config) -> Result<Self, ProxyError> {
        config.connections_max = config.connections_max.clamp(1, Config::CONNECTIONS_LIMIT);
        let mut listeners = Vec::new();
        for &at in &config.listen {
            let bound = TcpListener::bind(at).await;
            listeners.push(bound.map_err(|source| ProxyError::Bind { at, source })?);
        }
        let listen = listeners.iter().filter_map(|it| it.local_addr().ok()).collect();
        let user = PoolUser::start(config.user.clone())?;
        let counters = Counters::default();
        let pool = Pool::new(user.clone(), config.pool.clone(), counters.clone());
        let (config, pool) = (Arc::new(config), Arc::new(pool));
        Ok(Self { config, user, pool, listeners, listen, counters })
    }

    /// Where it listens, with the ports that the system chose.
    pub fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// What becomes of connections, also while it runs.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Carries connections until `end` is ready; then for the time of [`Config::drain`] those that are
    /// there, or until `end_at_once` is.
    pub async fn run(self, end: impl Future<Output = ()>, end_at_once: impl Future<Output = ()>) {
        let following = tokio::spawn({
            let pool = Arc::clone(&self.pool);
            async move { pool.follow().await }
        });
        let (closing, is_closing) = watch::channel(false);
        let places = Arc::new(Semaphore::new(self.config.connections_max));
        let shared = Shared {
            config: Arc::clone(&self.config),
            pool: Arc::clone(&self.pool),
            places: Arc::clone(&places),
            sources: Sources::default(),
            counters: self.counters.clone(),
            closing: is_closing,
        };
        let accepting = tokio::spawn(accept(self.listeners, shared));
        end.await;
        // Nobody is accepted any more; what is there goes on in tasks of its own.
        accepting.abort();
        let _ = accepting.await;
        let all = u32::try_from(self.config.connections_max).unwrap_or(u32::MAX);
        let left = self.config.connections_max - places.available_permits();
        info!(connections = left, "no new connections");
        tokio::select! {
            _ = timeout(self.config.drain, places.acquire_many(all)) => {}
            () = end_at_once => {}
        }
        // The rest is reset: what is cut has to look cut.
        closing.send_replace(true);
        let _ = places.acquire_many(all).await;
        info!(connections = ?self.counters.stats(), "ended");
        following.abort();
        self.user.stop().await;
    }
}

/// What all connections share.
#[derive(Clone)]
struct Shared {
    config: Arc<Config>,
    pool: Arc<Pool>,
    places: Arc<Semaphore>,
    sources: Sources,
    counters: Counters,
    closing: watch::Receiver<bool>,
}

/// Accepts from all of them in turn. A connection has its place before it is accepted, and a place
/// to listen at has none.
async fn accept(listeners: Vec<TcpListener>, shared: Shared) {
    let mut turn = 0;
    loop {
        let Ok(place) = Arc::clone(&shared.places).acquire_owned().await else { return };
        let (client, from) = match poll_fn(|cx| next(&listeners, &mut turn, cx)).await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept");
                sleep(PAUSE).await;
                continue;
            }
        };
        shared.counters.count(Count::Accepted);
        let most = shared.config.most_of(from.ip());
        let Some(of_source) = shared.sources.take(from.ip(), most) else {
            warn!(client = %from, "too many connections of one source");
            shared.counters.count(Count::Refused);
            let _ = client.set_zero_linger();
            continue;
        };
        tokio::spawn(carry(client, from, shared.clone(), place, of_source));
    }
}

/// The next connection, and whose turn is next.
fn next(
    listeners: &[TcpListener],
    turn: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
    for offset in 0..listeners.len() {
        let number = (*turn + offset) % listeners.len();
        if let Poll::Ready(accepted) = listeners[number].poll_accept(cx) {
            *turn = number + 1;
            return Poll::Ready(accepted);
        }
    }
    Poll::Pending
}

async fn carry(
    client: TcpStream,
    from: SocketAddr,
    shared: Shared,
    _place: OwnedSemaphorePermit,
    _of_source: OfSource,
) {
    let Shared { config, pool, closing, counters, .. } = shared;
    let end = connection::serve(client, from, &pool, &config, closing).await;
    counters.ended(end);
    if end == connection::End::NoServer {
        warn!(client = %from, pool = %config.pool, "no server can be reached");
    }
}
