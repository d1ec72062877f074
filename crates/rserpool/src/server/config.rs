//! Where a server listens, what it registers, and what it allows its clients.

use std::net::IpAddr;
use std::time::Duration;

use rserpool_proto::dialect::{Dialect, Lifetime};
use rserpool_proto::session::Cookies;
use rserpool_proto::session::cookie::Key;
use rserpool_proto::timing::Timing;
use rserpool_transport::multicast::Group;
use rserpool_transport::{Address, Tls};
use rserpool_wire::param::{PeId, Policy, PoolHandle, Transport, TransportUse};

use crate::random::{NoRandomness, secret};
use crate::setters::setters;
use crate::{KeysError, element};

/// Where a server listens, what it registers, and what it allows its clients.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use rserpool::ServerConfig;
///
/// let registrars = vec!["sctp://192.0.2.1:3863".parse()?];
/// let config = ServerConfig::new(registrars, "EchoPool".parse()?, "sctp://0.0.0.0:7".parse()?)
///     .policy("least-used".parse()?)
///     .sessions_max(100)
///     .stall_timeout(Duration::from_secs(10));
/// assert_eq!(config.close_timeout, Duration::from_secs(5));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen; port 0 asks the system for one.
    pub url: Address,
    /// Whether there is a control channel beside the data (RFC 5354 §3.4): over SCTP it is PPID 11;
    /// over TCP it takes our framing, each record with a PPID and a length. Without one there are
    /// no cookies and no keep-alives. All elements of a pool are alike in this. Default: there is.
    pub transport_use: TransportUse,
    /// Addresses to register instead of those it listens at; may be empty. The registrar has to
    /// allow it. Default: none.
    pub advertise: Vec<IpAddr>,
    /// See [`element::Config::registrars`](field@element::Config::registrars).
    pub registrars: Vec<Address>,
    /// See [`element::Config::listen`](field@element::Config::listen).
    pub listen: Vec<Group>,
    /// See [`element::Config::handle`](field@element::Config::handle).
    pub handle: PoolHandle,
    /// See [`element::Config::id`](field@element::Config::id).
    pub id: Option<PeId>,
    /// See [`element::Config::policy`](field@element::Config::policy).
    pub policy: Policy,
    /// See [`element::Config::lifetime`](field@element::Config::lifetime).
    pub lifetime: Lifetime,
    /// See [`element::Config::reregistration_interval`](field@element::Config::reregistration_interval).
    pub reregistration_interval: Option<Duration>,
    /// See [`element::Config::registration_attempts_max`](field@element::Config::registration_attempts_max).
    pub registration_attempts_max: u32,
    /// See [`element::Config::timing`](field@element::Config::timing): of the sessions' associations,
    /// too.
    pub timing: Timing,
    /// See [`element::Config::dialect`](field@element::Config::dialect).
    pub dialect: Dialect,
    /// See [`element::Config::dial_from`](field@element::Config::dial_from). Default: where it
    /// listens, unless it [advertises](field@Self::advertise) other addresses.
    pub dial_from: Vec<IpAddr>,
    /// See [`element::Config::tls`](field@element::Config::tls). With them it listens at a `tls://`
    /// URL only.
    pub tls: Option<Tls>,
    /// See [`element::Config::seed`](field@element::Config::seed).
    pub seed: Option<u64>,
    /// Sessions at once; more are refused. Default: 1000. Where there are as many, a session of
    /// which nothing was heard for a second makes room for one that comes.
    pub sessions_max: usize,
    /// Sessions at once of one IP address. Default: `None`, seven eighths of
    /// [`sessions_max`](field@Self::sessions_max), rounded up: others find some left.
    pub sessions_per_source_max: Option<usize>,
    /// How long a client may be silent at the beginning of its session, before that is ended in good
    /// order: neither data nor a message of the control channel. Default: 60 s. `None` where the
    /// service speaks and its clients only listen.
    pub first_message_timeout: Option<Duration>,
    /// Octets that a service may leave untaken before its client is slowed down, where the transport
    /// can do that; each message counts 128 octets more than it has. Default: 256 KiB.
    pub unread_max: usize,
    /// Octets that a service may leave untaken of a client that cannot be slowed down; one that
    /// sends more is cut off. Default: 4 MiB.
    pub unread_limit: usize,
    /// Octets that a service may have sent and its client's transport not taken; then it waits.
    /// 1 octet to 1 GiB; a longer message goes alone. Default: 256 KiB.
    pub send_max: usize,
    /// How long a service may take nothing from a client that was slowed down for that, before the
    /// session is ended. Default: 60 s.
    pub stall_timeout: Duration,
    /// How long a client may take nothing of what waits for it, before the session is ended.
    /// Default: 5 min: one who reads what a service sends may think for a while.
    pub client_stall_timeout: Duration,
    /// How long a session that was ended may take to deliver what was sent, from the last octets
    /// that its client took. Default: 5 s.
    pub close_timeout: Duration,
    /// How cookies are made and taken. Default: plain, so that users can change the state of their
    /// sessions; [`sealed_cookies`] makes others.
    pub cookies: Cookies,
    /// How many other elements a business card names; it is sent when a session begins, and when
    /// the element leaves. Default: 0, no card.
    pub card_items: u32,
}

