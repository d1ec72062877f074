use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use rserpool_wire::param::{RegistrarId, SctpTransport, Transport};

use super::access::Rules;
use super::quota::Quotas;
use crate::dialect::Dialect;
use crate::handlespace;
use crate::timing::{Timing, within_bounds};

/// How a registrar behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
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
    /// MAX-BAD-PE-REPORT (RFC 5352 §3.5): an element that users at more than so many addresses
    /// report, and that does not answer, is removed after half of the usual wait. Default: 3.
    pub bad_reports_max: u32,
    /// Keep-alives per second at most, over all elements: with more elements each is asked less
    /// often. Default: 20 000.
    pub supervision_rate_max: NonZeroU32,
    /// Pools that one association may subscribe to. Default: 64.
    pub subscriptions_max: usize,
    /// Subscribers of a pool are told of its changes no more often than this; the first change is
    /// told at once, the next ones as the pool is then. Default: 5 ms.
    pub push_interval: Duration,
    /// An association of an element or a user over which nobody registered, subscribed or asked
    /// anything for so long ends. Default: 60 s.
    pub idle_timeout: Duration,
    /// What one association and one source may take. There, what is beyond is refused with cause 6.
    pub quotas: Quotas,
    /// What SERVER_ANNOUNCE tells (RFC 5352 §3.6): where elements and users find this registrar.
    /// `None` announces nothing.
    pub announced: Option<Vec<Transport>>,
    /// How many registrars the driver knows by number
    /// ([`Target::Configured`](crate::machine::Target)): they are dialed over ENRP for ever, and
    /// are the mentors (RFC 5353 §3.2.2.1). 0, the default: this registrar is alone until another
    /// one dials it, and serves at once.
    pub peers: usize,
    /// Where other registrars reach this one: what Server Information tells (RFC 5354 §3.11). The
    /// parameter can only say SCTP; who hears it over TCP takes port and first address for those of
    /// TCP. Unspecified addresses stand for those of each association. `None` tells nothing: then
    /// nobody can dial back, and registrars of rsplib do not listen.
    pub enrp: Option<SctpTransport>,
    /// Who may do what; `None`, everybody everything, but that a certificate for another role than
    /// `registrar` makes nobody a registrar. Default: `None`.
    pub access: Option<Arc<Rules>>,
    /// Registrars may come over TCP, which RFC 5353 §2 leaves to SCTP. Default: true. Where false,
    /// such an association is ended with cause 0xa.
    pub enrp_tcp: bool,
    /// Other registrars at once. Default: 256. Further ones are turned away and counted. Of these,
    /// as many seats as there are configured registrars are kept for them.
    pub peers_max: usize,
    /// Other registrars from one source (an IPv4 address, an IPv6 /64), where they are not
    /// configured. Default: 32. Further ones are turned away and counted.
    pub peers_per_source_max: usize,
    /// Hear and send ENRP_PRESENCE by multicast, as rsplib does, to find registrars that nobody
    /// configured. Default: false, for anyone can send them.
    pub discover: bool,
    /// How long to look for a mentor; after that this registrar serves with what it has, and says
    /// so ([`Event::Serving`](super::Event)). Default: 2 s. Elements and users that ask meanwhile
    /// are answered when it serves. Where every configured registrar refuses to be dialed, or all
    /// have just started, too, it serves sooner.
    pub start_timeout: Duration,
    /// Suggest elements to those registrars that are best for them, by
    /// [`aptitude`](super::aptitude), so that all share the work again after failures
    /// (draft-dreibholz-rserpool-enrp-takeover). Elements over TCP are left alone, for nobody can
    /// dial them. Default: false.
    pub takeover_suggestion: bool,
    /// How long another registrar has to have been there before elements are suggested to it, how
    /// often own elements are looked through, and how long one that was suggested is left alone;
    /// that doubles each time, up to 64 times. Default: 10 s. Longer is calmer where registrars come
    /// and go.
    pub suggestion_pause: Duration,
    /// Elements suggested per second at most. Default: 1000.
    pub suggestion_rate_max: NonZeroU32,
    /// Take elements that another registrar suggests to take, as one that leaves does. Default:
    /// true.
    pub follow_suggestions: bool,
    /// How long an element whose home died stays in its pool without having answered its new home
    /// or having registered elsewhere. Default: 5 s. One that cannot be asked has longer where its
    /// home had many: twice the time in which a registrar asks so many (`supervision_rate_max`).
    pub adoption_grace: Duration,
    /// Elements per second at most that are asked to accept this registrar as their home. Default:
    /// 100 000.
    pub adoption_rate_max: NonZeroU32,
    /// How long [`Command::Leave`](super::Command) waits for others to take this registrar's
    /// elements. Default: 2 s.
    pub leave_timeout: Duration,
    /// Handle table downloads under way at once, at this registrar as mentor. Default: 64; a quarter
    /// of them from one source. Further ones are told to try again. Registrars that are configured,
    /// or that one of these told of, are always served.
    pub downloads_max: usize,
    /// Handle table downloads of those who only look on, as `rserpool dump` does. Default: 8. Each
    /// source has one at a time, for 30 s at most; others are told to try again.
    pub observer_downloads_max: usize,
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
            push_interval: Duration::from_millis(5),
            idle_timeout: Duration::from_secs(60),
            quotas: Quotas::default(),
            announced: None,
            peers: 0,
            enrp: None,
            access: None,
            enrp_tcp: true,
            peers_max: 256,
            peers_per_source_max: 32,
            discover: false,
            start_timeout: Duration::from_secs(2),
            takeover_suggestion: false,
            suggestion_pause: Duration::from_secs(10),
            suggestion_rate_max: NonZeroU32::new(1_000).unwrap_or(NonZeroU32::MIN),
            follow_suggestions: true,
            adoption_grace: Duration::from_secs(5),
            adoption_rate_max: NonZeroU32::new(100_000).unwrap_or(NonZeroU32::MIN),
            leave_timeout: Duration::from_secs(2),
            downloads_max: 64,
            observer_downloads_max: 8,
        }
    }
}

impl Config {
    /// What a registrar makes of these values: no duration beyond the bounds of [`Timing`], no handle
    /// that the dialect has no room for. What is waited for once may take no time.
    pub(super) fn within_bounds(mut self) -> Self {
        self.timing = self.timing.within_bounds();
        let bearable = u32::try_from(self.dialect.handle_octets_max()).unwrap_or(u32::MAX);
        let handle_octets = &mut self.handlespace.limits.handle_octets_max;
        *handle_octets = bearable.min(*handle_octets);
        for span in [&mut self.suggestion_pause, &mut self.adoption_grace, &mut self.idle_timeout] {
            *span = within_bounds(*span);
        }
        for span in [&mut self.start_timeout, &mut self.leave_timeout, &mut self.push_interval] {
            *span = (*span).min(Timing::MOST);
        }
        self
    }
}

/// How far an address reaches. The order is from near to far.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
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
