//! Datagrams to a multicast group, by which registrars make themselves known (RFC 5352 §3.6).
//!
//! Both the [`Announcer`] and the [`Listener`] bind the *group's* address, not a host address:
//!
//! - only datagrams to that group arrive, so that SCTP in UDP can have the same port at the host's
//!   own addresses;
//! - what is sent has the group's port as its source port (some receivers take that for the
//!   registrar's port) and the address of the interface as its source address;
//! - any number of processes on a host can do so at once.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::task::{Context, Poll, ready};

use rustix::net::{netdevice, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use crate::endpoint::Error;

/// A multicast group, and through which interface to reach it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Group {
    /// The group and its UDP port.
    pub address: SocketAddr,
    /// Name of the interface to use, such as `eth0` or `lo`. `None` is the one that the routes name
    /// and, where they name none, loopback; a listener hears loopback then in any case.
    pub interface: Option<String>,
    /// How many hops a datagram may travel: 1 stays in the local network. Default: 1.
    pub hops: u8,
}

/// Sends datagrams to a group.
#[derive(Debug)]
pub struct Announcer {
    socket: Socket,
    group: Group,
    interface: u32,
    /// The index of loopback; 0 if there is none.
    loopback: u32,
}

/// Receives the datagrams of a group.
#[derive(Debug)]
pub struct Listener {
    socket: UdpSocket,
    buffer: Box<[u8]>,
}

/// A datagram that came to a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Announcement {
    /// What it says. Anybody can send anything (RFC 5352 §9.2).
    pub octets: Vec<u8>,
    /// Who sent it, as far as IP knows.
    pub source: SocketAddr,
}

/// The interface that every host has.
const LOOPBACK: &str = "lo";
/// The longest datagram.
const DATAGRAM_MAX: usize = 65_535;

impl Group {
    /// ASAP's group and port over IPv4 (RFC 5352 §8).
    pub const ASAP_V4: SocketAddr =
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(224, 0, 1, 185)), 3863);

    /// ASAP's group and port over IPv6 (RFC 5352 §8), for a scope between 1 and 14: 2 is the link, 5
    /// the site, 14 the world.
    #[must_use]
    pub const fn asap_v6(scope: u8) -> SocketAddr {
        let first = 0xff00 | (scope & 0xf) as u16;
        SocketAddr::new(IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0x133)), 3863)
    }

    /// A group in the local network, through the interface that the routes name.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, interface: None, hops: 1 }
    }

    /// The same group through one interface.
    #[must_use]
    pub fn through(self, interface: &str) -> Self {
        Self { interface: Some(interface.to_owned()), ..self }
    }

    fn error(&self, source: impl Into<io::Error>) -> Error {
        Error::Multicast { group: self.to_string(), source: source.into() }
    }
}

/// Writes `224.0.1.185:3863`, or `224.0.1.185:3863 on eth0`.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{} on {interface}", self.address),
            None => self.address.fmt(f),
        }
    }
}

impl Announcer {
    /// Opens a sender to `group`.
    ///
    /// Its source port is the group's, unless another program has that port for itself alone; then
    /// it is any.
    ///
    /// # Errors
    ///
    /// [`Error::Multicast`] where `group` is none, or there is no such interface.
    pub fn open(group: &Group) -> Result<Self, Error> {
        let error = |source| group.error(source);
        let (socket, interface) = socket(group).map_err(error)?;
        // A host address would take datagrams from sockets that are bound to every address.
        if let Err(source) = socket.bind(&sock_addr(group, interface)) {
            tracing::warn!(%group, %source, "announcing from another source port");
        }
        let loopback = index(&socket, LOOPBACK).unwrap_or_default();
        let announcer = Self { socket, group: group.clone(), interface, loopback };
        announcer.set_hops().and_then(|()| announcer.leave_through(interface)).map_err(error)?;
        Ok(announcer)
    }

    /// Sends one datagram, at once or not at all. Announcements are repeated, so nobody waits.
    ///
    /// # Errors
    ///
    /// What the system says: [`NetworkUnreachable`](io::ErrorKind::NetworkUnreachable) while the
    /// interface is down, [`WouldBlock`](io::ErrorKind::WouldBlock) while too much waits. The next
    /// one may go.
    pub fn send(&self, octets: &[u8]) -> io::Result<()> {
        let to = sock_addr(&self.group, self.interface);
        let sent = self.socket.send_to(octets, &to);
        let alone = |error: &io::Error| {
            self.interface == 0 && error.kind() == io::ErrorKind::NetworkUnreachable
        };
        let sent = match sent {
            // A host without a network still has programs that want to find each other.
            Err(error) if alone(&error) => self.send_to_loopback(octets, &to),
            sent => sent,
        };
        sent.map(drop)
    }

