//! A pool behind a local port, for clients that know nothing of pools.

mod config;
mod connection;
mod pool;
mod pump;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rserpool::{PoolUser, StartError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

pub use config::{Config, Removed, RemovedParseError};

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
}

/// How many connections each address has.
#[derive(Clone, Default)]
struct Sources(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of an address.
struct OfSource(Sources, IpAddr);

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
        config.connections_max = config.connections_max.min(Semaphore::MAX_PERMITS);
        let mut listeners = Vec::new();
        for &at in &config.listen {
            let bound = TcpListener::bind(at).await;
            listeners.push(bound.map_err(|source| ProxyError::Bind { at, source })?);
        }
        let listen = listeners.iter().filter_map(|it| it.local_addr().ok()).collect();
        let user = PoolUser::start(config.user.clone())?;
        let pool = Arc::new(Pool::new(user.clone(), config.pool.clone()));
        Ok(Self { config: Arc::new(config), user, pool, listeners, listen })
    }

    /// Where it listens, with the ports that the system chose.
    pub fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// Carries connections until `end` is ready; then for the time of [`Config::drain`] those that are
    /// there, or until `end_at_once` is.
    pub async fn run(self, end: impl Future<Output = ()>, end_at_once: impl Future<Output = ()>) {
        let following = tokio::spawn({
            let pool = Arc::clone(&self.pool);
            async move { pool.follow().await }
        });
        let sources = Sources::default();
        let (closing, is_closing) = watch::channel(false);
        let places = Arc::new(Semaphore::new(self.config.connections_max));
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            let shared = Shared {
                config: Arc::clone(&self.config),
                pool: Arc::clone(&self.pool),
                places: Arc::clone(&places),
                sources: sources.clone(),
                closing: is_closing.clone(),
            };
            accepting.spawn(accept(listener, shared));
        }
        end.await;
        // Nobody is accepted any more; what is there goes on in tasks of its own.
        accepting.shutdown().await;
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
    closing: watch::Receiver<bool>,
}

async fn accept(listener: TcpListener, shared: Shared) {
    loop {
        let Ok(place) = Arc::clone(&shared.places).acquire_owned().await else { return };
        let (client, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept");
                sleep(PAUSE).await;
                continue;
            }
        };
        let most = shared.config.most_of(from.ip());
        let Some(of_source) = shared.sources.take(from.ip(), most) else {
            warn!(client = %from, "too many connections of one address");
            let _ = client.set_zero_linger();
            continue;
        };
        tokio::spawn(carry(client, from, shared.clone(), place, of_source));
    }
}

async fn carry(
    client: TcpStream,
    from: SocketAddr,
    shared: Shared,
    _place: OwnedSemaphorePermit,
    _of_source: OfSource,
) {
    let Shared { config, pool, closing, .. } = shared;
    if connection::serve(client, from, &pool, &config, closing).await == connection::End::NoServer {
        warn!(client = %from, pool = %config.pool, "no server can be reached");
    }
}

impl Sources {
    /// A place for a connection of this address, if it has one left.
    fn take(&self, ip: IpAddr, most: usize) -> Option<OfSource> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(ip).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(OfSource(self.clone(), ip))
    }
}

impl Drop for OfSource {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}
