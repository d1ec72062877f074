//! The configuration file of a registrar. Every key is in `registrar.example.toml`.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rserpool::proto::dialect::Dialect;
use rserpool::proto::handlespace;
use rserpool::proto::registrar::{self as protocol, AddressScope, Quotas};
use rserpool::proto::timing::{Profile, Timing};
use rserpool::registrar::access::Rules;
use rserpool::transport::Address;
use rserpool::transport::multicast::Group;
use rserpool::transport::tls::KeyError;
use rserpool::wire::param::RegistrarId;
use rserpool::{TransportLimits, registrar};
use serde::{Deserialize, Deserializer, de};

use crate::AdminConfig;
use crate::access::{Access, AccessError};
use crate::check::complaints;
use crate::listen::default_urls;
use crate::misspelt::suggestion;
use crate::timing::TimingOverrides;
use crate::tls::Tls;

/// What a registrar is told by its file and its command line.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Its identifier; absent, it draws one.
    #[serde(deserialize_with = "id")]
    pub id: Option<RegistrarId>,
    /// URLs to serve elements and users at; absent, [`default_urls`].
    #[serde(deserialize_with = "urls")]
    pub asap: Option<Vec<Address>>,
    /// URLs for other registrars.
    #[serde(deserialize_with = "enrp_urls")]
    pub enrp: Vec<Address>,
    /// URLs of other registrars.
    #[serde(deserialize_with = "enrp_urls")]
    pub peers: Vec<Address>,
    /// `rfc` or `rsplib`.
    #[serde(deserialize_with = "dialect")]
    pub dialect: Dialect,
    /// `minimal`, `fast`, `wan`, `rsplib` or `rfc`.
    #[serde(deserialize_with = "profile")]
    pub profile: Profile,
    /// Values over those of the profile.
    pub timing: TimingOverrides,
    /// Announcing it by multicast.
    pub announce: Announce,
    /// See [`protocol::Config::tcp_registration`].
    pub tcp_registration: Option<bool>,
    /// See [`protocol::Config::strict_rfc_keepalive`].
    pub strict_rfc_keepalive: Option<bool>,
    /// `loopback`, `link-local`, `site-local` or `global`.
    #[serde(deserialize_with = "scope")]
    pub address_scope: Option<AddressScope>,
    /// See [`protocol::Config::allow_advertised`].
    pub allow_advertised: Option<bool>,
    /// See [`protocol::Config::enrp_tcp`].
    pub enrp_tcp: Option<bool>,
    /// See [`protocol::Config::takeover_suggestion`].
    pub takeover_suggestion: Option<bool>,
    /// See [`protocol::Config::suggestion_pause`].
    #[serde(with = "humantime_serde")]
    pub suggestion_pause: Option<Duration>,
    /// See [`protocol::Config::suggestion_rate_max`].
    pub suggestion_rate_max: Option<NonZeroU32>,
    /// See [`protocol::Config::follow_suggestions`].
    pub follow_suggestions: Option<bool>,
    /// See [`protocol::Config::start_timeout`].
    #[serde(with = "humantime_serde")]
    pub start_timeout: Option<Duration>,
    /// See [`protocol::Config::adoption_grace`].
    #[serde(with = "humantime_serde")]
    pub adoption_grace: Option<Duration>,
    /// See [`protocol::Config::leave_timeout`].
    #[serde(with = "humantime_serde")]
    pub leave_timeout: Option<Duration>,
    /// See [`protocol::Config::push_interval`].
    #[serde(with = "humantime_serde")]
    pub push_interval: Option<Duration>,
    /// See [`protocol::Config::idle_timeout`].
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Option<Duration>,
    /// See [`protocol::Config::bad_reports_max`].
    pub bad_reports_max: Option<u32>,
    /// See [`protocol::Config::supervision_rate_max`].
    pub supervision_rate_max: Option<NonZeroU32>,
    /// See [`handlespace::Config::items_default`].
    pub items_default: Option<NonZeroU32>,
    /// See [`handlespace::Config::items_max`].
    pub items_max: Option<NonZeroU32>,
    /// See [`handlespace::Config::max_increment`]; 0 is all that were listed.
    pub max_increment: Option<u32>,
    /// The most that it takes in.
    pub limits: Limits,
    /// What operators see, and who may.
    pub admin: AdminConfig,
    /// Its keys.
    pub tls: Tls,
    /// Who may do what.
    pub access: AccessFile,
}

