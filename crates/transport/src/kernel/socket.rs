//! One-to-many SCTP socket of Linux: its options (RFC 6458 §8) and calls.
//!
//! Layouts are those of `linux/sctp.h`; the association in an option is 0 for all to come.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use super::notification::{self, KernelId};
use super::sockaddr;
use crate::endpoint::{Options, Ppid};
use crate::sys::sctp::{self, Batch};

/// Octets of all associations that the kernel may hold, in each direction. The kernel shares them
/// among the associations of a socket.
const BUFFER_OCTETS: i32 = 4 << 20;
/// How long an acknowledgement may wait for company; it must stay well below any RTO.Min.
const SACK_DELAY: Duration = Duration::from_millis(20);

/// Option names (`linux/sctp.h`).
mod option {
    pub(super) const RTOINFO: i32 = 0;
    pub(super) const ASSOCINFO: i32 = 1;
    pub(super) const INITMSG: i32 = 2;
    pub(super) const NODELAY: i32 = 3;
    pub(super) const AUTOCLOSE: i32 = 4;
    pub(super) const STATUS: i32 = 14;
    pub(super) const PEER_ADDR_PARAMS: i32 = 9;
    pub(super) const I_WANT_MAPPED_V4_ADDR: i32 = 12;
    pub(super) const DELAYED_SACK: i32 = 16;
    pub(super) const FRAGMENT_INTERLEAVE: i32 = 18;
    pub(super) const AUTO_ASCONF: i32 = 30;
    pub(super) const RECVRCVINFO: i32 = 32;
    pub(super) const BINDX_ADD: i32 = 100;
    pub(super) const BINDX_REMOVE: i32 = 101;
    pub(super) const PEER_ADDRESSES: i32 = 108;
    pub(super) const LOCAL_ADDRESSES: i32 = 109;
    pub(super) const EVENT: i32 = 127;
    pub(super) const REMOTE_UDP_ENCAPS_PORT: i32 = 132;
}

/// Flags of `struct sctp_sndinfo`.
mod flag {
    pub(super) const ABORT: u16 = 0x4;
    pub(super) const SACK_IMMEDIATELY: u16 = 0x8;
    pub(super) const EOF: u16 = 0x200;
}

/// Notifications that every association sends.
const EVENTS: [u16; 5] = [
    notification::ASSOC_CHANGE,
    notification::PEER_ADDR_CHANGE,
    notification::SHUTDOWN,
    notification::PARTIAL_DELIVERY,
    notification::SEND_FAILED,
];

/// What the kernel still has of an association: other octets are something else that is left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unsent([u8; 4]);

/// A bound one-to-many socket.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: socket2::Socket,
    /// True where IPv4 addresses, and where IPv6 addresses can be dialed.
    v4: bool,
    v6: bool,
}

impl Socket {
    /// Binds to all `addresses` and listens.
    pub(crate) fn listen(addresses: &[IpAddr], port: u16, options: &Options) -> io::Result<Self> {
        let socket = Self::bind(addresses, port, options)?;
        // The number matters to other styles of sockets only.
        socket.inner.listen(1)?;
        Ok(socket)
    }

    /// Binds to all `addresses`.
    pub(super) fn bind(addresses: &[IpAddr], port: u16, options: &Options) -> io::Result<Self> {
        let v6 = addresses.iter().any(IpAddr::is_ipv6);
        let v4 = addresses.iter().any(|a| a.is_ipv4() || is_unspecified_v6(a));
        let domain = if v6 { socket2::Domain::IPV6 } else { socket2::Domain::IPV4 };
        let kind = socket2::Type::SEQPACKET.nonblocking().cloexec();
        let inner = socket2::Socket::new(domain, kind, Some(socket2::Protocol::SCTP))?;
        let socket = Self { inner, v4, v6 };
        if v6 {
            socket.inner.set_only_v6(!v4)?;
            socket.set(option::I_WANT_MAPPED_V4_ADDR, &0_i32.to_ne_bytes())?;
        }
        // A port whose last associations still shut down can be bound again; the kernel refuses
        // two sockets that both listen.
        socket.inner.set_reuse_address(true)?;
        socket.configure(options)?;
        socket.set(option::BINDX_ADD, &sockaddr::encode(addresses.iter().copied(), port))?;
        if addresses.iter().all(IpAddr::is_unspecified) {
            // Tell peers when the host gets or loses an address (RFC 5061), where that is on.
            let _ = socket.set(option::AUTO_ASCONF, &1_i32.to_ne_bytes());
        }
        Ok(socket)
    }

    /// The bound port.
    pub(super) fn port(&self) -> io::Result<u16> {
        let address = self.inner.local_addr()?;
        Ok(address.as_socket().map_or(0, |address| address.port()))
    }

    /// Octets that the kernel keeps at most for sending; no message can be longer.
    pub(super) fn send_buffer(&self) -> usize {
        self.inner.send_buffer_size().unwrap_or(0)
    }

    /// Those addresses that this socket can reach.
    pub(super) fn reachable(&self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let fits = |a: &IpAddr| if a.is_ipv4() { self.v4 } else { self.v6 };
        addresses.iter().copied().filter(fits).collect()
    }

