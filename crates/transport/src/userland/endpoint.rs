//! The endpoint: its sockets, its clock, and the calls of the user.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use dcsctp::api::SocketEvent;
use tokio::time::{Instant, Sleep};

use super::Statistics;
use super::association::{Association, Phase};
use super::cookie::Cookies;
use super::encapsulation::{Datagram, Route, UdpSocket, bind_all};
use super::limits::{Fragments, Inits, Network};
use super::machine::Machine;
use super::table::Table;
use super::timers::{Heard, Timers};
use crate::address::{Address, Host, Scheme};
use crate::backlog::Backlogs;
use crate::endpoint::{
    AssocId, Counters, DownReason, Endpoint, Error, Event, Local, Options, Ppid, Remote, SendError,
};
use crate::probe::taken_by_kernel;
use crate::source_limit::Sources;

/// Largest SCTP packet: Ethernet without the headers of IP and UDP.
pub(super) const MTU_V4: usize = 1472;
pub(super) const MTU_V6: usize = 1452;

/// Datagrams taken from each socket, and timers, before the user and the other sockets have a turn.
const BATCH: usize = 32;

/// Octets queued for one association that are written before the next poll.
const FLUSH_OCTETS: usize = 64 << 10;

/// SCTP in userland over UDP; see the [module](super).
pub struct UserlandEndpoint {
    pub(super) options: Options,
    pub(super) local: Local,
    pub(super) listening: bool,
    pub(super) sockets: Vec<UdpSocket>,
    /// Answers the INITs of strangers; always closed, so it remembers nothing.
    pub(super) listener: Machine,
    pub(super) cookies: Cookies,
    pub(super) table: Table,
    pub(super) inits: Inits,
    pub(super) fragments: Fragments,
    pub(super) timers: Timers,
    /// Of each socket.
    heard: Vec<Heard>,
    pub(super) events: VecDeque<Event>,
    pub(super) backlogs: Backlogs,
    pub(super) sources: Sources,
    pub(super) statistics: Statistics,
    /// Associations with messages to be written.
    dirty: Vec<AssocId>,
    pub(super) epoch: Instant,
    sleep: Pin<Box<Sleep>>,
    buffer: Vec<u8>,
}

impl UserlandEndpoint {
    /// Listens on `url`, on the UDP port of its encapsulation or else its SCTP port. `[::]` stands
    /// for IPv4 too.
    ///
    /// # Errors
    ///
    /// [`Error::Resolve`] for a name without address, [`Error::Bind`] where the port is not to be had,
    /// [`Error::Unsupported`] where the kernel itself has it, [`Error::System`] where there is no
    /// randomness.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with IO and time.
    pub fn bind(url: &Address, options: &Options) -> Result<Self, Error> {
        let addresses = url.bind_addresses()?;
        let udp = url.encapsulation.unwrap_or(url.port);
        let bind = |source| match taken_by_kernel(&source, udp) {
            Some(why) => Error::Unsupported { what: "SCTP in UDP", why },
            None => Error::Bind { url: url.clone(), source },
        };
        let sockets = bind_all(&addresses, udp, url.zone()?).map_err(bind)?;
        let udp = sockets.first().map_or(Ok(0), UdpSocket::port).map_err(bind)?;
        let port = if url.port == 0 { udp } else { url.port };
        let local = Local { url: url.with_port(port), addresses, port };
        Self::over(sockets, local, true, options)
    }

    /// Only dials, from a port that the system chooses, over IPv4 and where it can over IPv6.
    /// Associations that a peer starts are refused.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`] where no port is to be had, [`Error::System`] where there is no randomness.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with IO and time.
    pub fn dialer(options: &Options) -> Result<Self, Error> {
        let any = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        let url = Address {
            scheme: Scheme::UserlandSctp,
            hosts: vec![Host::Ip(any[1])],
            port: 0,
            encapsulation: None,
        };
        let bind = |source| Error::Bind { url: url.clone(), source };
        let sockets = bind_all(&any, 0, 0).or_else(|_| bind_all(&any[1..], 0, 0)).map_err(bind)?;
        let port = sockets.first().map_or(Ok(0), UdpSocket::port).map_err(bind)?;
        let local = Local { url: url.with_port(port), addresses: Vec::new(), port };
        Self::over(sockets, local, false, options)
    }

