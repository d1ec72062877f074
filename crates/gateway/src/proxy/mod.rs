//! A pool behind a local port, for clients that know nothing of pools.

mod config;
mod connection;
mod counters;
mod flows;
mod listener;
mod place;
mod pool;
mod proxy_protocol;
mod pump;
mod stream;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rserpool::{PoolUser, StartError};
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

pub use config::{Config, Removed, RemovedParseError};
pub use counters::{Counters, Stats};

pub use place::{Place, PlaceParseError};
pub use proxy_protocol::{ProxyProtocol, ProxyProtocolParseError};

use crate::sources::{OfSource, Sources};
use counters::Count;
use listener::Listener;
use pool::Pool;
use stream::Stream;

/// How long nothing is accepted where there are no descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// A place cannot be listened at.
    #[error("cannot listen at {at}: {source}")]
    Bind {
        /// Where.
        at: Place,
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
    listeners: Vec<Listener>,
    sockets: Vec<UdpSocket>,
    listen: Vec<Place>,
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
        let (mut listeners, mut sockets, mut listen) = (Vec::new(), Vec::new(), Vec::new());
        for place in &config.listen {
            let bound = Bound::at(place).await;
            let bound = bound.map_err(|source| ProxyError::Bind { at: place.clone(), source })?;
            listen.push(bound.1);
            match bound.0 {
                Bound::Connections(listener) => listeners.push(listener),
                Bound::Datagrams(socket) => sockets.push(socket),
            }
        }
        let user = PoolUser::start(config.user.clone())?;
        let counters = Counters::default();
        let pool = Pool::new(user.clone(), config.pool.clone(), counters.clone());
        let (config, pool) = (Arc::new(config), Arc::new(pool));
        Ok(Self { config, user, pool, listeners, sockets, listen, counters })
    }

    /// Where it listens, with the ports that the system chose.
    pub fn listen(&self) -> &[Place] {
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
        let mut accepting = JoinSet::new();
        for socket in self.sockets {
            accepting.spawn(flows::carry(socket, shared.clone()));
        }
        accepting.spawn(accept(self.listeners, shared));
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
        info!(connections = ?self.counters.stats(), "ended");
        following.abort();
        self.user.stop().await;
    }
}

/// What listens at a place.
enum Bound {
    Connections(Listener),
    Datagrams(UdpSocket),
}

impl Bound {
    /// It, and where it is, with the port that the system chose.
    async fn at(place: &Place) -> io::Result<(Self, Place)> {
        let listener = match place {
            Place::Udp(at) => {
                let socket = UdpSocket::bind(at).await?;
                let place = Place::Udp(socket.local_addr()?);
                return Ok((Self::Datagrams(socket), place));
            }
            Place::Tcp(at) => Listener::tcp(*at).await?,
            Place::Unix(path) => Listener::unix(path).await?,
        };
        let place = listener.place()?;
        Ok((Self::Connections(listener), place))
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
async fn accept(listeners: Vec<Listener>, shared: Shared) {
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
        // Processes of this host count as one source.
        let source = from.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |from| from.ip());
        let Some(of_source) = shared.sources.take(source, shared.config.most_of(source)) else {
            warn!(client = ?from, "too many connections of one source");
            shared.counters.count(Count::Refused);
            client.reset();
            continue;
        };
        tokio::spawn(carry(client, from, shared.clone(), place, of_source));
    }
}

/// The next connection, and whose turn is next.
fn next(
    listeners: &[Listener],
    turn: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(Stream, Option<SocketAddr>)>> {
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
    client: Stream,
    from: Option<SocketAddr>,
    shared: Shared,
    _place: OwnedSemaphorePermit,
    _of_source: OfSource,
) {
    let Shared { config, pool, closing, counters, .. } = shared;
    let end = connection::serve(client, from, &pool, &config, closing).await;
    counters.ended(end);
    if end == connection::End::NoServer {
        warn!(client = ?from, pool = %config.pool, "no server can be reached");
    }
}
