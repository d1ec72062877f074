//! Connections and their limits.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{debug, warn};

use crate::access::{is_own_host, is_own_page};
use crate::body::Unread;
use crate::listen::{Endpoint, Listener, Origin};
use crate::problem::{Kind, Problem};
use crate::response::Response;
use crate::route::Request;
use crate::stalling::Stalling;

/// The most that strangers may take of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections at once; [`Limits::MOST`] where it is above. Default 64.
    pub connections_max: usize,
    /// Answers at once that go on, such as events; [`Limits::MOST`] where it is above. Default 64.
    pub streams_max: usize,
    /// Octets of a request's head; 8192 is the least. Default 8192.
    pub head_octets_max: usize,
    /// Octets of a body. Default 65 536.
    pub body_octets_max: usize,
    /// How long a head may take, and a connection say nothing. Default 5 s.
    pub head_timeout: Duration,
    /// How long a body may take. Default 5 s.
    pub body_timeout: Duration,
    /// How long the other end may take nothing of an answer. Default 30 s.
    pub stall_timeout: Duration,
}

impl Limits {
    /// The most connections, and the most streams: each connection may take some 100 kB.
    pub const MOST: usize = 65_536;

    fn within_bounds(self) -> Self {
        let (connections_max, streams_max) =
            (self.connections_max.min(Self::MOST), self.streams_max.min(Self::MOST));
        Self { connections_max, streams_max, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 64,
            streams_max: 64,
            head_octets_max: HEAD_OCTETS_MIN,
            body_octets_max: 64 << 10,
            head_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// The library reads no less at once.
const HEAD_OCTETS_MIN: usize = 8192;
/// Lines of a head.
const HEADERS_MAX: usize = 64;
/// Connections beyond the limit that are told so; more are dropped.
const TOLD_MAX: usize = 16;
/// How long that may take.
const TOLD_TIMEOUT: Duration = Duration::from_secs(2);
/// After an error of the socket: descriptors that are missing come back.
const PAUSE: Duration = Duration::from_millis(100);

/// What a server refused; counts only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Refusals {
    /// Connections, for there were too many, or too many of their source.
    pub connections: u64,
    /// Streams, for there were too many.
    pub streams: u64,
    /// Connections that broke off, or whose octets were no HTTP.
    pub broken: u64,
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// The answer to a request that came in good order.
    fn answer(
        &self,
        request: Request,
        shared: Arc<Shared>,
    ) -> impl Future<Output = Response> + Send;

    /// Hears of the answer to one that did not.
    fn refused(&self, problem: &Problem);
}

/// What all listeners of a server share.
#[derive(Debug)]
pub struct Shared {
    limits: Limits,
    /// Further names for `Host`.
    hosts: Vec<String>,
    requests: AtomicU64,
    streams: Arc<Semaphore>,
    sources: Mutex<HashMap<Source, usize>>,
    told: Arc<Semaphore>,
    refused: [AtomicU64; 3],
    stop: watch::Receiver<bool>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Source {
    User(u32),
    Address(IpAddr),
}

/// The seat of a connection.
struct Seat<'a>(&'a Shared, Source);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut sources = self.0.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&self.1);
            }
        }
    }
}

impl Shared {
    /// A server with these limits that answers to these names, too, until `stop` is true.
    pub fn new(limits: Limits, hosts: Vec<String>, stop: watch::Receiver<bool>) -> Arc<Self> {
        let limits = limits.within_bounds();
        Arc::new(Self {
            streams: Arc::new(Semaphore::new(limits.streams_max)),
            told: Arc::new(Semaphore::new(TOLD_MAX)),
            limits,
            hosts,
            requests: AtomicU64::new(0),
            sources: Mutex::default(),
            refused: Default::default(),
            stop,
        })
    }

    /// The seat of an answer that goes on.
    ///
    /// # Errors
    ///
    /// [`Kind::TOO_MANY`].
    pub fn stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            self.refused[1].fetch_add(1, Ordering::Relaxed);
            Kind::TOO_MANY.into()
        })
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.limits.streams_max - self.streams.available_permits()
    }

    /// Resolves when no stream is open. Nothing is changed where it is dropped before.
    pub async fn no_streams(&self) {
        let seats = u32::try_from(self.limits.streams_max).unwrap_or(u32::MAX);
        // All seats are free together; the semaphore is never closed.
        drop(self.streams.acquire_many(seats).await);
    }

    /// What was refused.
    pub fn refusals(&self) -> Refusals {
        let [connections, streams, broken] =
            [0, 1, 2].map(|number: usize| self.refused[number].load(Ordering::Relaxed));
        Refusals { connections, streams, broken }
    }

    /// Resolves when the server ends.
    pub async fn stopped(&self) {
        // Whoever could say so may be gone.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    /// One source leaves a quarter to others.
    fn seat(&self, origin: Origin) -> Option<Seat<'_>> {
        let source = match origin {
            Origin::Process { uid, .. } => Source::User(uid),
            Origin::Address(address) => Source::Address(network(address.ip())),
        };
        let max = self.limits.connections_max;
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = sources.values().sum();
        let own = sources.get(&source).copied().unwrap_or(0);
        if all >= max || own >= max.div_ceil(4) * 3 {
            return None;
        }
        *sources.entry(source).or_default() += 1;
        drop(sources);
        Some(Seat(self, source))
    }
}

