//! How a session is kept.

use std::num::NonZeroU32;
use std::time::Duration;

use rserpool_proto::session::KeepAlive;
use rserpool_proto::session::client::{self as machine, NextServer};
use rserpool_proto::timing::{Profile, Timing};
use rserpool_transport::{Options, Ppid};
use rserpool_wire::asap::BusinessCard;
use rserpool_wire::param::PoolHandle;

use crate::node::{FAR_FUTURE, session_options};

/// How long a session tries, and how it watches its server.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long one server may take to accept. Default: 1 s.
    pub connect_timeout: Duration,
    /// How long the session looks for a server that accepts before it gives up. Default: 30 s. One
    /// that hangs up within a second, without a word, has not accepted: it may be full.
    pub failover_timeout: Duration,
    /// How many servers it dials before it gives up. Default: as many as there is time for.
    pub dials_max: Option<NonZeroU32>,
    /// Waits, within [`failover_timeout`](Self::failover_timeout), for a pool that does not exist
    /// yet. Default: false, an unknown pool fails at once.
    pub waits_for_pool: bool,
    /// How many elements a resolution asks for: those after the first are turned to when it does
    /// not accept. Default: 3.
    pub items: u32,
    /// Keep-alives to a server with a control channel, so that a frozen one is noticed. Default:
    /// every 500 ms, it fails after 1.5 s. `None`: only the end of its association counts.
    pub keep_alive: Option<KeepAlive>,
    /// Where to turn to first when the server fails. Default: its business card, if it sent one.
    pub next_server: NextServer,
    /// Where this client is found itself, if it is a pool element, too: sent to each server with a
    /// control channel (RFC 5352 §3.6). Default: none.
    pub card: Option<BusinessCard>,
    /// The payload protocol identifier of what is sent. Default: 0.
    pub ppid: Ppid,
    /// How long [`Session::close`](super::Session::close) lets the server take what was sent.
    /// Default: 1 s.
    pub close_timeout: Duration,
    /// Transport values. Default: the `fast` profile. Of the octets that may wait for a slow server
    /// no more than [`SEND_MAX`](Self::SEND_MAX) are used.
    pub transport: Options,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            failover_timeout: machine::Config::FAILOVER_TIMEOUT,
            dials_max: None,
            waits_for_pool: false,
            items: 3,
            keep_alive: Some(KeepAlive::default()),
            next_server: NextServer::default(),
            card: None,
            ppid: Ppid::default(),
            close_timeout: Duration::from_secs(1),
            transport: session_options(&Timing::of(Profile::Fast)),
        }
    }
}

impl Config {
    /// Octets that may have been sent and not been taken by the transport, and again as many in the
    /// transport that the server has not taken; each message counts 128 octets more than it has.
    pub const SEND_MAX: usize = 256 << 10;
    /// Octets that the application may leave untaken before the server is slowed down; each message
    /// counts 128 octets more than it has.
    pub const UNREAD_MAX: usize = 512 << 10;
    /// Octets that the application may leave untaken of a server that cannot be slowed down: more
    /// are not kept.
    pub const UNREAD_LIMIT: usize = 4 << 20;

    pub(super) fn machine(&self, handle: PoolHandle) -> machine::Config {
        machine::Config {
            failover_timeout: self.failover_timeout.min(FAR_FUTURE),
            dials_max: self.dials_max,
            waits_for_pool: self.waits_for_pool,
            keep_alive: self.keep_alive,
            next_server: self.next_server,
            card: self.card.clone(),
            ..machine::Config::new(handle)
        }
    }
}
