//! The task that owns a server's endpoint, and hands everything to the sessions.

mod datagrams;
mod inbox;
mod outbox;
mod sources;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rserpool_proto::session::Cookies;
use rserpool_proto::session::server::Control;
use rserpool_transport::{AssocId, AssocInfo, Backend, Endpoints, Event as TransportEvent, Ppid};
use rserpool_wire::param::PoolHandle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::debug;

use super::business_card::{INTERVAL, INTERVAL_UDP, Neighbours};
use super::channel::{Command, Limits, SessionChannels, SessionCommand, Sizes};
use super::{Event, LoadReport, Service, Session, Stats};
use crate::PoolElement;
use datagrams::Datagrams;
use sources::{Admission, Sources};

/// What a driver is made of.
pub(super) struct Setup {
    pub(super) handle: PoolHandle,
    pub(super) has_control: bool,
    /// The longest message; `None` on a stream.
    pub(super) message_max: Option<usize>,
    pub(super) sizes: Sizes,
    pub(super) sessions_max: usize,
    pub(super) sessions_per_source_max: Option<usize>,
    pub(super) first_message_timeout: Option<Duration>,
    pub(super) stall_timeout: Duration,
    pub(super) close_timeout: Duration,
    pub(super) card_items: u32,
    pub(super) is_udp: bool,
    /// The own port.
    pub(super) port: u16,
    pub(super) cookies: Cookies,
    pub(super) element: Arc<PoolElement>,
    pub(super) neighbours: Option<Arc<Neighbours>>,
    /// For sessions; weak, so that the driver ends with its server.
    pub(super) commands: mpsc::WeakUnboundedSender<Command>,
    pub(super) stats: watch::Sender<Stats>,
}

pub(super) struct ServerDriver<S> {
    setup: Setup,
    endpoints: Endpoints,
    service: Arc<S>,
    sessions: BTreeMap<AssocId, Entry>,
    sources: Sources,
    /// Sessions in the order in which they have to be heard of, until when.
    silent: VecDeque<(Instant, AssocId)>,
    /// Sessions whose clients are slowed down, what waited when their service last took something,
    /// and when that was.
    paused: BTreeMap<AssocId, (usize, Instant)>,
    /// When they are told next that the server lives.
    next_sign: Instant,
    /// Sessions that their service has ended, with what is still to be sent, and until when.
    ending: BTreeMap<AssocId, Instant>,
    datagrams: Datagrams,
    /// What the services do with the sessions; it ends with the driver.
    tasks: JoinSet<()>,
    /// Sessions with something in the outbox of which the transport does not say when it takes more:
    /// UDP, and queues that filled up since it was polled.
    backlog: BTreeSet<AssocId>,
    stats: Stats,
    reported: Option<LoadReport>,
    /// The element leaves; the sender is told when there are no more sessions.
    leaving: Option<Vec<oneshot::Sender<()>>>,
    /// A refused cookie was reported: the next ones are only counted.
    has_warned: bool,
    /// That cookies are not sealed was told.
    has_told_plain: bool,
}

/// One session.
struct Entry {
    channels: SessionChannels,
    control: Control,
    /// What the transport has not taken yet.
    outbox: VecDeque<(Ppid, Vec<u8>, usize)>,
    /// Where its client is.
    client: SocketAddr,
    /// Nothing was heard of it yet.
    is_silent: bool,
    /// The transport will say when it takes more.
    is_congested: bool,
}

/// So many commands are carried out before the transport has its turn.
const COMMANDS_MAX: usize = 256;
/// When to try again where a client takes less than is sent and the transport says nothing of it.
const RETRY: Duration = Duration::from_millis(5);
/// How often a client that is slowed down is told that the server lives.
const SIGN_OF_LIFE: Duration = Duration::from_millis(100);

