//! The system calls that `socket2` lacks: the only `unsafe` of the project's transports.

use std::io;
use std::net::SocketAddr;
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

#[cfg(target_os = "linux")]
pub(crate) mod sctp {
    //! The system calls of SCTP in the Linux kernel.
    //!
    //! Options and notifications pass as octets; who calls knows their layout (`kernel/`). A slice has a
    //! length that the system respects, so nothing here can write beyond it.

    use std::io;
    use std::mem;
    use std::os::fd::{AsRawFd, BorrowedFd};
    use std::ptr;

    use tokio::io::unix::AsyncFd;

    use crate::kernel::Socket;

    /// `SOL_SCTP`, the level of SCTP's options and control messages.
    pub(crate) const SOL_SCTP: libc::c_int = libc::IPPROTO_SCTP;
    /// `MSG_NOTIFICATION`: what was received is a notification, not a message.
    pub(crate) const MSG_NOTIFICATION: libc::c_int = 0x8000;

    /// `SCTP_SNDINFO` and `SCTP_RCVINFO`, the control messages of a sent and a received message.
    const SNDINFO: i32 = 2;
    const RCVINFO: i32 = 3;
    /// The length of a `struct cmsghdr` as the kernel has it: a length, a level, a type.
    const CONTROL_HEADER: usize = size_of::<usize>() + 8;
    /// Room for a `struct sockaddr_in6`.
    const SENDER: usize = 28;
    /// `SCTP_SOCKOPT_CONNECTX3`.
    const CONNECTX3: libc::c_int = 111;

