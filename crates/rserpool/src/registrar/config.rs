//! How a registrar runs.

use rserpool_proto::dialect::Dialect;
use rserpool_proto::registrar as machine;
use rserpool_proto::timing::Timing;
use rserpool_transport::multicast::Group;
use rserpool_transport::{Address, Tls};
use rserpool_wire::param::RegistrarId;

use crate::TransportLimits;
use crate::setters::setters;

/// How a registrar runs.
///
/// # Examples
///
/// ```
/// use rserpool::{Profile, RegistrarConfig, Timing};
///
/// let config = RegistrarConfig::new(vec!["tcp://127.0.0.1:0".parse()?])
///     .enrp(vec!["tcp://127.0.0.1:0".parse()?])
///     .timing(Timing::of(Profile::Wan));
/// assert!(config.peers.is_empty());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    /// Where elements and users reach it; at least one. Port 0 asks the system for one.
    pub asap: Vec<Address>,
    /// Where other registrars reach it. None: it is alone unless it has
    /// [`peers`](field@Self::peers).
    pub enrp: Vec<Address>,
    /// Other registrars of the scope: dialed for ever, and asked for the handlespace at the start.
    pub peers: Vec<Address>,
    /// Multicast groups to announce it to (RFC 5352 §3.6). Default: none.
    pub announce: Vec<Group>,
    /// Multicast groups in which registrars find each other, as rsplib's do. Default: none.
    pub discover: Vec<Group>,
    /// The protocol: identifier, timers, limits, policy of addresses. What there is to know of the
    /// endpoints and peers is filled in.
    pub protocol: machine::Config,
    /// What its associations may take at most.
    pub transport: TransportLimits,
    /// The keys, for `tls://`. With them nothing that is learned is dialed without TLS. Default:
    /// none.
    pub tls: Option<Tls>,
    /// Whether, with keys, endpoints may be opened that they do not protect. Default: false.
    pub plaintext_ok: bool,
    /// Decides what the random policies pick, and the identifier where none is given. Default:
    /// `None`, the system's generator.
    pub seed: Option<u64>,
}

impl Config {
    /// A registrar for elements and users at these URLs, with the default of everything else.
    pub fn new(asap: Vec<Address>) -> Self {
        Self { asap, ..Self::default() }
    }

    /// Its identifier, unique in the scope. Default: it draws one.
    #[must_use]
    pub fn id(mut self, id: impl Into<Option<RegistrarId>>) -> Self {
        self.protocol.id = id.into();
        self
    }

    /// Timer values. Default: the `fast` profile.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.protocol.timing = timing;
        self
    }

    /// How this scope speaks. Default: as the RFCs say.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.protocol.dialect = dialect;
        self
    }

    setters! {
        asap: as Vec<Address>;
        enrp: as Vec<Address>;
        peers: as Vec<Address>;
        announce: as Vec<Group>;
        discover: as Vec<Group>;
        protocol: as machine::Config;
        transport: as TransportLimits;
        tls: into Option<Tls>;
        plaintext_ok: as bool;
        seed: into Option<u64>;
    }
}
