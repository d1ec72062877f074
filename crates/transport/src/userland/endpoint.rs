//! The endpoint: its sockets, its clock, and the calls of the user.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rserpool_sctp::{Command, Config, Endpoint as Engine, Input, Message};
use tokio::time::{Instant, Sleep};

use super::Statistics;
use super::addresses::{HostAddresses, announced};
use super::association::{Association, Phase};
use super::dial::TRIED_MAX;
use super::encapsulation::{Datagram, Route, UdpSocket, bind_all};
use super::heard::Heard;
use super::limits::{Fragments, Inits};
use super::table::{Table, association_id};
use crate::address::{Address, Host, Scheme};
use crate::backlog::Backlogs;
use crate::endpoint::{
    AssocId, Counters, DownReason, Endpoint, Error, Event, Local, Options, Ppid, Remote, SendError,
};
use crate::probe::taken_by_kernel;
use crate::source_limit::Sources;

/// The least retransmission timeout: timers have a grain of a millisecond, and a SACK may wait for half
/// of it.
const RTO_LEAST: Duration = Duration::from_millis(10);

/// Streams that messages are taken from. RSerPool sends on stream 0; a peer that uses more costs
/// memory for each.
const STREAMS: u16 = 16;

/// Datagrams taken from each socket, and timers, before the user and the other sockets have a turn.
const BATCH: usize = 32;

/// Octets queued that are written before the next poll.
const FLUSH_OCTETS: usize = 64 << 10;

/// SCTP in userland over UDP; see the [module](super).
pub struct UserlandEndpoint {
    pub(super) options: Options,
    pub(super) local: Local,
    pub(super) listening: bool,
    pub(super) sockets: Vec<UdpSocket>,
    /// The protocol.
    pub(super) engine: Engine,
    pub(super) table: Table,
    /// When dials are given up.
    pub(super) dials: BTreeSet<(Duration, AssocId)>,
    pub(super) inits: Inits,
    pub(super) fragments: Fragments,
    /// What one association keeps at most of what it cannot deliver.
    pub(super) window_max: usize,
    /// Associations that may keep less.
    pub(super) restricted: usize,
    /// Of each socket.
    pub(super) heard: Vec<Heard>,
    /// Where nothing else is said, peers are told when the host gets addresses or loses some.
    pub(super) host: Option<HostAddresses>,
    pub(super) events: VecDeque<Event>,
    pub(super) backlogs: Backlogs,
    pub(super) sources: Sources,
    pub(super) statistics: Statistics,
    /// Octets of messages that came from the user since the last [`flush`](Self::flush).
    pub(super) unflushed: usize,
    pub(super) packet: Vec<u8>,
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
        let config = settings(options);
        let window_max = config.receive_window + config.message_max;
        Ok(Self {
            engine: engine(config, local.port, announced(&local, options))?,
            window_max,
            restricted: 0,
            options: options.clone(),
            local,
            listening,
            heard: vec![Heard::default(); sockets.len()],
            host: None,
            sockets,
            table: Table::default(),
            dials: BTreeSet::new(),
            inits: Inits::default(),
            fragments: Fragments::default(),
            events: VecDeque::new(),
            backlogs: Backlogs::new(options),
            sources: Sources::new(options),
            statistics: Statistics::default(),
            unflushed: 0,
            packet: Vec::new(),
            epoch: Instant::now(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            buffer: vec![0; 1 << 16],
        })
    }

    /// What this endpoint has seen; counts only grow, `associations` is how many there are.
    pub fn statistics(&self) -> Statistics {
        let seen = self.engine.statistics();
        Statistics {
            associations: self.table.len(),
            checksum_errors: seen.checksum_errors,
            malformed: self.statistics.malformed + seen.malformed,
            out_of_the_blue: seen.out_of_the_blue,
            cookies_refused: seen.cookies_refused,
            unreachable: seen.unreachable,
            unreachable_ignored: seen.unreachable_ignored,
            over_limit: seen.over_limit,
            data_far_ahead: seen.data_far_ahead,
            fragments_dropped: seen.data_dropped,
            ..self.statistics
        }
    }

    /// Time since the endpoint was opened, the clock of everything in it.
    pub(super) fn now(&self) -> Duration {
        self.epoch.elapsed()
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
        self.flush();
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
        self.flush();
    }

    /// When the next timer is due.
    fn due(&self) -> Option<Duration> {
        let dial = self.dials.first().map(|(deadline, _)| *deadline);
        self.engine.next_timeout().into_iter().chain(dial).min()
    }

    /// Runs the timers that are due; true where there may be more. None runs before what had arrived
    /// by its time was read: it may be what the timer waits for.
    fn expire(&mut self, cx: &mut Context<'_>) -> bool {
        let mut now = self.now();
        if self.due().is_some_and(|due| due <= now) {
            self.hear();
            let heard = self.heard.iter().map(Heard::until).min().unwrap_or(now);
            now = self.now();
            if self.due().is_some_and(|due| heard < due && due <= now) {
                return true;
            }
            self.run_timers(heard, now);
        }
        let Some(next) = self.due() else { return false };
        let next = self.epoch + next;
        if self.sleep.deadline() != next {
            self.sleep.as_mut().reset(next);
        }
        self.sleep.as_mut().poll(cx).is_ready()
    }

