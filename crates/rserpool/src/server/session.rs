//! One session, as its service sees it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rserpool_transport::{AssocId, AssocInfo, Backend, Ppid};
use rserpool_wire::asap::BusinessCard;
use tokio::sync::{Semaphore, mpsc};

use super::driver::{Command, SessionCommand};

/// What happens in a session.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The client brought the state that its former server handed over last: always before any
    /// message. Where the pool has a key, a server of the pool has written it.
    Resumed(Vec<u8>),
    /// From the client: over SCTP and framed TCP a message, over UDP a datagram, over plain TCP
    /// whatever was there.
    Message {
        /// The payload protocol identifier; 0 over plain TCP and UDP.
        ppid: Ppid,
        /// The octets.
        octets: Vec<u8>,
    },
    /// The client is itself a pool element: where it is found when it fails (RFC 5352 §3.6).
    Card(BusinessCard),
    /// The element leaves: finish soon, or hand the session over with a last cookie and return.
    Draining,
}

/// The client is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the client is gone")]
pub struct Gone;

/// Why a message was not sent. Nothing of it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The client is gone, and with it the session.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// No transport has messages without octets. The session goes on.
    #[error("a message without octets cannot be sent")]
    Empty,
    /// The message is longer than the transport takes; a plain TCP stream takes any. The session
    /// goes on.
    #[error("a message of {octets} octets: at most {octets_max} can be sent")]
    TooLong {
        /// Octets of the message.
        octets: usize,
        /// How many there may be.
        octets_max: usize,
    },
}

/// Why a state was not handed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// The client is gone, and with it the session.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// What goes with it was not sent.
    #[error(transparent)]
    NotSent(#[from] SendError),
    /// The state does not fit into a cookie. Nothing was sent: the session goes on, and its client
    /// keeps the cookie before.
    #[error("a state of {octets} octets: at most {octets_max} fit into a cookie of this pool")]
    TooLong {
        /// Octets of the state.
        octets: usize,
        /// How many there may be.
        octets_max: usize,
    },
}

/// One session at its server. Dropping it ends the session in good order.
pub struct Session {
    assoc: AssocId,
    info: AssocInfo,
    limits: Limits,
    /// Each with what it costs.
    events: mpsc::UnboundedReceiver<(Event, usize)>,
    inbox: Arc<Inbox>,
    /// Octets that may be sent until the transport has taken some.
    room: Arc<Semaphore>,
    orders: mpsc::UnboundedSender<Command>,
    ending: Ending,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Ending {
    InGoodOrder,
    AtOnce,
}

/// What fits into a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Octets of a state at most; `None` without a control channel.
    pub(super) state_max: Option<usize>,
    /// Octets of a message at most; `None` where there are none but a stream.
    pub(super) message_max: Option<usize>,
}

/// What both ends know of the events that wait to be taken.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// What they cost.
    pub(super) waiting: AtomicUsize,
    /// The client is slowed down until some are taken.
    pub(super) is_paused: AtomicBool,
}

/// Octets that a session may have sent and not delivered to the transport.
pub(super) const ROOM: usize = 256 << 10;
/// Octets that a service may have left untaken before its client is slowed down, where the transport
/// can do that.
pub(super) const PAUSE_AT: usize = 256 << 10;
/// Octets that a service may have left untaken of a client that cannot be slowed down; one that
/// sends more is cut off.
pub(super) const WAITING_MAX: usize = 4 << 20;
/// What an event counts for beside its octets: keeping it takes some, too.
pub(super) const EVENT_COST: usize = 128;

/// What the driver keeps of a session's way in and out.
pub(super) struct SessionChannels {
    pub(super) events: mpsc::UnboundedSender<(Event, usize)>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) room: Arc<Semaphore>,
}

impl Session {
    pub(super) fn new(
        assoc: AssocId,
        info: AssocInfo,
        limits: Limits,
        orders: mpsc::UnboundedSender<Command>,
    ) -> (Self, SessionChannels) {
        let (sender, events) = mpsc::unbounded_channel();
        let inbox = Arc::new(Inbox::default());
        let room = Arc::new(Semaphore::new(ROOM));
        let channels =
            SessionChannels { events: sender, inbox: Arc::clone(&inbox), room: Arc::clone(&room) };
        let ending = Ending::InGoodOrder;
        (Self { assoc, info, limits, events, inbox, room, orders, ending }, channels)
    }

