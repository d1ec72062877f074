//! What joins which pool, and through whom.

use std::net::IpAddr;
use std::time::Duration;

use rserpool_proto::dialect::{Dialect, Lifetime};
use rserpool_proto::element as machine;
use rserpool_proto::timing::Timing;
use rserpool_transport::multicast::Group;
use rserpool_transport::{Address, Tls};
use rserpool_wire::param::{PeId, Policy, PoolHandle, Transport};

use crate::setters::setters;

/// What joins which pool, and through whom.
///
/// # Examples
///
/// ```
/// use rserpool::{ElementConfig, PeId, Transport};
///
/// let transport = Transport::tcp("192.0.2.7:80".parse()?);
/// let registrars = vec!["sctp://192.0.2.1:3863".parse()?];
/// let config = ElementConfig::new(registrars, "WebPool".parse()?, transport)
///     .policy("weighted-round-robin:3".parse()?)
///     .id(PeId(7));
/// assert_eq!(config.handle.to_string(), "WebPool");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Registrars to try. May be empty where [`listen`](field@Self::listen) is not.
    pub registrars: Vec<Address>,
    /// Multicast groups on which registrars announce themselves. Default: none.
    pub listen: Vec<Group>,
    /// The pool to join. Registrars take up to 32 octets by default.
    pub handle: PoolHandle,
    /// Its identifier. `None`, the default, and 0, which registrars refuse, draw one; a drawn one is
    /// drawn anew where another element of the pool has it. A given one is kept: an element that was
    /// in the pool tries to get it back, with longer and longer pauses; a new one is
    /// [rejected](super::State::Rejected).
    pub id: Option<PeId>,
    /// Where it serves. Its addresses have to be among those of the associations to registrars
    /// (RFC 5352 §2.2.1); an unspecified one stands for the own addresses of that association.
    pub transport: Transport,
    /// The pool's policy, and what this element gives it. Default: round robin.
    pub policy: Policy,
    /// How long a registration stands without being renewed. Default: 300 s.
    pub lifetime: Lifetime,
    /// How often the registration is renewed (T4-reregistration, RFC 5352 §7.1). Default: `None`,
    /// min(10 min, lifetime − 20 s), and half of a lifetime below 40 s.
    pub reregistration_interval: Option<Duration>,
    /// MAX-REG-ATTEMPT (RFC 5352 §7.3): after so many registrations in a row without answer it is
    /// told that there is no registrar. The search goes on. Default: 2.
    pub registration_attempts_max: u32,
    /// Timer values. Default: the `fast` profile.
    pub timing: Timing,
    /// How it speaks with registrars. Default: as the RFCs say.
    pub dialect: Dialect,
    /// Own addresses from which associations with registrars leave over TCP and SCTP in userland:
    /// a registrar takes an element only at addresses that it comes from. Default: what the system
    /// chooses.
    pub dial_from: Vec<IpAddr>,
    /// The keys, for `tls://`. With them nothing that is learned is dialed without TLS. Default:
    /// none.
    pub tls: Option<Tls>,
    /// Decides the identifier where none is given, and the order in which registrars are tried.
    /// Default: `None`, the system's generator.
    pub seed: Option<u64>,
}

impl Config {
    /// A member of the pool `handle` that serves at `transport`, round robin, through one of these
    /// registrars.
    pub fn new(registrars: Vec<Address>, handle: PoolHandle, transport: Transport) -> Self {
        let machine::Config {
            handle,
            id,
            user_transport: transport,
            policy,
            lifetime,
            reregistration_interval,
            registrars: _,
            registration_attempts_max,
            timing,
            dialect,
        } = machine::Config::new(handle, transport);
        Self {
            registrars,
            listen: Vec::new(),
            handle,
            id,
            transport,
            policy,
            lifetime,
            reregistration_interval,
            registration_attempts_max,
            timing,
            dialect,
            dial_from: Vec::new(),
            tls: None,
            seed: None,
        }
    }

    setters! {
        registrars: as Vec<Address>;
        listen: as Vec<Group>;
        id: into Option<PeId>;
        transport: as Transport;
        policy: as Policy;
        lifetime: as Lifetime;
        reregistration_interval: into Option<Duration>;
        registration_attempts_max: as u32;
        timing: as Timing;
        dialect: as Dialect;
        dial_from: as Vec<IpAddr>;
        tls: into Option<Tls>;
        seed: into Option<u64>;
    }

    /// What the machine needs of it.
    pub(super) fn machine(&self) -> machine::Config {
        machine::Config {
            handle: self.handle.clone(),
            id: self.id,
            user_transport: self.transport.clone(),
            policy: self.policy.clone(),
            lifetime: self.lifetime,
            reregistration_interval: self.reregistration_interval,
            registrars: self.registrars.len(),
            registration_attempts_max: self.registration_attempts_max,
            timing: self.timing,
            dialect: self.dialect,
        }
    }
}
