//! A network inside the process, for tests: the contract of an endpoint without a socket.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::address::{Address, Host, Scheme};
use crate::backlog::{Backlog, Backlogs, Overdue};
use crate::endpoint::{
    AssocId, AssocInfo, Backend, Counters, DownReason, Endpoint, Error, Event, Local, Options,
    Ppid, Remote, SendError,
};
use crate::source_limit::{Source, Sources};

/// A network inside the process; clones are the same network, two networks know nothing of each
/// other.
///
/// It behaves as SCTP does: whole messages with a PPID. Any scheme may be bound and dialed.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    stations: Arc<Mutex<Stations>>,
}

/// An endpoint in a [`MemoryNetwork`].
pub struct MemoryEndpoint {
    network: MemoryNetwork,
    station: u64,
    local: Local,
}

#[derive(Default)]
struct Stations {
    next: u64,
    stations: HashMap<u64, Station>,
}

/// What the network knows of one endpoint.
struct Station {
    local: Local,
    options: Options,
    links: HashMap<AssocId, Link>,
    next: u64,
    events: VecDeque<Event>,
    task: Option<Waker>,
    backlogs: Backlogs,
    sources: Sources,
    counters: Counters,
}

/// One end of an association.
struct Link {
    peer: (u64, AssocId),
    dialed: bool,
    /// Who came, where it was not dialed.
    from: Option<Source>,
    /// Octets sent that the peer has not taken yet.
    waiting: usize,
    backlog: Backlog,
    /// What arrived and is not handed in while the peer does not take its answers.
    held: VecDeque<Event>,
    state: LinkState,
}

#[derive(Clone, Copy, PartialEq)]
enum LinkState {
    /// The event of its beginning was not taken yet.
    Starting,
    Up,
    /// This end closed it.
    Closing,
    /// The event of its end is queued.
    Ending,
}

/// The first port that the network gives to those who ask for none.
const PORT_FIRST: u16 = 49_152;

impl MemoryNetwork {
    /// A network without endpoints.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds an endpoint that accepts and dials. Names are not resolved: `localhost` is 127.0.0.1,
    /// others are refused.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`] where the port is taken, or a host is a name.
    pub fn bind(&self, address: &Address, options: &Options) -> Result<MemoryEndpoint, Error> {
        let addresses =
            ips(address).map_err(|source| Error::Bind { url: address.clone(), source })?;
        let stations = self.lock();
        let port = match address.port {
            0 => stations.free_port(),
            port if stations.listener(&addresses, port).is_none() => Some(port),
            _ => None,
        };
        let Some(port) = port else {
            let source = io::ErrorKind::AddrInUse.into();
            return Err(Error::Bind { url: address.clone(), source });
        };
        let local = Local { url: address.with_port(port), addresses, port };
        Ok(self.add(stations, local, options))
    }

    /// An endpoint that only dials.
    #[must_use]
    pub fn dialer(&self, options: &Options) -> MemoryEndpoint {
        let url = Address {
            scheme: Scheme::Sctp,
            hosts: vec![Host::Ip(Ipv4Addr::UNSPECIFIED.into())],
            port: 0,
            encapsulation: None,
        };
        self.add(self.lock(), Local { url, addresses: Vec::new(), port: 0 }, options)
    }

    fn add(
        &self,
        mut stations: MutexGuard<'_, Stations>,
        local: Local,
        options: &Options,
    ) -> MemoryEndpoint {
        stations.next += 1;
        let number = stations.next;
        let station = Station {
            local: local.clone(),
            options: options.clone(),
            links: HashMap::new(),
            next: 0,
            events: VecDeque::new(),
            task: None,
            backlogs: Backlogs::new(options),
            sources: Sources::new(options),
            counters: Counters::default(),
        };
        stations.stations.insert(number, station);
        MemoryEndpoint { network: self.clone(), station: number, local }
    }

