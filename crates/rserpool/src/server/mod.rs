//! A pool element with its service: sessions, their cookies, and the load that they make.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rserpool_transport::{Address, Endpoints, Framing, Local, Options, Scheme};
use rserpool_wire::param::{
    Load, PeId, Policy, PoolHandle, SctpTransport, Transport, TransportUse,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::element::{self, State};
use crate::node::{FAR_FUTURE, secret, session_options};
use crate::{Error, PoolElement};

mod business_card;
mod driver;
mod session;

use business_card::Neighbours;
use driver::{Command, ServerDriver};

pub use driver::Stats;
pub use rserpool_proto::session::Cookies;
pub use rserpool_proto::session::cookie::{Key, SetKeysError};
pub use session::{CookieError, Event, Gone, SendError, Session};

/// What an element does for its users: one call for each session.
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
#[derive(Clone, Debug, PartialEq)]
pub struct LoadReport {
    /// For policies by load.
    pub load: Load,
    /// Another value of the pool's policy, such as a measured weight; `None` leaves it.
    pub policy: Option<Policy>,
}

impl LoadReport {
    /// The share of the sessions that there may be, as load.
    pub fn of_sessions(sessions: usize, sessions_max: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a load is no more precise")]
        let share = sessions as f64 / sessions_max.max(1) as f64;
        Self { load: Load::from_fraction(share.min(1.0)), policy: None }
    }
}

/// Where a server listens, and what it registers.
#[derive(Debug)]
pub struct Config {
    /// Where to listen; port 0 asks the system for one.
    pub url: Address,
    /// Whether there is a control channel beside the data (RFC 5354 §3.4): over SCTP it is PPID 11;
    /// over TCP it takes our framing, each record with a PPID and a length. Without one there are
    /// no cookies and no keep-alives. All elements of a pool are alike in this.
    pub transport_use: TransportUse,
    /// Addresses to register instead of those it listens at; may be empty. The registrar has to
    /// allow it.
    pub advertise: Vec<IpAddr>,
    /// The membership; its user transport is filled in.
    pub element: element::Config,
    /// Sessions at once; more are refused. Default: 1000. Where there are as many, a session of
    /// which nothing was heard for a second makes room for one that comes.
    pub sessions_max: usize,
    /// Sessions at once of one IP address. Default: `None`, seven eighths of
    /// [`sessions_max`](Self::sessions_max), rounded up: others find some left.
    pub sessions_per_source_max: Option<usize>,
    /// How long a client may be silent at the beginning of its session, before that is ended in good
    /// order: neither data nor a message of the control channel. Default: 60 s. `None` where the
    /// service speaks and its clients only listen.
    pub first_message_timeout: Option<Duration>,
    /// How long a service may take nothing from a client that was slowed down for that, before the
    /// session is ended. Default: 60 s.
    pub stall_timeout: Duration,
    /// How long a session that was ended may take to deliver what was sent, from the last octets
    /// that its client took. Default: 5 s.
    pub close_timeout: Duration,
    /// How cookies are made and taken. Default: plain, so that users can change the state of their
    /// sessions; [`sealed_cookies`] makes others.
    pub cookies: Cookies,
    /// How many other elements a business card names; it is sent when a session begins, and when
    /// the element leaves. Default: 0, no card.
    pub card_items: u32,
}

impl Config {
    /// A member of the pool `handle` with a control channel, round robin, that listens at `url`.
    pub fn new(registrars: Vec<Address>, handle: PoolHandle, url: Address) -> Self {
        let nowhere = Transport::Udp { port: 0, address: Ipv4Addr::UNSPECIFIED.into() };
        Self {
            url,
            transport_use: TransportUse::DataPlusControl,
            advertise: Vec::new(),
            element: element::Config::new(registrars, handle, nowhere),
            sessions_max: 1000,
            sessions_per_source_max: None,
            first_message_timeout: Some(Duration::from_secs(60)),
            stall_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(5),
            cookies: Cookies::plain(),
            card_items: 0,
        }
    }
}

/// Cookies that only servers with these keys can make: the first key seals, all of them open. The
/// keys are secrets that the servers of the pool share; [`Key::parse_all`] reads them from a file.
/// [`Config::cookies`] is where they belong.
///
/// # Errors
///
/// [`Error::NoRandomness`], and [`Error::CookieKeys`] where there is no key.
///
/// # Examples
///
/// ```
/// # let text = "5a".repeat(32);
/// use rserpool::server::{Key, sealed_cookies};
///
/// let cookies = sealed_cookies(Key::parse_all(&text)?)?.encrypted();
/// assert!(cookies.is_sealing());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn sealed_cookies(keys: Vec<Key>) -> Result<Cookies, Error> {
    let mut cookies = Cookies::plain();
    cookies.seal_with(keys, secret().map_err(Error::NoRandomness)?)?;
    Ok(cookies)
}