/// Where it says who may do what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessFile {
    /// See [`Access`]; absent, whoever is trusted may do everything but be a registrar with a
    /// certificate for another role.
    pub file: Option<PathBuf>,
}

/// Announcing a registrar by multicast (RFC 5352 §3.6).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Announce {
    /// Groups with their ports; none: no announces.
    pub groups: Vec<SocketAddr>,
    /// Groups in which registrars find each other; none: they do not.
    pub enrp_groups: Vec<SocketAddr>,
    /// The interface to announce through; absent, the system's choice.
    pub interface: Option<String>,
    /// How many routers an announce may pass (TTL, hop limit).
    pub hops: Option<u8>,
}

/// See [`handlespace::Limits`] and [`Quotas`].
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Pools.
    pub pools: Option<u32>,
    /// Elements of one pool.
    pub elements_per_pool: Option<u32>,
    /// Elements of all pools.
    pub elements: Option<u32>,
    /// Addresses of one transport.
    pub addresses_per_transport: Option<u32>,
    /// Other registrars.
    pub peers: Option<usize>,
    /// Other registrars from one source.
    pub peers_per_source: Option<usize>,
    /// Handle tables told at once to those who only look on.
    pub observers: Option<usize>,
    /// Octets of a pool handle.
    pub handle_octets: Option<u32>,
    /// Octets of an opaque transport.
    pub opaque_octets: Option<u32>,
    /// Pools that one association may subscribe to.
    pub subscriptions: Option<usize>,
    /// See [`Quotas::subscriptions_per_source`].
    pub subscriptions_per_source: Option<u32>,
    /// See [`Quotas::subscriptions`].
    pub subscriptions_in_all: Option<u32>,
    /// See [`Quotas::pools_per_association`].
    pub pools_per_association: Option<u32>,
    /// See [`Quotas::pools_per_source`].
    pub pools_per_source: Option<u32>,
    /// See [`Quotas::elements_per_association`].
    pub elements_per_association: Option<u32>,
    /// See [`Quotas::elements_per_source`].
    pub elements_per_source: Option<u32>,
    /// See [`Quotas::associations_per_source`].
    /// Also [`Options::associations_per_source_max`](rserpool::transport::Options), where it is set.
    pub associations_per_source: Option<u32>,
    /// See [`Quotas::held_octets_per_association`].
    pub held_octets_per_association: Option<usize>,
    /// See [`Quotas::held_octets_per_source`].
    pub held_octets_per_source: Option<usize>,
    /// See [`Quotas::held_octets`].
    pub held_octets: Option<usize>,
    /// See [`Options::associations_max`](rserpool::transport::Options::associations_max).
    pub associations: Option<NonZeroUsize>,
    /// See [`Options::queue_budget`](rserpool::transport::Options::queue_budget), in octets.
    pub queued_octets: Option<NonZeroUsize>,
    /// See [`Options::stall_timeout`](rserpool::transport::Options::stall_timeout).
    #[serde(with = "humantime_serde")]
    pub stall_timeout: Option<Duration>,
    /// See [`Options::message_timeout`](rserpool::transport::Options::message_timeout).
    #[serde(with = "humantime_serde")]
    pub message_timeout: Option<Duration>,
    /// See [`Options::close_timeout`](rserpool::transport::Options::close_timeout).
    #[serde(with = "humantime_serde")]
    pub close_timeout: Option<Duration>,
}