    /// A panic in a test must not hide behind a poisoned lock.
    fn lock(&self) -> MutexGuard<'_, Stations> {
        self.stations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint for MemoryEndpoint {
    fn connect(&mut self, remote: &Remote) -> Result<AssocId, Error> {
        self.network.lock().connect(self.station, remote)
    }

    fn send(&mut self, assoc: AssocId, ppid: Ppid, octets: &[u8]) -> Result<(), SendError> {
        self.network.lock().send(self.station, assoc, ppid, octets)
    }

    fn close(&mut self, assoc: AssocId) {
        self.network.lock().close(self.station, assoc);
    }

    fn abort(&mut self, assoc: AssocId) {
        self.network.lock().abort(self.station, assoc);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.network.lock().poll_event(self.station, cx)
    }

    fn local(&self) -> Local {
        self.local.clone()
    }

    fn queued_octets(&self) -> usize {
        let stations = self.network.lock();
        stations.stations.get(&self.station).map_or(0, |station| station.backlogs.total())
    }

    fn counters(&self) -> Counters {
        let stations = self.network.lock();
        stations.stations.get(&self.station).map(|station| station.counters).unwrap_or_default()
    }
}

impl Drop for MemoryEndpoint {
    fn drop(&mut self) {
        let mut stations = self.network.lock();
        let links = stations.stations.get(&self.station).map(|station| station.links.keys());
        for assoc in links.into_iter().flatten().copied().collect::<Vec<_>>() {
            stations.abort(self.station, assoc);
        }
        stations.stations.remove(&self.station);
    }
}

impl Stations {
    fn connect(&mut self, from: u64, remote: &Remote) -> Result<AssocId, Error> {
        let listener = self.listener(&remote.addresses, remote.port);
        let Some(dialer) = self.stations.get_mut(&from) else {
            return Err(Error::Unsupported { what: "this endpoint", why: "it is closed".into() });
        };
        if dialer.links.len() >= dialer.options.associations_max {
            return Err(Error::Limit(dialer.links.len()));
        }
        let near = dialer.name();
        let near_info = AssocInfo {
            backend: Backend::Memory,
            dialed: true,
            remote: remote.addresses.clone(),
            remote_port: remote.port,
            local: dialer.ends(remote),
            local_port: dialer.local.port,
            identity: None,
        };
        let far_info = AssocInfo {
            backend: Backend::Memory,
            dialed: false,
            remote: near_info.local.clone(),
            remote_port: near_info.local_port,
            local: near_info.remote.clone(),
            local_port: near_info.remote_port,
            identity: None,
        };
        let far = listener.and_then(|number| {
            let station = self.stations.get_mut(&number)?;
            if station.links.len() >= station.options.associations_max {
                station.counters.over_limit += 1;
                return None;
            }
            let from = near_info.local.first().map(|ip| Source::of(*ip));
            let max = station.options.associations_max;
            if from.is_some_and(|from| !station.sources.may_come(from, max)) {
                station.counters.over_source_limit += 1;
                return None;
            }
            Some((number, station.name()))
        });
        let Some((to, far)) = far else {
            self.push(from, Event::Down { assoc: near, reason: DownReason::Refused });
            return Ok(near);
        };
        self.start(from, near, (to, far), near_info);
        self.start(to, far, (from, near), far_info);
        Ok(near)
    }

    fn start(&mut self, number: u64, assoc: AssocId, peer: (u64, AssocId), info: AssocInfo) {
        if let Some(station) = self.stations.get_mut(&number) {
            let link = Link {
                peer,
                dialed: info.dialed,
                from: info.remote.first().map(|ip| Source::of(*ip)).filter(|_| !info.dialed),
                waiting: 0,
                backlog: Backlog::default(),
                held: VecDeque::new(),
                state: LinkState::Starting,
            };
            link.from.into_iter().for_each(|from| station.sources.came(from));
            station.links.insert(assoc, link);
        }
        self.push(number, Event::Up { assoc, info });
    }

    fn send(
        &mut self,
        from: u64,
        assoc: AssocId,
        ppid: Ppid,
        octets: &[u8],
    ) -> Result<(), SendError> {
        let station = self.stations.get_mut(&from).ok_or(SendError::Gone)?;
        let link = station.links.get_mut(&assoc).ok_or(SendError::Gone)?;
        if link.state != LinkState::Up {
            return Err(SendError::Gone);
        }
        if octets.is_empty() {
            return Err(SendError::Malformed);
        }
        if octets.len() > station.options.message_max {
            return Err(SendError::TooLong);
        }
        if link.waiting > 0 && link.waiting + octets.len() > station.options.send_queue_max {
            station.counters.full += 1;
            return Err(SendError::Full);
        }
        link.waiting += octets.len();
        let (to, far) = link.peer;
        station.note(assoc);
        self.push(to, Event::Message { assoc: far, ppid, octets: octets.to_vec() });
        self.relieve(from);
        Ok(())
    }

