//! SCTP of the Linux kernel: an endpoint over one one-to-many socket.
//!
//! | module | what it holds |
//! |---|---|
//! | `mod` | [`KernelEndpoint`] and the calls of its user |
//! | `dial` | dials: under way, or waiting for their turn |
//! | `poll` | time-outs, writing, reading |
//! | `arrival` | what arrived becomes events |
//! | `association` | one association: what waits to be sent, what arrived in part |
//! | `socket` | the socket's options and calls |
//! | `notification` | what the kernel notifies, from its octets |
//! | `sockaddr` | addresses as octets |
//!
//! The same socket listens and dials, so that peers see one port (some want the announced one). It
//! is multihomed where it is bound to several addresses or to all.
//!
//! # The system's settings
//!
//! `net.sctp.addip_enable=1` and `net.sctp.auth_enable=1` let addresses change while associations
//! are up (RFC 5061). `net.sctp.sndbuf_policy=1` spares a host with thousands of associations work:
//! without it the kernel looks at all of them whenever one is acknowledged something (a round trip
//! among 4000 takes three times as long). Without `CAP_NET_ADMIN` messages cannot be longer than
//! twice `net.core.wmem_max`; a lower limit than asked for is logged.

mod arrival;
mod association;
mod dial;
mod notification;
mod poll;
mod sockaddr;
mod socket;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Sleep};

use self::association::{Association, State, Table};
use self::dial::Dial;
use self::notification::KernelId;
pub(crate) use self::socket::Socket;
use crate::address::{Address, Host, Scheme};
use crate::address_watch::AddressWatch;
use crate::backlog::Backlogs;
use crate::endpoint::{
    AssocId, Counters, DownReason, Endpoint, Error, Event, Local, Options, Ppid, Remote, SendError,
};
use crate::id_hash::BuildIdHasher;
use crate::source_limit::Sources;
use crate::sys::sctp::{self, Batch};

/// What one association may have in the kernel, unacknowledged, before the rest waits; less where
/// there are many that have so much.
const WINDOW_OCTETS: usize = 256 << 10;
const WINDOW_MIN: usize = 8 << 10;
/// So many associations with a full window are a reason to make it smaller.
const WINDOWS_FULL: usize = 4;
/// A limit on waiting that nobody lives to see.
const FOREVER: Duration = Duration::from_secs(86_400 * 365 * 30);

/// An endpoint over SCTP of the kernel.
#[derive(Debug)]
pub struct KernelEndpoint {
    socket: AsyncFd<Socket>,
    options: Options,
    local: Local,
    window: usize,
    table: Table,
    /// Those that were aborted and whose last notification is still to be read.
    killed: HashSet<KernelId, BuildIdHasher>,
    events: VecDeque<Event>,
    /// Associations that can write something.
    writers: VecDeque<AssocId>,
    /// The kernel's send buffer is full.
    blocked: bool,
    /// Ends when it has been full for too long.
    blocked_timer: Option<Pin<Box<Sleep>>>,
    /// How many associations have a full window.
    full: usize,
    /// Dials by the time when they are given up, and those that wait for their turn.
    deadlines: BTreeSet<(Instant, AssocId)>,
    waiting: Vec<AssocId>,
    timer: Option<Pin<Box<Sleep>>>,
    /// What is known of the addresses of this host; `None` where they are chosen by name.
    address_watch: Option<AddressWatch>,
    batch: Option<Box<Batch>>,
    /// The last batch was full: more has arrived, most likely.
    may_receive: bool,
    /// The rest of a long notification follows.
    notification_goes_on: bool,
    backlogs: Backlogs,
    sources: Sources,
    counters: Counters,
    undelivered: u64,
    /// Associations whose messages are not wanted for now.
    paused: BTreeSet<AssocId>,
}

impl KernelEndpoint {
    /// Listens on all addresses of `url`; `[::]` stands for IPv4 too.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`], [`Error::Resolve`] for a name without address, and [`Error::Unsupported`]
    /// where the kernel has no SCTP; [`probe`](crate::probe()) says what to do about it.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with IO and time.
    pub fn bind(url: &Address, options: &Options) -> Result<Self, Error> {
        let addresses = url.bind_addresses()?;
        let failed = |source| cannot_bind(url, source);
        let socket = Socket::listen(&addresses, url.port, options).map_err(failed)?;
        let port = socket.port().map_err(failed)?;
        Self::over(socket, Local { url: url.with_port(port), addresses, port }, options)
    }

    /// Only dials, from a port that the system chooses, over IPv4 and where it can over IPv6.
    /// Associations that a peer starts are refused.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`] where no port is to be had, [`Error::Unsupported`] where the kernel has no
    /// SCTP.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with IO and time.
    pub fn dialer(options: &Options) -> Result<Self, Error> {
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let url = Address::from((Scheme::KernelSctp, v4));
        let failed = |source| cannot_bind(&url, source);
        let socket = Socket::bind(&[Ipv6Addr::UNSPECIFIED.into()], 0, options)
            .or_else(|_| Socket::bind(&[v4.ip()], 0, options))
            .map_err(failed)?;
        let port = socket.port().map_err(failed)?;
        let local = Local { url: url.with_port(port), addresses: Vec::new(), port };
        Self::over(socket, local, options)
    }

