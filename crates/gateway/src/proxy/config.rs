//! Which pool is reached at which places, and how.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use rserpool::{PoolHandle, UserConfig};

/// Which pool is reached at which places, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The client of the pool: its registrars, its keys.
    pub user: UserConfig,
    /// The pool.
    pub pool: PoolHandle,
    /// Where clients connect.
    pub listen: Vec<SocketAddr>,
    /// So many servers are tried for a connection. Default: 3.
    pub tries: u32,
    /// How long a server may take to accept. Default: 300 ms.
    pub connect_timeout: Duration,
    /// How long a connection waits for a server while the pool is empty, or not known. Default: 2 s.
    pub wait: Duration,
    /// Connections at once; more wait in the queue of the system. Default: 10 000.
    pub connections_max: usize,
    /// Connections at once of one address; more are reset. Default: `None`, seven eighths of all for
    /// addresses of other hosts, and all for this one.
    pub per_source_max: Option<usize>,
    /// How long a connection over which nothing goes may live. Default: 1 h.
    pub idle: Duration,
    /// The same where one direction has ended. Default: 30 s.
    pub half_closed: Duration,
    /// What becomes of the connections of a server that leaves the pool. Default: those that wait
    /// for an answer for 5 s end.
    pub removed: Removed,
    /// Clients of one address are sent to the same server as long as it is in the pool.
    /// Default: false.
    pub stick_to_source: bool,
    /// How long connections may go on when the proxy is to end. Default: 30 s.
    pub drain: Duration,
}

impl Config {
    /// A proxy to this pool, with the default of everything else.
    pub fn new(user: UserConfig, pool: PoolHandle, listen: Vec<SocketAddr>) -> Self {
        Self {
            user,
            pool,
            listen,
            tries: 3,
            connect_timeout: Duration::from_millis(300),
            wait: Duration::from_secs(2),
            connections_max: 10_000,
            per_source_max: None,
            idle: Duration::from_secs(3600),
            half_closed: Duration::from_secs(30),
            removed: Removed::Silent(Duration::from_secs(5)),
            stick_to_source: false,
            drain: Duration::from_secs(30),
        }
    }

    /// The most connections of one address.
    pub(super) fn most_of(&self, source: IpAddr) -> usize {
        let share = self.connections_max - self.connections_max / 8;
        let default = if source.is_loopback() { self.connections_max } else { share };
        self.per_source_max.unwrap_or(default)
    }
}

/// What becomes of the connections of a server that leaves the pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Removed {
    /// `silent:5s`: those over which something was asked, and nothing was heard for so long since,
    /// are reset. Others go on: the server may be draining.
    Silent(Duration),
    /// `keep`: they go on.
    Keep,
    /// `close`: they are reset.
    Close,
}

/// What is none of `silent:DURATION`, `keep` and `close`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("silent:MILLISECONDSms, silent:SECONDSs, keep or close")]
pub struct RemovedParseError;

impl FromStr for Removed {
    type Err = RemovedParseError;

    fn from_str(text: &str) -> Result<Self, RemovedParseError> {
        let number = |digits: &str| digits.parse().map_err(|_| RemovedParseError);
        match text.split_once(':') {
            None if text == "keep" => Ok(Self::Keep),
            None if text == "close" => Ok(Self::Close),
            Some(("silent", time)) => match (time.strip_suffix("ms"), time.strip_suffix('s')) {
                (Some(digits), _) => Ok(Self::Silent(Duration::from_millis(number(digits)?))),
                (None, Some(digits)) => Ok(Self::Silent(Duration::from_secs(number(digits)?))),
                (None, None) => Err(RemovedParseError),
            },
            _ => Err(RemovedParseError),
        }
    }
}