    /// Runs timers that were due by `until`, at `now`.
    pub(super) fn run_timers(&mut self, until: Duration, now: Duration) {
        let until = until.min(now);
        self.expire_dials(until);
        self.engine.handle(until, Input::Timeout);
        self.flush();
    }
}

impl Endpoint for UserlandEndpoint {
    fn connect(&mut self, remote: &Remote) -> Result<AssocId, Error> {
        let ways = self.ways(remote)?;
        if self.table.len() >= self.options.associations_max {
            return Err(Error::Limit(self.options.associations_max));
        }
        self.dial(&ways, remote.port, self.now())
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
        let waiting = self.engine.queued(association_id(assoc));
        if waiting + octets.len() > self.options.send_queue_max {
            self.statistics.full += 1;
            // Who was told that a queue is full waits for it to be drained.
            self.events.extend(self.backlogs.note(assoc, &mut association.backlog, waiting));
            return Err(SendError::Full);
        }
        let octets = Bytes::copy_from_slice(octets);
        let length = octets.len();
        let message = Message { stream: 0, ppid: ppid.0, unordered: false, octets };
        if self.engine.send(self.epoch.elapsed(), association_id(assoc), message).is_err() {
            return Err(SendError::Gone);
        }
        self.backlogs.push(&mut association.backlog, length);
        self.unflushed += length;
        if self.unflushed >= FLUSH_OCTETS {
            self.flush();
        }
        if self.backlogs.is_over_budget() {
            self.flush();
            self.relieve();
        }
        Ok(())
    }

    fn close(&mut self, assoc: AssocId) {
        let Some(association) = self.table.get_mut(assoc) else { return };
        match association.phase {
            Phase::Up => {
                self.backlogs.drop_held(&mut association.backlog);
                self.backlogs.close(assoc, &mut association.backlog);
                association.phase = Phase::Closing;
                let shutdown = Input::Command(association_id(assoc), Command::Shutdown);
                self.engine.handle(self.epoch.elapsed(), shutdown);
                self.flush();
            }
            Phase::Dialing { .. } => self.give_up(assoc, DownReason::Closed),
            Phase::Closing => {}
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
        let more = self.poll_host(cx) | more;
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
        let seen = self.statistics();
        Counters {
            over_limit: seen.over_limit,
            malformed: seen.checksum_errors + seen.malformed,
            full: seen.full,
            refused_inits: seen.inits_dropped,
            refused_data: seen.data_far_ahead + seen.fragments_dropped,
            stalled: seen.fragments_too_old + seen.stalled,
            over_budget: seen.over_budget,
            over_source_limit: seen.over_source_limit,
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
        if let Phase::Dialing { deadline } = association.phase {
            self.dials.remove(&(deadline, id));
        }
        self.restricted -= usize::from(association.restricted);
        if let Some(network) = association.network {
            self.fragments.change(network, association.charged, 0);
        }
        Some(association)
    }

    /// Forgets an association; the peer gets an ABORT where it knows of one. False where there is
    /// none.
    pub(super) fn discard(&mut self, id: AssocId) -> bool {
        let is_known = self.remove(id).is_some();
        if is_known {
            let abort = Input::Command(association_id(id), Command::Abort);
            self.engine.handle(self.now(), abort);
            self.flush();
        }
        is_known
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

/// The protocol at this port, with random numbers of the system. Peers are told these addresses.
pub(super) fn engine(config: Config, port: u16, own: Vec<IpAddr>) -> Result<Engine, Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|e| Error::System { operation: "getrandom", source: e.into() })?;
    Ok(Engine::new(config, port, own, seed))
}

pub(super) fn settings(options: &Options) -> Config {
    let turns = u32::try_from(TRIED_MAX + 1).unwrap_or(u32::MAX);
    Config {
        rto_initial: options.rto.initial.max(RTO_LEAST),
        rto_min: options.rto.min.max(RTO_LEAST),
        rto_max: options.rto.max.max(RTO_LEAST),
        // RFC 9260 §8.1: not more than the sum over the paths, and often there is one.
        association_retransmits_max: options
            .association_retransmits_max
            .min(options.path_retransmits_max),
        path_retransmits_max: options.path_retransmits_max,
        // The dial has a deadline instead.
        init_retransmits_max: u32::MAX,
        head_start: options.head_start.min(options.connect_timeout / turns),
        // None where it is zero.
        heartbeat_interval: Some(options.heartbeat)
            .filter(|t| !t.is_zero())
            .unwrap_or(Duration::MAX),
        streams_in: STREAMS,
        streams_out: STREAMS,
        message_max: options.message_max,
        receive_window: (2 * options.message_max).max(128 << 10),
        // Checked by the endpoint, message by message.
        send_queue_max: usize::MAX,
        addresses_max: TRIED_MAX,
        associations_max: options.associations_max,
        ..Config::default()
    }
}