    fn over(
        sockets: Vec<UdpSocket>,
        local: Local,
        listening: bool,
        options: &Options,
    ) -> Result<Self, Error> {
        let cookies = Cookies::new().map_err(|e| no_randomness(e.into()))?;
        Ok(Self {
            listener: Machine::new(options, [local.port, 0], MTU_V6),
            options: options.clone(),
            local,
            listening,
            heard: vec![Heard::default(); sockets.len()],
            sockets,
            cookies,
            table: Table::default(),
            inits: Inits::default(),
            fragments: Fragments::default(),
            timers: Timers::default(),
            events: VecDeque::new(),
            backlogs: Backlogs::new(options),
            sources: Sources::new(options),
            statistics: Statistics::default(),
            dirty: Vec::new(),
            epoch: Instant::now(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            buffer: vec![0; 1 << 16],
        })
    }

    /// What this endpoint has seen; counts only grow, `associations` is how many there are.
    pub fn statistics(&self) -> Statistics {
        Statistics { associations: self.table.len(), ..self.statistics }
    }

    /// Time since the endpoint was opened, the clock of everything in it.
    pub(super) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// A machine for an association with `remote`.
    pub(super) fn machine(&self, remote: IpAddr, remote_port: u16) -> Machine {
        let mtu = if remote.is_ipv4() { MTU_V4 } else { MTU_V6 };
        Machine::new(&self.options, [self.local.port, remote_port], mtu)
    }

    /// Gives the machines what the user queued.
    pub(super) fn flush(&mut self) {
        let now = self.now();
        for id in std::mem::take(&mut self.dirty) {
            self.flush_one(id, now);
        }
    }

    fn flush_one(&mut self, id: AssocId, now: Duration) {
        if let Some(association) = self.table.get_mut(id) {
            association.flush(now);
            self.settle(id, now);
        }
    }

    /// Takes what arrived; true where there may be more.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut more = false;
        for socket in 0..self.sockets.len() {
            more |= self.read(socket, |socket, buffer| socket.poll_receive(cx, buffer));
        }
        more
    }

    /// Takes what had arrived by now, asking the system itself: in a task that is busy the runtime
    /// may not know yet.
    fn hear(&mut self) {
        for socket in 0..self.sockets.len() {
            let now = self.now();
            if !self.read(socket, UdpSocket::receive_now) {
                self.heard[socket].all(now);
            }
        }
    }

    /// Reads a batch of datagrams from a socket; true where that was not all.
    fn read(
        &mut self,
        socket: usize,
        mut receive: impl FnMut(&mut UdpSocket, &mut [u8]) -> Poll<io::Result<Datagram>>,
    ) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut taken = 0;
        while taken < BATCH {
            match receive(&mut self.sockets[socket], &mut buffer) {
                Poll::Ready(Ok(datagram)) => {
                    let (remote, local) = (datagram.remote, datagram.local);
                    let octets = &buffer[..datagram.length];
                    self.on_datagram(Route { socket, local, remote }, octets);
                }
                Poll::Ready(Err(_)) => self.statistics.socket_errors += 1,
                Poll::Pending => break,
            }
            taken += 1;
            let epoch = self.epoch;
            self.heard[socket].one(|| epoch.elapsed());
        }
        self.buffer = buffer;
        taken == BATCH
    }

    /// Takes what the network said about packets that did not arrive. Last in a round: a send call
    /// may have taken an error out of the queue, and then nothing wakes us for it.
    fn lost(&mut self, cx: &mut Context<'_>) {
        for socket in 0..self.sockets.len() {
            for unreachable in self.sockets[socket].poll_unreachable(cx) {
                self.on_unreachable(&unreachable);
            }
        }
    }

    /// Runs the timers that are due; true where there may be more. None runs before what had arrived
    /// by its time was read: it may be what the timer waits for.
    fn expire(&mut self, cx: &mut Context<'_>) -> bool {
        let mut now = self.now();
        if self.timers.next().is_some_and(|due| due <= now) {
            self.hear();
            let heard = self.heard.iter().map(Heard::until).min().unwrap_or(now);
            now = self.now();
            if self.timers.next().is_some_and(|due| heard < due && due <= now) {
                return true;
            }
            self.run_timers(heard, now);
        }
        let Some(next) = self.timers.next() else { return false };
        let next = self.epoch + next;
        if self.sleep.deadline() != next {
            self.sleep.as_mut().reset(next);
        }
        self.sleep.as_mut().poll(cx).is_ready()
    }

    /// Runs timers that were due by `until`, at `now`.
    pub(super) fn run_timers(&mut self, until: Duration, now: Duration) {
        for _ in 0..BATCH {
            let Some((deadline, id)) = self.timers.due(until.min(now)) else { break };
            match self.table.get_mut(id) {
                Some(association) if association.armed == Some(deadline) => {
                    association.armed = None;
                    self.on_timeout(id, now);
                }
                // Another entry has come before it, or the association is gone.
                Some(_) | None => {}
            }
        }
    }
}

impl Endpoint for UserlandEndpoint {
    fn connect(&mut self, remote: &Remote) -> Result<AssocId, Error> {
        let routes = self.routes(remote)?;
        if self.table.len() >= self.options.associations_max {
            return Err(Error::Limit(self.options.associations_max));
        }
        // RFC 9260 §1.3: one association between two endpoints at a time.
        let known = |route: &Route| self.table.with_remote(route.remote, remote.port);
        if let Some(assoc) = routes.iter().find_map(known) {
            return Err(Error::Connected(assoc));
        }
        self.dial(routes, remote.port, self.now())
    }