    fn close(&mut self, from: u64, assoc: AssocId) {
        let Some(link) = self.link(from, assoc) else {
            return;
        };
        if link.state == LinkState::Ending {
            return;
        }
        link.state = LinkState::Closing;
        let peer = link.peer;
        if let Some(station) = self.stations.get_mut(&from) {
            station.close(assoc);
        }
        self.end(peer, DownReason::Closed);
    }

    /// Ends the greatest queues of an endpoint while more waits in all than may.
    fn relieve(&mut self, number: u64) {
        let Some(station) = self.stations.get_mut(&number) else { return };
        if !station.backlogs.is_over_budget() {
            return;
        }
        let all = station.links.iter().map(|(assoc, link)| (*assoc, &link.backlog));
        let excess = station.backlogs.excess(all);
        station.counters.over_budget += excess.len() as u64;
        for assoc in excess {
            self.cut_off(number, assoc, DownReason::Stalled);
        }
    }

    /// Ends associations of an endpoint whose peers take nothing, and closes that do not go on.
    fn poll_overdue(&mut self, number: u64, cx: &mut Context<'_>) {
        while let Some(station) = self.stations.get_mut(&number)
            && let Some((at, assoc)) = station.backlogs.poll_deadlines(cx)
        {
            let Some(link) = station.links.get_mut(&assoc) else { continue };
            match station.backlogs.overdue((at, assoc), &mut link.backlog) {
                None => {}
                Some(Overdue::Stalled) => {
                    station.counters.stalled += 1;
                    self.cut_off(number, assoc, DownReason::Stalled);
                }
                Some(Overdue::Close) => self.cut_off(number, assoc, DownReason::Timeout),
            }
        }
    }

    /// Ends an association at both its ends.
    fn cut_off(&mut self, number: u64, assoc: AssocId, reason: DownReason) {
        self.abort(number, assoc);
        self.push(number, Event::Down { assoc, reason });
    }

    fn abort(&mut self, from: u64, assoc: AssocId) {
        let Some(station) = self.stations.get_mut(&from) else {
            return;
        };
        station.events.retain(|event| event.assoc() != assoc);
        let Some(Link { peer: (to, far), .. }) = station.remove(assoc) else {
            return;
        };
        if let Some(peer) = self.stations.get_mut(&to) {
            let lost = |event: &Event| {
                event.assoc() == far && matches!(event, Event::Message { .. } | Event::Down { .. })
            };
            peer.events.retain(|event| !lost(event));
            if let Some(link) = peer.links.get_mut(&far) {
                link.held.clear();
                link.state = LinkState::Up;
            }
        }
        self.end((to, far), DownReason::Reset);
    }

    /// Queues the end of an association at one of its ends, once, after all that came before.
    fn end(&mut self, (number, assoc): (u64, AssocId), reason: DownReason) {
        if let Some(link) = self.link(number, assoc)
            && link.state != LinkState::Ending
        {
            link.state = LinkState::Ending;
            if let Some(station) = self.stations.get_mut(&number) {
                station.resume(assoc);
            }
            self.push(number, Event::Down { assoc, reason });
        }
    }

