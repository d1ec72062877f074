//! Where connections of clients are accepted.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};

use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::Place;
use super::stream::Stream;

/// Where connections of clients are accepted.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A socket's file, which goes with it.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    pub(super) async fn tcp(at: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(at).await.map(Self::Tcp)
    }

    /// A file that nobody listens at any more makes room.
    pub(super) async fn unix(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_dead(path).await => {
                std::fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            bound => bound?,
        };
        Ok(Self::Unix(listener, SocketFile(path.to_owned())))
    }

    /// Where it is.
    pub(super) fn place(&self) -> io::Result<Place> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Place::Tcp),
            Self::Unix(_, file) => Ok(Place::Unix(file.0.clone())),
        }
    }

    /// The next connection, and where it comes from.
    pub(super) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Stream, Option<SocketAddr>)>> {
        Poll::Ready(match self {
            Self::Tcp(listener) => {
                ready!(listener.poll_accept(cx)).map(|(it, from)| (Stream::Tcp(it), Some(from)))
            }
            Self::Unix(listener, _) => {
                ready!(listener.poll_accept(cx)).map(|(it, _)| (Stream::Unix(it), None))
            }
        })
    }
}

/// Whether this is a socket that nobody listens at.
async fn is_dead(path: &Path) -> bool {
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    UnixStream::connect(path).await.is_err_and(refused)
}
