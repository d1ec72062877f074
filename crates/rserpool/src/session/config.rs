//! How a session is kept.

use std::num::NonZeroU32;
use std::time::Duration;

use rserpool_proto::session::KeepAlive;
use rserpool_proto::session::client::{self as machine, NextServer};
use rserpool_proto::timing::Timing;
use rserpool_transport::{Options, Ppid};
use rserpool_wire::asap::BusinessCard;
use rserpool_wire::param::PoolHandle;

use crate::deadline::FAR_FUTURE;
use crate::setters::setters;
use crate::transport_options::transport_options;

/// How long a session tries, and how it watches its server.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use rserpool::SessionConfig;
/// use rserpool::session::KeepAlive;
///
/// let keep_alive = KeepAlive::new(Duration::from_millis(100), Duration::from_millis(400));
/// let config = SessionConfig::new()
///     .failover_timeout(Duration::from_secs(5))
///     .keep_alive(keep_alive);
/// assert_eq!(config.connect_timeout, Duration::from_secs(1));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// How long one server may take to accept. Default: 1 s.
    pub connect_timeout: Duration,
    /// How long the session looks for a server that accepts before it gives up. Default: 30 s. One
    /// that hangs up within a second, without a word, has not accepted: it may be full.
    pub failover_timeout: Duration,
    /// How many servers it dials before it gives up. Default: as many as there is time for.
    pub dials_max: Option<NonZeroU32>,
    /// Whether it waits, within [`failover_timeout`](field@Self::failover_timeout), for a pool that
    /// does not exist yet. Default: false, an unknown pool fails at once.
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
    /// Octets that may have been sent and not been taken by the transport, and again as many in the
    /// transport that the server has not taken; each message counts 128 octets more than it has.
    /// 1 octet to 1 GiB; a longer message goes alone. Default: 256 KiB.
    pub send_max: usize,
    /// Octets that the application may leave untaken before the server is slowed down, where the
    /// transport can do that; each message counts 128 octets more than it has. Default: 512 KiB.
    pub unread_max: usize,
    /// Octets that the application may leave untaken of a server that cannot be slowed down: more
    /// are not kept. Default: 4 MiB.
    pub unread_limit: usize,
    /// How long the server may take nothing of what waits for it before it has failed. Default:
    /// 5 min, for a service may think for a while.
    pub stall_timeout: Duration,
    /// How long [`Session::close`](super::Session::close) lets the server take what was sent.
    /// Default: 1 s.
    pub close_timeout: Duration,
    /// Timer values of the transport. Default: the `fast` profile.
    pub timing: Timing,
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
            send_max: 256 << 10,
            unread_max: 512 << 10,
            unread_limit: 4 << 20,
            stall_timeout: Duration::from_secs(300),
            close_timeout: Duration::from_secs(1),
            timing: Timing::default(),
        }
    }
}

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        connect_timeout: as Duration;
        failover_timeout: as Duration;
        dials_max: into Option<NonZeroU32>;
        waits_for_pool: as bool;
        items: as u32;
        keep_alive: into Option<KeepAlive>;
        next_server: as NextServer;
        card: into Option<BusinessCard>;
        ppid: as Ppid;
        send_max: as usize;
        unread_max: as usize;
        unread_limit: as usize;
        stall_timeout: as Duration;
        close_timeout: as Duration;
        timing: as Timing;
    }

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

    /// What the transport needs of it.
    pub(super) fn transport(&self) -> Options {
        Options {
            close_timeout: self.close_timeout.min(FAR_FUTURE),
            connect_timeout: self.connect_timeout.min(FAR_FUTURE),
            stall_timeout: self.stall_timeout.min(FAR_FUTURE),
            send_queue_max: self.room(),
            ..transport_options(&self.timing)
        }
    }

    /// [`send_max`](field@Self::send_max) within its bounds.
    pub(super) fn room(&self) -> usize {
        self.send_max.clamp(1, 1 << 30)
    }
}