    /// Hands a socket to the reactor of the current tokio runtime.
    pub(crate) fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
        // SAFETY: a `Socket` owns its descriptor from its making to its drop, never exchanges it, and
        // `as_raw_fd` names that one.
        unsafe { AsyncFd::register(socket) }.map_err(Into::into)
    }

    /// Sets a socket option.
    pub(crate) fn set_option(
        fd: BorrowedFd<'_>,
        level: libc::c_int,
        name: libc::c_int,
        value: &[u8],
    ) -> io::Result<()> {
        // SAFETY: the kernel reads at most `length` octets of `value`, which outlives the call.
        let rc = unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                level,
                name,
                value.as_ptr().cast(),
                length(value.len()),
            )
        };
        if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Reads an SCTP option: `value` holds the question (an association, mostly) and gets the answer.
    /// Returns the length of the answer.
    pub(crate) fn sctp_option(
        fd: BorrowedFd<'_>,
        name: libc::c_int,
        value: &mut [u8],
    ) -> io::Result<usize> {
        let mut len = length(value.len());
        // SAFETY: the kernel writes at most `len` octets to `value`, which is borrowed exclusively.
        let rc = unsafe {
            libc::getsockopt(fd.as_raw_fd(), SOL_SCTP, name, value.as_mut_ptr().cast(), &mut len)
        };
        if rc < 0 { Err(io::Error::last_os_error()) } else { Ok((len as usize).min(value.len())) }
    }

    /// Starts an association to a peer's addresses (a packed list of `sockaddr`) and returns the
    /// kernel's name for it.
    pub(crate) fn connectx(fd: BorrowedFd<'_>, addresses: &[u8]) -> io::Result<i32> {
        /// `struct sctp_getaddrs_old`
        #[repr(C)]
        struct Request {
            assoc: i32,
            octets: libc::c_int,
            addresses: *const u8,
        }
        let octets = libc::c_int::try_from(addresses.len()).unwrap_or(libc::c_int::MAX);
        let mut request = Request { assoc: 0, octets, addresses: addresses.as_ptr() };
        let mut len = length(size_of::<Request>());
        // SAFETY: the kernel reads `request` and the octets it points to, and writes an association
        // over the head of `request`; both outlive the call.
        let rc = unsafe {
            let request = ptr::from_mut(&mut request).cast();
            libc::getsockopt(fd.as_raw_fd(), SOL_SCTP, CONNECTX3, request, &mut len)
        };
        let result = if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        match result {
            Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => Err(e),
            Ok(()) | Err(_) => Ok(request.assoc),
        }
    }

    /// Sends one message with a `struct sctp_sndinfo`; never blocks.
    pub(crate) fn send(fd: BorrowedFd<'_>, sndinfo: [u8; 16], octets: &[u8]) -> io::Result<()> {
        let mut control = Control([0; 64]);
        let control_len = CONTROL_HEADER + sndinfo.len();
        let header = [
            &control_len.to_ne_bytes()[..],
            &SOL_SCTP.to_ne_bytes(),
            &SNDINFO.to_ne_bytes(),
            &sndinfo,
        ];
        let mut at = 0;
        for field in header {
            control.0[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        }

        let mut part =
            libc::iovec { iov_base: octets.as_ptr().cast_mut().cast(), iov_len: octets.len() };
        let mut message = empty_header();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control_len as _;
        // SAFETY: `message` points to `part`, `octets` and `control`, which outlive the call; sending
        // only reads them, so the cast to a mutable pointer is never used to write.
        let rc = unsafe {
            libc::sendmsg(fd.as_raw_fd(), &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        };
        if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Room for what one call of [`receive`] may return.
    #[derive(Debug)]
    pub(crate) struct Batch {
        octets: Vec<u8>,
        controls: Vec<Control>,
        senders: Vec<[u8; SENDER]>,
        filled: Vec<Filled>,
        /// The next call is to offer all slots: to prepare them costs more than most calls bring.
        many: bool,
    }

    /// A control buffer; the alignment of a `struct cmsghdr`.
    #[derive(Clone, Debug)]
    #[repr(C, align(8))]
    struct Control([u8; 64]);

    /// What a slot of a [`Batch`] was filled with.
    #[derive(Clone, Copy, Debug)]
    struct Filled {
        octets: usize,
        control: usize,
        sender: usize,
        flags: libc::c_int,
    }

    /// A message, a notification, or a piece of one.
    pub(crate) struct Received<'a> {
        pub(crate) octets: &'a [u8],
        /// A `struct sockaddr` of the peer.
        pub(crate) sender: &'a [u8],
        /// `MSG_EOR`: the end; [`MSG_NOTIFICATION`].
        pub(crate) flags: libc::c_int,
        /// `struct sctp_rcvinfo`; messages have it.
        pub(crate) rcvinfo: Option<[u8; 28]>,
    }

    impl Batch {
        /// How many messages one call returns at most, and at most while there are few.
        const SLOTS: usize = 16;
        const SLOTS_OF_FEW: usize = 2;
        /// How long a piece of a message can be. Longer messages come in pieces.
        const SLOT_OCTETS: usize = 16 << 10;

        pub(crate) fn new() -> Self {
            Self {
                octets: vec![0; Self::SLOTS * Self::SLOT_OCTETS],
                controls: vec![Control([0; 64]); Self::SLOTS],
                senders: vec![[0; SENDER]; Self::SLOTS],
                filled: Vec::with_capacity(Self::SLOTS),
                many: false,
            }
        }

        /// What the last call of [`receive`] returned, in order of arrival.
        pub(crate) fn iter(&self) -> impl Iterator<Item = Received<'_>> {
            let slots = self.octets.chunks_exact(Self::SLOT_OCTETS).zip(&self.controls);
            let slots = slots.zip(&self.senders);
            self.filled.iter().zip(slots).map(|(filled, ((octets, control), sender))| Received {
                octets: &octets[..filled.octets.min(octets.len())],
                sender: &sender[..filled.sender.min(sender.len())],
                flags: filled.flags,
                rcvinfo: rcvinfo(&control.0[..filled.control.min(control.0.len())]),
            })
        }
    }

    /// Receives what is there, as much as fits, and returns whether more may be there. Never blocks.
    pub(crate) fn receive(fd: BorrowedFd<'_>, batch: &mut Batch) -> io::Result<bool> {
        let is_full = match batch.many {
            true => receive_up_to::<{ Batch::SLOTS }>(fd, batch),
            false => receive_up_to::<{ Batch::SLOTS_OF_FEW }>(fd, batch),
        }?;
        batch.many = is_full || batch.filled.len() > Batch::SLOTS_OF_FEW;
        Ok(is_full)
    }

    /// Receives at most `SLOTS` pieces; true where there were as many. Fewer mean that nothing else
    /// is there.
    fn receive_up_to<const SLOTS: usize>(
        fd: BorrowedFd<'_>,
        batch: &mut Batch,
    ) -> io::Result<bool> {
        batch.filled.clear();
        let mut parts = [const { libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 } }; SLOTS];
        let mut messages = [const { libc::mmsghdr { msg_hdr: empty_header(), msg_len: 0 } }; SLOTS];
        let slots = batch.octets.chunks_exact_mut(Batch::SLOT_OCTETS).zip(&mut batch.controls);
        let slots = slots.zip(&mut batch.senders);
        let headers = messages.iter_mut().zip(&mut parts);
        for ((message, part), ((octets, control), sender)) in headers.zip(slots) {
            part.iov_base = octets.as_mut_ptr().cast();
            part.iov_len = octets.len();
            message.msg_hdr.msg_name = sender.as_mut_ptr().cast();
            message.msg_hdr.msg_namelen = length(sender.len());
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = control.0.len() as _;
        }
        // SAFETY: each of the `SLOTS` headers, no more than `batch` has slots, points to a part and to
        // buffers of `batch` with their true lengths; all outlive the call and are borrowed
        // exclusively. One without a slot would have no buffers at all.
        let count = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                messages.as_mut_ptr(),
                length(SLOTS),
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        batch.filled.extend(messages.iter().take(count).map(|message| Filled {
            octets: message.msg_len as usize,
            #[allow(clippy::unnecessary_cast, reason = "another type in other C libraries")]
            control: message.msg_hdr.msg_controllen as usize,
            sender: message.msg_hdr.msg_namelen as usize,
            flags: message.msg_hdr.msg_flags,
        }));
        Ok(count == SLOTS)
    }

    /// Finds the `SCTP_RCVINFO` among control messages.
    fn rcvinfo(mut control: &[u8]) -> Option<[u8; 28]> {
        loop {
            let (len, rest) = control.split_first_chunk()?;
            let (level, rest) = rest.split_first_chunk()?;
            let (kind, rest) = rest.split_first_chunk()?;
            if i32::from_ne_bytes(*level) == SOL_SCTP && i32::from_ne_bytes(*kind) == RCVINFO {
                return rest.first_chunk().copied();
            }
            let len = usize::from_ne_bytes(*len).max(CONTROL_HEADER);
            control = control.get(len.checked_next_multiple_of(size_of::<usize>())?..)?;
        }
    }

    const fn empty_header() -> libc::msghdr {
        // SAFETY: a `msghdr` is integers and pointers; all zero is its empty value.
        unsafe { mem::zeroed() }
    }

    fn length(len: usize) -> libc::socklen_t {
        libc::socklen_t::try_from(len).unwrap_or(libc::socklen_t::MAX)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn finds_the_receive_information_behind_a_foreign_control_message() {
            let mut control = Vec::new();
            let mut push = |level: i32, kind: i32, value: &[u8]| {
                control.extend((CONTROL_HEADER + value.len()).to_ne_bytes());
                control.extend(level.to_ne_bytes());
                control.extend(kind.to_ne_bytes());
                control.extend(value);
                control.resize(control.len().next_multiple_of(size_of::<usize>()), 0);
            };
            push(libc::SOL_SOCKET, RCVINFO, &[9; 5]);
            push(SOL_SCTP, RCVINFO, &[7; 28]);
            assert_eq!(rcvinfo(&control), Some([7; 28]));
            for len in 0..control.len() - 4 {
                assert_eq!(rcvinfo(&control[..len]), None, "cut at {len}");
            }
            assert_eq!(rcvinfo(&[0; 64]), None, "lengths of 0 come to an end");
        }
    }
}