/// A service as an element of a pool. Dropping it ends its sessions and its membership at once;
/// [`drain`](Self::drain) does it in good order.
pub struct Server {
    url: Address,
    element: Arc<PoolElement>,
    neighbours: Option<Arc<Neighbours>>,
    orders: mpsc::UnboundedSender<Command>,
    stats: watch::Receiver<Stats>,
    /// The driver; it ends with the server.
    tasks: JoinSet<()>,
}

impl Server {
    /// Opens the endpoint, starts to join the pool, and serves, in tasks of the current runtime.
    /// Returns at once; [`element`](Self::element) tells when it is in the pool.
    ///
    /// # Errors
    ///
    /// [`Error::Transport`] where the endpoint cannot be opened, [`Error::NoRandomness`], and as
    /// [`PoolElement::start`]. Nothing runs then.
    pub fn start(config: Config, service: impl Service) -> Result<Self, Error> {
        let Config {
            url, transport_use, advertise, mut element, sessions_max, mut cookies, ..
        } = config;
        if cookies.is_sealing() {
            // Whatever seed they were made with: no two servers may use the same nonces.
            cookies.reseed(secret().map_err(Error::NoRandomness)?);
        }
        let has_control =
            transport_use == TransportUse::DataPlusControl && url.scheme != Scheme::Udp;
        let framing = match (url.scheme, has_control) {
            (Scheme::Tcp, true) => Framing::Record,
            _ => Framing::Stream,
        };
        let close_timeout = config.close_timeout.min(FAR_FUTURE);
        let options = Options { close_timeout, ..session_options(&element.element.timing) };
        let is_stream = url.scheme == Scheme::Tcp && framing == Framing::Stream;
        let message_max = match url.scheme {
            Scheme::Udp => Some(options.message_max.min(DATAGRAM_MAX)),
            _ => (!is_stream).then_some(options.message_max),
        };
        let is_udp = url.scheme == Scheme::Udp;
        let mut endpoints = Endpoints::new(options);
        let local = endpoints.listen(&url, framing)?;
        if element.dial_from.is_empty() && advertise.is_empty() {
            let fixed = local.addresses.iter().filter(|address| !address.is_unspecified());
            element.dial_from = fixed.copied().collect();
        }
        element.element.user_transport = user_transport(&local, transport_use, &advertise);
        let neighbours = match config.card_items {
            0 if !is_udp => None,
            // Over UDP no element may be taken for a user.
            items => Some(Arc::new(Neighbours::start(&element, items.max(NEIGHBOURS))?)),
        };
        let handle = element.element.handle.clone();
        let element = Arc::new(PoolElement::start(element)?);
        let (orders, inbox) = mpsc::unbounded_channel();
        let (stats_sender, stats) = watch::channel(Stats::default());
        let driver = ServerDriver::new(
            driver::Setup {
                handle,
                has_control,
                message_max,
                sessions_max,
                sessions_per_source_max: config.sessions_per_source_max,
                first_message_timeout: config
                    .first_message_timeout
                    .map(|time| time.min(FAR_FUTURE)),
                stall_timeout: config.stall_timeout.min(FAR_FUTURE),
                close_timeout,
                card_items: config.card_items,
                is_udp,
                port: local.port,
                cookies,
                element: Arc::clone(&element),
                neighbours: neighbours.clone(),
                orders: orders.downgrade(),
                stats: stats_sender,
            },
            endpoints,
            Arc::new(service),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run(inbox));
        Ok(Self { url: local.url, element, neighbours, orders, stats, tasks })
    }

