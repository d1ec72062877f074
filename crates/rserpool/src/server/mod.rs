//! A pool element with its service: sessions, their cookies, and the load that they make.

mod business_card;
mod channel;
mod config;
mod driver;
mod error;
mod service;
mod session;
mod stats;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rserpool_transport::{Address, Endpoints, Framing, Local, Options, Scheme};
use rserpool_wire::param::{PeId, SctpTransport, Transport, TransportUse};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::deadline::FAR_FUTURE;
use crate::element::{FAREWELL_MAX, State};
use crate::random::{NoRandomness, secret};
use crate::transport_options::transport_options;
use crate::{DeregisterError, KeysError, PoolElement, StartError};

use business_card::Neighbours;
use channel::{Command, Sizes};
use driver::ServerDriver;

pub use config::{Config, sealed_cookies};
pub use error::{CookieError, Gone, SendError};
pub use rserpool_proto::session::Cookies;
pub use rserpool_proto::session::cookie::{Key, KeyError};
pub use rserpool_transport::{Backend, Ppid};
pub use rserpool_wire::asap::BusinessCard;
pub use service::{LoadReport, Service, ServiceFn, service_fn};
pub use session::{Event, Session};
pub use stats::Stats;

/// A service as an element of a pool. Dropping it ends its sessions and its membership at once;
/// [`drain`](Self::drain) and [`stop`](Self::stop) do it in good order.
///
/// # Examples
///
/// A service that counts the messages of each session, whichever servers have it:
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use rserpool::server::{Event, Session};
/// use rserpool::{Server, ServerConfig, Service};
/// # use rserpool::{Registrar, RegistrarConfig};
///
/// struct Counter;
///
/// impl Service for Counter {
///     async fn serve(self: Arc<Self>, mut session: Session) {
///         let mut count: u64 = 0;
///         while let Some(event) = session.next().await {
///             match event {
///                 // What the session's former server has sent as its last cookie.
///                 Event::Resumed(state) => count = state.try_into().map_or(0, u64::from_be_bytes),
///                 Event::Message { ppid, .. } => {
///                     count += 1;
///                     let Ok(()) = session.send_cookie(&count.to_be_bytes()).await else { return };
///                     let Ok(()) = session.send(ppid, &count.to_be_bytes()).await else { return };
///                 }
///                 // The next server goes on from the last cookie.
///                 Event::Draining => return,
///                 _ => {}
///             }
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), rserpool::Error> {
/// # let registrar = Registrar::start(RegistrarConfig::new(vec!["tcp://127.0.0.1:0".parse()?]))?;
/// # let registrars = registrar.urls().to_vec();
/// let config = ServerConfig::new(registrars, "CounterPool".parse()?, "tcp://127.0.0.1:0".parse()?);
/// let server = Server::start(config, Counter)?;
/// server.element().registered().await?;
/// // … until it is time to go:
/// server.drain(Duration::from_secs(2)).await?;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    url: Address,
    element: Arc<PoolElement>,
    neighbours: Option<Arc<Neighbours>>,
    commands: mpsc::UnboundedSender<Command>,
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
    /// Nothing runs then.
    ///
    /// - [`StartError::Transport`]: the endpoint cannot be opened.
    /// - [`StartError::PlainWithKeys`]: it has keys, and would not use them at its URL.
    /// - [`StartError::NoRandomness`].
    /// - Those of [`PoolElement::start`].
    ///
    /// # Panics
    ///
    /// Where the runtime was built without IO or time, see
    /// [`enable_all`](tokio::runtime::Builder::enable_all).
    pub fn start(mut config: Config, service: impl Service) -> Result<Self, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        if config.cookies.is_sealing() {
            // Whatever seed they were made with: no two servers may use the same nonces.
            let seed = secret().map_err(|NoRandomness| StartError::NoRandomness)?;
            config.cookies.reseed(seed);
        }
        if config.tls.is_some() && config.url.scheme != Scheme::Tls {
            return Err(StartError::PlainWithKeys(config.url));
        }
        let is_udp = config.url.scheme == Scheme::Udp;
        let has_control = config.transport_use == TransportUse::DataPlusControl && !is_udp;
        let (endpoints, local, message_max) = open(&config, has_control)?;
        if config.dial_from.is_empty() && config.advertise.is_empty() {
            let fixed = local.addresses.iter().filter(|address| !address.is_unspecified());
            config.dial_from = fixed.copied().collect();
        }
        let transport = user_transport(&local, config.transport_use, &config.advertise);
        let membership = config.element(transport);
        let neighbours = match config.card_items {
            0 if !is_udp => None,
            // Over UDP no element may be taken for a user.
            items => Some(Arc::new(Neighbours::start(&membership, items.max(NEIGHBOURS))?)),
        };
        let element = Arc::new(PoolElement::start(membership)?);
        let (commands, inbox) = mpsc::unbounded_channel();
        let (stats_sender, stats) = watch::channel(Stats::default());
        let setup = driver::Setup {
            has_control,
            message_max,
            sizes: Sizes::of(&config),
            is_udp,
            port: local.port,
            element: Arc::clone(&element),
            neighbours: neighbours.clone(),
            commands: commands.downgrade(),
            stats: stats_sender,
            handle: config.handle,
            sessions_max: config.sessions_max,
            sessions_per_source_max: config.sessions_per_source_max,
            first_message_timeout: config.first_message_timeout.map(|time| time.min(FAR_FUTURE)),
            stall_timeout: config.stall_timeout.min(FAR_FUTURE),
            close_timeout: config.close_timeout.min(FAR_FUTURE),
            card_items: config.card_items,
            cookies: config.cookies,
        };
        let driver = ServerDriver::new(setup, endpoints, Arc::new(service));
        let mut tasks = JoinSet::new();
        tasks.spawn_on(driver.run(inbox), &runtime);
        Ok(Self { url: local.url, element, neighbours, commands, stats, tasks })
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
    /// - [`KeysError::Empty`] without any key.
    /// - [`KeysError::NoRandomness`].
    /// - [`KeysError::Stopped`]: the runtime in which it was started has ended.
    pub fn set_keys(&self, keys: Vec<Key>) -> Result<(), KeysError> {
        if keys.is_empty() {
            return Err(KeysError::Empty);
        }
        let seed = secret().map_err(|NoRandomness| KeysError::NoRandomness)?;
        self.commands.send(Command::Keys(keys, seed)).map_err(|_| KeysError::Stopped)
    }

    /// Leaves in good order: out of the pool first, so that no more users come; sessions are told,
    /// and get `grace` to finish or to hand over their state; then those that are left are
    /// ended. Nothing of it runs any more when it returns.
    ///
    /// # Errors
    ///
    /// [`DeregisterError::Refused`]: it was in the pool until its association ended, which it has
    /// all the same.
    ///
    /// # Cancel safety
    ///
    /// Cancelling ends what is left at once.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time.
    pub async fn drain(self, grace: Duration) -> Result<(), DeregisterError> {
        let refreshed = async {
            if let Some(neighbours) = &self.neighbours {
                neighbours.refresh().await;
            }
        };
        let _ = timeout(CARD_MAX, refreshed).await;
        // Users see a registrar's answer without it before they see its end.
        let farewell = timeout(FAREWELL_MAX, self.element.deregister()).await;
        let (done, drained) = oneshot::channel();
        let _ = self.commands.send(Command::Drain { done });
        if timeout(grace.min(FAR_FUTURE), drained).await.is_err() {
            let (done, closed) = oneshot::channel();
            let _ = self.commands.send(Command::CloseAll { done });
            let _ = timeout(CLOSING_MAX, closed).await;
        }
        let Self { element, mut tasks, .. } = self;
        tasks.shutdown().await;
        if let Some(element) = Arc::into_inner(element) {
            element.end().await;
        }
        match farewell {
            Ok(Err(error @ DeregisterError::Refused { .. })) => Err(error),
            _ => Ok(()),
        }
    }

    /// As [`drain`](Self::drain) without any grace: sessions are ended in good order at once, with
    /// the state of their last cookies.
    ///
    /// # Cancel safety
    ///
    /// Cancelling ends what is left at once.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time.
    pub async fn stop(self) {
        let _ = self.drain(Duration::ZERO).await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, element) = (&self.url, &self.element);
        f.debug_struct("Server").field("url", url).field("element", element).finish_non_exhaustive()
    }
}

