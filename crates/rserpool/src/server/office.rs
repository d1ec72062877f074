//! The task that owns a server's endpoint, and hands everything to the sessions.

mod outbox;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use rserpool_proto::session::Cookies;
use rserpool_proto::session::cookie::Key;
use rserpool_proto::session::server::{Control, Identity, Reaction};
use rserpool_transport::{AssocId, Backend, Endpoints, Event as TransportEvent, Ppid};
use rserpool_wire::param::PoolHandle;
use rserpool_wire::{Message, Protocol};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, warn};

use super::card::{INTERVAL, Neighbours};
use super::session::{Desk, EVENT_COST, ROOM, WAITING_MAX};
use super::{Event, Service, Session, Standing};
use crate::PoolElement;

/// What is asked of the office.
pub(super) enum Order {
    /// By a session's service.
    Of(AssocId, Do),
    /// The standing of the service has changed.
    Standing,
    /// Other keys for cookies, at least one, and a fresh seed for nonces.
    Keys(Vec<Key>, [u8; 32]),
    /// Take no more sessions, tell those that are there, and say when there are none.
    Drain { done: oneshot::Sender<()> },
    /// End all sessions in good order.
    CloseAll { done: oneshot::Sender<()> },
}

/// What a session's service wants done.
pub(super) enum Do {
    Send(Ppid, Vec<u8>),
    Cookie(Vec<u8>),
    Close,
    Abort,
}

/// What a server has seen; counts only grow but for the first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Sessions at the moment.
    pub sessions: usize,
    /// Sessions so far.
    pub sessions_begun: u64,
    /// Sessions refused: too many, or the element leaves.
    pub sessions_refused: u64,
    /// Sessions that went on from a cookie.
    pub resumed: u64,
    /// Cookies refused, which began their sessions anew.
    pub cookies_refused: u64,
    /// Cookies that came in mid-session, and were ignored.
    pub cookies_late: u64,
    /// Messages of control channels that could not be read, or do not belong there.
    pub malformed: u64,
    /// Sessions cut off because they sent more than their service took.
    pub overrun: u64,
}

/// What an office is made of.
pub(super) struct Setup {
    pub(super) handle: PoolHandle,
    pub(super) has_control: bool,
    pub(super) sessions_max: usize,
    pub(super) cookies: Cookies,
    pub(super) element: Arc<PoolElement>,
    pub(super) neighbours: Option<Arc<Neighbours>>,
    /// For sessions; weak, so that the office ends with its server.
    pub(super) orders: mpsc::WeakUnboundedSender<Order>,
    pub(super) stats: watch::Sender<Stats>,
}

pub(super) struct Office<S> {
    setup: Setup,
    endpoints: Endpoints,
    service: Arc<S>,
    sessions: BTreeMap<AssocId, Entry>,
    /// What the services do with the sessions; it ends with the office.
    tasks: JoinSet<()>,
    /// Sessions with something in the outbox.
    backlog: BTreeSet<AssocId>,
    stats: Stats,
    standing: Option<Standing>,
    /// The element leaves; the sender is told when there are no more sessions.
    leaving: Option<Vec<oneshot::Sender<()>>>,
    /// A refused cookie was reported: the next ones are only counted.
    has_warned: bool,
    /// That cookies are not sealed was told.
    has_told_plain: bool,
}

/// One session.
struct Entry {
    desk: Desk,
    control: Control,
    /// What the transport has not taken yet.
    outbox: VecDeque<(Ppid, Vec<u8>, usize)>,
    /// The service has ended it: what is in the outbox is still to be sent.
    is_ending: bool,
}

/// So many orders are carried out before the transport has its turn.
const ORDERS_MAX: usize = 256;
/// When to try again where a client takes less than is sent.
const RETRY: Duration = Duration::from_millis(5);