    /// Starts an association. `encapsulation` is the peer's UDP port (RFC 6951); it counts where
    /// the kernel's own encapsulation is switched on.
    pub(super) fn connect(
        &self,
        addresses: &[IpAddr],
        port: u16,
        encapsulation: Option<u16>,
    ) -> io::Result<KernelId> {
        let addresses = sockaddr::encode(addresses.iter().copied(), port);
        let Some(udp) = encapsulation.filter(|_| encapsulates()) else {
            return sctp::connectx(self.as_fd(), &addresses).map(KernelId);
        };
        // A new association takes the port from the socket; the next one must not.
        self.set(option::REMOTE_UDP_ENCAPS_PORT, &encapsulation_port(udp))?;
        let result = sctp::connectx(self.as_fd(), &addresses);
        self.set(option::REMOTE_UDP_ENCAPS_PORT, &encapsulation_port(0))?;
        result.map(KernelId)
    }

    /// Sends a message on stream 0; `hurry` asks for an acknowledgement at once.
    pub(super) fn send(
        &self,
        assoc: KernelId,
        ppid: Ppid,
        octets: &[u8],
        hurry: bool,
    ) -> io::Result<()> {
        let flags = if hurry { flag::SACK_IMMEDIATELY } else { 0 };
        sctp::send(self.as_fd(), sndinfo(assoc, flags, ppid), octets)
    }

    /// Ends an association once what was sent has arrived.
    pub(super) fn shut_down(&self, assoc: KernelId) -> io::Result<()> {
        sctp::send(self.as_fd(), sndinfo(assoc, flag::EOF, Ppid(0)), &[])
    }

    /// Ends an association now.
    pub(super) fn abort(&self, assoc: KernelId) -> io::Result<()> {
        sctp::send(self.as_fd(), sndinfo(assoc, flag::ABORT, Ppid(0)), &[])
    }

    /// Receives what is there; true where there may be more.
    pub(super) fn receive(&self, batch: &mut Batch) -> io::Result<bool> {
        sctp::receive(self.as_fd(), batch)
    }

    /// The peer's addresses.
    pub(super) fn peers(&self, assoc: KernelId) -> io::Result<Vec<SocketAddr>> {
        self.addresses(option::PEER_ADDRESSES, assoc)
    }

    /// The own addresses of an association.
    pub(super) fn locals(&self, assoc: KernelId) -> io::Result<Vec<SocketAddr>> {
        self.addresses(option::LOCAL_ADDRESSES, assoc)
    }

    /// Binds one more address and tells all peers (RFC 5061).
    pub(super) fn add_address(&self, address: IpAddr, port: u16) -> io::Result<()> {
        self.set(option::BINDX_ADD, &sockaddr::encode([address], port))
    }

    /// Gives up an address and tells all peers (RFC 5061).
    pub(super) fn remove_address(&self, address: IpAddr, port: u16) -> io::Result<()> {
        self.set(option::BINDX_REMOVE, &sockaddr::encode([address], port))
    }

    /// What the kernel still has to send, or to see acknowledged, of an association.
    pub(super) fn unsent(&self, assoc: KernelId) -> io::Result<Unsent> {
        // struct sctp_status: association, state and window, then two counts of chunks.
        let mut value = [0; 176];
        value[..4].copy_from_slice(&assoc.0.to_ne_bytes());
        sctp::sctp_option(self.as_fd(), option::STATUS, &mut value)?;
        Ok(Unsent([value[12], value[13], value[14], value[15]]))
    }

    /// Asks for a notification when all that was sent on `assoc` is acknowledged, or no more.
    pub(super) fn notify_dry(&self, assoc: KernelId, on: bool) -> io::Result<()> {
        self.set(option::EVENT, &event(assoc.0, notification::SENDER_DRY, on))
    }

    fn configure(&self, options: &Options) -> io::Result<()> {
        for kind in EVENTS {
            self.set(option::EVENT, &event(0, kind, true))?;
        }
        let on = 1_i32.to_ne_bytes();
        self.set(option::RECVRCVINFO, &on)?;
        self.set(option::NODELAY, &on)?;
        self.set(option::AUTOCLOSE, &0_i32.to_ne_bytes())?;
        // Pieces of long messages of one peer do not hold up the others.
        self.set(option::FRAGMENT_INTERLEAVE, &on)?;
        self.set(option::RTOINFO, &rtoinfo(options))?;
        self.set(option::ASSOCINFO, &associnfo(options))?;
        self.set(option::INITMSG, &initmsg(options))?;
        self.set(option::PEER_ADDR_PARAMS, &peer_addr_params(options))?;
        self.set(option::DELAYED_SACK, &words::<3, 12>([0, millis(SACK_DELAY), 2]))?;
        self.enlarge(libc::SO_SNDBUF, libc::SO_SNDBUFFORCE)?;
        self.enlarge(libc::SO_RCVBUF, libc::SO_RCVBUFFORCE)
    }

