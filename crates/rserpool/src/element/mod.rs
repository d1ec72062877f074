//! A server's membership in a pool.

mod config;
mod log;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rserpool_proto::element as machine;
use rserpool_proto::element::Command;
use rserpool_transport::multicast::Listener;
use rserpool_transport::{Address, Endpoints, Host, Options, Scheme};
use rserpool_wire::Protocol;
use rserpool_wire::param::{Cause, Load, PeId, Policy, PoolHandle, Transport};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::timeout;

use crate::associations::{Associations, speaks};
use crate::attempts::{Attempt, Attempts};
use crate::deadline::FAR_FUTURE;
use crate::driver::{self, Requests};
use crate::random::seed;
use crate::transport_options::transport_options;
use crate::{DeregisterError, RegisterError, StartError, Stopped};

use log::Log;

pub use config::Config;
pub use rserpool_proto::dialect::Lifetime;
pub use rserpool_proto::element::{Event, Home};
pub use rserpool_proto::identity::Identity;
pub use rserpool_proto::machine::{Carrier, Link};
pub use rserpool_proto::stats::{ElementStats as Stats, HuntStats};

/// Where a membership stands.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// On its way into the pool.
    Joining,
    /// In the pool.
    Registered {
        /// Under this identifier.
        id: PeId,
        /// Looked after by this registrar.
        home: Home,
    },
    /// In the pool as far as anyone knows, without a registrar that looks after it.
    HomeLost,
    /// Out of the pool, because a registrar said so.
    Rejected(Vec<Cause>),
    /// Out of the pool, because all registrars that are known said so.
    RejectedByAll {
        /// Why, of the last one.
        causes: Vec<Cause>,
        /// Their addresses, the last one last.
        by: Vec<String>,
    },
    /// Out of the pool, as asked for.
    Deregistered,
}

impl State {
    /// Why the element is not in the pool and does not try to get there; `None` where it is in the
    /// pool, or on its way.
    pub fn error(&self) -> Option<RegisterError> {
        Some(match self {
            Self::Rejected(causes) => RegisterError::Rejected { causes: causes.clone() },
            Self::RejectedByAll { causes, by } => {
                RegisterError::RejectedByAll { causes: causes.clone(), by: by.clone() }
            }
            Self::Deregistered => RegisterError::Stopped,
            Self::Joining | Self::Registered { .. } | Self::HomeLost => return None,
        })
    }
}

/// A server's membership in a pool: registered, renewed, moved to another registrar when its own
/// is lost. Dropping it ends the association without a word, which the pool takes for a failure;
/// [`stop`](Self::stop) leaves the pool first.
///
/// # Examples
///
/// A server that serves in its own way, as a member of a pool:
///
/// ```
/// use std::time::Duration;
///
/// use rserpool::{ElementConfig, PoolElement, Transport};
/// # use rserpool::{Registrar, RegistrarConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let registrar = Registrar::start(RegistrarConfig::new(vec!["tcp://127.0.0.1:0".parse()?]))?;
/// # let registrars = registrar.urls().to_vec();
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let at = Transport::tcp(listener.local_addr()?);
/// let element = PoolElement::start(ElementConfig::new(registrars, "WebPool".parse()?, at))?;
/// element.registered().await?;
/// // … serve, until it is time to go:
/// element.drain(Duration::from_secs(2)).await?;
/// # Ok(())
/// # }
/// ```
pub struct PoolElement {
    id: Arc<AtomicU32>,
    load: Arc<NewestLoad>,
    requests: Requests<machine::PoolElement>,
    state: watch::Receiver<State>,
    /// The driver's: gone when it is.
    leaving: Weak<Leaving>,
    events: broadcast::Sender<Event>,
    attempts: Attempts,
}

/// Who waits for the end of a deregistration.
#[derive(Default)]
struct Leaving(Mutex<Vec<oneshot::Sender<DeregistrationResult>>>);

/// How a deregistration went.
type DeregistrationResult = Result<(), Vec<Cause>>;

/// The load that was told last, until the machine takes it: so that however often it is told, only
/// one command waits.
struct NewestLoad(AtomicU64);

