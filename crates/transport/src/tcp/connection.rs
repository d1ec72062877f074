//! One established TCP connection: what arrived, what waits to be written, and how it ends.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::time::Instant;

use super::framing::{Broken, Framing};
use super::stream::{Stream, tls_reason};
use crate::backlog::{Backlog, Backlogs, Overdue};
use crate::endpoint::{AssocId, AssocInfo, Backend, DownReason, Event, Options, Ppid, SendError};
use crate::tls::{Config, IdentityError};

/// When an idle connection is asked whether its peer is there, and how often.
const KEEPALIVE_TIME: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long what was sent may stay unacknowledged: as long as an idle peer may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// The longest such time that the system takes.
const USER_TIMEOUT_MAX: Duration = Duration::from_secs(30 * 86_400 / 2);
/// Octets that the system takes of a connection beyond what the peer can take at the time: those who
/// read nothing cost no more, and what waits is seen here.
const UNSENT_MAX: u32 = 128 << 10;

/// One established TCP connection.
pub(super) struct Connection {
    stream: Stream,
    /// Whether this side dialed.
    dialed: bool,
    inbox: Inbox,
    outbox: Outbox,
    /// The peer sent its FIN: nothing more arrives.
    ended: bool,
    /// Why nothing more can be written. What arrived before is still read, then it is over.
    failed: Option<DownReason>,
    closing: Closing,
    /// What has arrived waits until the peer has taken its answers.
    paused: bool,
    /// The user takes nothing of this connection for now.
    stopped: bool,
    /// The user takes messages again, and some may be there already.
    restarted: bool,
    /// The system took less at the last flush than there was to write.
    blocked: bool,
    /// What the endpoint knows of what waits here.
    backlog: Backlog,
    /// Messages were taken since the inbox was last reclaimed.
    has_taken: bool,
    /// Something has come.
    is_heard: bool,
}

/// The buffers that all connections of an endpoint share: thousands of idle ones need none.
pub(super) struct Buffers {
    /// Where octets are read to.
    scratch: Box<[u8]>,
    /// The inbox of the connection that is read now.
    spare: Vec<u8>,
}

impl Buffers {
    /// `read_max` is how many octets one connection may read before the next has its turn.
    pub(super) fn new(read_max: usize) -> Self {
        Self { scratch: vec![0; read_max].into(), spare: Vec::new() }
    }

    /// Where octets are read to.
    pub(super) fn scratch(&mut self) -> &mut [u8] {
        &mut self.scratch
    }
}

/// How far the own side is with its close.
#[derive(Clone, Copy, PartialEq)]
enum Closing {
    No,
    /// Close once the outbox is written.
    Asked,
    /// Our FIN is sent.
    Sent,
}

/// What to do with a connection after it was polled.
#[derive(Debug)]
pub(super) enum Step {
    /// Wait for its waker.
    Wait,
    /// Octets arrived: take the messages, then poll again.
    Arrived,
    /// Poll again.
    Again,
    /// It is over.
    Down(DownReason),
}

