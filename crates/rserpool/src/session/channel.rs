//! What lies between the handle of a session and its task: commands one way, notices the other,
//! both bounded in octets.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rserpool_proto::session::client::FailureReason;
use rserpool_proto::stats::SessionStats;
use rserpool_transport::Identity;
use rserpool_wire::param::{PoolElement, Transport, TransportUse};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use super::Event;
use crate::SessionError;

/// Why octets were not sent. Whatever it is, nothing of them was sent, and the session goes on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The server that the application knows has failed, or was left; another one is sought, or has
    /// the session already. [`Event::FailedOver`] says when to send again.
    #[error("nothing was sent: the server has failed, and another one is sought")]
    ServerLost,
    /// The message is longer than the transport takes; a plain TCP stream takes any.
    #[error(
        "nothing was sent: a message of {octets} octets, and at most {octets_max} are possible"
    )]
    TooLong {
        /// Octets of the message.
        octets: usize,
        /// How many there may be.
        octets_max: usize,
    },
    /// There is nothing to send: no transport has messages without octets.
    #[error("nothing was sent: the message is empty")]
    Empty,
    /// The runtime of the session has ended.
    #[error("nothing was sent: the session has ended")]
    Ended,
}

impl SendError {
    /// A name for programs: `server-lost`, `too-long`, `empty` or `stopped`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ServerLost => "server-lost",
            Self::TooLong { .. } => "too-long",
            Self::Empty => "empty",
            Self::Ended => "stopped",
        }
    }
}

/// What the handle wants done.
pub(super) enum Command {
    /// To be sent to the server of that generation, and what it counts for.
    Send { generation: u64, octets: Vec<u8>, cost: u32 },
    /// Leave the server of that generation.
    Leave { generation: u64, reason: FailureReason },
    /// Seek a server again after the search was given up.
    Seek,
    /// End the session in good order; the sender is told when it is done, and whether it was.
    Close(oneshot::Sender<bool>),
}

/// What the task tells.
pub(super) enum Notice {
    /// The first server has the session.
    Connected(Reached),
    /// Something happened.
    Event(Event),
    /// Another server has the session.
    Moved(Event, Reached),
}

/// A server that has the session.
#[derive(Clone)]
pub(super) struct Reached {
    pub(super) element: PoolElement,
    /// Who it has proved to be.
    pub(super) identity: Option<Identity>,
}

/// What the task says of the session, at any time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Status {
    /// How many servers have had the session.
    pub(super) generation: u64,
    /// The server of that generation has it.
    pub(super) is_connected: bool,
    /// The search was given up.
    pub(super) is_idle: bool,
    pub(super) has_cookie: bool,
    pub(super) stats: SessionStats,
}

/// What both ends look at.
pub(super) struct Shared {
    status: Mutex<Status>,
    /// Octets that may be sent until the transport has taken some.
    pub(super) room: Semaphore,
    /// What the notices cost that wait to be taken.
    pub(super) unread: AtomicUsize,
    /// Changes of the server that wait to be taken.
    pub(super) moves: AtomicUsize,
    /// Some were taken.
    pub(super) taken: Notify,
}

/// The end of the handle.
pub(super) struct Channel {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    notices: tokio::sync::Mutex<mpsc::UnboundedReceiver<Result<Notice, SessionError>>>,
    /// The server that the application knows of.
    server: Mutex<Option<Reached>>,
    /// Which one it is.
    known: AtomicU64,
    message_max: usize,
    send_max: usize,
}

/// The end of the task.
pub(super) struct Ends {
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) notices: mpsc::UnboundedSender<Result<Notice, SessionError>>,
}

/// What a message counts for beside its octets: keeping it takes some, too.
pub(super) const MESSAGE_COST: usize = 128;