/// Opens a server's endpoint; where it is, and the longest message, where there are messages.
fn open(
    config: &Config,
    has_control: bool,
) -> Result<(Endpoints, Local, Option<usize>), rserpool_transport::Error> {
    let options = Options {
        close_timeout: config.close_timeout.min(FAR_FUTURE),
        stall_timeout: config.client_stall_timeout.min(FAR_FUTURE),
        tls: config.tls.clone(),
        ..transport_options(&config.timing)
    };
    let framing = match (config.url.scheme, has_control) {
        (Scheme::Tcp | Scheme::Tls, true) => Framing::Record,
        _ => Framing::Stream,
    };
    let message_max = match config.url.scheme {
        Scheme::Udp => Some(options.message_max.min(DATAGRAM_MAX)),
        Scheme::Tcp | Scheme::Tls if framing == Framing::Stream => None,
        _ => Some(options.message_max),
    };
    let mut endpoints = Endpoints::new(options);
    let local = endpoints.listen(&config.url, framing)?;
    Ok((endpoints, local, message_max))
}

/// The longest datagram (RFC 768), in octets.
const DATAGRAM_MAX: usize = 65_507;
/// How many elements of the pool are known at least, where any are.
const NEIGHBOURS: u32 = 100;
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
        Scheme::Tcp | Scheme::Tls => Transport::Tcp { port, transport_use, address: address() },
        Scheme::Udp => Transport::Udp { port, address: address() },
        _ => {
            let addresses = addresses.into();
            Transport::Sctp(SctpTransport { port, transport_use, addresses })
        }
    }
}