impl Connection {
    /// Takes over a connected stream. A peer that vanished without a word is noticed by keep-alive
    /// probes, and by what it does not acknowledge, so that it does not keep its place for ever.
    pub(super) fn new(stream: Stream, dialed: bool, options: &Options) -> Self {
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_TIME)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_RETRIES);
        let socket = SockRef::from(stream.socket());
        // Any of it fails only for a connection that the peer has reset; the first read tells.
        let _ = socket.set_tcp_keepalive(&keepalive);
        // A peer that only takes nothing acknowledges probes and is left to the stall time-out.
        let silence_max = SILENCE_MAX.max(options.stall_timeout).min(USER_TIMEOUT_MAX);
        let _ = socket.set_tcp_user_timeout(Some(silence_max));
        let _ = socket.set_tcp_notsent_lowat(UNSENT_MAX);
        let _ = stream.socket().set_nodelay(true);
        Self {
            stream,
            dialed,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            ended: false,
            failed: None,
            closing: Closing::No,
            paused: false,
            stopped: false,
            restarted: false,
            blocked: false,
            backlog: Backlog::default(),
            has_taken: false,
            is_heard: false,
        }
    }

    /// Both ends; `Err` where the peer has reset the connection already.
    pub(super) fn info(&self) -> io::Result<AssocInfo> {
        let socket = self.stream.socket();
        let (remote, local) = (socket.peer_addr()?, socket.local_addr()?);
        let backend = match self.stream {
            Stream::Plain(_) => Backend::Tcp,
            Stream::Tls(_) => Backend::Tls,
        };
        Ok(AssocInfo {
            backend,
            dialed: self.dialed,
            remote: vec![canonical(remote)],
            remote_port: remote.port(),
            local: vec![canonical(local)],
            local_port: local.port(),
            identity: self.stream.identity().cloned(),
        })
    }

    /// Where the peer is.
    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.stream.socket().peer_addr().ok()
    }

    /// Whether the peer is still trusted.
    pub(super) fn check(&self, config: &Config) -> Result<(), IdentityError> {
        self.stream.check(config)
    }

    /// Octets that the system has not taken yet.
    fn waiting(&self) -> usize {
        self.outbox.waiting() + self.stream.unsent()
    }

    pub(super) fn send(
        &mut self,
        framing: Framing,
        ppid: Ppid,
        octets: &[u8],
        options: &Options,
        backlogs: &mut Backlogs,
    ) -> Result<(), SendError> {
        if self.closing != Closing::No || self.failed.is_some() {
            return Err(SendError::Gone);
        }
        // In a stream nothing is a message.
        if framing != Framing::Stream && octets.len() > options.message_max {
            return Err(SendError::TooLong);
        }
        let waiting = self.waiting();
        if waiting > 0 && waiting + octets.len() > options.send_queue_max {
            return Err(SendError::Full);
        }
        framing.frame(ppid, octets, &mut self.outbox.octets)?;
        let added = self.waiting() - waiting;
        backlogs.push(&mut self.backlog, added);
        Ok(())
    }

    /// Closes once everything is written.
    pub(super) fn close(&mut self, assoc: AssocId, backlogs: &mut Backlogs) {
        backlogs.close(assoc, &mut self.backlog);
        if self.closing == Closing::No {
            self.closing = Closing::Asked;
            // Nothing that arrives makes more to send any more.
            self.paused = false;
            self.start_reading();
        }
    }

    /// Drops what is queued; the peer gets a reset.
    pub(super) fn abort(&self) {
        let _ = SockRef::from(self.stream.socket()).set_linger(Some(Duration::ZERO));
    }

    /// The next message that has arrived whole.
    pub(super) fn message(
        &mut self,
        framing: Framing,
        message_max: usize,
    ) -> Result<Option<(Ppid, Vec<u8>)>, Broken> {
        if !std::mem::replace(&mut self.is_heard, true) && framing.is_tls(&self.inbox.octets) {
            return Err(Broken::Tls);
        }
        let message = self.inbox.message(framing, message_max);
        self.has_taken |= matches!(message, Ok(Some(_)));
        message
    }

    /// Whether the peer asks faster than it takes the answers: then what it has sent is held back,
    /// and the connection reads no more, until it [`resumes_reading`](Self::resumes_reading). Only
    /// who was dialed waits: if both did, two that send each other much would wait for each other.
    /// The same where the user takes nothing.
    pub(super) fn pause_reading(&mut self, backlogs: &Backlogs) -> bool {
        self.paused =
            !self.dialed && self.closing == Closing::No && self.waiting() > backlogs.high_water();
        self.paused || self.stopped
    }

    /// The user takes no more for now. False where the connection ends anyway.
    pub(super) fn stop_reading(&mut self) -> bool {
        self.stopped = self.closing == Closing::No;
        self.stopped
    }

    /// The user takes messages again.
    pub(super) fn start_reading(&mut self) {
        self.restarted |= std::mem::take(&mut self.stopped);
    }

    /// Whether something is held back without need.
    pub(super) fn resumes_reading(&self, backlogs: &Backlogs) -> bool {
        self.paused && self.waiting() <= backlogs.low_water()
    }

    /// Whether what is sent now waits for the peer to take what was sent before.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Tells the endpoint what still waits here after a flush; the event that makes.
    pub(super) fn note(&mut self, assoc: AssocId, backlogs: &mut Backlogs) -> Option<Event> {
        let waiting = self.waiting();
        backlogs.note(assoc, &mut self.backlog, waiting)
    }

    /// Gives the buffer back once all messages are taken, or are to wait.
    pub(super) fn reclaim(
        &mut self,
        assoc: AssocId,
        buffers: &mut Buffers,
        backlogs: &mut Backlogs,
    ) {
        self.inbox.reclaim(&mut buffers.spare);
        backlogs.note_kept(&mut self.backlog, self.inbox.octets.len());
        // What waits while reading is paused may be whole, or go on later.
        let is_unfinished = !self.paused && !self.stopped && !self.inbox.is_empty();
        let is_new = std::mem::take(&mut self.has_taken);
        backlogs.note_unfinished(assoc, &mut self.backlog, is_unfinished, is_new);
    }

    /// What the endpoint knows of what waits here.
    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// What took too long, when the time of the connection may be over.
    pub(super) fn overdue(
        &mut self,
        due: (Instant, AssocId),
        backlogs: &mut Backlogs,
    ) -> Option<Overdue> {
        backlogs.overdue(due, &mut self.backlog)
    }

    /// Nothing waits here any more.
    pub(super) fn forget(&mut self, backlogs: &mut Backlogs) {
        backlogs.forget(&mut self.backlog);
    }

    /// Writes what is queued, then reads once.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        assoc: AssocId,
        buffers: &mut Buffers,
        backlogs: &mut Backlogs,
    ) -> Step {
        let flushed = self.poll_flush(cx).is_ready();
        if self.stopped && self.failed.is_none() {
            return Step::Wait;
        }
        if std::mem::take(&mut self.restarted) {
            return Step::Arrived;
        }
        if self.paused {
            // The waker of the flush says when to look again.
            if !self.resumes_reading(backlogs) {
                return Step::Wait;
            }
            self.paused = false;
            return Step::Arrived;
        }
        if self.ended && flushed {
            self.stream.say_goodbye(cx);
            return Step::Down(self.failed.unwrap_or(DownReason::Closed));
        }
        if self.ended {
            return Step::Wait;
        }
        let Buffers { scratch, spare } = buffers;
        match self.stream.poll_read(cx, scratch, |octets| self.inbox.add(octets, spare)) {
            Poll::Pending => Step::Wait,
            Poll::Ready(Err(error)) => Step::Down(self.failed.unwrap_or_else(|| reason(&error))),
            Poll::Ready(Ok(false)) => {
                backlogs.close(assoc, &mut self.backlog);
                let step = self.end();
                if matches!(step, Step::Down(DownReason::Closed)) {
                    self.stream.say_goodbye(cx);
                }
                step
            }
            Poll::Ready(Ok(true)) => Step::Arrived,
        }
    }

    /// Writes what is queued, and the FIN after it if it is time. `Ready` when nothing is left.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.blocked = false;
        while self.outbox.waiting() > 0 {
            match self.stream.poll_write(cx, self.outbox.octets()) {
                Poll::Pending => self.blocked = true,
                Poll::Ready(Err(error)) => self.fail(&error),
                Poll::Ready(Ok(len)) => self.outbox.written(len),
            }
            if self.blocked {
                return Poll::Pending;
            }
        }
        let flushed = match self.closing {
            Closing::Asked if self.failed.is_none() => self.stream.poll_shutdown(cx),
            Closing::Asked => Poll::Ready(Ok(())),
            Closing::No | Closing::Sent if self.failed.is_some() => Poll::Ready(Ok(())),
            Closing::No | Closing::Sent => self.stream.poll_flush(cx),
        };
        match flushed {
            Poll::Pending => {
                self.blocked = true;
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => self.fail(&error),
            Poll::Ready(Ok(())) => {}
        }
        if self.closing == Closing::Asked {
            self.closing = Closing::Sent;
        }
        Poll::Ready(())
    }

    /// True where nothing more can be written, so that the connection must be polled to its end.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// True where something waits to be written.
    pub(super) fn is_writing(&self) -> bool {
        self.waiting() > 0
    }

    fn fail(&mut self, error: &io::Error) {
        self.failed.get_or_insert_with(|| reason(error));
        self.outbox = Outbox::default();
    }

    /// The peer's FIN came.
    fn end(&mut self) -> Step {
        self.ended = true;
        // Nobody closes inside a message on purpose: the peer died.
        let dead = (!self.inbox.is_empty()).then_some(DownReason::Reset);
        match self.failed.or(dead) {
            Some(reason) => Step::Down(reason),
            None if self.waiting() == 0 => Step::Down(DownReason::Closed),
            None => Step::Again,
        }
    }
}

