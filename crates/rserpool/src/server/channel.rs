//! What lies between a server's driver and its sessions: events one way, commands the other, both
//! bounded in octets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rserpool_proto::session::cookie::Key;
use rserpool_transport::{AssocId, Ppid};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{Config, Event};

/// What is asked of the driver.
pub(super) enum Command {
    /// By a session's service.
    Of(AssocId, SessionCommand),
    /// The load of the service has changed.
    LoadReport,
    /// Other keys for cookies, at least one, and a fresh seed for nonces.
    Keys(Vec<Key>, [u8; 32]),
    /// Take no more sessions, tell those that are there, and say when there are none.
    Drain { done: oneshot::Sender<()> },
    /// End all sessions in good order.
    CloseAll { done: oneshot::Sender<()> },
}

/// What a session's service wants done.
pub(super) enum SessionCommand {
    Send(Ppid, Vec<u8>),
    Cookie(Vec<u8>),
    /// Enough was taken for the client to go on.
    ReadOn,
    Close,
    Abort,
}

/// How many octets may wait, as the application says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// That a session may have sent and not delivered to the transport.
    pub(super) send_max: usize,
    /// That a service may have left untaken before its client is slowed down.
    pub(super) unread_max: usize,
    /// That a service may have left untaken before its client is cut off.
    pub(super) unread_limit: usize,
}

impl Sizes {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            send_max: config.send_max.clamp(1, 1 << 30),
            unread_max: config.unread_max,
            unread_limit: config.unread_limit,
        }
    }

    /// What a message takes of the room for what is sent; a long one takes all.
    pub(super) fn room_for(self, octets: usize) -> usize {
        octets.min(self.send_max)
    }
}

/// What fits into a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Octets of a state at most; `None` without a control channel.
    pub(super) state_max: Option<usize>,
    /// Octets of a message at most; `None` where there are none but a stream.
    pub(super) message_max: Option<usize>,
    pub(super) sizes: Sizes,
}

/// What both ends know of the events that wait to be taken.
#[derive(Debug, Default)]
struct Inbox {
    /// What they cost.
    waiting: AtomicUsize,
    /// The client is slowed down until some are taken.
    is_paused: AtomicBool,
}

/// What an event counts for beside its octets: keeping it takes some, too.
pub(super) const EVENT_COST: usize = 128;

/// The driver's end.
pub(super) struct SessionChannels {
    events: mpsc::UnboundedSender<(Event, usize)>,
    inbox: Arc<Inbox>,
    room: Arc<Semaphore>,
    sizes: Sizes,
}

/// The session's end.
pub(super) struct SessionEnds {
    /// Each with what it costs.
    pub(super) events: mpsc::UnboundedReceiver<(Event, usize)>,
    inbox: Arc<Inbox>,
    /// Octets that may be sent until the transport has taken some.
    pub(super) room: Arc<Semaphore>,
    sizes: Sizes,
}

/// Both ends of a new session.
pub(super) fn open(sizes: Sizes) -> (SessionChannels, SessionEnds) {
    let (sender, events) = mpsc::unbounded_channel();
    let (inbox, room) = (Arc::new(Inbox::default()), Arc::new(Semaphore::new(sizes.send_max)));
    let channels = SessionChannels {
        events: sender,
        inbox: Arc::clone(&inbox),
        room: Arc::clone(&room),
        sizes,
    };
    (channels, SessionEnds { events, inbox, room, sizes })
}

/// What came of an event that was for a session's service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HandedOver {
    /// It waits to be taken.
    Taken,
    /// It waits, and so much with it that the client has to be slowed down.
    Much,
    /// Too much waits already.
    Overrun,
}

impl SessionChannels {
    /// Hands over an event that came in so many octets.
    pub(super) fn hand_over(&self, event: Event, octets: usize) -> HandedOver {
        let cost = EVENT_COST + octets;
        let waiting = self.inbox.waiting.fetch_add(cost, Ordering::Relaxed);
        if waiting > self.sizes.unread_limit {
            return HandedOver::Overrun;
        }
        // Who has ended the session wants no more of it.
        let is_taken = self.events.send((event, cost)).is_ok();
        match is_taken && waiting + cost > self.sizes.unread_max {
            true => HandedOver::Much,
            false => HandedOver::Taken,
        }
    }

    /// Tells the service something, whatever waits.
    pub(super) fn tell(&self, event: Event) {
        let _ = self.events.send((event, 0));
    }

    /// What the events cost that the service has not taken.
    pub(super) fn waiting(&self) -> usize {
        self.inbox.waiting.load(Ordering::Relaxed)
    }

    /// From now on the service says when enough is taken; true where it may have been before.
    pub(super) fn pause(&self) -> bool {
        self.inbox.is_paused.store(true, Ordering::Relaxed);
        self.waiting() < self.sizes.unread_max / 2
    }

    /// Gives room back that the transport has taken something of.
    pub(super) fn give_room(&self, room: usize) {
        self.room.add_permits(room);
    }

    /// Nothing can be sent any more.
    pub(super) fn close(&self) {
        self.room.close();
    }
}

impl SessionEnds {
    /// The service has taken what cost so much; true where its client may go on.
    pub(super) fn took(&self, cost: usize) -> bool {
        let left = self.inbox.waiting.fetch_sub(cost, Ordering::Relaxed) - cost;
        left < self.sizes.unread_max / 2 && self.inbox.is_paused.swap(false, Ordering::Relaxed)
    }
}