/// Why a configuration cannot be used.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Read(PathBuf, std::io::Error),
    /// The file is not what it should be; nothing of it is used.
    Parse {
        /// The file.
        path: PathBuf,
        /// Where, both from 1; `None` where the whole file is meant.
        at: Option<(usize, usize)>,
        /// What is wrong, in words.
        message: String,
    },
    /// A value makes no sense.
    Value(String),
    /// Its keys cannot be used.
    Keys(KeyError),
    /// Its rules cannot be used.
    Access(AccessError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Parse { path, at, message } => {
                write!(f, "{}", path.display())?;
                if let Some((line, column)) = at {
                    write!(f, ", line {line}, column {column}")?;
                }
                write!(f, ": {message}")?;
                suggestion(message).map_or(Ok(()), |key| write!(f, "; did you mean `{key}`?"))
            }
            Self::Value(what) => f.write_str(what),
            Self::Keys(error) => error.fmt(f),
            Self::Access(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConfigError {}

/// So many characters of a line are shown where something is wrong with it.
const SHOWN_MAX: usize = 60;

/// Where and what, without a drawing of it: errors are said in one line.
pub(crate) fn parse_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    let before = error.span().and_then(|span| text.get(..span.start));
    let Some(before) = before else {
        return ConfigError::Parse { path: path.into(), at: None, message };
    };
    let (start, number) = (before.rfind('\n').map_or(0, |at| at + 1), before.matches('\n').count());
    let line = text[start..].lines().next().unwrap_or_default().trim();
    let shown: String = line.chars().take(SHOWN_MAX).collect();
    let cut = if shown.len() < line.len() { "…" } else { "" };
    let column = before[start..].chars().count() + 1;
    let message = format!("{message}: {shown}{cut}");
    ConfigError::Parse { path: path.into(), at: Some((number + 1, column)), message }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Read`] or [`ConfigError::Parse`], which says line and key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.into(), e))?;
        let mut config: Self =
            toml::from_str(&text).map_err(|error| parse_error(path, &text, &error))?;
        if let Some(here) = path.parent() {
            config.tls.resolve(here);
            config.access.file = config.access.file.map(|file| here.join(file));
        }
        Ok(config)
    }

    /// What the library runs.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Value`].
    pub fn to_library(&self) -> Result<registrar::Config, ConfigError> {
        let groups = |addresses: &[SocketAddr]| -> Vec<Group> {
            addresses.iter().map(|&address| self.announce.group(address)).collect()
        };
        let asap = self.asap.clone().unwrap_or_else(|| default_urls(self.tls.key.is_some()));
        let access = self.access().map_err(ConfigError::Access)?.unwrap_or_default();
        let library = registrar::Config::new(asap)
            .enrp(self.enrp.clone())
            .peers([self.peers.clone(), access.urls].concat())
            .announce(groups(&self.announce.groups))
            .discover(groups(&self.announce.enrp_groups))
            .protocol(self.protocol(self.access.file.is_some().then_some(access.rules)))
            .transport(self.limits.transport())
            .plaintext_ok(self.tls.plaintext_ok);
        let complaints = complaints(self, &library);
        if !complaints.is_empty() {
            return Err(ConfigError::Value(complaints.join("; ")));
        }
        let keys = self.tls.files().map(rserpool::transport::Tls::new);
        Ok(library.tls(keys.transpose().map_err(ConfigError::Keys)?))
    }

    /// Whether it names files beside its own that may change.
    pub(crate) fn has_files(&self) -> bool {
        self.tls.key.is_some() || self.access.file.is_some() || self.admin.tokens.is_some()
    }

    /// Who may do what, read anew; `None` where nothing says so.
    fn access(&self) -> Result<Option<Access>, AccessError> {
        self.access.file.as_deref().map(Access::load).transpose()
    }

    fn protocol(&self, rules: Option<Rules>) -> protocol::Config {
        let mut protocol = protocol::Config::default();
        protocol.access = rules.map(Arc::new);
        protocol.id = self.id;
        protocol.timing = self.timing.over(self.dialect.timing(Timing::of(self.profile)));
        protocol.dialect = self.dialect;
        protocol.handlespace = self.handlespace();
        protocol.quotas = self.limits.quotas();
        set(&mut protocol.tcp_registration, self.tcp_registration);
        set(&mut protocol.strict_rfc_keepalive, self.strict_rfc_keepalive);
        set(&mut protocol.address_scope, self.address_scope);
        set(&mut protocol.allow_advertised, self.allow_advertised);
        set(&mut protocol.enrp_tcp, self.enrp_tcp);
        set(&mut protocol.takeover_suggestion, self.takeover_suggestion);
        set(&mut protocol.suggestion_pause, self.suggestion_pause);
        set(&mut protocol.suggestion_rate_max, self.suggestion_rate_max);
        set(&mut protocol.follow_suggestions, self.follow_suggestions);
        set(&mut protocol.start_timeout, self.start_timeout);
        set(&mut protocol.adoption_grace, self.adoption_grace);
        set(&mut protocol.leave_timeout, self.leave_timeout);
        set(&mut protocol.push_interval, self.push_interval);
        set(&mut protocol.idle_timeout, self.idle_timeout);
        set(&mut protocol.bad_reports_max, self.bad_reports_max);
        set(&mut protocol.supervision_rate_max, self.supervision_rate_max);
        set(&mut protocol.peers_max, self.limits.peers);
        set(&mut protocol.peers_per_source_max, self.limits.peers_per_source);
        set(&mut protocol.observer_downloads_max, self.limits.observers);
        set(&mut protocol.subscriptions_max, self.limits.subscriptions);
        protocol
    }

    fn handlespace(&self) -> handlespace::Config {
        let mut config = handlespace::Config::default();
        config.limits = self.limits.handlespace();
        config.items_default = self.items_default.or(config.items_default);
        set(&mut config.items_max, self.items_max);
        set(&mut config.max_increment, self.max_increment.map(NonZeroU32::new));
        config
    }
}

