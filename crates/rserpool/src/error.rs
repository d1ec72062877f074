use rserpool_proto::session::cookie::SetKeysError;
use rserpool_proto::user::ResolveError;
use rserpool_transport::ParseError;
use rserpool_wire::param::Cause;

/// Why an operation of this library failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An endpoint could not be opened; nothing runs.
    #[error(transparent)]
    Transport(#[from] rserpool_transport::Error),
    /// A text is no endpoint URL.
    #[error(transparent)]
    Url(#[from] ParseError),
    /// There is no registrar in the configuration, and none is listened for.
    #[error("no registrar is configured")]
    NoRegistrarConfigured,
    /// A registrar without an endpoint at which elements and users reach it; nothing runs.
    #[error("the registrar has no endpoint to listen at")]
    NothingToListenAt,
    /// No registrar could be reached in time. The search goes on as long as the object lives.
    #[error("no registrar can be reached")]
    NoRegistrar,
    /// A registrar refused to take the element in. It is not in the pool.
    #[error("rejected by the registrar: {}", list(.0))]
    Rejected(Vec<Cause>),
    /// All registrars that are known refused to take the element in. It is not in the pool.
    #[error("rejected by all registrars ({}), the last one: {}", by.join(", "), list(causes))]
    RejectedByAll {
        /// Why, of the last one.
        causes: Vec<Cause>,
        /// Their addresses, the last one last.
        by: Vec<String>,
    },
    /// A registrar refused to take the element out. It is still in the pool.
    #[error("deregistration refused by the registrar: {}", list(.0))]
    DeregistrationRefused(Vec<Cause>),
    /// A resolution has no answer.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Every element that was tried failed, as often as the session may try.
    #[error("no element of the pool answers")]
    NoElement,
    /// A message of a session cannot be sent over its transport: it was dropped.
    #[error("a message was not sent: {0}")]
    Send(rserpool_transport::SendError),
    /// A registrar does not tell its handlespace: it is starting, or does not know who asks.
    #[error("the registrar does not tell its handlespace")]
    TableRefused,
    /// What was asked over ENRP speaks ASAP there.
    #[error("that is where elements and users reach the registrar: ask at its ENRP port")]
    NotEnrp,
    /// The system has no random numbers, and what is encrypted needs some.
    #[error("the system has no random numbers")]
    NoRandomness(#[source] rand::rngs::SysError),
    /// Keys for cookies that cannot be used; nothing has changed.
    #[error("the keys of the cookies are not changed: {0}")]
    CookieKeys(#[from] SetKeysError),
    /// The object has been stopped, or the runtime in which it was started has ended.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// True where the reason is that no registrar can be reached.
    pub fn is_no_registrar(&self) -> bool {
        matches!(
            self,
            Self::NoRegistrar | Self::Resolve(ResolveError::NoRegistrar | ResolveError::Timeout)
        )
    }
}

fn list(causes: &[Cause]) -> String {
    if causes.is_empty() {
        return "without a reason".into();
    }
    causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