    /// Where it listens, with the real port.
    pub fn url(&self) -> &Address {
        &self.url
    }

    /// Its identifier in the pool; see [`PoolElement::id`].
    pub fn id(&self) -> PeId {
        self.element.id()
    }

    /// Its membership.
    pub fn element(&self) -> &PoolElement {
        &self.element
    }

    /// Where the membership stands, as it changes.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.element.watch()
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        *self.stats.borrow()
    }

    /// Replaces the keys of the cookies, as after their file has changed: the first seals from now
    /// on, all of them open. A server whose cookies were plain seals them from now on, and takes
    /// none without a seal any more. Nonces are drawn from a fresh seed of the system.
    ///
    /// # Errors
    ///
    /// The keys are as they were.
    ///
    /// - [`Error::CookieKeys`] without any key.
    /// - [`Error::NoRandomness`].
    pub fn set_keys(&self, keys: Vec<Key>) -> Result<(), Error> {
        if keys.is_empty() {
            return Err(SetKeysError::Empty.into());
        }
        let seed = secret().map_err(Error::NoRandomness)?;
        self.orders.send(Command::Keys(keys, seed)).map_err(|_| Error::Stopped)
    }

    /// Leaves in good order: out of the pool first, so that no more users come; sessions are told,
    /// and get `grace` to finish or to hand over their state; then those that are left are
    /// ended.
    ///
    /// # Errors
    ///
    /// [`Error::DeregistrationRefused`]: it is still in the pool until its association ends, which
    /// it does all the same.
    ///
    /// # Cancel safety
    ///
    /// Cancelling ends what is left at once.
    pub async fn drain(self, grace: Duration) -> Result<(), Error> {
        let refreshed = async {
            if let Some(neighbours) = &self.neighbours {
                neighbours.refresh().await;
            }
        };
        let _ = timeout(CARD_MAX, refreshed).await;
        // Users see a registrar's answer without it before they see its end.
        let farewell = timeout(FAREWELL_MAX, self.element.deregister()).await;
        let (done, drained) = oneshot::channel();
        let _ = self.orders.send(Command::Drain { done });
        if timeout(grace.min(FAR_FUTURE), drained).await.is_err() {
            let (done, closed) = oneshot::channel();
            let _ = self.orders.send(Command::CloseAll { done });
            let _ = timeout(CLOSING_MAX, closed).await;
        }
        let Self { element, mut tasks, .. } = self;
        tasks.shutdown().await;
        if let Some(element) = Arc::into_inner(element) {
            element.stop().await;
        }
        match farewell {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

/// The longest datagram (RFC 768), in octets.
const DATAGRAM_MAX: usize = 65_507;
/// How many elements of the pool are known at least, where any are.
const NEIGHBOURS: u32 = 100;
/// How long the farewell to the registrar may take.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
/// How long a last look at the pool may take.
const CARD_MAX: Duration = Duration::from_millis(300);
/// How long sessions that are ended may take to deliver what was sent.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// What is registered: where the server listens, or what the operator says.
fn user_transport(local: &Local, transport_use: TransportUse, advertise: &[IpAddr]) -> Transport {
    let addresses = if advertise.is_empty() { &local.addresses } else { advertise };
    let port = local.port;
    let address = || addresses.first().copied().unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.into());
    match local.url.scheme {
        Scheme::Tcp => Transport::Tcp { port, transport_use, address: address() },
        Scheme::Udp => Transport::Udp { port, address: address() },
        _ => {
            let addresses = addresses.into();
            Transport::Sctp(SctpTransport { port, transport_use, addresses })
        }
    }
}