/// Puts a value in the place of its default, where there is one.
pub(crate) fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// Associations of a source at its quota that are accepted before the registrar refuses them.
const BEYOND_QUOTA: usize = 64;

impl Limits {
    fn quotas(&self) -> Quotas {
        let mut quotas = Quotas::default();
        set(&mut quotas.pools_per_association, self.pools_per_association);
        set(&mut quotas.pools_per_source, self.pools_per_source);
        set(&mut quotas.elements_per_association, self.elements_per_association);
        set(&mut quotas.elements_per_source, self.elements_per_source);
        set(&mut quotas.associations_per_source, self.associations_per_source);
        set(&mut quotas.subscriptions_per_source, self.subscriptions_per_source);
        set(&mut quotas.subscriptions, self.subscriptions_in_all);
        set(&mut quotas.held_octets_per_association, self.held_octets_per_association);
        set(&mut quotas.held_octets_per_source, self.held_octets_per_source);
        set(&mut quotas.held_octets, self.held_octets);
        quotas
    }

    fn handlespace(&self) -> handlespace::Limits {
        let mut limits = handlespace::Limits::default();
        set(&mut limits.pools_max, self.pools);
        set(&mut limits.elements_per_pool_max, self.elements_per_pool);
        set(&mut limits.elements_max, self.elements);
        set(&mut limits.addresses_per_transport_max, self.addresses_per_transport);
        set(&mut limits.handle_octets_max, self.handle_octets);
        set(&mut limits.opaque_octets_max, self.opaque_octets);
        limits
    }

    fn transport(&self) -> TransportLimits {
        let mut limits = TransportLimits::default();
        limits.associations_max = self.associations.map(Into::into);
        // The registrar itself decides who has to make room; this only bounds what reaches it.
        let per_source = self.associations_per_source;
        limits.associations_per_source_max = per_source
            .map(|max| usize::try_from(max).unwrap_or(usize::MAX).saturating_add(BEYOND_QUOTA));
        limits.queue_budget = self.queued_octets.map(Into::into);
        limits.stall_timeout = self.stall_timeout;
        limits.message_timeout = self.message_timeout;
        limits.close_timeout = self.close_timeout;
        limits
    }
}

impl Announce {
    fn group(&self, address: SocketAddr) -> Group {
        let mut group = Group::new(address);
        group.interface.clone_from(&self.interface);
        group.hops = self.hops.unwrap_or(group.hops);
        group
    }
}

/// An identifier as a number, or as text: `17`, `0x11`.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RegistrarId>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u32),
        Text(String),
    }
    let text = match Written::deserialize(deserializer)? {
        Written::Number(number) => number.to_string(),
        Written::Text(text) => text,
    };
    text.parse().map(Some).map_err(de::Error::custom)
}

fn urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Address>>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| text.parse().map_err(de::Error::custom))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn enrp_urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Address>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parse = |text: &String| Address::parse(text, Address::ENRP_PORT);
    texts.iter().map(|text| parse(text).map_err(de::Error::custom)).collect()
}

fn dialect<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Dialect, D::Error> {
    named(deserializer, &[Dialect::Rfc, Dialect::Rsplib], Dialect::label)
}

fn profile<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Profile, D::Error> {
    named(deserializer, Profile::ALL, Profile::label)
}

fn scope<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<AddressScope>, D::Error> {
    named(deserializer, AddressScope::ALL, AddressScope::label).map(Some)
}

