//! Pools as names, for programs that look servers up in the DNS.
//!
//! A server that is authoritative for one zone, over UDP and TCP, and recursive for none.

mod answer;
mod config;
mod counters;
mod names;
mod pools;
mod rate;
mod records;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rserpool::{PoolUser, StartError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

pub use config::{Config, Order};
pub use counters::{Counters, Stats};
pub use names::{Zone, ZoneParseError};

pub(crate) use names::label;
pub(crate) use records::{Server, servers};

use crate::sources::Sources;
use answer::{Answerer, Way};
use counters::Count;
use pools::Pools;
use rate::Rates;

/// Octets of a query; what is longer is cut, and is none then.
const QUERY_OCTETS_MAX: usize = 4096;
/// Queries over UDP that are answered at once; more wait in the queue of the system.
const QUERIES_MAX: usize = 1024;
/// Connections at once, and those of one source of another host.
const CONNECTIONS_MAX: usize = 256;
const CONNECTIONS_PER_SOURCE_MAX: usize = 64;
/// How long a client over TCP may say nothing, or take nothing.
const IDLE: Duration = Duration::from_secs(10);
/// How long nothing is taken after an error of the socket.
const PAUSE: Duration = Duration::from_millis(100);
/// The most that fits into a datagram.
const DATAGRAM_OCTETS_MAX: usize = 65_507;
/// So often a port is looked for that is free over TCP and UDP.
const PORT_TRIES: u32 = 16;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DnsError {
    /// A place cannot be listened at.
    #[error("cannot listen at {at}: {source}")]
    Bind {
        /// Where.
        at: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The client of the pools cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A server for a zone in which pools have names.
pub struct Dns {
    answerer: Arc<Answerer>,
    user: PoolUser,
    sockets: Vec<(UdpSocket, TcpListener)>,
    listen: Vec<SocketAddr>,
}

impl Dns {
    /// Listens. Nothing is answered before [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// [`DnsError`].
    ///
    /// # Panics
    ///
    /// Outside of a runtime with IO and time.
    pub async fn start(config: Config) -> Result<Self, DnsError> {
        let mut sockets = Vec::new();
        for &at in &config.listen {
            sockets.push(bind(at).await.map_err(|source| DnsError::Bind { at, source })?);
        }
        let listen: Vec<SocketAddr> =
            sockets.iter().filter_map(|(udp, _)| udp.local_addr().ok()).collect();
        let user = PoolUser::start(config.user.clone())?;
        let pools = Pools::new(user.clone(), &config);
        let own = listen.iter().filter(|at| !at.ip().is_unspecified()).copied().collect();
        let counters = Counters::default();
        let answerer = Arc::new(Answerer { config, pools, own, counters });
        Ok(Self { answerer, user, sockets, listen })
    }

    /// Where it listens, with the ports that the system chose.
    pub fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// What becomes of queries, also while it runs.
    pub fn counters(&self) -> Counters {
        self.answerer.counters.clone()
    }

    /// Answers until `end` is ready.
    pub async fn run(self, end: impl Future<Output = ()>) {
        let mut tasks = JoinSet::new();
        let answerer = Arc::clone(&self.answerer);
        tasks.spawn(async move { answerer.pools.follow().await });
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let sources = Sources::default();
        for (udp, tcp) in self.sockets {
            tasks.spawn(answer_datagrams(udp, Arc::clone(&self.answerer)));
            let (answerer, places) = (Arc::clone(&self.answerer), Arc::clone(&places));
            tasks.spawn(answer_connections(tcp, answerer, places, sources.clone()));
        }
        end.await;
        tasks.shutdown().await;
        info!(queries = ?self.answerer.counters.stats(), "ended");
        self.user.stop().await;
    }
}

/// One port over both. Where the system chooses it, it chooses one that is free over TCP.
async fn bind(at: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 0;
    loop {
        let tcp = TcpListener::bind(at).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) if at.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => {
                tries += 1;
                if tries >= PORT_TRIES {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

async fn answer_datagrams(socket: UdpSocket, answerer: Arc<Answerer>) {
    let socket = Arc::new(socket);
    let places = Arc::new(Semaphore::new(QUERIES_MAX));
    let mut rates = Rates::new(answerer.config.rate_per_client, Instant::now());
    let mut octets = vec![0; QUERY_OCTETS_MAX];
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (count, from) = match socket.recv_from(&mut octets).await {
            Ok(received) => received,
            Err(error) => {
                warn!(%error, "cannot receive");
                sleep(PAUSE).await;
                continue;
            }
        };
        let is_here = from.ip().to_canonical().is_loopback();
        let most = if is_here { DATAGRAM_OCTETS_MAX } else { answerer.config.udp_octets_max };
        let way = match rates.may_have(from.ip(), Instant::now()) {
            true => Way::Udp(most),
            false => Way::Refusal,
        };
        let (query, socket) = (octets[..count].to_vec(), Arc::clone(&socket));
        let answerer = Arc::clone(&answerer);
        tokio::spawn(async move {
            if let Some(answer) = answerer.answer(&query, way).await
                && let Err(error) = socket.send_to(&answer, from).await
            {
                debug!(client = %from, %error, "cannot answer");
            }
            drop(place);
        });
    }
}

async fn answer_connections(
    listener: TcpListener,
    answerer: Arc<Answerer>,
    places: Arc<Semaphore>,
    sources: Sources,
) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept");
                sleep(PAUSE).await;
                continue;
            }
        };
        let is_here = from.ip().to_canonical().is_loopback();
        let most = if is_here { CONNECTIONS_MAX } else { CONNECTIONS_PER_SOURCE_MAX };
        let seat = (Arc::clone(&places).try_acquire_owned(), sources.take(from.ip(), most));
        let (Ok(place), Some(of_source)) = seat else {
            answerer.counters.count(Count::ConnectionsRefused);
            continue;
        };
        let answerer = Arc::clone(&answerer);
        tokio::spawn(async move {
            if let Err(error) = answer_stream(stream, &answerer).await {
                debug!(client = %from, %error, "a connection has ended");
            }
            drop((place, of_source));
        });
    }
}

/// Queries one after the other, each behind its length (RFC 1035 §4.2.2).
async fn answer_stream(mut stream: TcpStream, answerer: &Answerer) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    let mut octets = Vec::new();
    loop {
        let count = usize::from(timeout(IDLE, stream.read_u16()).await??);
        if count > QUERY_OCTETS_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        octets.resize(count, 0);
        timeout(IDLE, stream.read_exact(&mut octets)).await??;
        let Some(answer) = answerer.answer(&octets, Way::Tcp).await else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let message = [&length.to_be_bytes()[..], &answer].concat();
        timeout(IDLE, stream.write_all(&message)).await??;
    }
}
