//! The UDP sockets under SCTP (RFC 6951): where datagrams come from, where they go, and what the
//! network says about those that did not arrive.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use socket2::{Domain, MsgHdr, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};
use tokio::task::coop;

use super::control;
use crate::address::socket_address;
use crate::sys;

/// Kernel buffer for each direction: a burst of a hundred associations must not be lost.
const BUFFER: i32 = 4 << 20;

/// Errors taken from the queue at once.
const ERRORS: usize = 256;

/// Octets of the lost packet that are kept: enough for the tag in an INIT.
pub(super) const QUOTE: usize = 20;

/// How a datagram came, and how its answer goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    /// Which of the endpoint's sockets.
    pub(super) socket: usize,
    /// Own address; `None` lets the system choose.
    pub(super) local: Option<IpAddr>,
    /// The peer's address and UDP port.
    pub(super) remote: SocketAddr,
}

/// One datagram that arrived.
pub(super) struct Datagram {
    /// Its octets are at the start of the buffer.
    pub(super) length: usize,
    /// The own address that it was sent to.
    pub(super) local: Option<IpAddr>,
    /// Where it came from.
    pub(super) remote: SocketAddr,
}

/// The network says that nobody is at a port: what was sent there began with `quote`.
pub(super) struct Unreachable {
    /// Where the packet was going.
    pub(super) remote: SocketAddr,
    /// The first octets of the lost SCTP packet; zeros where the network quoted less.
    pub(super) quote: [u8; QUOTE],
}

/// A bound UDP socket.
pub(super) struct UdpSocket {
    fd: Arc<AsyncFd<Socket>>,
    address: IpAddr,
    failure: Pin<Box<dyn Future<Output = ()> + Send>>,
    unreachable: Vec<Unreachable>,
}

impl UdpSocket {
    /// Binds; needs a tokio runtime with IO.
    pub(super) fn bind(at: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        let wildcard = at.ip().is_unspecified();
        match at {
            SocketAddr::V4(_) => {
                // Fragments where a path is narrower than Ethernet, without waiting for ICMP.
                set(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)?;
                set(&socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
                set(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, i32::from(wildcard))?;
                // Announcements of RSerPool come to the same port, by multicast.
                socket.set_multicast_all_v4(false)?;
            }
            SocketAddr::V6(_) => {
                socket.set_only_v6(true)?;
                set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
                set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, i32::from(wildcard))?;
                socket.set_multicast_all_v6(false)?;
            }
        }
        // The forced variant passes the system's limit but needs CAP_NET_ADMIN.
        if set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER).is_err() {
            set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, BUFFER)?;
        }
        if set(&socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, BUFFER).is_err() {
            set(&socket, libc::SOL_SOCKET, libc::SO_SNDBUF, BUFFER)?;
        }
        match socket.bind(&at.into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && only_groups_at(at) => {
                socket.set_reuse_address(true)?;
                socket.bind(&at.into())?;
            }
            bound => bound?,
        }
        // From now on only: two endpoints must not share a port, but sockets at the addresses of
        // multicast groups may come beside the wildcard.
        socket.set_reuse_address(wildcard)?;
        let fd = Arc::new(sys::register(socket)?);
        let failure = watch(Arc::clone(&fd));
        Ok(Self { fd, address: at.ip(), failure, unreachable: Vec::new() })
    }

    /// Receives one datagram into `buffer`. An error is about one datagram; the socket lives on.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Datagram>> {
        let mut received = None;
        while received.is_none() {
            received = match self.fd.poll_read_ready(cx) {
                Poll::Ready(guard) => guard?.try_io(|fd| receive(fd.get_ref(), buffer)).ok(),
                Poll::Pending if coop::has_budget_remaining() => return Poll::Pending,
                // The task has had its share of IO and is polled again soon. But timers run in any
                // case, and must not before what arrived: a busy task is no silent peer.
                Poll::Pending => match receive(self.fd.get_ref(), buffer) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                    result => Some(result),
                },
            };
        }
        received.map_or(Poll::Pending, |received| Poll::Ready(self.took(received)))
    }

    /// The same without the runtime, which may not know yet that there is something: nobody is woken
    /// for what comes later.
    pub(super) fn receive_now(&mut self, buffer: &mut [u8]) -> Poll<io::Result<Datagram>> {
        match receive(self.fd.get_ref(), buffer) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            received => Poll::Ready(self.took(received)),
        }
    }

    fn took(&mut self, received: io::Result<Datagram>) -> io::Result<Datagram> {
        match received {
            Ok(datagram) => {
                let local = datagram.local.or_else(|| self.fixed());
                Ok(Datagram { local, ..datagram })
            }
            Err(error) => {
                // It stands for an entry in the error queue.
                self.drain();
                Err(error)
            }
        }
    }

    /// Sends, or drops where the system has no room for it: SCTP repeats what is lost.
    pub(super) fn send(&mut self, route: &Route, octets: &[u8]) -> io::Result<()> {
        let mut control = [0; control::PACKET_INFO];
        let mut local = route.local.filter(|_| self.address.is_unspecified());
        let to = route.remote.into();
        let mut result = Ok(());
        // An error may be that of an earlier packet to another peer, or of an address that this host
        // has lost: send once more without the cause.
        for _ in 0..3 {
            let info = local.map_or(&[][..], |ip| control::packet_info(ip, &mut control));
            let slices = [IoSlice::new(octets)];
            let message = MsgHdr::new().with_addr(&to).with_buffers(&slices).with_control(info);
            match self.fd.get_ref().sendmsg(&message, libc::MSG_NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(error) => {
                    if !self.drain() {
                        local = None;
                    }
                    result = Err(error);
                }
            }
        }
        result
    }

    /// What the network said since the last call; wakes the task when it says more.
    pub(super) fn poll_unreachable(&mut self, cx: &mut Context<'_>) -> Vec<Unreachable> {
        // At most twice: the second poll leaves the waker.
        for _ in 0..2 {
            if self.failure.as_mut().poll(cx).is_pending() {
                break;
            }
            self.failure = watch(Arc::clone(&self.fd));
            if self.drain() {
                cx.waker().wake_by_ref();
            }
        }
        std::mem::take(&mut self.unreachable)
    }

    /// The port it is bound to.
    pub(super) fn port(&self) -> io::Result<u16> {
        let local = self.fd.get_ref().local_addr()?;
        Ok(local.as_socket().map_or(0, |local| local.port()))
    }

    /// True where a datagram to `remote` can leave by this socket, and from `local` where that is
    /// asked for.
    pub(super) fn reaches(&self, remote: IpAddr, local: Option<IpAddr>) -> bool {
        self.address.is_ipv4() == remote.is_ipv4()
            && (self.address.is_unspecified() || local.is_none_or(|local| self.address == local))
            && (self.address.is_unspecified() || self.address.is_loopback() == remote.is_loopback())
    }

    /// Where it is bound; unspecified where it is at all addresses of its family.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    fn fixed(&self) -> Option<IpAddr> {
        (!self.address.is_unspecified()).then_some(self.address)
    }

    /// Empties the error queue, which also clears the error that the next call would have returned.
    /// Returns false where there was nothing in it.
    fn drain(&mut self) -> bool {
        let mut quote = [0; QUOTE];
        let mut control = [0; control::ERROR];
        for taken in 0..ERRORS {
            quote.fill(0);
            let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
            let fd = self.fd.get_ref().as_fd();
            let Ok(error) = sys::receive(fd, &mut quote, &mut control, flags) else {
                return taken > 0;
            };
            let said = control.get(..error.control_length).unwrap_or_default();
            if control::says_port_unreachable(said) && self.unreachable.len() < ERRORS {
                self.unreachable.push(Unreachable { remote: error.address, quote });
            }
        }
        true
    }
}