    /// Sets a buffer size: beyond the system's limit where we may, else up to it.
    fn enlarge(&self, name: i32, force: i32) -> io::Result<()> {
        let size = BUFFER_OCTETS.to_ne_bytes();
        sctp::set_option(self.as_fd(), libc::SOL_SOCKET, force, &size)
            .or_else(|_| sctp::set_option(self.as_fd(), libc::SOL_SOCKET, name, &size))
    }

    /// Reads a `struct sctp_getaddrs`.
    fn addresses(&self, name: i32, assoc: KernelId) -> io::Result<Vec<SocketAddr>> {
        // The first size holds 72 IPv6 addresses; the second all that fit in an INIT chunk.
        let mut last = None;
        for size in [2 << 10, 128 << 10] {
            let mut value = vec![0; size];
            value[..4].copy_from_slice(&assoc.0.to_ne_bytes());
            match sctp::sctp_option(self.as_fd(), name, &mut value) {
                // The length that comes back counts other things in each of the two options, so
                // count the addresses.
                Ok(_) => {
                    let count = u32::from_ne_bytes([value[4], value[5], value[6], value[7]]);
                    return Ok(sockaddr::decode_list(&value[8..]).take(count as usize).collect());
                }
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::InvalidData.into()))
    }

    fn set(&self, name: i32, value: &[u8]) -> io::Result<()> {
        sctp::set_option(self.as_fd(), sctp::SOL_SCTP, name, value)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

fn is_unspecified_v6(address: &IpAddr) -> bool {
    address.is_ipv6() && address.is_unspecified()
}

/// Whether the kernel sends and receives SCTP in UDP (`net.sctp.udp_port`, since Linux 5.11).
fn encapsulates() -> bool {
    fs::read_to_string("/proc/sys/net/sctp/udp_port").is_ok_and(|port| port.trim() != "0")
}

/// `struct sctp_sndinfo`. The PPID passes through the kernel as it is: network order is ours to
/// make.
fn sndinfo(assoc: KernelId, flags: u16, ppid: Ppid) -> [u8; 16] {
    let mut value = [0; 16];
    value[2..4].copy_from_slice(&flags.to_ne_bytes());
    value[4..8].copy_from_slice(&ppid.0.to_be_bytes());
    value[12..].copy_from_slice(&assoc.0.to_ne_bytes());
    value
}

/// The PPID and association in a `struct sctp_rcvinfo`.
pub(super) fn rcvinfo(value: &[u8; 28]) -> (KernelId, Ppid) {
    let word = |at| [value[at], value[at + 1], value[at + 2], value[at + 3]];
    (KernelId(i32::from_ne_bytes(word(24))), Ppid(u32::from_be_bytes(word(8))))
}

/// `struct sctp_event`
fn event(assoc: i32, kind: u16, on: bool) -> [u8; 8] {
    let mut value = [0; 8];
    value[..4].copy_from_slice(&assoc.to_ne_bytes());
    value[4..6].copy_from_slice(&kind.to_ne_bytes());
    value[6] = on.into();
    value
}

/// `struct sctp_rtoinfo`. The kernel refuses bounds in the wrong order.
fn rtoinfo(options: &Options) -> [u8; 16] {
    let min = millis(options.rto.min);
    let max = millis(options.rto.max).max(min);
    let initial = millis(options.rto.initial).clamp(min, max);
    words([0, initial, max, min])
}

/// `struct sctp_assocparams`; 0 leaves a default.
fn associnfo(options: &Options) -> [u8; 20] {
    let mut value = [0; 20];
    let retransmits = u16::try_from(options.association_retransmits_max).unwrap_or(u16::MAX);
    value[4..6].copy_from_slice(&retransmits.to_ne_bytes());
    value
}

/// `struct sctp_initmsg`. The kernel dials on until we stop it, so that what it reports before is a
/// refusal.
fn initmsg(options: &Options) -> [u8; 8] {
    let mut value = [0; 8];
    let timeout = u16::try_from(millis(options.rto.max)).unwrap_or(u16::MAX);
    value[4..6].copy_from_slice(&u16::MAX.to_ne_bytes());
    value[6..].copy_from_slice(&timeout.to_ne_bytes());
    value
}

/// `struct sctp_paddrparams`, for all addresses.
fn peer_addr_params(options: &Options) -> [u8; 156] {
    const HEARTBEAT_ENABLE: u32 = 1;
    let mut value = [0; 156];
    let retransmits = u16::try_from(options.path_retransmits_max).unwrap_or(u16::MAX);
    value[132..136].copy_from_slice(&millis(options.heartbeat).to_ne_bytes());
    value[136..138].copy_from_slice(&retransmits.to_ne_bytes());
    value[146..150].copy_from_slice(&HEARTBEAT_ENABLE.to_ne_bytes());
    value
}

/// `struct sctp_udpencaps`, for all addresses.
fn encapsulation_port(port: u16) -> [u8; 144] {
    let mut value = [0; 144];
    value[136..138].copy_from_slice(&port.to_be_bytes());
    value
}

fn words<const WORDS: usize, const OCTETS: usize>(words: [u32; WORDS]) -> [u8; OCTETS] {
    let mut value = [0; OCTETS];
    for (place, word) in value.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    value
}

/// At least 1: the kernel takes 0 for "leave it".
fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}
