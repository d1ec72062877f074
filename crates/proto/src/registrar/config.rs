use std::net::IpAddr;
use std::num::NonZeroU32;

use rserpool_wire::param::{RegistrarId, Transport};

use crate::dialect::Dialect;
use crate::handlespace;
use crate::timing::Timing;

/// How a registrar behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its identifier, unique in the operational scope. `None` draws one from the seed, as
    /// RFC 5353 §3.2.1 wants it.
    pub id: Option<RegistrarId>,
    /// Timer values.
    pub timing: Timing,
    /// How this scope speaks.
    pub dialect: Dialect,
    /// Limits and defaults of pools and resolutions.
    pub handlespace: handlespace::Config,
    /// Elements may register over TCP, which RFC 5352 §2.1 leaves to SCTP. Default: true. Where
    /// false, such a registration is rejected with cause 0xa and the connection closed.
    pub tcp_registration: bool,
    /// Leave out the PE identifier of ENDPOINT_KEEP_ALIVE, which RFC 5352 §2.2.7 does not have.
    /// Default: false. Elements that share an association and a pool cannot tell then who is meant.
    pub strict_rfc_keepalive: bool,
    /// Which addresses of elements are taken. Default: [`AddressScope::SiteLocal`].
    pub address_scope: AddressScope,
    /// Take user transport addresses that are not addresses of the element's association: for
    /// elements behind NAT and in containers. Default: false, for then an element could send the
    /// pool's users anywhere.
    pub allow_advertised: bool,
    /// MAX-BAD-PE-REPORT (RFC 5352 §3.5): an element that more than so many reports call
    /// unreachable is removed, even if it answers keep-alives. Default: 3.
    pub bad_reports_max: u32,
    /// Keep-alives per second at most, over all elements: with more elements each is asked less
    /// often. Default: 20 000.
    pub supervision_rate_max: NonZeroU32,
    /// Pools that one association may subscribe to. Default: 64.
    pub subscriptions_max: usize,
    /// What SERVER_ANNOUNCE tells (RFC 5352 §3.6): where elements and users find this registrar.
    /// `None` announces nothing.
    pub announced: Option<Vec<Transport>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            id: None,
            timing: Timing::default(),
            dialect: Dialect::default(),
            handlespace: handlespace::Config::default(),
            tcp_registration: true,
            strict_rfc_keepalive: false,
            address_scope: AddressScope::SiteLocal,
            allow_advertised: false,
            bad_reports_max: 3,
            supervision_rate_max: NonZeroU32::new(20_000).unwrap_or(NonZeroU32::MIN),
            subscriptions_max: 64,
            announced: None,
        }
    }
}

/// How far an address reaches. The order is from near to far.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum AddressScope {
    /// This host. Its own elements may always use it.
    Loopback,
    /// This link.
    LinkLocal,
    /// This site: private addresses.
    SiteLocal,
    /// Everywhere.
    Global,
}

impl AddressScope {
    /// All scopes, from near to far.
    pub const ALL: &'static [Self] =
        &[Self::Loopback, Self::LinkLocal, Self::SiteLocal, Self::Global];

    /// The name, as in configuration files.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::SiteLocal => "site-local",
            Self::Global => "global",
        }
    }

    /// How far an address reaches; `None` where it is no address of a host (unspecified,
    /// multicast, broadcast).
    pub fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(ip) if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() => None,
            IpAddr::V6(ip) if ip.is_unspecified() || ip.is_multicast() => None,
            ip if ip.is_loopback() => Some(Self::Loopback),
            IpAddr::V4(ip) if ip.is_link_local() => Some(Self::LinkLocal),
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(Self::LinkLocal),
            IpAddr::V4(ip) if ip.is_private() => Some(Self::SiteLocal),
            IpAddr::V6(ip) if ip.is_unique_local() => Some(Self::SiteLocal),
            _ => Some(Self::Global),
        }
    }
}
