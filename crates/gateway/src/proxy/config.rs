//! Which pool is reached at which places, and how.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use rserpool::{PoolHandle, UserConfig};

use super::{Place, ProxyProtocol};

/// Which pool is reached at which places, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The client of the pool: its registrars, its keys.
    pub user: UserConfig,
    /// The pool.
    pub pool: PoolHandle,
    /// Where clients come.
    pub listen: Vec<Place>,
    /// The most servers that are tried for a connection. Default: `None`, all that are known, as long
    /// as [`wait`](Self::wait) is not over.
    pub tries: Option<u32>,
    /// How long a server may take to accept. Default:
    /// [`CONNECT_TIMEOUT`](Self::CONNECT_TIMEOUT), 300 ms.
    pub connect_timeout: Duration,
    /// How long a connection waits for a server that accepts: no server is tried later, and while
    /// there is none that was not tried it waits for one. Default: [`WAIT`](Self::WAIT), 2 s.
    pub wait: Duration,
    /// Connections at once, 1 to [`CONNECTIONS_LIMIT`](Self::CONNECTIONS_LIMIT); more wait in the queue
    /// of the system. Default: [`CONNECTIONS_MAX`](Self::CONNECTIONS_MAX), 10 000.
    pub connections_max: usize,
    /// Connections at once of one [source](rserpool::transport::Source); more are reset. Default:
    /// `None`, seven eighths of all for other hosts, and all for this one.
    pub per_source_max: Option<usize>,
    /// How long a connection over which nothing goes may live. Default: [`IDLE`](Self::IDLE), 1 h.
    pub idle: Duration,
    /// The same where one direction has ended. Default: [`HALF_CLOSED`](Self::HALF_CLOSED), 30 s.
    pub half_closed: Duration,
    /// How long a flow of datagrams lives over which none goes. Default:
    /// [`FLOW_IDLE`](Self::FLOW_IDLE), 60 s.
    pub flow_idle: Duration,
    /// What becomes of the connections of a server that leaves the pool. Default:
    /// [`REMOVED`](Self::REMOVED), those that wait for an answer for 5 s end.
    pub removed: Removed,
    /// Tells servers which client it is, before the client's octets: all servers of the pool have to
    /// expect that. Default: `None`.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Clients of one address are sent to the same server as long as it is in the pool.
    /// Default: false.
    pub stick_to_source: bool,
    /// How long connections may go on when the proxy is to end. Default: [`DRAIN`](Self::DRAIN), 30 s.
    pub drain: Duration,
}

impl Config {
    /// The default of [`connect_timeout`](Self::connect_timeout).
    pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
    /// The default of [`wait`](Self::wait).
    pub const WAIT: Duration = Duration::from_secs(2);
    /// The default of [`connections_max`](Self::connections_max).
    pub const CONNECTIONS_MAX: usize = 10_000;
    /// The greatest [`connections_max`](Self::connections_max); what is above counts as this.
    pub const CONNECTIONS_LIMIT: usize = 1_000_000;
    /// The default of [`idle`](Self::idle).
    pub const IDLE: Duration = Duration::from_secs(3600);
    /// The default of [`half_closed`](Self::half_closed).
    pub const HALF_CLOSED: Duration = Duration::from_secs(30);
    /// The default of [`flow_idle`](Self::flow_idle).
    pub const FLOW_IDLE: Duration = Duration::from_secs(60);
    /// Flows of one socket for datagrams, where [`connections_max`](Self::connections_max) allows as
    /// many: the one that was silent for longest makes room.
    pub const FLOWS_MAX: usize = 65_536;
    /// The default of [`removed`](Self::removed).
    pub const REMOVED: Removed = Removed::Silent(Duration::from_secs(5));
    /// The default of [`drain`](Self::drain).
    pub const DRAIN: Duration = Duration::from_secs(30);

    /// A proxy to this pool, with the default of everything else.
    pub fn new(user: UserConfig, pool: PoolHandle, listen: Vec<Place>) -> Self {
        Self {
            user,
            pool,
            listen,
            tries: None,
            connect_timeout: Self::CONNECT_TIMEOUT,
            wait: Self::WAIT,
            connections_max: Self::CONNECTIONS_MAX,
            per_source_max: None,
            idle: Self::IDLE,
            half_closed: Self::HALF_CLOSED,
            flow_idle: Self::FLOW_IDLE,
            removed: Self::REMOVED,
            proxy_protocol: None,
            stick_to_source: false,
            drain: Self::DRAIN,
        }
    }

    /// The most connections of the source that this address is of.
    pub(super) fn most_of(&self, address: IpAddr) -> usize {
        let share = self.connections_max - self.connections_max / 8;
        let is_here = address.to_canonical().is_loopback();
        let default = if is_here { self.connections_max } else { share };
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

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(time) if time.subsec_millis() == 0 => {
                write!(f, "silent:{}s", time.as_secs())
            }
            Self::Silent(time) => write!(f, "silent:{}ms", time.as_millis()),
            Self::Keep => f.write_str("keep"),
            Self::Close => f.write_str("close"),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_shown() {
        for text in ["silent:5s", "silent:0s", "silent:1500ms", "keep", "close"] {
            assert_eq!(text.parse::<Removed>().unwrap().to_string(), text);
        }
        for text in ["", "silent", "silent:", "silent:5", "silent:-1s", "keep:1s"] {
            assert!(text.parse::<Removed>().is_err(), "{text}");
        }
    }
}