    fn over(socket: Socket, local: Local, options: &Options) -> Result<Self, Error> {
        let send_buffer = socket.send_buffer();
        if send_buffer < options.message_max {
            tracing::warn!(send_buffer, "longer messages cannot be sent: see net.core.wmem_max");
        }
        let is_everywhere = local.addresses.iter().all(IpAddr::is_unspecified);
        let system = |source| Error::System { operation: "registering a socket", source };
        Ok(Self {
            socket: sctp::register(socket).map_err(system)?,
            options: Options {
                message_max: options.message_max.min(send_buffer),
                ..options.clone()
            },
            local,
            window: WINDOW_OCTETS.min(send_buffer / 4),
            table: Table::default(),
            killed: HashSet::default(),
            events: VecDeque::new(),
            writers: VecDeque::new(),
            blocked: false,
            blocked_timer: None,
            full: 0,
            deadlines: BTreeSet::new(),
            waiting: Vec::new(),
            timer: None,
            address_watch: is_everywhere.then(AddressWatch::new),
            batch: Some(Box::new(Batch::new())),
            may_receive: false,
            notification_goes_on: false,
            backlogs: Backlogs::new(options),
            sources: Sources::new(options),
            counters: Counters::default(),
            undelivered: 0,
            paused: BTreeSet::new(),
        })
    }

    /// Binds one more address; peers are told where the system allows it (RFC 5061).
    ///
    /// # Errors
    ///
    /// [`Error::System`]; nothing changed.
    pub fn add_address(&mut self, address: IpAddr) -> Result<(), Error> {
        self.socket
            .get_ref()
            .add_address(address, self.local.port)
            .map_err(|source| Error::System { operation: "adding an address", source })?;
        self.local.addresses.push(address);
        self.local.url.hosts.push(Host::Ip(address));
        Ok(())
    }

    /// Gives up an address; peers are told where the system allows it (RFC 5061).
    ///
    /// # Errors
    ///
    /// [`Error::System`], for the last address too; nothing changed.
    pub fn remove_address(&mut self, address: IpAddr) -> Result<(), Error> {
        self.socket
            .get_ref()
            .remove_address(address, self.local.port)
            .map_err(|source| Error::System { operation: "removing an address", source })?;
        self.local.addresses.retain(|a| *a != address);
        self.local.url.hosts.retain(|host| *host != Host::Ip(address));
        Ok(())
    }

    /// Messages that were queued but never acknowledged, as their associations ended.
    pub fn undelivered(&self) -> u64 {
        self.undelivered
    }

    /// Aborts an association in the kernel. What it still says about it is for nobody.
    fn kill(&mut self, kernel: KernelId) {
        // Where this fails the kernel's last word is already on the way.
        let _ = self.socket.get_ref().abort(kernel);
        self.killed.insert(kernel);
    }

    /// Forgets an association.
    fn forget(&mut self, assoc: AssocId) -> Option<Association> {
        let mut association = self.table.remove(assoc)?;
        self.backlogs.forget(&mut association.backlog);
        if let Some(from) = association.from {
            self.sources.left(from);
        }
        self.full -= usize::from(association.outbound.full().is_some());
        self.paused.remove(&assoc);
        self.undelivered += association.outbound.messages();
        if let Some(deadline) = association.state.deadline() {
            self.deadlines.remove(&(deadline, assoc));
        }
        if let State::Waiting { .. } = association.state {
            self.waiting.retain(|waiting| *waiting != assoc);
        }
        Some(association)
    }

    /// Forgets an association that the kernel no longer has, and says so.
    fn end(&mut self, assoc: AssocId, reason: DownReason) {
        if reason == DownReason::Closed
            && let Some(association) = self.table.get_mut(assoc)
        {
            self.backlogs.release(assoc, &mut association.backlog, &mut self.events);
        }
        if let Some(association) = self.forget(assoc) {
            self.events.push_back(Event::Down { assoc, reason });
            self.dial_waiting(&association.remote, association.remote_port);
        }
    }
}

impl Endpoint for KernelEndpoint {
    fn connect(&mut self, remote: &Remote) -> Result<AssocId, Error> {
        let unsupported = |why| Error::Unsupported { what: "kernel SCTP", why };
        if !matches!(remote.scheme, Scheme::Sctp | Scheme::KernelSctp) {
            return Err(unsupported("the address is of another transport".into()));
        }
        let addresses = self.socket.get_ref().reachable(&remote.addresses);
        if addresses.is_empty() {
            let why = "the endpoint is bound to addresses of another IP version".into();
            return Err(unsupported(why));
        }
        if self.table.len() >= self.options.associations_max {
            return Err(Error::Limit(self.options.associations_max));
        }
        let now = Instant::now();
        let deadline = now.checked_add(self.options.connect_timeout);
        let dial = Dial {
            addresses,
            port: remote.port,
            encapsulation: remote.encapsulation,
            deadline: deadline.unwrap_or(now + FOREVER),
        };
        let assoc = self.table.name();
        self.dial(assoc, dial)?;
        Ok(assoc)
    }