    /// Waits for what happens next; `None` where the client is gone.
    ///
    /// A client whose messages are not taken is slowed down over TCP, when some 256 KiB wait; it
    /// goes on to be told that the server lives. Where nothing at all is taken for
    /// [`Config::stall_timeout`](super::Config::stall_timeout) the session is ended. Over SCTP one
    /// socket has the messages of all clients, and UDP slows nobody down: there a client is cut off
    /// when some 4 MiB wait, and a service that takes its time gives its clients leave to send, as
    /// the credit of `rserpool serve exec` does.
    ///
    /// # Cancel safety
    ///
    /// Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        let (event, cost) = self.events.recv().await?;
        let left = self.inbox.waiting.fetch_sub(cost, Ordering::Relaxed) - cost;
        if left < PAUSE_AT / 2 && self.inbox.is_paused.swap(false, Ordering::Relaxed) {
            let _ = self.order(SessionCommand::ReadOn);
        }
        Some(event)
    }

    /// Sends octets, over SCTP as one message; waits while the client takes less than is sent.
    ///
    /// # Errors
    ///
    /// [`SendError`]; whatever it is, nothing was sent.
    ///
    /// # Cancel safety
    ///
    /// Cancelling sends nothing.
    pub async fn send(&self, ppid: Ppid, octets: &[u8]) -> Result<(), SendError> {
        if octets.is_empty() {
            return Err(SendError::Empty);
        }
        if let Some(octets_max) = self.limits.message_max.filter(|&max| octets.len() > max) {
            return Err(SendError::TooLong { octets: octets.len(), octets_max });
        }
        self.wait_for_room(octets.len()).await?;
        // Checklist 40.
        Ok(self.order(SessionCommand::Send(ppid.of_data(), octets.to_vec()))?)
    }

    /// Hands over the state of the session to whatever server comes after this one: sealed with the
    /// pool's key where there is one, before everything that is sent later (RFC 5352 §3.5). Without
    /// a control channel it is dropped.
    ///
    /// # Errors
    ///
    /// - [`CookieError::Gone`].
    /// - [`CookieError::TooLong`]: over [`Cookies::state_max`](super::Cookies::state_max), some 64 900 octets.
    ///
    /// # Cancel safety
    ///
    /// Cancelling sends nothing.
    pub async fn send_cookie(&self, state: &[u8]) -> Result<(), CookieError> {
        let (Some(octets_max), octets) = (self.limits.state_max, state.len()) else {
            return Ok(());
        };
        if octets > octets_max {
            return Err(CookieError::TooLong { octets, octets_max });
        }
        self.wait_for_room(octets).await?;
        Ok(self.order(SessionCommand::Cookie(state.to_vec()))?)
    }

    /// Has the registrar told what [`standing`](super::Service::standing) says now.
    pub fn load_changed(&self) {
        let _ = self.orders.send(Command::LoadReport);
    }

    /// What carries the session.
    pub fn backend(&self) -> Backend {
        self.info.backend
    }

    /// Where the client is, as its transport tells it: no proof of who it is.
    pub fn client(&self) -> Option<IpAddr> {
        self.info.remote.first().copied()
    }

    /// True where cookies can be sent.
    pub fn has_control_channel(&self) -> bool {
        self.limits.state_max.is_some()
    }

    /// Ends the session at once, as a crash would.
    pub fn abort(mut self) {
        self.ending = Ending::AtOnce;
    }

    /// What is taken here is given back when the transport has taken the message.
    async fn wait_for_room(&self, octets: usize) -> Result<(), Gone> {
        let permits = u32::try_from(octets.min(ROOM)).unwrap_or(u32::MAX);
        self.room.acquire_many(permits).await.map_err(|_| Gone)?.forget();
        Ok(())
    }

    fn order(&self, what: SessionCommand) -> Result<(), Gone> {
        self.orders.send(Command::Of(self.assoc, what)).map_err(|_| Gone)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let at_once = self.ending == Ending::AtOnce || std::thread::panicking();
        let _ = self.order(if at_once { SessionCommand::Abort } else { SessionCommand::Close });
    }
}