    fn send(&mut self, assoc: AssocId, ppid: Ppid, octets: &[u8]) -> Result<(), SendError> {
        let Some(association) = self.table.get_mut(assoc) else { return Err(SendError::Gone) };
        if association.phase != Phase::Up {
            return Err(SendError::Gone);
        }
        if octets.is_empty() {
            return Err(SendError::Malformed);
        }
        if octets.len() > self.options.message_max {
            return Err(SendError::TooLong);
        }
        let waiting = association.waiting();
        if waiting + octets.len() > self.options.send_queue_max {
            self.statistics.full += 1;
            // Who was told that a queue is full waits for it to be drained.
            self.events.extend(self.backlogs.note(assoc, &mut association.backlog, waiting));
            return Err(SendError::Full);
        }
        if association.outbox_octets() == 0 {
            self.dirty.push(assoc);
        }
        association.push(ppid, octets);
        self.backlogs.push(&mut association.backlog, octets.len());
        if association.outbox_octets() >= FLUSH_OCTETS {
            let now = self.now();
            self.flush_one(assoc, now);
        }
        if self.backlogs.is_over_budget() {
            self.flush();
            self.relieve();
        }
        Ok(())
    }

    fn close(&mut self, assoc: AssocId) {
        let now = self.now();
        self.flush_one(assoc, now);
        let Some(association) = self.table.get_mut(assoc) else { return };
        match association.phase {
            Phase::Up => {
                self.backlogs.drop_held(&mut association.backlog);
                self.backlogs.close(assoc, &mut association.backlog);
                association.phase = Phase::Draining;
                self.settle(assoc, now);
            }
            Phase::Dialing { .. } | Phase::Accepting => self.give_up(assoc, DownReason::Closed),
            Phase::Draining | Phase::Closing => {}
        }
    }

    fn abort(&mut self, assoc: AssocId) {
        self.discard(assoc);
        self.events.retain(|event| event.assoc() != assoc);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(event) = self.next_event() {
            return Poll::Ready(event);
        }
        // What arrived counts before the timers do: a busy task is no silent peer.
        let more = self.receive(cx);
        self.flush();
        let more = self.expire(cx) | more;
        self.lost(cx);
        self.poll_overdue(cx);
        if let Some(event) = self.next_event() {
            return Poll::Ready(event);
        }
        if more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn local(&self) -> Local {
        self.local.clone()
    }

    fn queued_octets(&self) -> usize {
        self.backlogs.total()
    }

    fn counters(&self) -> Counters {
        Counters {
            over_limit: self.statistics.over_limit,
            malformed: self.statistics.checksum_errors + self.statistics.malformed,
            full: self.statistics.full,
            refused_inits: self.statistics.inits_dropped,
            refused_data: self.statistics.data_far_ahead + self.statistics.fragments_dropped,
            stalled: self.statistics.fragments_too_old + self.statistics.stalled,
            over_budget: self.statistics.over_budget,
            over_source_limit: self.statistics.over_source_limit,
            ..Counters::default()
        }
    }
}

impl Drop for UserlandEndpoint {
    /// Tells every peer that the associations are gone, so that none has to find out by silence.
    fn drop(&mut self) {
        for id in self.table.ids() {
            self.discard(id);
        }
    }
}

impl UserlandEndpoint {
    /// Takes an association out, and what counts for it.
    pub(super) fn remove(&mut self, id: AssocId) -> Option<Box<Association>> {
        let mut association = self.table.remove(id)?;
        self.backlogs.forget(&mut association.backlog);
        if let Some(from) = association.from {
            self.sources.left(from);
        }
        let network = Network::of(association.route.remote.ip());
        self.fragments.change(network, association.charged, 0);
        Some(association)
    }

    /// Forgets an association; the peer gets an ABORT where it knows of one.
    pub(super) fn discard(&mut self, id: AssocId) {
        let Some(mut association) = self.remove(id) else { return };
        association.machine.close();
        while let Some(event) = association.machine.poll_event() {
            if let SocketEvent::SendPacket(octets) = event {
                let route = association.route;
                self.write(&route, &octets);
            }
        }
    }

    /// Sends one packet. What the system has no room for is lost, as on any router. False where there
    /// is no way.
    pub(super) fn write(&mut self, route: &Route, octets: &[u8]) -> bool {
        let Some(socket) = self.sockets.get_mut(route.socket) else { return false };
        let sent = socket.send(route, octets);
        self.statistics.unsent += u64::from(sent.is_err());
        sent.is_ok() || sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

pub(super) fn no_randomness(source: io::Error) -> Error {
    Error::System { operation: "getrandom", source }
}

/// Gives the generator behind the tags and TSNs of `dcsctp` a seed of the system. It is no
/// cryptographic one: with a fresh seed each time, what one peer sees tells nothing about the next.
pub(super) fn reseed() {
    let mut seed = [0; 8];
    if getrandom::fill(&mut seed).is_ok() {
        fastrand::seed(u64::from_ne_bytes(seed));
    }
}
