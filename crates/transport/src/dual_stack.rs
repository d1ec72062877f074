//! Sockets at `[::]` serve IPv4 as well, whatever this host's default is (`net.ipv6.bindv6only`).

use std::io;
use std::net::SocketAddr;

use socket2::Socket;

/// To be called before the socket is bound at this address.
pub(crate) fn both_families(socket: &Socket, at: SocketAddr) -> io::Result<()> {
    match at {
        SocketAddr::V6(at) if at.ip().is_unspecified() => socket.set_only_v6(false),
        _ => Ok(()),
    }
}
