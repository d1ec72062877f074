use std::num::NonZeroU32;

use rserpool_wire::counters::Counter;

/// How a handlespace answers, and how much it takes in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// What is refused beyond.
    pub limits: Limits,
    /// Elements in an answer where the question does not say how many
    /// (draft-dreibholz-rserpool-asap-hropt). `None`, the default, is all: what the RFCs expect.
    pub items_default: Option<NonZeroU32>,
    /// Most elements in an answer, whatever the question says. Default 1 000, which fit into one
    /// message if each has one address.
    pub items_max: NonZeroU32,
    /// How many of the listed elements lose their turn to the others: the head of a round robin
    /// moves on by so many. 1, the default, is RFC 5356 §4.1.2; `None` is all that were listed.
    pub max_increment: Option<NonZeroU32>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            items_default: None,
            items_max: NonZeroU32::MIN.saturating_add(999),
            max_increment: Some(NonZeroU32::MIN),
        }
    }
}

/// The most that a handlespace takes in. What is beyond is refused and counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Pools. Default 100 000.
    pub pools_max: u32,
    /// Elements of one pool. Default 1 000 000.
    pub elements_per_pool_max: u32,
    /// Elements of all pools. Default 2 000 000.
    pub elements_max: u32,
    /// Addresses of one transport. Default 64, as at rsplib.
    pub addresses_per_transport_max: u32,
    /// Octets of a pool handle. Default 32, as at rsplib; longer than 65 000 none can be.
    pub handle_octets_max: u32,
    /// Octets of an opaque transport (RFC 5354). Default 256.
    pub opaque_octets_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pools_max: 100_000,
            elements_per_pool_max: 1_000_000,
            elements_max: 2_000_000,
            addresses_per_transport_max: 64,
            handle_octets_max: 32,
            opaque_octets_max: 256,
        }
    }
}

/// One of the [`Limits`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Limit {
    /// [`Limits::pools_max`].
    Pools,
    /// [`Limits::elements_per_pool_max`].
    ElementsPerPool,
    /// [`Limits::elements_max`].
    Elements,
    /// [`Limits::addresses_per_transport_max`].
    AddressesPerTransport,
    /// [`Limits::handle_octets_max`].
    HandleOctets,
    /// [`Limits::opaque_octets_max`].
    OpaqueOctets,
}

impl Limit {
    /// All limits.
    pub const ALL: &'static [Self] = &[
        Self::Pools,
        Self::ElementsPerPool,
        Self::Elements,
        Self::AddressesPerTransport,
        Self::HandleOctets,
        Self::OpaqueOctets,
    ];

    /// The name, in snake case, as in metrics and in the log.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pools => "pools",
            Self::ElementsPerPool => "elements_per_pool",
            Self::Elements => "elements",
            Self::AddressesPerTransport => "addresses_per_transport",
            Self::HandleOctets => "handle_octets",
            Self::OpaqueOctets => "opaque_octets",
        }
    }
}

/// How often each limit made a handlespace refuse something.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LimitCounts([u64; Limit::ALL.len()]);

impl LimitCounts {
    /// How often this limit was reached.
    pub const fn of(&self, limit: Limit) -> u64 {
        self.0[limit as usize]
    }

    /// All of them with their names.
    pub fn counters(&self) -> impl Iterator<Item = Counter> {
        let counts = self.0;
        Limit::ALL.iter().map(move |&limit| limit_reached(limit.label(), counts[limit as usize]))
    }

    pub(super) const fn count(&mut self, limit: Limit) {
        self.0[limit as usize] += 1;
    }
}

/// How often this limit was reached.
pub(crate) fn limit_reached(limit: &'static str, count: u64) -> Counter {
    const HELP: &str = "How often something was refused because of a limit.";
    Counter::new(limit, ("limit_reached_total", Some(("limit", limit))), HELP, &[], count)
}