/// One host may use all addresses of a /64 network of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into())
        }
        ip => ip,
    }
}

/// Serves what comes to a listener until the server stops.
pub async fn serve<H: Handler>(listener: Listener, handler: Arc<H>, shared: Arc<Shared>) {
    let endpoint = Arc::new(listener.endpoint().clone());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stopped() => return,
        };
        match accepted {
            Ok((stream, origin)) => {
                let (handler, shared) = (Arc::clone(&handler), Arc::clone(&shared));
                let endpoint = Arc::clone(&endpoint);
                tokio::spawn(async move {
                    connection(stream, origin, &endpoint, handler, shared).await;
                });
            }
            Err(error) => {
                warn!(%endpoint, %error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Serves one connection to its end.
pub async fn connection<H: Handler>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    origin: Origin,
    endpoint: &Endpoint,
    handler: Arc<H>,
    shared: Arc<Shared>,
) {
    let Some(seat) = shared.seat(origin) else {
        shared.refused[0].fetch_add(1, Ordering::Relaxed);
        if let Ok(_permit) = shared.told.try_acquire() {
            let problem = || Some(Problem::from(Kind::TOO_MANY));
            let told = converse(stream, origin, endpoint, &handler, &shared, problem);
            let _ = tokio::time::timeout(TOLD_TIMEOUT, told).await;
        }
        return;
    };
    converse(stream, origin, endpoint, &handler, &shared, || None).await;
    drop(seat);
}

async fn converse<H: Handler>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    origin: Origin,
    endpoint: &Endpoint,
    handler: &Arc<H>,
    shared: &Arc<Shared>,
    refusal: impl Fn() -> Option<Problem>,
) {
    let service = service_fn(async |request: hyper::Request<Incoming>| {
        let id = shared.requests.fetch_add(1, Ordering::Relaxed);
        let admitted = match refusal() {
            Some(problem) => Err(problem),
            None => admit(request, id, origin, endpoint, shared),
        };
        Ok::<_, Infallible>(match admitted {
            Ok(request) => handler.answer(request, Arc::clone(shared)).await,
            Err(problem) => {
                handler.refused(&problem);
                problem.response(id)
            }
        })
    });
    let limits = &shared.limits;
    let stream = TokioIo::new(Stalling::new(stream, limits.stall_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_octets_max.max(HEAD_OCTETS_MIN))
        .max_headers(HEADERS_MAX)
        .serve_connection(stream, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shared.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        shared.refused[2].fetch_add(1, Ordering::Relaxed);
        debug!(?origin, %error, "connection ended");
    }
}

/// Refuses what browsers can be made to send by pages of others.
fn admit(
    request: hyper::Request<Incoming>,
    id: u64,
    origin: Origin,
    endpoint: &Endpoint,
    shared: &Shared,
) -> Result<Request, Problem> {
    let (head, body) = request.into_parts();
    let method = if head.method == Method::HEAD { Method::GET } else { head.method };
    let host = text(&head.headers, &HOST);
    if let Endpoint::Http { host: bound, .. } = endpoint
        && !is_own_host(host, bound, &shared.hosts)
    {
        return Err(Problem::new(
            Kind::BAD_HOST,
            "this name is none of this server's: see hosts in its configuration",
        ));
    }
    if method != Method::GET {
        if head.headers.contains_key(ORIGIN)
            && !text(&head.headers, &ORIGIN).is_some_and(|origin| is_own_page(origin, host))
        {
            return Err(Problem::new(Kind::FORBIDDEN, "a page of another server asks for that"));
        }
        let media = text(&head.headers, &CONTENT_TYPE).unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(Kind::MEDIA, "Content-Type must be application/json"));
        }
    }
    let body = match method {
        Method::GET => Unread::none(),
        _ => Unread::new(body, shared.limits.body_octets_max, shared.limits.body_timeout),
    };
    Ok(Request {
        id,
        method,
        path: head.uri.path().into(),
        query: head.uri.query().unwrap_or_default().into(),
        headers: head.headers,
        body,
        origin,
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &hyper::header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