    fn poll_event(&mut self, number: u64, cx: &mut Context<'_>) -> Poll<Event> {
        self.poll_overdue(number, cx);
        let Some(station) = self.stations.get_mut(&number) else {
            return Poll::Pending;
        };
        let Some(event) = station.next_event() else {
            station.task = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let assoc = event.assoc();
        match &event {
            Event::Up { .. } => {
                if let Some(link) = station.links.get_mut(&assoc)
                    && link.state == LinkState::Starting
                {
                    link.state = LinkState::Up;
                }
            }
            Event::Message { octets, .. } => {
                let peer = station.links.get(&assoc).map(|link| link.peer);
                if let Some((number, far)) = peer {
                    self.taken(number, far, octets.len());
                }
            }
            Event::Down { .. } => {
                if let Some(link) = station.remove(assoc) {
                    self.end(link.peer, DownReason::Closed);
                }
            }
            Event::Addresses { .. }
            | Event::Path { .. }
            | Event::Congested { .. }
            | Event::Drained { .. } => {}
        }
        Poll::Ready(event)
    }

    fn push(&mut self, number: u64, event: Event) {
        if let Some(station) = self.stations.get_mut(&number) {
            station.events.push_back(event);
            station.wake();
        }
    }

    /// The peer of an association has taken so many octets.
    fn taken(&mut self, number: u64, assoc: AssocId, octets: usize) {
        if let Some(link) = self.link(number, assoc) {
            link.waiting = link.waiting.saturating_sub(octets);
        }
        if let Some(station) = self.stations.get_mut(&number) {
            station.note(assoc);
            if !station.events.is_empty() {
                station.wake();
            }
        }
    }

    fn link(&mut self, number: u64, assoc: AssocId) -> Option<&mut Link> {
        self.stations.get_mut(&number)?.links.get_mut(&assoc)
    }

    /// The endpoint that is bound to one of `addresses` and `port`.
    fn listener(&self, addresses: &[IpAddr], port: u16) -> Option<u64> {
        let here = |own: &IpAddr| {
            own.is_unspecified()
                || addresses.iter().any(|asked| asked == own || asked.is_unspecified())
        };
        let bound = |station: &Station| {
            station.local.port == port && station.local.addresses.iter().any(here)
        };
        let mut found = self.stations.iter().filter(|(_, station)| bound(station));
        found.next().map(|(number, _)| *number)
    }

    fn free_port(&self) -> Option<u16> {
        let taken = |port| self.stations.values().any(|station| station.local.port == port);
        (PORT_FIRST..=u16::MAX).find(|port| !taken(*port))
    }
}

impl Station {
    fn name(&mut self) -> AssocId {
        self.next += 1;
        AssocId(self.next)
    }

    fn wake(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    /// The next event; what asks more of a peer that does not take its answers is held back.
    fn next_event(&mut self) -> Option<Event> {
        while let Some(event) = self.events.pop_front() {
            let link = self.links.get_mut(&event.assoc());
            match (link, &event) {
                (Some(link), Event::Message { .. }) if link.pauses_reading() => {
                    link.held.push_back(event);
                }
                _ => return Some(event),
            }
        }
        None
    }

    /// Notes how much waits for the peer of an association.
    fn note(&mut self, assoc: AssocId) {
        let Some(link) = self.links.get_mut(&assoc) else { return };
        let event = self.backlogs.note(assoc, &mut link.backlog, link.waiting);
        if !link.backlog.is_congested() {
            self.resume(assoc);
        }
        // Nobody is told of an association before it is up, and after it is over.
        let is_up = self.links.get(&assoc).is_some_and(|link| link.state == LinkState::Up);
        self.events.extend(event.filter(|_| is_up));
    }

    fn close(&mut self, assoc: AssocId) {
        if let Some(link) = self.links.get_mut(&assoc) {
            link.held.clear();
            self.backlogs.close(assoc, &mut link.backlog);
        }
    }

    /// Hands in what was held back, before what came after it.
    fn resume(&mut self, assoc: AssocId) {
        let Some(link) = self.links.get_mut(&assoc) else { return };
        while let Some(event) = link.held.pop_back() {
            self.events.push_front(event);
        }
    }

    fn remove(&mut self, assoc: AssocId) -> Option<Link> {
        let mut link = self.links.remove(&assoc)?;
        self.backlogs.forget(&mut link.backlog);
        link.from.into_iter().for_each(|from| self.sources.left(from));
        Some(link)
    }

    /// Own addresses of an association with `remote`: never unspecified ones.
    fn ends(&self, remote: &Remote) -> Vec<IpAddr> {
        let own = &self.local.addresses;
        if !own.is_empty() && !own.iter().any(IpAddr::is_unspecified) {
            return own.clone();
        }
        match remote.addresses.first() {
            Some(IpAddr::V6(_)) => vec![Ipv6Addr::LOCALHOST.into()],
            Some(IpAddr::V4(_)) | None => vec![Ipv4Addr::LOCALHOST.into()],
        }
    }
}

impl Link {
    /// Whether what the peer sends has to wait until it has taken its answers. Only who was dialed
    /// waits: if both did, two that send each other much would wait for each other.
    fn pauses_reading(&self) -> bool {
        !self.dialed && self.state == LinkState::Up && self.backlog.is_congested()
    }
}

fn ips(address: &Address) -> io::Result<Vec<IpAddr>> {
    let ip = |host: &Host| match host {
        Host::Ip(ip) => Ok(*ip),
        Host::Zoned(ip, _) => Ok(IpAddr::V6(*ip)),
        Host::Name(name) if name == "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        Host::Name(_) => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
    };
    address.hosts.iter().map(ip).collect()
}