impl PoolElement {
    /// Starts to join the pool, in a task of the current runtime, and returns at once.
    /// [`registered`](Self::registered) waits.
    ///
    /// # Errors
    ///
    /// Nothing runs then.
    ///
    /// - [`StartError::NoRegistrarConfigured`].
    /// - [`StartError::Transport`]: there is no endpoint for registrars, or a group cannot be
    ///   listened to.
    /// - [`StartError::NoRuntime`].
    ///
    /// # Panics
    ///
    /// Where the runtime was built without IO or time, see
    /// [`enable_all`](tokio::runtime::Builder::enable_all).
    pub fn start(config: Config) -> Result<Self, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        if config.registrars.is_empty() && config.listen.is_empty() {
            return Err(StartError::NoRegistrarConfigured);
        }
        let machine = machine::PoolElement::new(config.machine(), seed(config.seed));
        let Config { registrars, listen, handle, timing, dial_from, tls, .. } = config;
        let options = Options { dial_from, tls, ..transport_options(&timing) };
        let mut endpoints = Endpoints::new(options);
        listen_for_registrars(&mut endpoints, &registrars)?;
        let mut associations = Associations::new(endpoints, registrars);
        for group in &listen {
            associations.listen_to(Listener::join(group)?, Protocol::Asap);
        }
        let id = Arc::new(AtomicU32::new(machine.id().0));
        let leaving = Arc::new(Leaving::default());
        let (requests, inbox) = Requests::channel();
        let (state_sender, state) = watch::channel(State::Joining);
        let (sender, _) = broadcast::channel(EVENTS_KEPT);
        let events = sender.clone();
        let mut sink = EventSink {
            handle,
            log: Log::default(),
            id: Arc::clone(&id),
            state: state_sender,
            leaving: Arc::clone(&leaving),
            events: sender,
        };
        let on_event = move |event| sink.tell(event);
        let attempts = associations.attempts();
        runtime.spawn(driver::run(machine, associations, inbox, on_event));
        requests.command(Command::Register);
        let leaving = Arc::downgrade(&leaving);
        let load = Arc::new(NewestLoad::default());
        Ok(Self { id, load, requests, state, leaving, events, attempts })
    }

    /// Its identifier. A drawn one changes where another element has it.
    pub fn id(&self) -> PeId {
        PeId(self.id.load(Ordering::Relaxed))
    }

    /// The configured registrars, each with what came of the last dial to it.
    pub fn attempts(&self) -> Vec<(Address, Attempt)> {
        self.attempts.list()
    }

    /// Where the membership stands.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Where the membership stands, at each change.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// What happens from now on. A receiver that lags loses the oldest events, beyond 256.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Waits until the element is in the pool.
    ///
    /// # Errors
    ///
    /// - [`RegisterError::Rejected`] with the registrar's causes, or
    ///   [`RegisterError::RejectedByAll`]: it is not, and does not try again. One that was in the
    ///   pool as it is tries on, whatever it is told.
    /// - [`RegisterError::Stopped`]: it was deregistered, or the runtime in which it was started has
    ///   ended.
    ///
    /// # Cancel safety
    ///
    /// Cancelling stops the waiting, not the registration.
    ///
    /// # Panics
    ///
    /// Never. It may be awaited in any runtime.
    pub async fn registered(&self) -> Result<Home, RegisterError> {
        let mut state = self.state.clone();
        loop {
            {
                let state = state.borrow_and_update();
                if let State::Registered { home, .. } = &*state {
                    return Ok(home.clone());
                }
                if let Some(error) = state.error() {
                    return Err(error);
                }
            }
            state.changed().await.map_err(|_| RegisterError::Stopped)?;
        }
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
        self.requests.inspect(|element| element.stats()).await
    }

    /// Tells the pool how busy this element is: at once where the policy looks at load. May be told
    /// as often as it changes; what the registrar gets is the newest.
    pub fn set_load(&self, load: Load) {
        if self.load.set(load) {
            let newest = Arc::clone(&self.load);
            self.requests.newest(move || Command::SetLoad(newest.take()));
        }
    }

    /// Gives the policy other values.
    pub fn set_policy(&self, policy: Policy) {
        self.requests.command(Command::SetPolicy(policy));
    }

    /// The element serves elsewhere now.
    pub fn set_transport(&self, transport: Transport) {
        self.requests.command(Command::SetTransport(transport));
    }

    /// Leaves the pool, and waits until a registrar has confirmed it or none can. The object stays,
    /// and tells of its [state](Self::state).
    ///
    /// # Errors
    ///
    /// - [`DeregisterError::Refused`] with the registrar's causes: the element is in the pool as
    ///   before, and stays there as long as this lives.
    /// - [`DeregisterError::Stopped`]: the runtime in which it was started has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancelling stops the waiting, not the deregistration.
    ///
    /// # Panics
    ///
    /// Never. It may be awaited in any runtime.
    pub async fn deregister(&self) -> Result<(), DeregisterError> {
        let (sender, left) = oneshot::channel();
        self.leaving.upgrade().ok_or(DeregisterError::Stopped)?.add(sender);
        self.requests.command(Command::Deregister);
        let result = left.await.map_err(|_| DeregisterError::Stopped)?;
        result.map_err(|causes| DeregisterError::Refused { causes })
    }

    /// [Leaves the pool](Self::deregister), for at most `grace`, and ends: waits until its
    /// associations are closed. Where nobody has confirmed it in time, the pool takes the end for a
    /// failure.
    ///
    /// # Errors
    ///
    /// [`DeregisterError::Refused`]: the element was in the pool until its association ended, which
    /// it has all the same.
    ///
    /// # Cancel safety
    ///
    /// Cancelling drops it: it ends at once.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time.
    pub async fn drain(self, grace: Duration) -> Result<(), DeregisterError> {
        let left = timeout(grace.min(FAR_FUTURE), self.deregister()).await;
        self.requests.end().await;
        match left {
            Ok(Err(error @ DeregisterError::Refused { .. })) => Err(error),
            _ => Ok(()),
        }
    }

    /// As [`drain`](Self::drain) with a grace of 2 s, for who cannot do anything about a refusal.
    ///
    /// # Cancel safety
    ///
    /// Cancelling drops it: it ends at once.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time.
    pub async fn stop(self) {
        let _ = self.drain(FAREWELL_MAX).await;
    }

    /// Ends it, and waits until its associations are closed. The pool takes that for a failure,
    /// unless it was [deregistered](Self::deregister) before.
    pub(crate) async fn end(self) {
        self.requests.end().await;
    }
}

