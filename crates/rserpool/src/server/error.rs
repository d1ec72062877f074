//! Why a server's side of a session could not do something.

/// The client is gone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[error("nothing was sent: the client is gone")]
pub struct Gone;

/// Why a message was not sent. Nothing of it was.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The client is gone, and with it the session.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// No transport has messages without octets. The session goes on.
    #[error("nothing was sent: a message without octets cannot be sent")]
    Empty,
    /// The message is longer than the transport takes; a plain TCP stream takes any. The session
    /// goes on.
    #[error(
        "nothing was sent: the answer has {octets} octets, and at most {octets_max} are possible"
    )]
    TooLong {
        /// Octets of the message.
        octets: usize,
        /// How many there may be.
        octets_max: usize,
    },
}

/// Why a state was not handed over.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
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
    #[error(
        "nothing was sent: a state of {octets} octets, and at most {octets_max} fit into a cookie of \
         this pool"
    )]
    TooLong {
        /// Octets of the state.
        octets: usize,
        /// How many there may be.
        octets_max: usize,
    },
}

impl Gone {
    /// `client-gone`.
    pub const fn code(&self) -> &'static str {
        "client-gone"
    }
}

impl SendError {
    /// A name for programs: `client-gone`, `empty` or `too-long`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Gone(gone) => gone.code(),
            Self::Empty => "empty",
            Self::TooLong { .. } => "too-long",
        }
    }
}

impl CookieError {
    /// A name for programs: `state-too-long`, or that of a [`SendError`].
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Gone(gone) => gone.code(),
            Self::NotSent(error) => error.code(),
            Self::TooLong { .. } => "state-too-long",
        }
    }
}