/// A channel; `message_max` is the longest message where the transport has messages, `send_max` how
/// many octets may be on their way.
pub(super) fn open(message_max: usize, send_max: usize) -> (Channel, Ends) {
    let shared = Arc::new(Shared {
        status: Mutex::default(),
        room: Semaphore::new(send_max),
        unread: AtomicUsize::new(0),
        moves: AtomicUsize::new(0),
        taken: Notify::new(),
    });
    let (commands, inbox) = mpsc::unbounded_channel();
    let (notices, receiver) = mpsc::unbounded_channel();
    let channel = Channel {
        shared: Arc::clone(&shared),
        commands,
        notices: tokio::sync::Mutex::new(receiver),
        server: Mutex::default(),
        known: AtomicU64::new(0),
        message_max,
        send_max,
    };
    (channel, Ends { shared, commands: inbox, notices })
}

impl Channel {
    pub(super) async fn send(&self, octets: &[u8]) -> Result<(), SendError> {
        if octets.is_empty() {
            return Err(SendError::Empty);
        }
        if octets.len() > self.message_max && self.server().is_some_and(|at| has_messages(&at)) {
            let octets_max = self.message_max;
            return Err(SendError::TooLong { octets: octets.len(), octets_max });
        }
        let cost = (octets.len() + MESSAGE_COST).min(self.send_max);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        // Whoever waits here gets on when the server fails, too: then nothing is under way.
        let room = self.shared.room.acquire_many(cost).await.map_err(|_| SendError::Ended)?;
        let generation = self.generation().ok_or(SendError::ServerLost)?;
        let command = Command::Send { generation, octets: octets.to_vec(), cost };
        self.commands.send(command).map_err(|_| SendError::Ended)?;
        // The task gives it back.
        room.forget();
        Ok(())
    }

    /// Waits for the next notice. Cancel safe.
    pub(super) async fn next(&self) -> Result<Notice, SessionError> {
        let mut notices = self.notices.lock().await;
        if notices.is_empty() && self.status().is_idle {
            let _ = self.commands.send(Command::Seek);
        }
        let notice = notices.recv().await.ok_or(SessionError::Stopped)?;
        self.took(&notice);
        notice
    }

    fn took(&self, notice: &Result<Notice, SessionError>) {
        match notice {
            Ok(Notice::Event(Event::Received(octets))) => {
                self.shared.unread.fetch_sub(MESSAGE_COST + octets.len(), Ordering::Relaxed);
            }
            Ok(Notice::Connected(server) | Notice::Moved(_, server)) => {
                *lock(&self.server) = Some(server.clone());
                self.known.fetch_add(1, Ordering::Relaxed);
                self.shared.moves.fetch_sub(1, Ordering::Relaxed);
            }
            Ok(Notice::Event(_)) | Err(_) => return,
        }
        self.shared.taken.notify_one();
    }

    /// Leaves the server that the application knows.
    pub(super) fn leave(&self, reason: FailureReason) {
        let Some(generation) = self.generation() else { return };
        // From now on nothing goes to it.
        self.shared.status().is_connected = false;
        let _ = self.commands.send(Command::Leave { generation, reason });
    }

    pub(super) async fn close(&self) -> bool {
        let (done, closed) = oneshot::channel();
        let _ = self.commands.send(Command::Close(done));
        closed.await.unwrap_or(false)
    }

    pub(super) fn server(&self) -> Option<PoolElement> {
        lock(&self.server).as_ref().map(|server| server.element.clone())
    }

    /// Who that one has proved to be.
    pub(super) fn server_identity(&self) -> Option<Identity> {
        lock(&self.server).as_ref()?.identity.clone()
    }

    pub(super) fn status(&self) -> Status {
        *self.shared.status()
    }

    /// The generation of the server that the application knows, if that one has the session.
    fn generation(&self) -> Option<u64> {
        let status = self.status();
        let known = self.known.load(Ordering::Relaxed);
        (status.is_connected && status.generation == known).then_some(known)
    }
}

impl Shared {
    pub(super) fn status(&self) -> MutexGuard<'_, Status> {
        lock(&self.status)
    }
}

/// False where the server is reached over a stream of octets.
fn has_messages(server: &PoolElement) -> bool {
    !matches!(server.user_transport, Transport::Tcp { transport_use: TransportUse::DataOnly, .. })
}

/// Nobody panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
