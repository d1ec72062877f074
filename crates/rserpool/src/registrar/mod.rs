//! A registrar in this process.

mod acts;
mod config;
mod log;
mod reload;
mod view;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rserpool_proto::handlespace::PoolView;
use rserpool_proto::registrar as machine;
use rserpool_proto::registrar::Command;
use rserpool_transport::multicast::{Announcer, Listener};
use rserpool_transport::{Address, Endpoints, Local, Options, Scheme};
use rserpool_wire::Protocol;
use rserpool_wire::param::{
    Addresses, PoolElement, PoolHandle, RegistrarId, SctpTransport, Transport, TransportUse,
};
use rserpool_wire::registry::PolicyType;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;

use crate::associations::{Associations, speaks};
use crate::deadline::FAR_FUTURE;
use crate::driver::{self, Requests};
use crate::random::seed;
use crate::transport_options::transport_options;
use crate::{StartError, Stopped};

use log::Log;

pub use acts::Acts;
pub use config::Config;
pub use reload::Reconfigured;
pub use rserpool_proto::handlespace::{Config as HandlespaceConfig, Limit, LimitCounts, Limits};
pub use rserpool_proto::machine::Peer;
pub use rserpool_proto::registrar::access;
pub use rserpool_proto::registrar::{
    AddressScope, AssociationRow, Config as ProtocolConfig, ElementQuery, ElementRow, Event,
    Evicted, Evidence, HOLD_MOST, Hold, HoldRow, LeaveReason, Misbehaviour, NotHeld, Overview,
    Page, PeerCounts, PeerState, PeerView, Phase, PoolQuery, PoolRow, Quota, QuotaCounts, Quotas,
    Stats, SupervisionView, SyncFailure,
};
pub use rserpool_proto::time::Time;
pub use rserpool_transport::Counters as TransportCounters;
pub use view::{Summary, View};

/// A running registrar. Dropping it ends its associations without a word; [`stop`](Self::stop)
/// hands its elements over first.
///
/// # Examples
///
/// ```
/// use rserpool::{Registrar, RegistrarConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), rserpool::Error> {
/// let registrar = Registrar::start(RegistrarConfig::new(vec!["tcp://127.0.0.1:0".parse()?]))?;
/// println!("{} serves elements and users at {}", registrar.id(), registrar.urls()[0]);
/// assert!(registrar.pools().await?.is_empty());
/// registrar.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct Registrar {
    id: RegistrarId,
    urls: Vec<Address>,
    enrp_urls: Vec<Address>,
    /// What it was started with.
    started: Box<Config>,
    state: watch::Receiver<State>,
    requests: Requests<machine::Registrar>,
    events: broadcast::Sender<Event>,
}

/// Where a registrar stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// It fetches the handlespace from another registrar; who asks it something waits.
    Starting,
    /// It serves.
    Serving {
        /// It has the handlespace of another registrar.
        synchronised: bool,
    },
    /// It has left.
    Departed,
}

impl State {
    /// Where it stands after this, where that is news.
    fn after(event: &Event) -> Option<Self> {
        match *event {
            Event::Serving { synchronised } => Some(Self::Serving { synchronised }),
            Event::Departed { .. } => Some(Self::Departed),
            _ => None,
        }
    }
}

/// A pool as a registrar knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PoolSnapshot {
    /// Its handle.
    pub handle: PoolHandle,
    /// Its policy.
    pub policy: PolicyType,
    /// Its elements in the order of their identifiers.
    pub elements: Vec<PoolElement>,
}