/// The one of these values that has the name.
fn named<'de, T: Copy, D: Deserializer<'de>>(
    deserializer: D,
    values: &[T],
    label: fn(T) -> &'static str,
) -> Result<T, D::Error> {
    let name = String::deserialize(deserializer)?;
    values.iter().copied().find(|value| label(*value) == name).ok_or_else(|| {
        let names: Vec<&str> = values.iter().map(|value| label(*value)).collect();
        de::Error::custom(format!("`{name}` is none of {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../registrar.example.toml");

    #[test]
    fn the_example_says_the_defaults() {
        let example: Config = toml::from_str(EXAMPLE).unwrap();
        let example_admin = example.admin.clone();
        let (example, default) =
            (example.to_library().unwrap(), Config::default().to_library().unwrap());
        assert_eq!(format!("{:?}", example.protocol), format!("{:?}", default.protocol));
        assert_eq!(example.asap, default.asap);
        assert_eq!(example_admin, AdminConfig::default());
        let (options, limits) = (rserpool::transport::Options::default(), example.transport);
        assert_eq!(limits.associations_max, Some(options.associations_max));
        assert_eq!(limits.queue_budget, Some(options.queue_budget));
        assert_eq!(limits.stall_timeout, Some(options.stall_timeout));
        assert_eq!(limits.message_timeout, Some(options.message_timeout));
        assert_eq!(limits.close_timeout, Some(options.close_timeout));
        assert!(example.tls.is_none() && !example.plaintext_ok);
    }

    #[test]
    fn every_key_of_the_example_that_is_commented_out_is_a_key() {
        let is_key = |line: &&str| line.starts_with('#') && line.contains(" = ");
        let uncommented: String = EXAMPLE
            .lines()
            .map(|line| if is_key(&line) { &line[1..] } else { line })
            .flat_map(|line| [line, "\n"])
            .collect();
        let mut config: Config = toml::from_str(&uncommented).unwrap();
        // Nobody has it here.
        assert_eq!(config.admin.tokens.take(), Some("/etc/rserpool/tokens".into()));
        // Its files are elsewhere, and its URLs show that there need not be keys.
        assert!(std::mem::take(&mut config.tls).files().is_some());
        assert_eq!(config.access.file.take(), Some("access.toml".into()));
        config.to_library().unwrap();
        assert_eq!(config.id, Some("0x11".parse().unwrap()));
        assert_eq!(config.announce.groups.len(), 2);
    }

    /// The keys of a table, as its reader names them where it does not know one.
    fn keys(table: &str) -> Vec<String> {
        let text = format!("{table}\nno_such_key = 1");
        let error = toml::from_str::<Config>(&text).unwrap_err().to_string();
        let (_, expected) = error.split_once("expected one of ").unwrap();
        let keys = expected.split('`').skip(1).step_by(2);
        keys.map(ToOwned::to_owned).collect()
    }

    #[test]
    fn every_key_is_in_the_example() {
        for (table, count) in [
            ("", 20),
            ("[timing]", 20),
            ("[announce]", 4),
            ("[limits]", 7),
            ("[admin]", 8),
            ("[tls]", 6),
        ] {
            let keys = keys(table);
            assert!(keys.len() >= count, "{table}: {keys:?}");
            for key in keys {
                let is_there = |line: &str| {
                    let line = line.strip_prefix('#').unwrap_or(line);
                    line.starts_with(&format!("{key} = ")) || line == format!("[{key}]")
                };
                assert!(EXAMPLE.lines().any(is_there), "{key} of {table} is not in the example");
            }
        }
    }

    #[test]
    fn the_timer_values_of_the_example_are_those_of_the_default_profile() {
        let timing = EXAMPLE.split_once("[timing]").unwrap().1;
        let timing = timing.split_once("[announce]").unwrap().0;
        let lines = timing.lines().filter_map(|line| line.strip_prefix('#'));
        let lines: Vec<&str> = lines.filter(|line| line.contains(" = ")).collect();
        let text = format!("[timing]\n{}", lines.join("\n"));
        let config: Config = toml::from_str(&text).unwrap();
        let timing = config.to_library().unwrap().protocol.timing;
        assert_eq!(timing, Timing::of(Profile::default()));
    }

    #[test]
    fn what_is_no_key_or_no_value_is_said_so() {
        for (text, complaint) in [
            ("idd = 1", "idd"),
            ("id = 0", "0xffffffff"),
            ("profile = \"slow\"", "`slow` is none of minimal, fast"),
            ("asap = [\"sctp:10.0.0.1\"]", "sctp:10.0.0.1"),
            ("[timing]\nrto_min = \"fast\"", "rto_min"),
        ] {
            let error = toml::from_str::<Config>(text).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
        for text in ["[timing]\nrto_min = \"0s\"", "[limits]\nstall_timeout = \"1ms\""] {
            let senseless: Config = toml::from_str(text).unwrap();
            assert!(senseless.to_library().is_err(), "{text}");
        }
    }
}