impl<S: Service> ServerDriver<S> {
    pub(super) fn new(setup: Setup, endpoints: Endpoints, service: Arc<S>) -> Self {
        let sources = Sources::new(setup.sessions_max, setup.sessions_per_source_max);
        let datagrams = Datagrams::new(setup.port, Instant::now());
        Self {
            setup,
            endpoints,
            service,
            sessions: BTreeMap::new(),
            sources,
            silent: VecDeque::new(),
            paused: BTreeMap::new(),
            next_sign: Instant::now(),
            ending: BTreeMap::new(),
            datagrams,
            tasks: JoinSet::new(),
            backlog: BTreeSet::new(),
            stats: Stats::default(),
            reported: None,
            leaving: None,
            has_warned: false,
            has_told_plain: false,
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut retry = interval(RETRY);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let neighbours = keep_fresh(self.setup.neighbours.clone(), self.setup.is_udp);
        tokio::pin!(neighbours);
        self.report_load();
        loop {
            let due = self.next_timeout();
            tokio::select! {
                event = self.endpoints.next() => self.on_event(event),
                command = commands.recv() => {
                    let Some(command) = command else { return };
                    self.on_command(command);
                    for _ in 1..COMMANDS_MAX {
                        let Ok(command) = commands.try_recv() else { break };
                        self.on_command(command);
                    }
                }
                _ = retry.tick(), if !self.backlog.is_empty() => self.flush_all(),
                () = until(due), if due.is_some() => self.timeout(Instant::now()),
                Some(_) = self.tasks.join_next() => {}
                () = &mut neighbours => {}
            }
            if self.stats != *self.setup.stats.borrow() {
                let _ = self.setup.stats.send(self.stats);
            }
        }
    }

    fn on_event(&mut self, event: TransportEvent) {
        match event {
            TransportEvent::Up { assoc, info } => self.begin(assoc, info),
            TransportEvent::Down { assoc, .. } => self.forget(assoc),
            TransportEvent::Message { assoc, .. } if !self.takes_datagram(assoc) => {}
            TransportEvent::Congested { assoc } => self.congested(assoc),
            TransportEvent::Drained { assoc } => self.drained(assoc),
            TransportEvent::Message { assoc, ppid: Ppid::ASAP, octets }
                if self.setup.has_control =>
            {
                self.on_control(assoc, &octets);
            }
            TransportEvent::Message { assoc, ppid, octets } if ppid != Ppid::ASAP => {
                self.on_data(assoc, ppid, octets);
            }
            // A control channel where none was registered; addresses and paths.
            TransportEvent::Message { .. }
            | TransportEvent::Addresses { .. }
            | TransportEvent::Path { .. } => {}
        }
    }

    fn begin(&mut self, assoc: AssocId, info: AssocInfo) {
        let source = info.remote.first().copied().unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.into());
        let source = source.to_canonical();
        let admission = match self.leaving {
            None => self.sources.admit(Instant::now(), source),
            Some(_) => Admission::Refused,
        };
        if let Admission::InPlaceOf(silent) = admission {
            self.end_silent(silent);
        }
        let commands = self.setup.commands.upgrade().filter(|_| admission != Admission::Refused);
        let client = SocketAddr::new(source, info.remote_port);
        let Some(commands) = commands else {
            debug!(%client, "a session is refused");
            // In good order: users take anything else for a failure, and report it.
            self.endpoints.close(assoc);
            self.stats.sessions_refused += 1;
            return;
        };
        if info.backend == Backend::Udp {
            self.datagrams.begin(assoc, source, info.remote_port);
        }
        let Setup { has_control, handle, message_max, sizes, .. } = &self.setup;
        let state_max = has_control.then(|| Cookies::state_max(handle));
        let limits = Limits { state_max, message_max: *message_max, sizes: *sizes };
        let (session, channels) = Session::new(assoc, info, limits, commands);
        let (control, outbox) = (Control::default(), VecDeque::new());
        let (is_silent, is_congested) = (true, false);
        let entry = Entry { channels, control, outbox, client, is_silent, is_congested };
        self.sessions.insert(assoc, entry);
        self.sources.add(Instant::now(), source, assoc);
        if let Some(timeout) = self.setup.first_message_timeout {
            self.silent.push_back((Instant::now() + timeout, assoc));
        }
        self.stats.sessions_begun += 1;
        self.send_card(assoc);
        self.tasks.spawn(Arc::clone(&self.service).serve(session));
        self.sessions_changed();
    }

    fn forget(&mut self, assoc: AssocId) {
        self.backlog.remove(&assoc);
        self.paused.remove(&assoc);
        self.ending.remove(&assoc);
        self.datagrams.end(assoc);
        if let Some(entry) = self.sessions.remove(&assoc) {
            entry.channels.close();
            self.sources.remove(entry.client.ip(), assoc);
            self.sessions_changed();
        }
    }