impl Registrar {
    /// Opens the endpoints and runs a registrar on them, in a task of the current runtime.
    ///
    /// # Errors
    ///
    /// Nothing runs then.
    ///
    /// - [`StartError::NothingToListenAt`]: there is nothing in [`Config::asap`](field@Config::asap).
    /// - [`StartError::Transport`]: an endpoint cannot be opened, or a group not be used.
    /// - [`StartError::PlainWithKeys`]: it has keys, and would not use them at a URL.
    /// - [`StartError::NoRuntime`].
    ///
    /// # Panics
    ///
    /// Where the runtime was built without IO or time, see
    /// [`enable_all`](tokio::runtime::Builder::enable_all).
    pub fn start(config: Config) -> Result<Self, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let started = Box::new(config.clone());
        let Config {
            asap,
            enrp,
            peers,
            announce,
            discover,
            mut protocol,
            transport,
            tls,
            plaintext_ok,
            seed: given,
        } = config;
        if asap.is_empty() {
            return Err(StartError::NothingToListenAt);
        }
        if let (Some(_), false, Some(plain)) = (&tls, plaintext_ok, plain(&asap, &enrp)) {
            return Err(StartError::PlainWithKeys(plain.clone()));
        }
        let options = Options { tls, ..transport.over(transport_options(&protocol.timing)) };
        limit_connections(&mut protocol, &options);
        let mut endpoints = Endpoints::new(options);
        let mut urls = Vec::with_capacity(asap.len());
        let mut locals = Vec::with_capacity(asap.len());
        for address in &asap {
            let local = endpoints.listen(address, speaks(Protocol::Asap))?;
            urls.push(local.url.clone());
            locals.push(local);
        }
        if !announce.is_empty() && protocol.announced.is_none() {
            protocol.announced = Some(announced(&locals));
        }
        let mut enrp_urls = Vec::with_capacity(enrp.len());
        for address in &enrp {
            let local = endpoints.listen(address, speaks(Protocol::Enrp))?;
            // Server Information has room for one transport.
            protocol.enrp.get_or_insert_with(|| SctpTransport {
                port: local.port,
                transport_use: TransportUse::DataOnly,
                addresses: local.addresses.iter().copied().collect(),
            });
            enrp_urls.push(local.url);
        }
        protocol.peers = peers.len();
        protocol.discover |= !discover.is_empty();
        let mut associations = Associations::new(endpoints, peers).of_registrar();
        for (groups, protocol) in [(&announce, Protocol::Asap), (&discover, Protocol::Enrp)] {
            for group in groups {
                associations.announce_to(Announcer::open(group)?, protocol);
                associations.listen_to(Listener::join(group)?, protocol);
            }
        }
        let registrar = machine::Registrar::new(protocol, seed(given));
        let id = registrar.id();
        let (requests, inbox) = Requests::channel();
        let (sender, _) = broadcast::channel(EVENTS_KEPT);
        let events = sender.clone();
        // One without peers has nobody to wait for, and says nothing of it.
        let is_alone = registrar.is_serving();
        let at_first =
            if is_alone { State::Serving { synchronised: false } } else { State::Starting };
        let (state_sender, state) = watch::channel(at_first);
        let mut log = Log::default();
        let on_event = move |event: Event| {
            log.write(&event);
            if let Some(state) = State::after(&event) {
                state_sender.send_replace(state);
            }
            // Nobody may be listening.
            let _ = sender.send(event);
        };
        runtime.spawn(driver::run(registrar, associations, inbox, on_event));
        requests.command(Command::Start);
        Ok(Self { id, urls, enrp_urls, started, requests, events, state })
    }

    /// Its identifier.
    pub fn id(&self) -> RegistrarId {
        self.id
    }

    /// Where elements and users reach it, with the real ports.
    pub fn urls(&self) -> &[Address] {
        &self.urls
    }

    /// Where other registrars reach it, with the real ports.
    pub fn enrp_urls(&self) -> &[Address] {
        &self.enrp_urls
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Where it stands, at each change.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until it serves.
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
    pub async fn serving(&self) -> Result<(), Stopped> {
        let mut state = self.state.clone();
        match state.wait_for(|state| *state != State::Starting).await {
            Ok(state) if *state != State::Departed => Ok(()),
            _ => Err(Stopped),
        }
    }

    /// These rules hold from now on, in the place of [`ProtocolConfig::access`]; none opens the scope.
    /// The associations of whoever has something that they do not allow end.
    pub fn set_rules(&self, rules: impl Into<Option<access::Rules>>) {
        self.requests.command(Command::Rules(rules.into().map(Arc::new)));
    }

    /// What happens from now on. A receiver that lags loses the oldest events, beyond 1024.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// All pools, in the order of their handles.
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
    pub async fn pools(&self) -> Result<Vec<PoolSnapshot>, Stopped> {
        self.requests.inspect(snapshot).await
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
        self.requests.inspect(|registrar| *registrar.stats()).await
    }

    /// The way to look at it from elsewhere, an overview or a page at a time.
    pub fn view(&self) -> View {
        View { inspector: self.requests.inspector() }
    }

    /// The way to act on its elements from elsewhere.
    pub fn acts(&self) -> Acts {
        Acts { requests: self.requests.downgrade() }
    }

    /// Ends it: its elements are handed over to other registrars, where there are any, for at most
    /// the [`leave_timeout`](ProtocolConfig::leave_timeout) of its protocol; then its associations
    /// are closed, and nothing of it runs any more.
    ///
    /// # Cancel safety
    ///
    /// Cancelling drops it: its associations end as far as it has come, without a word.
    ///
    /// # Panics
    ///
    /// Never.
    pub async fn stop(self) {
        self.requests.command(Command::Leave);
        // The machine bounds how long that takes; a task that panicked has nothing left to leave.
        let mut state = self.state.clone();
        let _ = state.wait_for(|state| *state == State::Departed).await;
        self.requests.end().await;
    }

    /// As [`stop`](Self::stop), with at most `grace` for the elements to be handed over.
    ///
    /// # Cancel safety
    ///
    /// Cancelling drops it: its associations end as far as it has come, without a word.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time.
    pub async fn drain(self, grace: Duration) {
        self.requests.command(Command::Leave);
        let mut state = self.state.clone();
        let departed = state.wait_for(|state| *state == State::Departed);
        let _ = timeout(grace.min(FAR_FUTURE), departed).await;
        self.requests.end().await;
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, urls) = (&self.id, &self.urls);
        f.debug_struct("Registrar").field("id", id).field("urls", urls).finish_non_exhaustive()
    }
}