/// Octets that arrived and were not yet taken.
#[derive(Default)]
pub(super) struct Inbox {
    octets: Vec<u8>,
    /// Octets of `octets` that were taken.
    taken: usize,
    /// Padding of the last message that has not arrived yet.
    padding: usize,
}

impl Inbox {
    pub(super) fn message(
        &mut self,
        framing: Framing,
        message_max: usize,
    ) -> Result<Option<(Ppid, Vec<u8>)>, Broken> {
        // The last message was delivered without waiting for its padding; it comes before the next.
        let padding = self.padding.min(self.octets.len() - self.taken);
        self.taken += padding;
        self.padding -= padding;

        let rest = &self.octets[self.taken..];
        let Some((ppid, range)) = framing.first(rest, message_max)? else {
            return Ok(None);
        };
        let message = rest[range.clone()].to_vec();
        self.taken += range.end;
        self.padding = framing.padding(message.len());
        Ok(Some((ppid, message)))
    }

    /// True where no part of a message waits.
    fn is_empty(&self) -> bool {
        self.taken == self.octets.len()
    }

    /// An empty inbox without a buffer takes the spare one.
    pub(super) fn add(&mut self, octets: &[u8], spare: &mut Vec<u8>) {
        if self.octets.capacity() == 0 {
            self.octets = std::mem::take(spare);
        }
        self.octets.extend_from_slice(octets);
    }