    /// Where a session's client is, for the log.
    fn client(&self, assoc: AssocId) -> Option<tracing::field::DisplayValue<SocketAddr>> {
        self.sessions.get(&assoc).map(|entry| tracing::field::display(entry.client))
    }

    /// Ends a session of which nothing was heard, in good order. It counts no more.
    fn end_silent(&mut self, assoc: AssocId) {
        let client = self.client(assoc);
        debug!(client, "nothing was heard of the client: its session is ended");
        self.stats.silent += 1;
        self.endpoints.close(assoc);
        self.forget(assoc);
    }

    /// When something is to be done if nothing happens before.
    fn next_timeout(&self) -> Option<Instant> {
        let sign = (!self.paused.is_empty()).then_some(self.next_sign);
        let silent = self.silent.front().map(|(due, _)| *due);
        self.ending.values().copied().chain(sign).chain(silent).min()
    }

    fn timeout(&mut self, now: Instant) {
        while let Some(&(due, assoc)) = self.silent.front() {
            let is_silent = self.sessions.get(&assoc).is_some_and(|entry| entry.is_silent);
            if is_silent && due > now {
                break;
            }
            self.silent.pop_front();
            if is_silent {
                self.end_silent(assoc);
            }
        }
        self.look_after_paused(now);
        self.look_after_ending(now);
    }

    fn sessions_changed(&mut self) {
        self.stats.sessions = self.sessions.len();
        self.report_load();
        if self.sessions.is_empty() {
            for done in self.leaving.iter_mut().flat_map(|waiting| waiting.drain(..)) {
                let _ = done.send(());
            }
        }
    }

    fn report_load(&mut self) {
        let reported = self.service.load_report(self.sessions.len(), self.setup.sessions_max);
        let before = self.reported.as_ref();
        if before.is_none_or(|before| before.policy != reported.policy)
            && let Some(policy) = reported.policy.clone()
        {
            self.setup.element.set_policy(policy);
        }
        if before.is_none_or(|before| before.load != reported.load) {
            self.setup.element.set_load(reported.load);
        }
        self.reported = Some(reported);
    }

    /// False where a datagram is not to be answered; anything else is taken.
    fn takes_datagram(&mut self, assoc: AssocId) -> bool {
        let takes = self.datagrams.takes(assoc, Instant::now(), |client| {
            self.setup.neighbours.as_ref().is_some_and(|known| known.serve_at(client))
        });
        if !takes {
            self.stats.datagrams_refused += 1;
        }
        takes
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Of(assoc, SessionCommand::Send(ppid, octets)) => {
                let room = self.setup.sizes.room_for(octets.len());
                self.queue(assoc, ppid, octets, room);
            }
            Command::Of(assoc, SessionCommand::Cookie(state)) => self.send_cookie(assoc, &state),
            Command::Of(assoc, SessionCommand::ReadOn) => self.read_on(assoc),
            Command::Of(assoc, SessionCommand::Close) => self.end(assoc),
            Command::Of(assoc, SessionCommand::Abort) => {
                self.endpoints.abort(assoc);
                self.forget(assoc);
            }
            Command::LoadReport => self.report_load(),
            Command::Keys(keys, seed) => {
                // Only an empty list is refused, and by the server itself.
                let _ = self.setup.cookies.seal_with(keys, seed);
            }
            Command::Drain { done } => self.drain(done),
            Command::CloseAll { done } => {
                self.leaving.get_or_insert_default().push(done);
                let all: Vec<_> = self.sessions.keys().copied().collect();
                for assoc in all {
                    self.end(assoc);
                }
                self.sessions_changed();
            }
        }
    }

    fn drain(&mut self, done: oneshot::Sender<()>) {
        self.leaving.get_or_insert_default().push(done);
        let all: Vec<_> = self.sessions.keys().copied().collect();
        for assoc in all {
            self.send_card(assoc);
            if let Some(entry) = self.sessions.get(&assoc) {
                entry.channels.tell(Event::Draining);
            }
        }
        self.sessions_changed();
    }
}

async fn keep_fresh(neighbours: Option<Arc<Neighbours>>, is_udp: bool) {
    let Some(neighbours) = neighbours else { return std::future::pending().await };
    let mut ticks = interval(if is_udp { INTERVAL_UDP } else { INTERVAL });
    loop {
        ticks.tick().await;
        neighbours.refresh().await;
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Seconds of Unix time.
fn unix_time() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
