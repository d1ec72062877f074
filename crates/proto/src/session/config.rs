//! How a session is kept.

use std::num::NonZeroU32;
use std::time::Duration;

use rserpool_wire::asap::BusinessCard;
use rserpool_wire::param::PoolHandle;

use super::watch::KeepAlive;

/// How a session is kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// The pool.
    pub handle: PoolHandle,
    /// How long a search for a server may take before it is given up. Default:
    /// [`FAILOVER_TIMEOUT`](Self::FAILOVER_TIMEOUT). A server that hangs up within a second, without
    /// a word, does not end it.
    pub failover_timeout: Duration,
    /// How many servers may be dialed in one search before it is given up. Default: `None`, as many
    /// as there is time for.
    pub dials_max: Option<NonZeroU32>,
    /// A pool that nobody knows may still come, also at the first search. Default: false.
    pub waits_for_pool: bool,
    /// Keep-alives on the control channel, so that a frozen server is noticed; `None`: none.
    pub keep_alive: Option<KeepAlive>,
    /// Where to turn to when the server fails. Default: [`NextServer::Card`].
    pub next_server: NextServer,
    /// Where this user is found itself, if it is a pool element, too: sent to each server.
    pub card: Option<BusinessCard>,
}

impl Config {
    /// The default of [`failover_timeout`](Self::failover_timeout): 30 s.
    pub const FAILOVER_TIMEOUT: Duration = Duration::from_secs(30);

    /// Sessions with this pool, with the default of everything else.
    pub fn new(handle: PoolHandle) -> Self {
        Self {
            handle,
            failover_timeout: Self::FAILOVER_TIMEOUT,
            dials_max: None,
            waits_for_pool: false,
            keep_alive: Some(KeepAlive::default()),
            next_server: NextServer::default(),
            card: None,
        }
    }
}

/// Who says which server comes next.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum NextServer {
    /// The business card of the server that failed, where it sent one (RFC 5352 §3.6), then the
    /// pool's policy.
    #[default]
    Card,
    /// The pool's policy.
    Policy,
}
