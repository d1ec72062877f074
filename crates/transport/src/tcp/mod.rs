//! TCP: a listener and its connections, as one [`Endpoint`]; plain, or in TLS.
//!
//! Everything is polled from the caller's task. A connection costs nothing while it is idle: it
//! has its own waker, and only the woken ones are looked at. Reading happens only in
//! [`poll_event`](Endpoint::poll_event), so a slow consumer slows its peers down and nothing piles
//! up. What was sent is written when `poll_event` has no more messages at hand, so that the answers
//! to requests that arrived together share one write.

mod connection;
mod dial;
mod framing;
pub(crate) mod fuzzing;
mod handshake;
mod listener;
mod secure;
mod stream;

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};

use tokio::time::Instant;

use self::connection::{Buffers, Connection, Step};
use self::framing::Broken;
pub use self::framing::Framing;
use self::handshake::{Handshake, Handshakes};
use self::listener::{Listener, listen};
use self::secure::Dial;
use crate::address::{Address, Scheme, socket_address};
use crate::backlog::{Backlogs, Overdue};
use crate::endpoint::{
    AssocId, Counters, DownReason, Endpoint, Error, Event, Local, Options, Ppid, Remote, SendError,
};
use crate::id_hash::BuildIdHasher;
use crate::ready::{Ready, Source};
use crate::source;
use crate::source_limit::{Source as Origin, Sources};
use crate::tls::Tls;

/// Octets that one connection may read before the next has its turn.
const READ_MAX: usize = 16 << 10;
/// Messages after which queued answers are written, even if more messages are at hand.
const MESSAGES_BEFORE_FLUSH: u32 = 64;
/// Sources that one call of `poll_event` looks at before it lets the rest of the program run.
const VISITS_MAX: usize = 256;
/// The listener's name among the sources; associations start at 1.
const LISTENER: u64 = 0;
/// The name of the keys among the sources: they have changed.
const KEYS: u64 = u64::MAX;

/// A TCP listener and its connections, or a dialer without a listener.
pub struct TcpEndpoint {
    framing: Framing,
    options: Options,
    local: Local,
    listener: Option<Listener>,
    /// The keys, where everything is in TLS.
    tls: Option<Tls>,
    handshakes: Handshakes,
    /// Whose they are, of peers that came.
    handshaking: Sources,
    peers: HashMap<AssocId, Peer, BuildIdHasher>,
    sources: Sources,
    next: u64,
    ready: Ready,
    /// Connections with something to write.
    unwritten: Vec<AssocId>,
    /// The connection whose inbox may hold whole messages.
    current: Option<AssocId>,
    messages_before_flush: u32,
    buffers: Buffers,
    backlogs: Backlogs,
    /// Beginnings and ends of congestion.
    events: VecDeque<Event>,
    counters: Counters,
}

struct Peer {
    source: Source,
    /// Who came, where it was not dialed.
    from: Option<Origin>,
    state: State,
}

enum State {
    Dialing(Box<Dial>),
    /// Connected; the peer proves who it is.
    Handshaking(Box<Handshake>),
    Up(Box<Connection>),
    /// Over; the event is still to be reported.
    Down(DownReason),
}

impl TcpEndpoint {
    /// Listens at `address`; all its connections use `framing`.
    ///
    /// A name is looked up on the spot (which may block) and its first address is bound.
    ///
    /// # Errors
    ///
    /// - [`Error::Bind`] where the port is taken or the address not ours.
    /// - [`Error::Resolve`] for an unknown name.
    /// - [`Error::Unsupported`] for another scheme than `tcp` and `tls`, and for `tls` without keys.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with IO and time enabled.
    pub fn bind(address: &Address, framing: Framing, options: &Options) -> Result<Self, Error> {
        let tls = secure::keys(address.scheme, options)?;
        let ip = address.bind_addresses()?[0];
        let bind = |source| Error::Bind { url: address.clone(), source };
        let socket = socket_address(ip, address.port, address.zone()?);
        let socket = listen(socket, framing).map_err(bind)?;
        let port = socket.local_addr().map_err(bind)?.port();

        let local = Local { url: address.with_port(port), addresses: vec![ip], port };
        let mut endpoint = Self::new(framing, options, local);
        endpoint.secure(tls);
        let source = endpoint.ready.source(LISTENER);
        source.queue();
        endpoint.listener = Some(Listener::new(socket, source));
        Ok(endpoint)
    }

