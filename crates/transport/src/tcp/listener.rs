//! Accepting connections: as many as there are descriptors for, and not all of one source.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, Sleep};

use super::connection::Connection;
use super::stream::Stream;
use super::{Framing, State, TcpEndpoint};
use crate::dual_stack::both_families;
use crate::endpoint::{Event, Options};
use crate::source_limit::Source;
use crate::{ready, source_limit};

/// How long the listener rests when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often that is logged at most.
const WARN_INTERVAL: Duration = Duration::from_secs(10);
/// Connections that the system may set up before they are accepted; it has its own limit too.
const BACKLOG: u32 = 4096;
/// Descriptors that are left to the rest of the process, or half of them where there are few.
const DESCRIPTORS_RESERVED: u64 = 64;
/// Quarters of the others that one endpoint may take: a node has more than one.
const DESCRIPTORS_QUARTERS: u64 = 3;
/// What the system may keep of a connection's requests that are not read: a peer that asks without
/// reading answers costs that much, and a pipeline of requests does not fill it.
const RECEIVE_BUFFER: usize = 128 << 10;

/// A socket that accepts connections.
pub(super) struct Listener {
    socket: TcpListener,
    pub(super) source: ready::Source,
    pause: Option<Pin<Box<Sleep>>>,
    /// When it was last logged that the system hands over nothing, and how often since.
    warned: Option<(Instant, u64)>,
}

impl Listener {
    pub(super) fn new(socket: TcpListener, source: ready::Source) -> Self {
        Self { socket, source, pause: None, warned: None }
    }

    /// No descriptors, most likely. The connection waits in the backlog; trying again at once would
    /// spin.
    fn rest(&mut self, url: &crate::Address, error: &io::Error) {
        self.pause = Some(Box::pin(tokio::time::sleep(ACCEPT_PAUSE)));
        match &mut self.warned {
            Some((at, unsaid)) if at.elapsed() < WARN_INTERVAL => *unsaid += 1,
            warned => {
                let unsaid = warned.map_or(0, |(_, unsaid)| unsaid);
                tracing::warn!(%url, %error, unsaid, "cannot accept a connection");
                *warned = Some((Instant::now(), 0));
            }
        }
    }
}

impl TcpEndpoint {
    /// How many connections there may be: the limit that is set, or what there are descriptors for.
    pub(super) fn connections_max(&self) -> usize {
        connections_max(&self.options)
    }

    /// Takes one connection from the listener; its event, if that makes one.
    pub(super) fn accept(&mut self) -> Option<Event> {
        let listener = self.listener.as_mut()?;
        let waker = listener.source.waker();
        let cx = &mut Context::from_waker(&waker);
        if let Some(pause) = &mut listener.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return None;
            }
            listener.pause = None;
        }
        let accepted = match listener.socket.poll_accept(cx) {
            Poll::Pending => return None,
            Poll::Ready(accepted) => accepted,
        };
        // There may be more; but after the others had their turn.
        listener.source.queue();
        match accepted {
            Ok((stream, remote)) => self.accepted(stream, Source::of(remote.ip())),
            Err(error) if gone_before_accept(&error) => None,
            Err(error) => {
                listener.rest(&self.local.url, &error);
                self.counters.accept_failed += 1;
                None
            }
        }
    }

    fn accepted(&mut self, stream: TcpStream, from: Source) -> Option<Event> {
        let max = self.connections_max();
        if self.peers.len() >= max {
            self.counters.over_limit += 1;
            return None;
        }
        if !self.sources.may_come(from, max) {
            self.counters.over_source_limit += 1;
            return None;
        }
        if let Some(tls) = &self.tls {
            let config = tls.current();
            return self.begin_handshake(stream, config, from);
        }
        let connection = Connection::new(Stream::Plain(stream), false, &self.options);
        // One that was reset before it was accepted never was an association.
        let info = connection.info().ok()?;
        self.sources.came(from);
        let assoc = self.add(State::Up(Box::new(connection)), Some(from));
        Some(Event::Up { assoc, info })
    }
}

fn connections_max(options: &Options) -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let ours = descriptors - DESCRIPTORS_RESERVED.min(descriptors / 2);
    let ours = usize::try_from(ours / 4 * DESCRIPTORS_QUARTERS).unwrap_or(usize::MAX);
    options.associations_max.min(ours)
}

impl Options {
    /// How many TCP connections of one source an endpoint accepts: as
    /// [`associations_per_source_max`](Self::associations_per_source_max) says, and no more than
    /// there are descriptors for.
    pub fn connections_per_source(&self) -> usize {
        source_limit::per_source(connections_max(self), self.associations_per_source_max)
    }
}

/// Opens a socket that accepts connections.
pub(super) fn listen(socket: SocketAddr, framing: Framing) -> io::Result<TcpListener> {
    let listener = if socket.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted server need not wait for its old connections to be forgotten.
    listener.set_reuseaddr(true)?;
    if let Framing::Message(_) = framing {
        // Connections inherit it. Sessions, which may carry bulk, have what the system finds best.
        SockRef::from(&listener).set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    both_families(&SockRef::from(&listener), socket)?;
    listener.bind(socket)?;
    listener.listen(BACKLOG)
}

/// Errors that concern only the connection that would have been accepted (accept(2)).
fn gone_before_accept(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::Interrupted | Kind::TimedOut
    )
}
