//! Which server becomes an element of which pool, and how it is looked after.

use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

use rserpool::{ElementConfig, Transport};

use super::Check;

/// Which server becomes an element of which pool, and how it is looked after.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The element: its registrars, its pool, its policy, and where the server is.
    pub element: ElementConfig,
    /// The program that is the server, with its arguments. Empty: somebody else runs it.
    pub command: Vec<OsString>,
    /// What is put in front of the command: a program that calls [`become_server`](super::become_server)
    /// with the arguments after these. Empty: the command is started by itself, and outlives a
    /// process of this that is killed.
    pub launcher: Vec<OsString>,
    /// The process that is the server, where it is not started here. Its end takes it out.
    pub pid: Option<u32>,
    /// All of them must be good. Empty: one `tcp` check.
    pub checks: Vec<Check>,
    /// From the start of one round of checks to that of the next; at least 1 ms. Default:
    /// [`INTERVAL`](Self::INTERVAL), 500 ms.
    pub interval: Duration,
    /// How long a check may take. Default: [`TIMEOUT`](Self::TIMEOUT), 400 ms.
    pub timeout: Duration,
    /// So many good rounds in a row and it is in the pool. Default: [`ROUNDS`](Self::ROUNDS), 2.
    pub rise: u32,
    /// So many bad rounds in a row and it is out. Default: [`ROUNDS`](Self::ROUNDS), 2.
    pub fall: u32,
    /// How long its weight rises from a tenth, or its load falls from 0.9, after each entry.
    /// Default: 0.
    pub warmup: Duration,
    /// How long the connections of a server that is to end may go on. Default:
    /// [`DRAIN`](Self::DRAIN), 10 s.
    pub drain: Duration,
    /// How long the server may take to end after SIGTERM. Default:
    /// [`STOP_TIMEOUT`](Self::STOP_TIMEOUT), 10 s.
    pub stop_timeout: Duration,
}

impl Config {
    /// The default of [`interval`](Self::interval).
    pub const INTERVAL: Duration = Duration::from_millis(500);
    /// The default of [`timeout`](Self::timeout).
    pub const TIMEOUT: Duration = Duration::from_millis(400);
    /// The default of [`rise`](Self::rise) and [`fall`](Self::fall).
    pub const ROUNDS: u32 = 2;
    /// The default of [`drain`](Self::drain).
    pub const DRAIN: Duration = Duration::from_secs(10);
    /// The default of [`stop_timeout`](Self::stop_timeout).
    pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);

    /// A server at the transport of this element, with the default of everything else.
    pub fn new(element: ElementConfig) -> Self {
        Self {
            element,
            command: Vec::new(),
            launcher: Vec::new(),
            pid: None,
            checks: Vec::new(),
            interval: Self::INTERVAL,
            timeout: Self::TIMEOUT,
            rise: Self::ROUNDS,
            fall: Self::ROUNDS,
            warmup: Duration::ZERO,
            drain: Self::DRAIN,
            stop_timeout: Self::STOP_TIMEOUT,
        }
    }

    /// The checks, of which there is at least one. A server that is reached by datagrams cannot be
    /// asked without knowing its protocol.
    pub(super) fn checks(&self) -> Vec<Check> {
        match (&*self.checks, &self.element.transport) {
            ([], Transport::Tcp { .. }) => vec![Check::Tcp(None)],
            ([], _) => vec![Check::None],
            (checks, _) => checks.to_vec(),
        }
    }

    /// Where the server is.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        self.element.transport.addresses()
    }

    pub(super) fn port(&self) -> u16 {
        self.element.transport.port().unwrap_or_default()
    }
}
