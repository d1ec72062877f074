//! What happens to a session, what it wants done, and what its application is told.

use std::fmt;

use rserpool_wire::Asap;
use rserpool_wire::param::{PeId, PoolElement};

use crate::machine::Peer;
use crate::user::{Answer, ResolveError};

/// What happens to a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// The application wants a server: at the start, and again after [`Event::GaveUp`].
    Seek,
    /// The answer to [`Output::Resolve`] with that number.
    Answer(u64, Result<Answer, ResolveError>),
    /// An association that was asked for is up.
    Up(Peer),
    /// An association is gone, or could not be set up.
    Down(Peer, Loss),
    /// A message arrived on the control channel.
    Control(Peer, Asap),
    /// Something arrived on the control channel that could not be read.
    Malformed(Peer),
    /// Data arrived.
    Data(Peer),
    /// The application says that the server has failed.
    FailOver,
    /// The application wants another server, though this one may be well.
    MoveOn,
    /// The time of [`Client::next_timeout`](super::client::Client::next_timeout) has come. An early one does
    /// nothing.
    Timeout,
}

/// How an association ended, or why there is none.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Loss {
    /// It failed: nobody answers, or it was aborted or refused.
    Lost,
    /// The server ended it in good order.
    Closed,
    /// This host itself could not: nothing is known of the server.
    System,
    /// Servers of that kind, or any more of them, cannot be dialed from here.
    CannotDial,
}

/// What a session wants done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Resolve the pool; [`Input::Answer`] with this number has the answer. What was asked before is
    /// of no interest any more.
    Resolve(u64),
    /// Dial a server; [`Input::Up`] or [`Input::Down`] tells the outcome.
    Connect(Peer, Box<PoolElement>),
    /// Send on the control channel, before any data that comes later.
    Control(Peer, Asap),
    /// End an association at once; nothing more is heard of it.
    Abort(Peer),
    /// Tell a registrar that this element does not answer.
    Report(PeId),
    /// Tell the application.
    Event(Event),
}

/// What the application is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// The first server has the session.
    Connected {
        /// Who it is.
        server: PeId,
    },
    /// The server failed, and it was not the application that left it; another one is sought.
    FailoverNeeded {
        /// The server that failed.
        from: PeId,
        /// How the failure showed.
        reason: FailureReason,
    },
    /// Another server has the session. What was sent and not answered is to be sent again.
    FailedOver {
        /// The server that failed.
        from: PeId,
        /// The server that has the session now; the same one where there is no other.
        to: PeId,
        /// How the failure showed.
        reason: FailureReason,
        /// The newest cookie went before: the server knows what the last one told in it. Without
        /// one the session begins anew.
        resumed: bool,
    },
    /// The server that has the session has refused the cookie, for its age or for want of its key:
    /// the session begins anew there.
    CookieRefused {
        /// Who it is.
        by: PeId,
    },
    /// The server handed over its state, in so many octets; the session keeps the newest.
    CookieStored {
        /// Its length.
        octets: usize,
    },
    /// The search has ended without a server; [`Input::Seek`] begins another one.
    GaveUp(Problem),
}

/// How the failure of a server showed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FailureReason {
    /// Its association ended.
    Lost,
    /// It ended the session in good order: it shuts down, or has said all it had to say. It is not
    /// reported as unreachable. Over TCP a process that was killed does so, too.
    Closed,
    /// It did not answer keep-alives.
    Silent,
    /// The application said so.
    Reported,
    /// It has not: the application wanted another one. It is not reported as unreachable.
    Left,
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "association lost",
            Self::Closed => "closed by the server",
            Self::Silent => "no answer to keep-alives",
            Self::Reported => "failed, as the application says",
            Self::Left => "left by the application",
        })
    }
}

impl From<Loss> for FailureReason {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Closed => Self::Closed,
            Loss::Lost | Loss::System | Loss::CannotDial => Self::Lost,
        }
    }
}

/// Why a search has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Problem {
    /// No registrar has answered.
    NoRegistrar,
    /// The pool could not be resolved.
    Resolve(ResolveError),
    /// None of the elements that were tried accepts.
    NoElement,
    /// There are elements, and none that this host can dial.
    CannotDial,
}
