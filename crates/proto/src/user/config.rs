use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rserpool_wire::param::{Cause, PeId, PoolElement, PoolHandle};
use rserpool_wire::registry::PolicyType;

use crate::machine::Link;
use crate::timing::Timing;

/// How a pool user asks, waits and remembers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// How many registrars the driver has in its list. Default: 1.
    pub registrars: usize,
    /// How long it waits.
    pub timing: Timing,
    /// MAX-REQUEST-RETRANSMIT (RFC 5352 §7.3): so often a question without answer is repeated
    /// before the request fails. Default: 2.
    pub request_retransmits_max: u32,
    /// stale_cache_value (RFC 5352 §7.2): how old an answer may be to answer a request that does
    /// not say. Default: 0, each request asks a registrar.
    pub cache_lifetime: Duration,
    /// How old an answer may be to answer a request when no registrar does. 0: the request fails.
    /// Default: 60 s.
    pub stale_lifetime: Duration,
    /// Pools in the cache; the one that was asked for longest ago makes room. Default: 1024.
    pub cache_pools_max: usize,
    /// Requests under way at once; more fail. Default: 65 536.
    pub requests_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            registrars: 1,
            timing: Timing::default(),
            request_retransmits_max: 2,
            cache_lifetime: Duration::ZERO,
            stale_lifetime: Duration::from_secs(60),
            cache_pools_max: 1024,
            requests_max: 65_536,
        }
    }
}

/// What the application asks of a pool user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Resolve a pool handle; ends in one [`Event::Resolved`] or [`Event::Failed`].
    Resolve(Request),
    /// An element does not answer: it leaves the cache, and the home registrar is told
    /// (RFC 5352 §3.5). One command for one failure, and only for an element that the application
    /// wanted something of; the same element is not reported twice within a keep-alive interval.
    ReportUnreachable {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
    },
    /// Keep a pool in the cache, up to date: by the registrar's updates (RFC 5352 §2.2.5, the S
    /// bit), or by asking again and again where it has none. Brings [`Event::Updated`].
    Subscribe(PoolHandle),
    /// End that. Updates that still come are ignored.
    Unsubscribe(PoolHandle),
    /// End all associations; what is under way fails with [`ResolveError::NoRegistrar`].
    Stop,
}

/// The name that an application gives a request; it may not be used again before the answer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u64);

/// A request for the elements of a pool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// Names it in the answer.
    pub id: RequestId,
    /// The pool.
    pub handle: PoolHandle,
    /// At most so many elements, picked by the pool's policy; `None` leaves it to the registrar,
    /// which tells all.
    pub items: Option<u32>,
    /// How old the answer may be; `None` is [`Config::cache_lifetime`], 0 asks a registrar. A pool
    /// that is subscribed to is never too old.
    pub max_age: Option<Duration>,
}

impl Request {
    /// A request for the elements of a pool, with the defaults of everything else.
    pub fn new(id: RequestId, handle: PoolHandle) -> Self {
        Self { id, handle, items: None, max_age: None }
    }
}

/// What a pool user tells the application.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The elements of a pool.
    Resolved {
        /// Which request.
        request: RequestId,
        /// The answer.
        answer: Answer,
    },
    /// A request has no answer.
    Failed {
        /// Which request.
        request: RequestId,
        /// Why.
        error: ResolveError,
    },
    /// A pool that is subscribed to is like this now.
    Updated {
        /// The pool; `None` where it does not exist (any more).
        resolution: Option<Arc<Resolution>>,
        /// Its handle.
        handle: PoolHandle,
    },
    /// An association to a registrar is up.
    HomeFound {
        /// Its ends.
        link: Link,
    },
    /// The association to the registrar is lost; another one is sought when there is need.
    HomeLost,
    /// No registrar can be reached. Told once, then when it has changed; the search goes on as long
    /// as there is something to ask.
    NoRegistrar,
}

/// The elements of a pool, and with which of them to begin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The elements. May have more than asked for, where they come from the cache.
    pub resolution: Arc<Resolution>,
    /// Index of the element that the pool's policy picked for this request; the next to try follow
    /// it in the list, which goes round.
    pub first: usize,
    /// Where it comes from.
    pub source: Source,
}

impl Answer {
    /// The elements in the order in which to try them; at least one.
    pub fn in_order(&self) -> impl Iterator<Item = &PoolElement> {
        let elements = &self.resolution.elements;
        let (before, from) = elements.split_at(self.first.min(elements.len()));
        from.iter().chain(before)
    }

    /// Where the elements are, in the order in which to try them: every address of one before those
    /// of the next. Nothing of elements whose transport has no port.
    pub fn socket_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.in_order().flat_map(|element| element.user_transport.socket_addrs())
    }
}

/// Causes in words.
fn list(causes: &[Cause]) -> String {
    match causes {
        [] => "without a reason".into(),
        causes => causes.iter().map(Cause::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Source {
    /// A registrar, just now.
    Registrar,
    /// The cache: as old as the request allowed, or kept up to date by a subscription.
    Cache,
    /// The cache: older than the request allowed, because no registrar answered.
    StaleCache,
}

/// The elements of a pool as a registrar told them (RFC 5352 §2.2.6).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolution {
    /// The pool.
    pub handle: PoolHandle,
    /// The pool's policy.
    pub policy_type: PolicyType,
    /// Elements in the order of the policy; at least one.
    pub elements: Vec<PoolElement>,
    /// For how many elements the registrar was asked; `None`: all.
    pub items: Option<u32>,
}

/// Why a request has no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// There is no such pool, or it has no elements; ask again when there may be one.
    #[error("unknown pool handle")]
    UnknownPool,
    /// No registrar could be reached in time.
    #[error("no registrar can be reached")]
    NoRegistrar,
    /// The registrars that could be reached did not answer in time.
    #[error("no registrar answered in time")]
    Timeout,
    /// A registrar refused to answer, for other reasons than that there is no such pool.
    #[error("refused by the registrar: {}", list(.0))]
    Rejected(Vec<Cause>),
    /// More requests are under way than [`Config::requests_max`]; nothing was sent.
    #[error("too many requests are under way")]
    TooManyRequests,
    /// The user has been stopped, or what drives it has ended. The machine itself never says so.
    #[error("not resolved: the user has been stopped")]
    Stopped,
}

impl ResolveError {
    /// Whether no registrar can be reached, or none answers in time.
    pub const fn is_no_registrar(&self) -> bool {
        matches!(self, Self::NoRegistrar | Self::Timeout)
    }

    /// A name for programs: `unknown-pool`, `no-registrar`, `no-answer`, `resolution-refused`,
    /// `too-many-requests` or `stopped`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownPool => "unknown-pool",
            Self::NoRegistrar => "no-registrar",
            Self::Timeout => "no-answer",
            Self::Rejected(_) => "resolution-refused",
            Self::TooManyRequests => "too-many-requests",
            Self::Stopped => "stopped",
        }
    }
}
