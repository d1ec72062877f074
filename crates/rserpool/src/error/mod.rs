//! Why operations fail: one type for each, and [`Error`] for all of them.
//!
//! Every error can be cloned and compared, says in words what failed, where, and whether anything
//! has changed, and has a [`code`](Error::code) for programs, which never changes its meaning.

mod transport;

use rserpool_transport::{Address, ParseError};
use rserpool_wire::param::Cause;

use crate::observer::TableError;
use crate::server::CookieError;

pub use rserpool_proto::user::ResolveError;
pub use transport::{TransportError, TransportErrorKind};

/// The object has been stopped, or the runtime in which it was started has ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[error("stopped, or the runtime in which it was started has ended")]
pub struct Stopped;

impl Stopped {
    /// `stopped`.
    pub const fn code(&self) -> &'static str {
        "stopped"
    }
}

/// Why a registrar, an element, a user or a server was not started. Nothing runs then.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no tokio runtime here whose task it could be.
    #[error("not started: there is no tokio runtime here")]
    NoRuntime,
    /// There is no registrar in the configuration, and none is listened for.
    #[error("not started: no registrar is configured")]
    NoRegistrarConfigured,
    /// A registrar without an endpoint at which elements and users reach it.
    #[error("not started: the registrar has no endpoint to listen at")]
    NothingToListenAt,
    /// An endpoint cannot be opened.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// There are keys, which would not protect what goes to this URL. Who has keys serves over TLS:
    /// others with keys would not come.
    #[error("not started: {0} is not protected by the keys that are given, write tls:// in it")]
    PlainWithKeys(Address),
    /// The system has no random numbers, and what is encrypted needs some.
    #[error("not started: the system has no random numbers for cookies")]
    NoRandomness,
    /// The thread of the blocking API cannot be started.
    #[error("not started: the system gives no thread ({0})")]
    NoThread(String),
}

impl StartError {
    /// A name for programs: `no-runtime`, `no-registrar-configured`, `nothing-to-listen-at`,
    /// `plain-with-keys`, `no-randomness`, `no-thread`, or that of a [`TransportError`].
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoRuntime => "no-runtime",
            Self::NoRegistrarConfigured => "no-registrar-configured",
            Self::NothingToListenAt => "nothing-to-listen-at",
            Self::Transport(error) => error.code(),
            Self::PlainWithKeys(_) => "plain-with-keys",
            Self::NoRandomness => "no-randomness",
            Self::NoThread(_) => "no-thread",
        }
    }
}

impl From<rserpool_transport::Error> for StartError {
    fn from(error: rserpool_transport::Error) -> Self {
        Self::Transport(error.into())
    }
}

/// Why an element is not in its pool.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A registrar refused to take the element in. It is not in the pool, and does not try again.
    #[error("rejected by the registrar: {}", list(causes))]
    #[non_exhaustive]
    Rejected {
        /// Why, as the registrar says; may be empty.
        causes: Vec<Cause>,
    },
    /// All registrars that are known refused to take the element in. It is not in the pool, and does
    /// not try again.
    #[error("rejected by all registrars ({}), the last one: {}", by.join(", "), list(causes))]
    #[non_exhaustive]
    RejectedByAll {
        /// Why, of the last one.
        causes: Vec<Cause>,
        /// Their addresses, the last one last.
        by: Vec<String>,
    },
    /// It was deregistered, or the runtime in which it was started has ended.
    #[error("not in the pool: stopped")]
    Stopped,
}

impl RegisterError {
    /// A name for programs: `rejected`, `rejected-by-all` or `stopped`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Rejected { .. } => "rejected",
            Self::RejectedByAll { .. } => "rejected-by-all",
            Self::Stopped => "stopped",
        }
    }
}

/// Why an element did not leave its pool.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeregisterError {
    /// A registrar refused to take the element out. It is still in the pool, as before.
    #[error("still in the pool: deregistration refused by the registrar: {}", list(causes))]
    #[non_exhaustive]
    Refused {
        /// Why, as the registrar says; may be empty.
        causes: Vec<Cause>,
    },
    /// The runtime in which it was started has ended: the pool notices that as a failure.
    #[error("not deregistered: the element has been stopped")]
    Stopped,
}

impl DeregisterError {
    /// A name for programs: `deregistration-refused` or `stopped`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "deregistration-refused",
            Self::Stopped => "stopped",
        }
    }
}

/// Why no server of a pool has a session. The session goes on where there is one: the next call
/// tries again.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The pool could not be resolved: nobody says which elements there are.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Every element that was tried failed, as often and as long as the session may try.
    #[error("no element of the pool answers")]
    NoElement,
    /// There are elements, and none that this host can dial.
    #[error(transparent)]
    CannotDial(TransportError),
    /// A message that was handed over cannot be sent over this transport: it was dropped, and
    /// nothing else. The server keeps the session.
    #[error("a message of {octets} octets was dropped: {reason}")]
    #[non_exhaustive]
    NotSent {
        /// Its length.
        octets: usize,
        /// What the transport says.
        reason: String,
    },
    /// There is no tokio runtime here whose task the session could be. Nothing was begun.
    #[error("not connected: there is no tokio runtime here")]
    NoRuntime,
    /// The runtime of the session, or of its user, has ended.
    #[error("the session has ended: stopped")]
    Stopped,
}