/// The first of these that the keys do not protect.
fn plain<'a>(asap: &'a [Address], enrp: &'a [Address]) -> Option<&'a Address> {
    asap.iter().chain(enrp).find(|url| url.scheme != Scheme::Tls)
}

/// So many events are kept for who is slow to read them.
const EVENTS_KEPT: usize = 1024;

/// TCP connections of a source, somewhat below what is accepted, so that one that comes can make a
/// silent one go.
fn limit_connections(protocol: &mut machine::Config, options: &Options) {
    let accepted = options.connections_per_source();
    let quota = u32::try_from(accepted - accepted.div_ceil(8).min(64)).unwrap_or(u32::MAX);
    let connections = &mut protocol.quotas.connections_per_source;
    *connections = quota.min(*connections);
}

fn snapshot(registrar: &machine::Registrar) -> Vec<PoolSnapshot> {
    let pool = |pool: PoolView<'_>| PoolSnapshot {
        handle: pool.handle().clone(),
        policy: pool.policy_type(),
        elements: pool.elements().map(|view| view.element.clone()).collect(),
    };
    registrar.handlespace().pools().map(pool).collect()
}

/// What announces tell of these endpoints (RFC 5352 §2.2.10).
fn announced(locals: &[Local]) -> Vec<Transport> {
    let mut announced: Vec<Transport> = locals.iter().filter_map(announceable).collect();
    // rsplib looks at the last one, and wants SCTP there.
    announced.sort_by_key(|transport| matches!(transport, Transport::Sctp(_)));
    announced
}

/// What an announce can tell of an endpoint. One that is bound to every address tells nothing: who
/// hears the announce knows its source (RFC 5352 §3.6).
fn announceable(local: &Local) -> Option<Transport> {
    let addresses: Addresses =
        local.addresses.iter().copied().filter(|ip| !ip.is_unspecified()).collect();
    let (&address, port) = (addresses.first()?, local.port);
    let transport_use = TransportUse::DataOnly;
    Some(match local.url.scheme {
        Scheme::Tcp | Scheme::Tls => Transport::Tcp { port, transport_use, address },
        _ => Transport::Sctp(SctpTransport { port, transport_use, addresses }),
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn local(url: &str, addresses: &[[u8; 4]], port: u16) -> Local {
        let addresses = addresses.iter().map(|&ip| IpAddr::from(ip)).collect();
        Local { url: url.parse().unwrap(), addresses, port }
    }

    // Checklist 111.
    #[test]
    fn announces_have_all_that_elements_and_users_can_dial_and_sctp_last() {
        let (one, two) = ([10, 0, 0, 1], [10, 0, 1, 1]);
        let told = announced(&[
            local("sctp+kernel://10.0.0.1,10.0.1.1:3863", &[one, two], 3863),
            local("tcp://10.0.0.1:3863", &[one], 3863),
            local("sctp+udp://10.0.0.1:4000", &[one], 4000),
            // Where that is, who hears the announce can see.
            local("tcp://0.0.0.0:5000", &[[0, 0, 0, 0]], 5000),
        ]);
        let transport_use = TransportUse::DataOnly;
        let sctp = |addresses: &[[u8; 4]], port| {
            let addresses = addresses.iter().map(|&ip| IpAddr::from(ip)).collect();
            Transport::Sctp(SctpTransport { port, transport_use, addresses })
        };
        let tcp = Transport::Tcp { port: 3863, transport_use, address: one.into() };
        assert_eq!(told, [tcp, sctp(&[one, two], 3863), sctp(&[one], 4000)]);
    }
}
