//! A server's membership in a pool.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rserpool_proto::element as machine;
use rserpool_proto::element::{Command, Event, Home};
use rserpool_proto::stats::ElementStats;
use rserpool_transport::multicast::{Group, Listener};
use rserpool_transport::{Address, Endpoints, Host, Options, Scheme};
use rserpool_wire::Protocol;
use rserpool_wire::param::{Cause, Load, PeId, Policy, PoolHandle, Transport};
use tokio::sync::{broadcast, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::field::display;
use tracing::{info, warn};

use crate::Error;
use crate::associations::{Associations, speaks};
use crate::attempts::{Attempt, Attempts};
use crate::driver::{self, Requests};
use crate::log;
use crate::node::{seed, transport_options};

/// What joins which pool, and through whom.
#[derive(Clone, Debug)]
pub struct Config {
    /// Registrars to try. May be empty where [`listen`](Self::listen) is not.
    pub registrars: Vec<Address>,
    /// Multicast groups on which registrars announce themselves. Default: none.
    pub listen: Vec<Group>,
    /// The element: pool, identifier, transport, policy, timers.
    pub element: machine::Config,
    /// Own addresses from which associations with registrars leave over TCP and SCTP in userland:
    /// a registrar takes an element only at addresses that it comes from. Default: what the system
    /// chooses; a [`Server`](crate::Server) fills in where it listens, unless it advertises other
    /// addresses.
    pub dial_from: Vec<IpAddr>,
    /// Decides the identifier where none is given, and the order in which registrars are tried.
    /// `None`: the system's generator.
    pub seed: Option<u64>,
}

impl Config {
    /// A member of the pool `handle` that serves at `transport`, round robin, through one of these
    /// registrars.
    pub fn new(registrars: Vec<Address>, handle: PoolHandle, transport: Transport) -> Self {
        let element = machine::Config::new(handle, transport);
        let (listen, dial_from) = (Vec::new(), Vec::new());
        Self { registrars, listen, element, dial_from, seed: None }
    }
}

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

/// A server's membership in a pool: registered, renewed, moved to another registrar when its own
/// is lost. Dropping it ends the association, which takes the element out of the pool.
pub struct PoolElement {
    id: Arc<AtomicU32>,
    load: Arc<NewestLoad>,
    requests: Requests<machine::PoolElement>,
    state: watch::Receiver<State>,
    /// The driver's: gone when it is.
    leaving: Weak<Leaving>,
    events: broadcast::Sender<Event>,
    task: JoinHandle<()>,
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
    /// [`Error::NoRegistrarConfigured`], or [`Error::Transport`] where a group cannot be listened
    /// to. Nothing runs then.
    pub fn start(config: Config) -> Result<Self, Error> {
        let Config { registrars, listen, mut element, dial_from, seed: given } = config;
        if registrars.is_empty() && listen.is_empty() {
            return Err(Error::NoRegistrarConfigured);
        }
        element.registrars = registrars.len();
        let options = Options { dial_from, ..transport_options(&element.timing) };
        let mut endpoints = Endpoints::new(options);
        listen_for_registrars(&mut endpoints, &registrars)?;
        let mut associations = Associations::new(endpoints, registrars);
        for group in &listen {
            associations.listen_to(Listener::join(group)?, Protocol::Asap);
        }
        let handle = element.handle.clone();
        let machine = machine::PoolElement::new(element, seed(given));
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
        let task = tokio::spawn(driver::run(machine, associations, inbox, on_event));
        requests.command(Command::Register);
        let leaving = Arc::downgrade(&leaving);
        let load = Arc::new(NewestLoad::default());
        Ok(Self { id, load, requests, state, leaving, events, task, attempts })
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

    /// What happens from now on. Who does not keep up misses some.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Waits until the element is in the pool.
    ///
    /// # Errors
    ///
    /// - [`Error::Rejected`] with the registrar's causes, or [`Error::RejectedByAll`]: it is not, and
    ///   does not try again. One that was in the pool as it is tries on, whatever it is told.
    /// - [`Error::Stopped`]: it was deregistered, or the runtime in which it was started has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancelling stops the waiting, not the registration.
    pub async fn registered(&self) -> Result<Home, Error> {
        let mut state = self.state.clone();
        loop {
            match &*state.borrow_and_update() {
                State::Registered { home, .. } => return Ok(home.clone()),
                State::Rejected(causes) => return Err(Error::Rejected(causes.clone())),
                State::RejectedByAll { causes, by } => {
                    let (causes, by) = (causes.clone(), by.clone());
                    return Err(Error::RejectedByAll { causes, by });
                }
                State::Deregistered => return Err(Error::Stopped),
                State::Joining | State::HomeLost => {}
            }
            state.changed().await.map_err(|_| Error::Stopped)?;
        }
    }

    /// What it counted since it was started.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`].
    pub async fn stats(&self) -> Result<ElementStats, Error> {
        self.requests.inspect(machine::PoolElement::stats).await.ok_or(Error::Stopped)
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

    /// Leaves the pool, and waits until a registrar has confirmed it or none can.
    ///
    /// # Errors
    ///
    /// - [`Error::DeregistrationRefused`] with the registrar's causes: the element is in the pool as
    ///   before, and stays there as long as this lives.
    /// - [`Error::Stopped`]: the runtime in which it was started has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancelling stops the waiting, not the deregistration.
    pub async fn deregister(&self) -> Result<(), Error> {
        let (sender, left) = oneshot::channel();
        self.leaving.upgrade().ok_or(Error::Stopped)?.add(sender);
        self.requests.command(Command::Deregister);
        left.await.map_err(|_| Error::Stopped)?.map_err(Error::DeregistrationRefused)
    }

    /// Ends it, and waits until its associations are closed. The pool takes that as a failure,
    /// unless it was [deregistered](Self::deregister) before.
    ///
    /// # Cancel safety
    ///
    /// Cancelling stops the waiting: it ends all the same.
    pub async fn stop(self) {
        let Self { requests, task, .. } = self;
        drop(requests);
        // A task that panicked has nothing left to end.
        let _ = task.await;
    }
}

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
    let mut schemes: Vec<Scheme> = schemes.filter(|scheme| *scheme != Scheme::Tcp).collect();
    if registrars.is_empty() {
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
            let by = by.iter().map(|home| log::remote(&home.link)).collect();
            State::RejectedByAll { causes: causes.clone(), by }
        }
        Event::Rejected { causes, .. } => State::Rejected(causes.clone()),
        Event::HomeLost => State::HomeLost,
        Event::Deregistered | Event::Abandoned => State::Deregistered,
        Event::Expired | Event::IdTaken { .. } => State::Joining,
        Event::NoRegistrar
        | Event::Warned { .. }
        | Event::Refused { .. }
        | Event::DeregistrationRefused { .. } => return None,
    })
}