impl Config {
    /// A member of the pool `handle` with a control channel, round robin, that listens at `url`.
    pub fn new(registrars: Vec<Address>, handle: PoolHandle, url: Address) -> Self {
        let nowhere = Transport::Opaque([].into());
        let element::Config {
            registrars,
            listen,
            handle,
            id,
            transport: _,
            policy,
            lifetime,
            reregistration_interval,
            registration_attempts_max,
            timing,
            dialect,
            dial_from,
            tls,
            seed,
        } = element::Config::new(registrars, handle, nowhere);
        Self {
            url,
            transport_use: TransportUse::DataPlusControl,
            advertise: Vec::new(),
            registrars,
            listen,
            handle,
            id,
            policy,
            lifetime,
            reregistration_interval,
            registration_attempts_max,
            timing,
            dialect,
            dial_from,
            tls,
            seed,
            sessions_max: 1000,
            sessions_per_source_max: None,
            first_message_timeout: Some(Duration::from_secs(60)),
            unread_max: 256 << 10,
            unread_limit: 4 << 20,
            send_max: 256 << 10,
            stall_timeout: Duration::from_secs(60),
            client_stall_timeout: Duration::from_secs(300),
            close_timeout: Duration::from_secs(5),
            cookies: Cookies::plain(),
            card_items: 0,
        }
    }

    setters! {
        transport_use: as TransportUse;
        advertise: as Vec<IpAddr>;
        registrars: as Vec<Address>;
        listen: as Vec<Group>;
        id: into Option<PeId>;
        policy: as Policy;
        lifetime: as Lifetime;
        reregistration_interval: into Option<Duration>;
        registration_attempts_max: as u32;
        timing: as Timing;
        dialect: as Dialect;
        dial_from: as Vec<IpAddr>;
        tls: into Option<Tls>;
        seed: into Option<u64>;
        sessions_max: as usize;
        sessions_per_source_max: into Option<usize>;
        first_message_timeout: into Option<Duration>;
        unread_max: as usize;
        unread_limit: as usize;
        send_max: as usize;
        stall_timeout: as Duration;
        client_stall_timeout: as Duration;
        close_timeout: as Duration;
        cookies: as Cookies;
        card_items: as u32;
    }

    /// The membership of a server that serves at `transport`.
    pub(super) fn element(&self, transport: Transport) -> element::Config {
        let mut config =
            element::Config::new(self.registrars.clone(), self.handle.clone(), transport);
        config.listen.clone_from(&self.listen);
        config.id = self.id;
        config.policy = self.policy.clone();
        config.lifetime = self.lifetime;
        config.reregistration_interval = self.reregistration_interval;
        config.registration_attempts_max = self.registration_attempts_max;
        config.timing = self.timing;
        config.dialect = self.dialect;
        config.dial_from.clone_from(&self.dial_from);
        config.tls.clone_from(&self.tls);
        config.seed = self.seed;
        config
    }
}

/// Cookies that only servers with these keys can make: the first key seals, all of them open. The
/// keys are secrets that the servers of the pool share; [`Key::parse_all`] reads them from a file.
/// [`Config::cookies`](field@Config::cookies) is where they belong.
///
/// # Errors
///
/// [`KeysError::NoRandomness`], and [`KeysError::Empty`] where there is no key.
///
/// # Examples
///
/// ```
/// # let text = "5a".repeat(32);
/// use rserpool::server::{Key, sealed_cookies};
///
/// let cookies = sealed_cookies(Key::parse_all(&text)?)?.encrypted();
/// assert!(cookies.is_sealing());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn sealed_cookies(keys: Vec<Key>) -> Result<Cookies, KeysError> {
    let seed = secret().map_err(|NoRandomness| KeysError::NoRandomness)?;
    let mut cookies = Cookies::plain();
    cookies.seal_with(keys, seed).map_err(|_| KeysError::Empty)?;
    Ok(cookies)
}