    /// Leaves the connection no more memory than a small multiple of the message that began.
    pub(super) fn reclaim(&mut self, spare: &mut Vec<u8>) {
        let rest = &self.octets[self.taken..];
        if rest.len() < self.octets.capacity() / 2 {
            let rest = rest.to_vec();
            self.octets.clear();
            *spare = std::mem::replace(&mut self.octets, rest);
        } else {
            self.octets.drain(..self.taken);
        }
        self.taken = 0;
    }
}

/// Octets to write.
#[derive(Default)]
struct Outbox {
    octets: Vec<u8>,
    /// Octets of `octets` that were written.
    written: usize,
}

/// An outbox that is empty gives back what it holds beyond this.
const OUTBOX_KEPT: usize = 4096;

impl Outbox {
    fn waiting(&self) -> usize {
        self.octets.len() - self.written
    }

    fn octets(&self) -> &[u8] {
        &self.octets[self.written..]
    }

    fn written(&mut self, len: usize) {
        self.written += len;
        if self.waiting() == 0 {
            self.octets.clear();
            self.octets.shrink_to(OUTBOX_KEPT);
            self.written = 0;
        } else if self.written > self.octets.len() / 2 {
            // Moves each octet at most once more, on average.
            self.octets.drain(..self.written);
            self.written = 0;
        }
    }
}

pub(super) fn reason(error: &io::Error) -> DownReason {
    use io::ErrorKind as Kind;
    if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref()) {
        return tls_reason(error);
    }
    match error.kind() {
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::NotConnected => {
            DownReason::Reset
        }
        Kind::TimedOut | Kind::HostUnreachable => DownReason::Timeout,
        // A host without a route, such as one without IPv6, has learned nothing of the peer.
        _ => DownReason::System,
    }
}

/// IPv4 in IPv6's clothes is IPv4: a listener on `[::]` accepts both.
fn canonical(socket: SocketAddr) -> IpAddr {
    socket.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_on_this_host_is_no_fault_of_the_peer() {
        let reason = |kind: io::ErrorKind| reason(&kind.into());
        assert_eq!(reason(io::ErrorKind::NetworkUnreachable), DownReason::System);
        assert_eq!(reason(io::ErrorKind::AddrNotAvailable), DownReason::System);
        assert_eq!(reason(io::ErrorKind::HostUnreachable), DownReason::Timeout);
    }

    #[test]
    fn the_start_of_a_message_does_not_keep_the_buffer() {
        let mut spare = Vec::with_capacity(1 << 16);
        let mut inbox = Inbox::default();
        inbox.add(&[1, 0, 0, 5, 9, 0, 0, 0, 2, 0], &mut spare);
        assert_eq!(spare.capacity(), 0);
        let framing = Framing::Message(Ppid::ASAP);
        assert_eq!(inbox.message(framing, 100), Ok(Some((Ppid::ASAP, vec![1, 0, 0, 5, 9]))));
        assert_eq!(inbox.message(framing, 100), Ok(None));
        inbox.reclaim(&mut spare);
        assert_eq!((spare.capacity(), spare.len()), (1 << 16, 0));
        assert!(inbox.octets.capacity() < 16);
        inbox.add(&[0, 4], &mut spare);
        assert_eq!(spare.capacity(), 1 << 16);
        assert_eq!(inbox.message(framing, 100), Ok(Some((Ppid::ASAP, vec![2, 0, 0, 4]))));
        inbox.reclaim(&mut spare);
        assert!(inbox.is_empty());
        assert_eq!(inbox.octets.capacity(), 0);
    }
}