impl<S: Service> Office<S> {
    pub(super) fn new(setup: Setup, endpoints: Endpoints, service: Arc<S>) -> Self {
        Self {
            setup,
            endpoints,
            service,
            sessions: BTreeMap::new(),
            tasks: JoinSet::new(),
            backlog: BTreeSet::new(),
            stats: Stats::default(),
            standing: None,
            leaving: None,
            has_warned: false,
            has_told_plain: false,
        }
    }

    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut retry = interval(RETRY);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let neighbours = keep_fresh(self.setup.neighbours.clone());
        tokio::pin!(neighbours);
        self.tell_standing();
        loop {
            tokio::select! {
                event = self.endpoints.next() => self.on_event(event),
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    self.on_order(order);
                    for _ in 1..ORDERS_MAX {
                        let Ok(order) = orders.try_recv() else { break };
                        self.on_order(order);
                    }
                }
                _ = retry.tick(), if !self.backlog.is_empty() => self.flush_all(),
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
            TransportEvent::Up { assoc, info } => self.begin(assoc, info.backend),
            TransportEvent::Down { assoc, .. } => self.forget(assoc),
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
            | TransportEvent::Path { .. }
            | TransportEvent::Congested { .. }
            | TransportEvent::Drained { .. } => {}
        }
    }

    fn begin(&mut self, assoc: AssocId, backend: Backend) {
        let is_full = self.sessions.len() >= self.setup.sessions_max;
        let orders = self.setup.orders.upgrade().filter(|_| !is_full && self.leaving.is_none());
        let Some(orders) = orders else {
            // In good order: users take anything else for a failure, and report it.
            self.endpoints.close(assoc);
            self.stats.sessions_refused += 1;
            return;
        };
        let Setup { has_control, handle, .. } = &self.setup;
        let state_max = has_control.then(|| Cookies::state_max(handle));
        let (session, desk) = Session::new(assoc, backend, state_max, orders);
        let (control, outbox) = (Control::default(), VecDeque::new());
        self.sessions.insert(assoc, Entry { desk, control, outbox, is_ending: false });
        self.stats.sessions_begun += 1;
        self.send_card(assoc);
        self.tasks.spawn(Arc::clone(&self.service).serve(session));
        self.sessions_changed();
    }

    fn forget(&mut self, assoc: AssocId) {
        self.backlog.remove(&assoc);
        if let Some(entry) = self.sessions.remove(&assoc) {
            entry.desk.room.close();
            self.sessions_changed();
        }
    }

    fn sessions_changed(&mut self) {
        self.stats.sessions = self.sessions.len();
        self.tell_standing();
        if self.sessions.is_empty() {
            for done in self.leaving.iter_mut().flat_map(|waiting| waiting.drain(..)) {
                let _ = done.send(());
            }
        }
    }

    fn tell_standing(&mut self) {
        let standing = self.service.standing(self.sessions.len(), self.setup.sessions_max);
        let before = self.standing.as_ref();
        if before.is_none_or(|before| before.policy != standing.policy)
            && let Some(policy) = standing.policy.clone()
        {
            self.setup.element.set_policy(policy);
        }
        if before.is_none_or(|before| before.load != standing.load) {
            self.setup.element.set_load(standing.load);
        }
        self.standing = Some(standing);
    }

    fn on_data(&mut self, assoc: AssocId, ppid: Ppid, octets: Vec<u8>) {
        let Some(entry) = self.sessions.get_mut(&assoc) else { return };
        entry.control.data();
        let count = octets.len();
        self.hand_over(assoc, Event::Message { ppid, octets }, count);
    }

    /// What came in so many octets is for a session's service, unless too much waits already.
    fn hand_over(&mut self, assoc: AssocId, event: Event, octets: usize) {
        let Some(entry) = self.sessions.get(&assoc) else { return };
        let cost = EVENT_COST + octets;
        let waiting = entry.desk.waiting.fetch_add(cost, Ordering::Relaxed);
        if waiting > WAITING_MAX {
            debug!(?assoc, "sends more than is taken: cut off");
            self.stats.overrun += 1;
            self.endpoints.abort(assoc);
            self.forget(assoc);
            return;
        }
        // Who has ended the session wants no more of it.
        let _ = entry.desk.events.send((event, cost));
    }

    fn on_control(&mut self, assoc: AssocId, octets: &[u8]) {
        let Some(entry) = self.sessions.get_mut(&assoc) else { return };
        let Ok(Message::Asap(message)) =
            Message::decode(Protocol::Asap, octets).map(|decoded| decoded.message)
        else {
            self.stats.malformed += 1;
            return;
        };
        let Setup { handle, element, cookies, .. } = &self.setup;
        let identity = Identity { handle: handle.clone(), id: element.id() };
        match entry.control.handle(unix_time(), message, &identity, cookies) {
            Reaction::Reply(asap) => self.control(assoc, asap),
            Reaction::Resumed(state) => {
                self.stats.resumed += 1;
                self.hand_over(assoc, Event::Resumed(state), octets.len());
            }
            Reaction::Refused(refusal) => {
                self.stats.cookies_refused += 1;
                if !std::mem::replace(&mut self.has_warned, true) {
                    warn!(%refusal, "a session's cookie is refused: it begins anew");
                }
            }
            Reaction::TooLate => self.stats.cookies_late += 1,
            Reaction::Card(card) => self.hand_over(assoc, Event::Card(card), octets.len()),
            Reaction::Ignored => self.stats.malformed += 1,
        }
    }

    fn on_order(&mut self, order: Order) {
        match order {
            Order::Of(assoc, Do::Send(ppid, octets)) => {
                let room = octets.len().min(ROOM);
                self.queue(assoc, ppid, octets, room);
            }
            Order::Of(assoc, Do::Cookie(state)) => self.send_cookie(assoc, &state),
            Order::Of(assoc, Do::Close) => self.end(assoc),
            Order::Of(assoc, Do::Abort) => {
                self.endpoints.abort(assoc);
                self.forget(assoc);
            }
            Order::Standing => self.tell_standing(),
            Order::Keys(keys, seed) => {
                // Only an empty list is refused, and by the server itself.
                let _ = self.setup.cookies.seal_with(keys, seed);
            }
            Order::Drain { done } => self.drain(done),
            Order::CloseAll { done } => {
                self.leaving.get_or_insert_default().push(done);
                let all: Vec<_> = self.sessions.keys().copied().collect();
                for assoc in all {
                    self.endpoints.close(assoc);
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
                let _ = entry.desk.events.send((Event::Draining, 0));
            }
        }
        self.sessions_changed();
    }
}

async fn keep_fresh(neighbours: Option<Arc<Neighbours>>) {
    let Some(neighbours) = neighbours else { return std::future::pending().await };
    let mut ticks = interval(INTERVAL);
    loop {
        ticks.tick().await;
        neighbours.refresh().await;
    }
}

/// Seconds of Unix time.
fn unix_time() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
