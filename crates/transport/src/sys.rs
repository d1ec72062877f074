//! The system calls that `socket2` lacks, and the one promise to the compiler that userland SCTP
//! needs: the only `unsafe` of the project's transports.

#[cfg(target_os = "linux")]
pub(crate) mod sctp;

use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, BorrowedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Sets a socket option whose value is an `int`.
pub(crate) fn set_int(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    let pointer: *const i32 = &value;
    // SAFETY: the pointer is to a live `i32` of exactly the length that is passed, and the call
    // only reads it.
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, pointer.cast(), socklen::<i32>()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Registers a socket with the runtime, for reading and for what is in its error queue. Writing is
/// left out: a UDP socket becomes writable with every packet that leaves, and each would wake us.
pub(crate) fn register(socket: socket2::Socket) -> io::Result<AsyncFd<socket2::Socket>> {
    let interest = Interest::READABLE | Interest::ERROR;
    // SAFETY: the socket owns its descriptor, returns the same one each time, and is closed by its
    // drop only, after `AsyncFd` has taken it out of the registry.
    unsafe { Ok(AsyncFd::register_with_interest(socket, interest)?) }
}

/// What [`receive`] found.
pub(crate) struct Received {
    /// Octets of the datagram that were stored.
    pub(crate) length: usize,
    /// Octets of control messages that were stored.
    pub(crate) control_length: usize,
    /// True where the datagram was longer than the buffer.
    pub(crate) truncated: bool,
    /// Where it came from, or for the error queue where it was going.
    pub(crate) address: SocketAddr,
}

/// Receives one datagram with its control messages.
pub(crate) fn receive(
    fd: BorrowedFd<'_>,
    octets: &mut [u8],
    control: &mut [u8],
    flags: i32,
) -> io::Result<Received> {
    let mut vector = libc::iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: octets.len() };
    // SAFETY: `sockaddr_storage` and `msghdr` are plain C structures for which zeros are a value.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut storage).cast();
    header.msg_namelen = socklen::<libc::sockaddr_storage>();
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = control.len() as _;
    // SAFETY: every pointer in the header is to a live buffer of the length beside it, and all of
    // them outlive the call.
    let length = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    Ok(Received {
        length,
        control_length: header.msg_controllen as usize,
        truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        address: socket_address(&storage)?,
    })
}

/// An IP address and port out of what the kernel wrote.
fn socket_address(storage: &libc::sockaddr_storage) -> io::Result<SocketAddr> {
    let pointer: *const libc::sockaddr_storage = storage;
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that this is a `sockaddr_in`; the storage is larger and at
            // least as aligned.
            let v4 = unsafe { &*pointer.cast::<libc::sockaddr_in>() };
            let ip = std::net::Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Ok(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, with `sockaddr_in6`.
            let v6 = unsafe { &*pointer.cast::<libc::sockaddr_in6>() };
            let ip = std::net::Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Ok(std::net::SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into())
        }
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}

/// The size of a C structure as the socket calls want it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "no structure of the socket calls is that large"
)]
const fn socklen<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// A socket of `dcsctp` that may move between threads.
pub(crate) struct SctpSocket(dcsctp::api::Socket);

impl SctpSocket {
    /// A closed socket; `options` are final.
    pub(crate) fn new(options: &dcsctp::api::Options) -> Self {
        Self(dcsctp::api::Socket::new("", options))
    }
}

// SAFETY: the socket is not `Send` because its parts share its event queue and clock by `Rc`. All
// those counted references are inside this one value: its constructor makes them, no method of
// dcsctp 0.1.16 takes or returns one, and it keeps none in a thread-local or static. So they move
// together, and nobody else can count at the same time. The version is pinned in `Cargo.toml`.
unsafe impl Send for SctpSocket {}

impl Deref for SctpSocket {
    type Target = dcsctp::api::Socket;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for SctpSocket {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
