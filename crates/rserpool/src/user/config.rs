//! Whom a client asks, and how.

use std::time::Duration;

use rserpool_proto::timing::Timing;
use rserpool_proto::user as machine;
use rserpool_transport::multicast::Group;
use rserpool_transport::{Address, Tls};

use crate::setters::setters;

/// Whom a client asks, and how.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use rserpool::{Profile, Timing, UserConfig};
///
/// let config = UserConfig::new(vec!["sctp://192.0.2.1:3863".parse()?])
///     .timing(Timing::of(Profile::Wan))
///     .cache_lifetime(Duration::from_secs(1));
/// assert_eq!(config.stale_lifetime, Duration::from_secs(60));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Registrars to try. May be empty where [`listen`](field@Self::listen) is not.
    pub registrars: Vec<Address>,
    /// Multicast groups on which registrars announce themselves. Default: none.
    pub listen: Vec<Group>,
    /// Timer values. Default: the `fast` profile.
    pub timing: Timing,
    /// MAX-REQUEST-RETRANSMIT (RFC 5352 §7.3): so often a question without answer is repeated before
    /// the request fails. Default: 2.
    pub request_retransmits_max: u32,
    /// stale_cache_value (RFC 5352 §7.2): how old an answer may be to answer a request that does not
    /// say. Default: 0, each request asks a registrar.
    pub cache_lifetime: Duration,
    /// How old an answer may be to answer a request when no registrar does. 0: the request fails.
    /// Default: 60 s.
    pub stale_lifetime: Duration,
    /// Pools in the cache; the one that was asked for longest ago makes room. Default: 1024.
    pub cache_pools_max: usize,
    /// Requests under way at once; more fail. Default: 65 536.
    pub requests_max: usize,
    /// The keys, for `tls://`; sessions have them, too. With them nothing that is learned is dialed
    /// without TLS, and every server has to prove that it is one, and of the session's pool where its
    /// certificate names pools, before anything is sent to it. Default: none.
    pub tls: Option<Tls>,
    /// Decides the order in which registrars are tried. Default: `None`, the system's generator.
    pub seed: Option<u64>,
}

impl Config {
    /// A client of these registrars, with the default of everything else.
    pub fn new(registrars: Vec<Address>) -> Self {
        let machine::Config {
            registrars: _,
            timing,
            request_retransmits_max,
            cache_lifetime,
            stale_lifetime,
            cache_pools_max,
            requests_max,
        } = machine::Config::default();
        Self {
            registrars,
            listen: Vec::new(),
            timing,
            request_retransmits_max,
            cache_lifetime,
            stale_lifetime,
            cache_pools_max,
            requests_max,
            tls: None,
            seed: None,
        }
    }

    setters! {
        registrars: as Vec<Address>;
        listen: as Vec<Group>;
        timing: as Timing;
        request_retransmits_max: as u32;
        cache_lifetime: as Duration;
        stale_lifetime: as Duration;
        cache_pools_max: as usize;
        requests_max: as usize;
        tls: into Option<Tls>;
        seed: into Option<u64>;
    }

    /// What the machine needs of it.
    pub(super) fn machine(&self) -> machine::Config {
        machine::Config {
            registrars: self.registrars.len(),
            timing: self.timing,
            request_retransmits_max: self.request_retransmits_max,
            cache_lifetime: self.cache_lifetime,
            stale_lifetime: self.stale_lifetime,
            cache_pools_max: self.cache_pools_max,
            requests_max: self.requests_max,
        }
    }
}

/// Without any registrar: one that is to hear of them by [`listen`](field@Config::listen).
impl Default for Config {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}