/// The log of one element.
#[derive(Debug, Default)]
struct Log {
    /// It has been in the pool: what keeps it out now is for its owner to know.
    was_in: bool,
    /// Its home was said to be lost.
    is_homeless: bool,
}

impl Log {
    /// What the owner of the element gets as an error is no warning.
    fn write(&mut self, handle: &PoolHandle, element: PeId, event: &Event) {
        let pool = || log::pool(handle);
        self.was_in |= matches!(event, Event::Registered { .. });
        match event {
            Event::Registered { home, .. } | Event::HomeChanged { home }
                if std::mem::take(&mut self.is_homeless) =>
            {
                let (registrar, at) = (home.id.map(display), log::remote(&home.link));
                warn!(pool = pool(), %element, registrar, at, "registered again");
            }
            Event::Registered { home, .. } => {
                let (registrar, at) = (home.id.map(display), log::remote(&home.link));
                info!(pool = pool(), %element, registrar, at, "registered");
            }
            Event::HomeChanged { home } => {
                let (registrar, at) = (home.id.map(display), log::remote(&home.link));
                info!(pool = pool(), %element, registrar, at, "home registrar changed");
            }
            Event::Rejected { causes, .. } => {
                info!(pool = pool(), %element, causes = log::causes(causes), "registration rejected");
            }
            Event::Refused { causes, by } => {
                let (causes, at) = (log::causes(causes), log::remote(&by.link));
                let registrar = by.id.map(display);
                let text = "refused by a registrar, trying others";
                match self.was_in {
                    true => warn!(pool = pool(), %element, registrar, at, causes, "{text}"),
                    false => info!(pool = pool(), %element, registrar, at, causes, "{text}"),
                }
            }
            Event::IdTaken { id, by } => {
                let (registrar, at) = (by.id.map(display), log::remote(&by.link));
                let text = "another element has this identifier";
                match self.was_in {
                    true => warn!(pool = pool(), %id, registrar, at, "{text}"),
                    false => info!(pool = pool(), %id, registrar, at, "{text}"),
                }
            }
            Event::Warned { causes } => {
                let causes = log::causes(causes);
                warn!(pool = pool(), %element, causes, "registered with a warning");
            }
            Event::HomeLost => {
                self.is_homeless = true;
                warn!(pool = pool(), %element, "home registrar lost");
            }
            Event::NoRegistrar => {
                info!(pool = pool(), %element, "no registrar can be reached, trying on");
            }
            Event::Deregistered => info!(pool = pool(), %element, "deregistered"),
            Event::DeregistrationRefused { causes } => {
                info!(pool = pool(), %element, causes = log::causes(causes), "deregistration refused");
            }
            Event::Abandoned => warn!(pool = pool(), %element, "left without a registrar to tell"),
            Event::Expired => {
                warn!(pool = pool(), %element, "registration ran out, registering again");
            }
        }
    }
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
