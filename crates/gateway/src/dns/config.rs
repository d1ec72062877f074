//! Which zone is answered for, and how.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rserpool::{PoolHandle, UserConfig};

use super::Zone;

/// Which zone is answered for, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The client of the pools: its registrars, its keys.
    pub user: UserConfig,
    /// Where queries come, over UDP and over TCP.
    pub listen: Vec<SocketAddr>,
    /// The zone.
    pub zone: Zone,
    /// Pools that are known from the start, whatever the case of the letters in a query is. Others
    /// are found as they are written in a query, or in lower case.
    pub pools: Vec<PoolHandle>,
    /// Names of pools in the zone, in lower case: instead of their handles, and where handles
    /// differ by case only.
    pub names: BTreeMap<String, PoolHandle>,
    /// How long resolvers may keep an answer, in whole seconds up to
    /// [`TTL_MAX`](Self::TTL_MAX). Default: [`TTL`](Self::TTL), 1 s.
    pub ttl: Duration,
    /// How many addresses an answer for addresses has, up to [`ITEMS_MAX`](Self::ITEMS_MAX).
    /// Default: [`ITEMS`](Self::ITEMS), 3.
    pub items: usize,
    /// What the numbers of SRV records say. Default: weights.
    pub order: Order,
    /// Octets of an answer over UDP to other hosts, at least 512; a client may ask for less.
    /// Default: [`UDP_OCTETS_MAX`](Self::UDP_OCTETS_MAX), 1232.
    pub udp_octets_max: usize,
    /// For how long what was known last is told when there is no registrar. Default:
    /// [`STALE`](Self::STALE), 1 h.
    pub stale: Duration,
    /// Answers over UDP in a second to one source of another host; further ones have nothing but the
    /// TC bit, so that who is really there asks over TCP. Default:
    /// [`RATE_PER_CLIENT`](Self::RATE_PER_CLIENT), 1000.
    pub rate_per_client: u32,
}

/// What the numbers of SRV records say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Order {
    /// Weights are those of the elements, or what is left of their load; priorities are those of a
    /// priority policy.
    #[default]
    Weight,
    /// Priorities 0, 1, 2 and so on, in the order of the pool's policy.
    Strict,
}

impl Config {
    /// The default of [`ttl`](Self::ttl).
    pub const TTL: Duration = Duration::from_secs(1);
    /// The greatest [`ttl`](Self::ttl).
    pub const TTL_MAX: Duration = Duration::from_secs(60);
    /// The default of [`items`](Self::items).
    pub const ITEMS: usize = 3;
    /// The greatest [`items`](Self::items): so many addresses fit into 512 octets behind any name.
    pub const ITEMS_MAX: usize = 8;
    /// The default of [`udp_octets_max`](Self::udp_octets_max): no fragment on any network.
    pub const UDP_OCTETS_MAX: usize = 1232;
    /// The default of [`stale`](Self::stale).
    pub const STALE: Duration = Duration::from_secs(3600);
    /// The default of [`rate_per_client`](Self::rate_per_client).
    pub const RATE_PER_CLIENT: u32 = 1000;

    /// A server for this zone, with the default of everything else.
    pub fn new(user: UserConfig, zone: Zone, listen: Vec<SocketAddr>) -> Self {
        Self {
            user,
            listen,
            zone,
            pools: Vec::new(),
            names: BTreeMap::new(),
            ttl: Self::TTL,
            items: Self::ITEMS,
            order: Order::default(),
            udp_octets_max: Self::UDP_OCTETS_MAX,
            stale: Self::STALE,
            rate_per_client: Self::RATE_PER_CLIENT,
        }
    }
}