    fn send(&mut self, assoc: AssocId, ppid: Ppid, octets: &[u8]) -> Result<(), SendError> {
        if octets.is_empty() {
            return Err(SendError::Malformed);
        }
        if octets.len() > self.options.message_max {
            return Err(SendError::TooLong);
        }
        let association = self.table.get_mut(assoc).ok_or(SendError::Gone)?;
        let State::Up { kernel } = association.state else { return Err(SendError::Gone) };
        let outbound = &mut association.outbound;
        if outbound.octets() + octets.len() > self.options.send_queue_max {
            self.counters.full += 1;
            return Err(SendError::Full);
        }
        if !self.blocked && outbound.is_clear() {
            let socket = self.socket.get_ref();
            let window = window(self.window, self.full);
            match outbound.write(socket, kernel, window, (ppid, octets)) {
                Ok(()) => {
                    self.full += usize::from(outbound.full().is_some());
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
                Err(e) if is_gone(&e) => return Err(SendError::Gone),
                Err(error) => {
                    // Queued, it is tried once more; then the association ends.
                    let peer = association::peer(&association.remote, association.remote_port);
                    tracing::debug!(peer, %error, "the kernel refuses a message");
                }
            }
        }
        outbound.push(ppid, octets);
        if outbound.can_write() && !outbound.listed {
            outbound.listed = true;
            self.writers.push_back(assoc);
        }
        self.backlogs.push(&mut association.backlog, octets.len());
        self.events.extend(association.note(assoc, &mut self.backlogs));
        if self.backlogs.is_over_budget() {
            self.relieve();
        }
        Ok(())
    }

    /// All associations share the socket's queue: only where it is the only one, and no other can
    /// come, is it left unread. The kernel goes on to answer for this host.
    fn pause_reading(&mut self, assoc: AssocId) -> bool {
        let is_alone = self.local.addresses.is_empty() && self.table.len() == 1;
        let is_up =
            matches!(self.table.get_mut(assoc), Some(Association { state: State::Up { .. }, .. }));
        if is_alone && is_up {
            self.paused.insert(assoc);
        }
        is_alone && is_up
    }

    fn resume_reading(&mut self, assoc: AssocId) {
        self.paused.remove(&assoc);
    }

    fn close(&mut self, assoc: AssocId) {
        self.resume_reading(assoc);
        let Some(association) = self.table.get_mut(assoc) else { return };
        self.backlogs.drop_held(&mut association.backlog);
        if let State::Up { .. } = association.state {
            self.backlogs.close(assoc, &mut association.backlog);
        }
        match association.state {
            State::Up { kernel } if association.outbound.is_empty() => {
                let _ = self.socket.get_ref().shut_down(kernel);
                association.state = State::Closing { kernel };
            }
            State::Up { kernel } => association.state = State::Draining { kernel },
            State::Dialing { kernel, .. } => {
                self.kill(kernel);
                self.end(assoc, DownReason::Closed);
            }
            State::Waiting { .. } => self.end(assoc, DownReason::Closed),
            State::Draining { .. } | State::Closing { .. } => {}
        }
    }

    fn abort(&mut self, assoc: AssocId) {
        self.events.retain(|event| event.assoc() != assoc);
        let Some(association) = self.forget(assoc) else { return };
        if let Some(kernel) = association.state.kernel() {
            self.kill(kernel);
            self.dial_waiting(&association.remote, association.remote_port);
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            self.poll_write(cx);
            if let Some(event) = self.next_event() {
                return Poll::Ready(event);
            }
            self.poll_deadlines(cx);
            self.poll_overdue(cx);
            while self
                .address_watch
                .as_mut()
                .is_some_and(|address_watch| address_watch.poll(cx).is_ready())
            {
                self.look_at_own_addresses();
            }
            if self.events.is_empty() {
                ready!(self.poll_receive(cx));
            }
        }
    }

    fn queued_octets(&self) -> usize {
        self.backlogs.total()
    }

    fn has_more(&self) -> bool {
        self.may_receive || !self.events.is_empty()
    }

    fn local(&self) -> Local {
        self.local.clone()
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

/// What one association may have in the kernel where so many have as much as they may: all share one
/// buffer.
fn window(most: usize, full: usize) -> usize {
    (most / (1 + full / WINDOWS_FULL)).max(WINDOW_MIN.min(most))
}

fn cannot_bind(url: &Address, source: io::Error) -> Error {
    match crate::probe::missing_sctp(&source) {
        Some(why) => Error::Unsupported { what: "kernel SCTP", why },
        None => Error::Bind { url: url.clone(), source },
    }
}

/// The kernel has no such association any more, or it shuts down.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPIPE | libc::ESHUTDOWN | libc::ECONNRESET))
}
