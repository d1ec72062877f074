//! UDP for services: datagrams, without anything that would tell whether anybody is there.
//!
//! Registrars are never reached this way. A dial is up at once; only an ICMP error ends it. A
//! listener has an association with each address that sends to it, and forgets it after a while of
//! silence.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{Interest, ReadBuf};
use tokio::net::UdpSocket;
use tokio::time::{Instant, Interval, interval};

use crate::address::{Address, Scheme};
use crate::dual_stack::both_families;
use crate::endpoint::{
    AssocId, AssocInfo, Backend, Counters, DownReason, Endpoint, Error, Event, Local, Options,
    Ppid, Remote, SendError,
};

/// How long an address may be silent before a listener forgets it.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How often a listener looks for silent addresses.
const SWEEP: Duration = Duration::from_secs(5);
/// The longest datagram (RFC 768), in octets, with IPv4's header.
const DATAGRAM_MAX: usize = 65_507;

/// A UDP socket and those who send to it, or a dialer.
pub struct UdpEndpoint {
    options: Options,
    local: Local,
    listener: Option<Listener>,
    /// What was dialed, each with a socket of its own, so that ICMP errors find it.
    dialed: HashMap<AssocId, Dialed>,
    next: u64,
    events: VecDeque<Event>,
    counters: Counters,
    buffer: Box<[u8]>,
}

/// A socket that is connected to one server.
struct Dialed {
    socket: Arc<UdpSocket>,
    /// Ends when there is an ICMP error: reading does not tell of it.
    failure: Pin<Box<dyn Future<Output = DownReason> + Send>>,
}

struct Listener {
    socket: UdpSocket,
    known: HashMap<SocketAddr, AssocId>,
    peers: HashMap<AssocId, (SocketAddr, Instant)>,
    sweep: Pin<Box<Interval>>,
}

impl UdpEndpoint {
    /// Listens at `address`; a name is looked up on the spot, which may block, and its first
    /// address is bound.
    ///
    /// # Errors
    ///
    /// - [`Error::Bind`] where the port is taken or the address not ours.
    /// - [`Error::Resolve`] for an unknown name.
    /// - [`Error::Unsupported`] for another scheme than `udp`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with IO and time enabled.
    pub fn bind(address: &Address, options: &Options) -> Result<Self, Error> {
        udp_only(address.scheme)?;
        let ip = address.bind_addresses()?[0];
        let bind = |source| Error::Bind { url: address.clone(), source };
        let socket = open(SocketAddr::new(ip, address.port)).map_err(bind)?;
        let port = socket.local_addr().map_err(bind)?.port();
        let local = Local { url: address.with_port(port), addresses: vec![ip], port };
        let sweep = Box::pin(interval(SWEEP));
        let (known, peers) = (HashMap::new(), HashMap::new());
        let mut endpoint = Self::new(options, local);
        endpoint.listener = Some(Listener { socket, known, peers, sweep });
        Ok(endpoint)
    }

    /// An endpoint that only dials.
    #[must_use]
    pub fn dialer(options: &Options) -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let url = Address::from((Scheme::Udp, nowhere));
        Self::new(options, Local { url, addresses: Vec::new(), port: 0 })
    }

    fn new(options: &Options, local: Local) -> Self {
        Self {
            options: options.clone(),
            local,
            listener: None,
            dialed: HashMap::new(),
            next: 0,
            events: VecDeque::new(),
            counters: Counters::default(),
            buffer: vec![0; DATAGRAM_MAX].into(),
        }
    }

    fn name(&mut self) -> AssocId {
        self.next += 1;
        AssocId(self.next)
    }

    fn count(&self) -> usize {
        self.dialed.len() + self.listener.as_ref().map_or(0, |listener| listener.peers.len())
    }

    fn poll_listener(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            let count = self.count();
            let Some(listener) = &mut self.listener else { return Poll::Pending };
            while listener.sweep.as_mut().poll_tick(cx).is_ready() {
                self.events.extend(listener.forget_silent());
            }
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            let mut buffer = ReadBuf::new(&mut self.buffer);
            let Ok(source) = ready!(listener.socket.poll_recv_from(cx, &mut buffer)) else {
                // An ICMP error for something that was sent: UDP does not say for whom.
                continue;
            };
            let octets = buffer.filled().to_vec();
            if octets.is_empty() || octets.len() > self.options.message_max {
                self.counters.malformed += 1;
                continue;
            }
            let known = listener.known.get(&source).copied();
            let Some(assoc) = known else {
                if count >= self.options.associations_max {
                    self.counters.over_limit += 1;
                    continue;
                }
                let assoc = self.name();
                self.accept(assoc, source);
                let message = Event::Message { assoc, ppid: Ppid::default(), octets };
                self.events.push_back(message);
                continue;
            };
            if let Some((_, heard)) = listener.peers.get_mut(&assoc) {
                *heard = Instant::now();
            }
            return Poll::Ready(Event::Message { assoc, ppid: Ppid::default(), octets });
        }
    }

    fn accept(&mut self, assoc: AssocId, source: SocketAddr) {
        let Some(listener) = &mut self.listener else { return };
        listener.known.insert(source, assoc);
        listener.peers.insert(assoc, (source, Instant::now()));
        let info = info(false, source, Some(self.local.port));
        self.events.push_back(Event::Up { assoc, info });
    }

    fn poll_dialed(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let mut ended = None;
        for (&assoc, Dialed { socket, failure }) in &mut self.dialed {
            if let Poll::Ready(reason) = failure.as_mut().poll(cx) {
                ended = Some((assoc, reason));
                break;
            }
            let mut buffer = ReadBuf::new(&mut self.buffer);
            match socket.poll_recv(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let octets = buffer.filled().to_vec();
                    return Poll::Ready(Event::Message { assoc, ppid: Ppid::default(), octets });
                }
                Poll::Ready(Ok(())) => cx.waker().wake_by_ref(),
                Poll::Ready(Err(error)) => {
                    ended = Some((assoc, reason(&error)));
                    break;
                }
                Poll::Pending => {}
            }
        }
        let Some((assoc, reason)) = ended else { return Poll::Pending };
        self.dialed.remove(&assoc);
        Poll::Ready(Event::Down { assoc, reason })
    }

    fn forget(&mut self, assoc: AssocId) -> bool {
        self.events.retain(|event| event.assoc() != assoc);
        let listener = self.listener.as_mut();
        self.dialed.remove(&assoc).is_some()
            || listener.is_some_and(|listener| listener.forget(assoc))
    }
}