/// True where the wildcard is in use because of sockets at the addresses of multicast groups, as far
/// as can be told: whoever has the wildcard has loopback too.
fn only_groups_at(at: SocketAddr) -> bool {
    let loopback: IpAddr = match at {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    at.ip().is_unspecified() && std::net::UdpSocket::bind((loopback, at.port())).is_ok()
}

/// Ends when there is something in the error queue.
fn watch(fd: Arc<AsyncFd<Socket>>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        match fd.ready(Interest::ERROR).await {
            Ok(mut guard) => guard.clear_ready_matching(Ready::ERROR),
            // The runtime shuts down.
            Err(_) => std::future::pending().await,
        }
    })
}

fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut control = [0; control::PACKET_INFO];
    let received = sys::receive(socket.as_fd(), buffer, &mut control, libc::MSG_DONTWAIT)?;
    if received.truncated {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let said = control.get(..received.control_length).unwrap_or_default();
    Ok(Datagram {
        length: received.length,
        local: control::destination(said),
        remote: received.address,
    })
}

fn set(socket: &Socket, level: i32, name: i32, value: i32) -> io::Result<()> {
    sys::set_int(socket.as_fd(), level, name, value)
}

/// Binds one socket for each address, all at the same port; port 0 takes one that is free for all.
/// Link-local addresses are at the interface `zone`.
pub(super) fn bind_all(addresses: &[IpAddr], port: u16, zone: u32) -> io::Result<Vec<UdpSocket>> {
    let mut wanted = addresses.to_vec();
    // Whoever says [::] means every address: the sockets are for one family each.
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    if wanted.iter().any(|ip| ip.is_ipv6() && ip.is_unspecified()) && !wanted.contains(&everywhere)
    {
        wanted.push(everywhere);
    }
    let mut attempts = if port == 0 { 16 } else { 1 };
    loop {
        attempts -= 1;
        match bind_at(&wanted, port, zone) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            result => return result,
        }
    }
}

fn bind_at(addresses: &[IpAddr], mut port: u16, zone: u32) -> io::Result<Vec<UdpSocket>> {
    let mut sockets = Vec::with_capacity(addresses.len());
    for address in addresses {
        let socket = UdpSocket::bind(socket_address(*address, port, zone))?;
        port = socket.port()?;
        sockets.push(socket);
    }
    Ok(sockets)
}