impl SessionError {
    /// Whether the reason is that no registrar can be reached, or none answers in time.
    pub const fn is_no_registrar(&self) -> bool {
        matches!(self, Self::Resolve(error) if error.is_no_registrar())
    }

    /// A name for programs: `no-element`, `not-sent`, `no-runtime`, `stopped`, or that of a
    /// [`ResolveError`] or [`TransportError`].
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Resolve(error) => error.code(),
            Self::NoElement => "no-element",
            Self::CannotDial(error) => error.code(),
            Self::NotSent { .. } => "not-sent",
            Self::NoRuntime => "no-runtime",
            Self::Stopped => "stopped",
        }
    }
}

/// Why the keys of cookies are as they were.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// Without a key the cookies that are about could not be opened, and clients could make others.
    #[error("the keys of the cookies are not changed: there is no key")]
    Empty,
    /// The system has no random numbers for nonces.
    #[error("the keys of the cookies are not changed: the system has no random numbers")]
    NoRandomness,
    /// The server has been stopped, or the runtime in which it was started has ended.
    #[error("the keys of the cookies are not changed: the server has been stopped")]
    Stopped,
}

impl KeysError {
    /// A name for programs: `no-key`, `no-randomness` or `stopped`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "no-key",
            Self::NoRandomness => "no-randomness",
            Self::Stopped => "stopped",
        }
    }
}

/// Why a running registrar goes by what it went by before.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// It was told of more different registrars than it keeps in mind until it is started again.
    #[error(
        "nothing is changed: more than {max} different peers have been configured since the start; \
         restart the registrar"
    )]
    #[non_exhaustive]
    TooManyPeers {
        /// So many it keeps in mind.
        max: usize,
    },
    /// The registrar has been stopped, or the runtime in which it was started has ended.
    #[error("nothing is changed: the registrar has been stopped")]
    Stopped,
}

impl ReconfigureError {
    /// A name for programs: `too-many-peers` or `stopped`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooManyPeers { .. } => "too-many-peers",
            Self::Stopped => "stopped",
        }
    }
}

/// Why any operation of this library failed: for functions that use several of them.
///
/// # Examples
///
/// ```
/// use rserpool::{Error, ResolveError};
///
/// let error = Error::from(ResolveError::UnknownPool);
/// assert_eq!(error.code(), "unknown-pool");
/// assert_eq!(error.to_string(), "unknown pool handle");
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something was not started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// An element is not in its pool.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// An element did not leave its pool.
    #[error(transparent)]
    Deregister(#[from] DeregisterError),
    /// A pool was not resolved.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// No server has a session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A client's message was not sent.
    #[error(transparent)]
    Send(#[from] crate::session::SendError),
    /// A server's message was not sent.
    #[error(transparent)]
    Reply(#[from] crate::server::SendError),
    /// The state of a session was not handed over.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// The keys of cookies are as they were.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A registrar goes by what it went by before.
    #[error(transparent)]
    Reconfigure(#[from] ReconfigureError),
    /// A handlespace was not downloaded.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A text is no endpoint URL.
    #[error(transparent)]
    Url(#[from] ParseError),
    /// A text is no pool handle.
    #[error(transparent)]
    Handle(#[from] rserpool_wire::param::HandleParseError),
    /// A text is no policy.
    #[error(transparent)]
    Policy(#[from] rserpool_wire::param::PolicyParseError),
    /// What was asked has been stopped, or the runtime in which it was started has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Error {
    /// A name for programs, in lower case with dashes: that of the error inside, or `bad-url`,
    /// `bad-handle`, `bad-policy`. A code never changes its meaning; new ones may come.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Start(error) => error.code(),
            Self::Register(error) => error.code(),
            Self::Deregister(error) => error.code(),
            Self::Resolve(error) => error.code(),
            Self::Session(error) => error.code(),
            Self::Send(error) => error.code(),
            Self::Reply(error) => error.code(),
            Self::Cookie(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::Reconfigure(error) => error.code(),
            Self::Table(error) => error.code(),
            Self::Url(_) => "bad-url",
            Self::Handle(_) => "bad-handle",
            Self::Policy(_) => "bad-policy",
            Self::Stopped(error) => error.code(),
        }
    }

    /// Whether the reason is that no registrar can be reached, or none answers in time.
    pub const fn is_no_registrar(&self) -> bool {
        match self {
            Self::Resolve(error) => error.is_no_registrar(),
            Self::Session(error) => error.is_no_registrar(),
            Self::Table(error) => matches!(error, TableError::NoRegistrar),
            _ => false,
        }
    }

    /// What the transport says, where it is to blame.
    pub const fn transport(&self) -> Option<&TransportError> {
        match self {
            Self::Start(StartError::Transport(error))
            | Self::Session(SessionError::CannotDial(error))
            | Self::Table(TableError::Transport(error)) => Some(error),
            _ => None,
        }
    }
}

fn list(causes: &[Cause]) -> String {
    if causes.is_empty() {
        return "without a reason".into();
    }
    causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