impl Endpoint for UdpEndpoint {
    fn connect(&mut self, remote: &Remote) -> Result<AssocId, Error> {
        udp_only(remote.scheme)?;
        if self.count() >= self.options.associations_max {
            return Err(Error::Limit(self.options.associations_max));
        }
        let Some(&ip) = remote.addresses.first() else {
            return Err(Error::Unsupported { what: "UDP", why: "there is no address".into() });
        };
        let any = match ip {
            std::net::IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            std::net::IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let to = SocketAddr::new(ip, remote.port);
        let dial = || {
            let socket = StdSocket::bind(SocketAddr::new(any, 0))?;
            socket.set_nonblocking(true)?;
            socket.connect(to)?;
            UdpSocket::from_std(socket)
        };
        let system = |source| Error::System { operation: "connect", source };
        let socket = dial().map_err(system)?;
        let local_port = socket.local_addr().ok().map(|local| local.port());
        let assoc = self.name();
        let socket = Arc::new(socket);
        let failure = Box::pin(failure(Arc::clone(&socket)));
        self.dialed.insert(assoc, Dialed { socket, failure });
        self.events.push_back(Event::Up { assoc, info: info(true, to, local_port) });
        Ok(assoc)
    }

    fn send(&mut self, assoc: AssocId, _: Ppid, octets: &[u8]) -> Result<(), SendError> {
        if octets.is_empty() {
            return Err(SendError::Malformed);
        }
        if octets.len() > self.options.message_max.min(DATAGRAM_MAX) {
            return Err(SendError::TooLong);
        }
        // Past the runtime, which only knows after a turn whether there is room.
        let sent = if let Some(dialed) = self.dialed.get(&assoc) {
            SockRef::from(&*dialed.socket).send(octets)
        } else {
            let listener = self.listener.as_ref().ok_or(SendError::Gone)?;
            let (to, _) = listener.peers.get(&assoc).ok_or(SendError::Gone)?;
            SockRef::from(&listener.socket).send_to(octets, &(*to).into())
        };
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.counters.full += 1;
                Err(SendError::Full)
            }
            // What is lost on the way is lost here as well; errors come with the next datagram.
            _ => Ok(()),
        }
    }

    fn close(&mut self, assoc: AssocId) {
        if self.forget(assoc) {
            self.events.push_back(Event::Down { assoc, reason: DownReason::Closed });
        }
    }

    fn abort(&mut self, assoc: AssocId) {
        self.forget(assoc);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        match self.poll_listener(cx) {
            Poll::Ready(event) => Poll::Ready(event),
            Poll::Pending => self.poll_dialed(cx),
        }
    }

    fn local(&self) -> Local {
        self.local.clone()
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

impl Listener {
    fn forget(&mut self, assoc: AssocId) -> bool {
        let Some((source, _)) = self.peers.remove(&assoc) else { return false };
        self.known.remove(&source);
        true
    }

    fn forget_silent(&mut self) -> Vec<Event> {
        let silent = self.peers.iter().filter(|(_, (_, heard))| heard.elapsed() >= SILENCE_MAX);
        let silent: Vec<_> = silent.map(|(assoc, _)| *assoc).collect();
        for &assoc in &silent {
            self.forget(assoc);
        }
        let reason = DownReason::Timeout;
        silent.into_iter().map(|assoc| Event::Down { assoc, reason }).collect()
    }
}

fn info(dialed: bool, remote: SocketAddr, local_port: Option<u16>) -> AssocInfo {
    AssocInfo {
        backend: Backend::Udp,
        dialed,
        remote: vec![remote.ip()],
        remote_port: remote.port(),
        local: Vec::new(),
        local_port: local_port.unwrap_or_default(),
        identity: None,
    }
}

/// Waits for an ICMP error.
async fn failure(socket: Arc<UdpSocket>) -> DownReason {
    loop {
        if socket.ready(Interest::ERROR).await.is_err() {
            // The runtime shuts down.
            std::future::pending::<()>().await;
        }
        if let Ok(Some(error)) = socket.take_error() {
            return reason(&error);
        }
        // There was none: the runtime is told to wait for the next.
        let _ = socket.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}

fn reason(error: &io::Error) -> DownReason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DownReason::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => DownReason::Timeout,
        _ => DownReason::System,
    }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    both_families(&socket, address)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn udp_only(scheme: Scheme) -> Result<(), Error> {
    if scheme == Scheme::Udp {
        return Ok(());
    }
    let why = format!("{scheme}:// was asked for");
    Err(Error::Unsupported { what: "another transport at a UDP endpoint", why })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn next(endpoint: &mut UdpEndpoint) -> Event {
        poll_fn(|cx| endpoint.poll_event(cx)).await
    }

    fn server() -> (UdpEndpoint, Remote) {
        let url = Address::from((Scheme::Udp, ([127, 0, 0, 1], 0).into()));
        let server = UdpEndpoint::bind(&url, &Options::default()).unwrap();
        let Local { addresses, port, .. } = server.local();
        (
            server,
            Remote {
                scheme: Scheme::Udp,
                addresses,
                port,
                encapsulation: None,
                zone: 0,
                expected: Default::default(),
            },
        )
    }

    #[tokio::test]
    async fn datagrams_go_to_and_fro() {
        let (mut server, to) = server();
        let mut client = UdpEndpoint::dialer(&Options::default());
        let there = client.connect(&to).unwrap();
        assert!(matches!(next(&mut client).await, Event::Up { assoc, .. } if assoc == there));
        client.send(there, Ppid(7), b"ask").unwrap();
        let Event::Up { assoc: here, info } = next(&mut server).await else { panic!() };
        assert!(!info.dialed);
        let (ppid, octets) = (Ppid(0), b"ask".to_vec());
        assert_eq!(next(&mut server).await, Event::Message { assoc: here, ppid, octets });
        server.send(here, Ppid(7), b"answer").unwrap();
        let octets = b"answer".to_vec();
        assert_eq!(next(&mut client).await, Event::Message { assoc: there, ppid, octets });
        assert_eq!(client.send(there, ppid, &[0; 65_537]), Err(SendError::TooLong));
        assert_eq!(client.send(AssocId(9), ppid, b"x"), Err(SendError::Gone));
        client.close(there);
        let reason = DownReason::Closed;
        assert_eq!(next(&mut client).await, Event::Down { assoc: there, reason });
        assert_eq!(client.send(there, ppid, b"x"), Err(SendError::Gone));
    }

    #[tokio::test]
    async fn a_dead_server_is_told_by_icmp() {
        let (server, to) = server();
        drop(server);
        let mut client = UdpEndpoint::dialer(&Options::default());
        let assoc = client.connect(&to).unwrap();
        assert!(matches!(next(&mut client).await, Event::Up { .. }));
        client.send(assoc, Ppid(0), b"ask").unwrap();
        let reason = DownReason::Refused;
        assert_eq!(next(&mut client).await, Event::Down { assoc, reason });
    }

    #[tokio::test]
    async fn who_is_silent_is_forgotten_and_the_number_is_bounded() {
        let url = Address::from((Scheme::Udp, ([127, 0, 0, 1], 0).into()));
        let options = Options { associations_max: 1, ..Options::default() };
        let mut server = UdpEndpoint::bind(&url, &options).unwrap();
        let Local { addresses, port, .. } = server.local();
        let to = Remote {
            scheme: Scheme::Udp,
            addresses,
            port,
            encapsulation: None,
            zone: 0,
            expected: Default::default(),
        };
        let mut client = UdpEndpoint::dialer(&Options::default());
        let (one, two) = (client.connect(&to).unwrap(), client.connect(&to).unwrap());
        client.send(one, Ppid(0), b"one").unwrap();
        let Event::Up { assoc, .. } = next(&mut server).await else { panic!() };
        assert!(matches!(next(&mut server).await, Event::Message { .. }));
        client.send(two, Ppid(0), b"two").unwrap();
        client.send(one, Ppid(0), b"one").unwrap();
        assert!(matches!(next(&mut server).await, Event::Message { assoc: a, .. } if a == assoc));
        assert_eq!(server.counters().over_limit, 1);
        tokio::time::pause();
        tokio::time::advance(SILENCE_MAX + SWEEP).await;
        let reason = DownReason::Timeout;
        assert_eq!(next(&mut server).await, Event::Down { assoc, reason });
        assert_eq!(server.count(), 0);
    }
}