    /// An endpoint that only dials; all its connections use `framing`.
    #[must_use]
    pub fn dialer(framing: Framing, options: &Options) -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let url = Address::from((Scheme::Tcp, nowhere));
        Self::new(framing, options, Local { url, addresses: Vec::new(), port: 0 })
    }

    fn new(framing: Framing, options: &Options, local: Local) -> Self {
        Self {
            framing,
            options: options.clone(),
            local,
            listener: None,
            tls: None,
            handshakes: Handshakes::default(),
            handshaking: Sources::new(&Options::default()),
            peers: HashMap::default(),
            sources: Sources::new(options),
            next: LISTENER,
            ready: Ready::default(),
            unwritten: Vec::new(),
            current: None,
            messages_before_flush: MESSAGES_BEFORE_FLUSH,
            buffers: Buffers::new(READ_MAX),
            backlogs: Backlogs::new(options),
            events: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    fn add(&mut self, state: State, from: Option<Origin>) -> AssocId {
        self.next += 1;
        let source = self.ready.source(self.next);
        source.wake();
        self.peers.insert(AssocId(self.next), Peer { source, from, state });
        AssocId(self.next)
    }

    /// Forgets a connection and makes the event of its end.
    fn down(&mut self, assoc: AssocId, reason: DownReason) -> Event {
        self.forget(assoc);
        if reason == DownReason::Framing {
            self.counters.malformed += 1;
        }
        Event::Down { assoc, reason }
    }

    fn forget(&mut self, assoc: AssocId) -> Option<Peer> {
        let mut peer = self.peers.remove(&assoc)?;
        match &mut peer.state {
            State::Up(connection) => connection.forget(&mut self.backlogs),
            State::Handshaking(handshake) => {
                self.handshakes.remove(assoc, handshake);
                peer.from.into_iter().for_each(|from| self.handshaking.left(from));
            }
            State::Dialing(_) | State::Down(_) => {}
        }
        if let Some(from) = peer.from {
            self.sources.left(from);
        }
        self.events.retain(|event| event.assoc() != assoc);
        Some(peer)
    }

    /// The next message of the connection that was read last.
    fn next_message(&mut self) -> Option<Event> {
        let assoc = self.current?;
        let Some(Peer { source, state: State::Up(connection), .. }) = self.peers.get_mut(&assoc)
        else {
            self.current = None;
            return None;
        };
        if connection.pause_reading(&self.backlogs) {
            connection.reclaim(assoc, &mut self.buffers, &mut self.backlogs);
            source.queue();
            self.current = None;
            return None;
        }
        match connection.message(self.framing, self.options.message_max) {
            Ok(Some((ppid, octets))) => Some(Event::Message { assoc, ppid, octets }),
            Ok(None) => {
                connection.reclaim(assoc, &mut self.buffers, &mut self.backlogs);
                source.queue();
                self.current = None;
                None
            }
            Err(broken) => {
                self.current = None;
                Some(self.broken(assoc, broken))
            }
        }
    }

    /// The peer says what cannot be read.
    fn broken(&mut self, assoc: AssocId, broken: Broken) -> Event {
        match broken {
            Broken::Length => self.down(assoc, DownReason::Framing),
            Broken::Tls => {
                self.counters.malformed += 1;
                let peer = self.forget(assoc);
                secure::tell_of_tls(&self.local.url, peer.as_ref());
                Event::Down { assoc, reason: DownReason::SpeaksTls }
            }
        }
    }

    /// Writes what was queued since the last flush.
    fn flush(&mut self) {
        self.messages_before_flush = MESSAGES_BEFORE_FLUSH;
        for assoc in self.unwritten.drain(..) {
            let peer = self.peers.get_mut(&assoc);
            let Some(Peer { source, state: State::Up(connection), .. }) = peer else {
                continue;
            };
            let waker = source.waker();
            let cx = &mut Context::from_waker(&waker);
            let _ = connection.poll_flush(cx);
            self.events.extend(connection.note(assoc, &mut self.backlogs));
            if connection.has_failed() || connection.resumes_reading(&self.backlogs) {
                source.queue();
            }
        }
    }

    /// Ends the greatest queues while more waits in all than may.
    fn relieve(&mut self) {
        if !self.backlogs.is_over_budget() {
            return;
        }
        let all = self.peers.iter().filter_map(|(assoc, peer)| match &peer.state {
            State::Up(connection) => Some((*assoc, connection.backlog())),
            State::Dialing(_) | State::Handshaking(_) | State::Down(_) => None,
        });
        for assoc in self.backlogs.excess(all) {
            self.counters.over_budget += 1;
            let event = self.cut_off(assoc, DownReason::Stalled);
            self.events.push_back(event);
        }
    }

    /// Ends whose time is over, and sees to it that the next one wakes the task; an event, if that
    /// makes one.
    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Option<Event> {
        if let Some(event) = self.end_late(cx) {
            return Some(event);
        }
        while let Some(due) = self.backlogs.poll_deadlines(cx) {
            if let Some(event) = self.overdue(due) {
                return Some(event);
            }
        }
        None
    }

    /// The time of an association may be over.
    fn overdue(&mut self, due: (Instant, AssocId)) -> Option<Event> {
        let Peer { state: State::Up(connection), .. } = self.peers.get_mut(&due.1)? else {
            return None;
        };
        let reason = match connection.overdue(due, &mut self.backlogs)? {
            Overdue::Stalled => DownReason::Stalled,
            Overdue::Close if connection.is_writing() => DownReason::Timeout,
            Overdue::Close => DownReason::Closed,
        };
        self.counters.stalled += u64::from(reason == DownReason::Stalled);
        Some(self.cut_off(due.1, reason))
    }

    /// Ends a connection; the system forgets what it still has for it.
    fn cut_off(&mut self, assoc: AssocId, reason: DownReason) -> Event {
        if let Some(Peer { state: State::Up(connection), .. }) = self.forget(assoc) {
            connection.abort();
        }
        Event::Down { assoc, reason }
    }

    /// Lets one woken source do what it can; its event, if that makes one.
    fn visit(&mut self, id: u64) -> Option<Event> {
        match id {
            LISTENER => return self.accept(),
            KEYS => {
                self.check_all();
                return None;
            }
            _ => {}
        }
        let assoc = AssocId(id);
        // An aborted one may still be in the queue.
        let Peer { source, state, .. } = self.peers.get_mut(&assoc)?;
        let waker = source.waker();
        let cx = &mut Context::from_waker(&waker);
        match state {
            State::Dialing(dial) => match dial.connecting.as_mut().poll(cx) {
                Poll::Pending => None,
                Poll::Ready(Ok(stream)) => self.dialed(assoc, stream),
                Poll::Ready(Err(reason)) => Some(self.down(assoc, reason)),
            },
            State::Handshaking(_) => self.go_on(assoc),
            State::Down(reason) => {
                let reason = *reason;
                Some(self.down(assoc, reason))
            }
            State::Up(connection) => {
                let step = connection.poll(cx, assoc, &mut self.buffers, &mut self.backlogs);
                self.events.extend(connection.note(assoc, &mut self.backlogs));
                match step {
                    Step::Wait => None,
                    Step::Again => {
                        source.queue();
                        None
                    }
                    Step::Arrived => {
                        self.current = Some(assoc);
                        None
                    }
                    Step::Down(reason) => Some(self.down(assoc, reason)),
                }
            }
        }
    }
}

impl Endpoint for TcpEndpoint {
    fn connect(&mut self, remote: &Remote) -> Result<AssocId, Error> {
        if remote.scheme != self.local.url.scheme {
            let why = format!("{}:// was asked for", remote.scheme);
            return Err(Error::Unsupported { what: "another transport at a TCP endpoint", why });
        }
        if self.peers.len() >= self.connections_max() {
            return Err(Error::Limit(self.peers.len()));
        }
        let ways = source::ways(&remote.addresses, &self.local.addresses, &self.options)?;
        let socket = |ip| socket_address(ip, remote.port, remote.zone);
        let ways = ways.into_iter().map(|(ip, from)| (socket(ip), from)).collect();
        let dial = dial::dial(ways, self.options.head_start, self.options.connect_timeout);
        let dial = Dial { connecting: Box::pin(dial), secure: self.wants(remote) };
        Ok(self.add(State::Dialing(Box::new(dial)), None))
    }

    fn send(&mut self, assoc: AssocId, ppid: Ppid, octets: &[u8]) -> Result<(), SendError> {
        let Some(Peer { state: State::Up(connection), .. }) = self.peers.get_mut(&assoc) else {
            return Err(SendError::Gone);
        };
        // One that is writing already is in the list, or waits for its socket.
        if !connection.is_writing() {
            self.unwritten.push(assoc);
        }
        let sent = connection.send(self.framing, ppid, octets, &self.options, &mut self.backlogs);
        // Who was told that a queue is full waits for it to be drained.
        if connection.is_blocked() || sent == Err(SendError::Full) {
            self.events.extend(connection.note(assoc, &mut self.backlogs));
        }
        if sent == Err(SendError::Full) {
            self.counters.full += 1;
        }
        if self.backlogs.is_over_budget() {
            self.flush();
            self.relieve();
        }
        sent
    }

    fn close(&mut self, assoc: AssocId) {
        let Some(Peer { source, state, .. }) = self.peers.get_mut(&assoc) else {
            return;
        };
        match state {
            State::Dialing(_) => *state = State::Down(DownReason::Closed),
            State::Handshaking(handshake) => {
                self.handshakes.remove(assoc, handshake);
                *state = State::Down(DownReason::Closed);
            }
            State::Up(connection) => {
                connection.close(assoc, &mut self.backlogs);
                self.unwritten.push(assoc);
            }
            State::Down(_) => {}
        }
        source.wake();
    }

    fn abort(&mut self, assoc: AssocId) {
        if let Some(Peer { state: State::Up(connection), .. }) = self.forget(assoc) {
            connection.abort();
        }
    }

    fn pause_reading(&mut self, assoc: AssocId) -> bool {
        match self.peers.get_mut(&assoc) {
            Some(Peer { state: State::Up(connection), .. }) => connection.stop_reading(),
            Some(_) | None => false,
        }
    }

    fn resume_reading(&mut self, assoc: AssocId) {
        if let Some(Peer { source, state: State::Up(connection), .. }) = self.peers.get_mut(&assoc)
        {
            connection.start_reading();
            source.wake();
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.messages_before_flush > 0
            && let Some(event) = self.next_message()
        {
            self.messages_before_flush -= 1;
            return Poll::Ready(event);
        }
        self.flush();
        self.ready.register(cx.waker());
        if self.backlogs.is_over_budget() {
            self.relieve();
        }
        if let Some(event) = self.poll_deadlines(cx) {
            return Poll::Ready(event);
        }
        for _ in 0..VISITS_MAX {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            if let Some(event) = self.next_message() {
                return Poll::Ready(event);
            }
            let Some(source) = self.ready.pop() else {
                // What was visited may have begun to wait for something.
                return self.poll_deadlines(cx).map_or(Poll::Pending, Poll::Ready);
            };
            if let Some(event) = self.visit(source) {
                return Poll::Ready(event);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn local(&self) -> Local {
        self.local.clone()
    }

    fn queued_octets(&self) -> usize {
        self.backlogs.total()
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