    fn send_to_loopback(&self, octets: &[u8], to: &SockAddr) -> io::Result<usize> {
        self.leave_through(self.loopback)?;
        let sent = self.socket.send_to(octets, to);
        self.leave_through(0)?;
        sent
    }

    fn set_hops(&self) -> io::Result<()> {
        let hops = u32::from(self.group.hops);
        if self.group.address.is_ipv4() {
            self.socket.set_multicast_ttl_v4(hops)?;
            self.socket.set_multicast_loop_v4(true)
        } else {
            self.socket.set_multicast_hops_v6(hops)?;
            self.socket.set_multicast_loop_v6(true)
        }
    }

    /// Chooses the interface; 0 leaves it to the routes.
    fn leave_through(&self, interface: u32) -> io::Result<()> {
        match self.group.address.ip() {
            IpAddr::V4(ip) => {
                // Left alone, the system takes another interface's address for loopback's.
                let on_loopback = interface != 0 && interface == self.loopback;
                let source = if on_loopback { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
                sockopt::set_ip_multicast_if_with_ifindex(&self.socket, &ip, &source, interface)?;
                Ok(())
            }
            IpAddr::V6(_) => self.socket.set_multicast_if_v6(interface),
        }
    }
}

impl Listener {
    /// Joins `group`.
    ///
    /// # Errors
    ///
    /// [`Error::Multicast`] where `group` is none, there is no such interface, or another program
    /// has that port for itself alone.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with IO enabled.
    pub fn join(group: &Group) -> Result<Self, Error> {
        let error = |source| group.error(source);
        let (socket, interface) = socket(group).map_err(error)?;
        socket.bind(&sock_addr(group, interface)).map_err(error)?;
        if group.interface.is_some() {
            join(&socket, group, interface).map_err(error)?;
        } else {
            let loopback = index(&socket, LOOPBACK).and_then(|lo| join(&socket, group, lo));
            // One of them is enough: a host may have no route, or no IPv6 on loopback.
            join(&socket, group, 0).or(loopback).map_err(error)?;
        }
        let socket = UdpSocket::from_std(socket.into()).map_err(error)?;
        Ok(Self { socket, buffer: vec![0; DATAGRAM_MAX].into() })
    }

    /// The next datagram.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Announcement> {
        loop {
            let mut buffer = ReadBuf::new(&mut self.buffer);
            // An error concerns one datagram (a bad checksum); the next read takes the next.
            if let Ok(source) = ready!(self.socket.poll_recv_from(cx, &mut buffer)) {
                let octets = buffer.filled().to_vec();
                return Poll::Ready(Announcement { octets, source });
            }
        }
    }

    /// The next datagram.
    ///
    /// # Cancel safety
    ///
    /// Cancelling loses nothing.
    pub async fn next(&mut self) -> Announcement {
        poll_fn(|cx| self.poll_next(cx)).await
    }
}

/// A socket that can share the group's port, and the index of the interface; 0 if none is named.
fn socket(group: &Group) -> io::Result<(Socket, u32)> {
    if !group.address.ip().is_multicast() {
        return Err(io::Error::other("that is not a multicast address"));
    }
    let socket = Socket::new(Domain::for_address(group.address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    // Without this, the groups that other sockets joined come here as well.
    if group.address.is_ipv4() {
        socket.set_multicast_all_v4(false)?;
    } else {
        socket.set_multicast_all_v6(false)?;
        socket.set_only_v6(true)?;
    }
    let interface = match &group.interface {
        Some(name) => index(&socket, name)?,
        None => 0,
    };
    Ok((socket, interface))
}

fn index(socket: &Socket, interface: &str) -> io::Result<u32> {
    netdevice::name_to_index(socket, interface)
        .map_err(|_| io::Error::new(io::ErrorKind::NotFound, format!("no interface {interface}")))
}

/// The group's address; within a link it needs the interface.
fn sock_addr(group: &Group, interface: u32) -> SockAddr {
    match group.address {
        SocketAddr::V4(address) => address.into(),
        SocketAddr::V6(address) => {
            SocketAddrV6::new(*address.ip(), address.port(), 0, interface).into()
        }
    }
}

fn join(socket: &Socket, group: &Group, interface: u32) -> io::Result<()> {
    match group.address.ip() {
        IpAddr::V4(ip) => {
            socket.join_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(interface))
        }
        IpAddr::V6(ip) => socket.join_multicast_v6(&ip, interface),
    }
}