impl fmt::Debug for PoolElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, state) = (self.id(), self.state());
        f.debug_struct("PoolElement")
            .field("id", &id)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

/// How long the farewell to the registrar may take.
pub(crate) const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Tells everybody who wants to know what the machine tells.
struct EventSink {
    handle: PoolHandle,
    log: Log,
    id: Arc<AtomicU32>,
    state: watch::Sender<State>,
    leaving: Arc<Leaving>,
    events: broadcast::Sender<Event>,
}

impl EventSink {
    fn tell(&mut self, event: Event) {
        if let Event::Registered { id, .. } = &event {
            self.id.store(id.0, Ordering::Relaxed);
        }
        let id = PeId(self.id.load(Ordering::Relaxed));
        self.log.write(&self.handle, id, &event);
        if let Some(next) = next_state(id, &event) {
            self.state.send_replace(next);
        }
        match &event {
            Event::Deregistered | Event::Abandoned => self.leaving.end(&Ok(())),
            Event::DeregistrationRefused { causes } => self.leaving.end(&Err(causes.clone())),
            _ => {}
        }
        // Nobody may be listening.
        let _ = self.events.send(event);
    }
}

impl Leaving {
    fn add(&self, sender: oneshot::Sender<DeregistrationResult>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
    }

    fn end(&self, farewell: &DeregistrationResult) {
        for sender in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // Who does not wait any more does not care.
            let _ = sender.send(farewell.clone());
        }
    }
}

impl NewestLoad {
    /// No load is as high.
    const TAKEN: u64 = u64::MAX;

    /// True where the one before has been taken.
    fn set(&self, load: Load) -> bool {
        self.0.swap(load.0.into(), Ordering::Relaxed) == Self::TAKEN
    }

    fn take(&self) -> Load {
        let load = self.0.swap(Self::TAKEN, Ordering::Relaxed);
        Load(u32::try_from(load).unwrap_or(u32::MAX))
    }
}

impl Default for NewestLoad {
    fn default() -> Self {
        Self(AtomicU64::new(Self::TAKEN))
    }
}

/// Opens what registrars reach the element at: one that takes it over dials it (RFC 5353 §3.5.2).
/// Over TCP nobody does.
fn listen_for_registrars(
    endpoints: &mut Endpoints,
    registrars: &[Address],
) -> Result<(), rserpool_transport::Error> {
    // Who announces himself does so for SCTP, mostly.
    let schemes = registrars.iter().map(|registrar| registrar.scheme);
    let mut schemes: Vec<Scheme> =
        schemes.filter(|scheme| !matches!(scheme, Scheme::Tcp | Scheme::Tls)).collect();
    if registrars.is_empty() && !endpoints.has_keys() {
        schemes.push(Scheme::Sctp);
    }
    if schemes.contains(&Scheme::Sctp) {
        schemes = vec![Scheme::Sctp];
    }
    schemes.dedup();
    for scheme in schemes {
        let everywhere = |ip: IpAddr| Address {
            scheme,
            hosts: vec![Host::Ip(ip)],
            port: 0,
            encapsulation: None,
        };
        // A host without IPv6 has IPv4.
        let both =
            endpoints.listen(&everywhere(Ipv6Addr::UNSPECIFIED.into()), speaks(Protocol::Asap));
        if both.is_err() {
            endpoints.listen(&everywhere(Ipv4Addr::UNSPECIFIED.into()), speaks(Protocol::Asap))?;
        }
    }
    Ok(())
}

/// So many events are kept for who is slow to read them.
const EVENTS_KEPT: usize = 256;

fn next_state(id: PeId, event: &Event) -> Option<State> {
    Some(match event {
        Event::Registered { home, .. } | Event::HomeChanged { home } => {
            State::Registered { id, home: home.clone() }
        }
        Event::Rejected { causes, by } if by.len() > 1 => {
            let by = by.iter().map(|home| crate::log::remote(&home.link)).collect();
            State::RejectedByAll { causes: causes.clone(), by }
        }
        Event::Rejected { causes, .. } => State::Rejected(causes.clone()),
        Event::HomeLost => State::HomeLost,
        Event::Deregistered | Event::Abandoned => State::Deregistered,
        Event::Expired | Event::IdTaken { .. } => State::Joining,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_loads_one_waits_and_it_is_the_newest() {
        let load = NewestLoad::default();
        assert!(load.set(Load(1)));
        assert!(!load.set(Load(u32::MAX)));
        assert!(!load.set(Load(3)));
        assert_eq!(load.take(), Load(3));
        assert!(load.set(Load(4)));
    }
}
