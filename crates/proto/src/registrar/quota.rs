//! What one association, one source, and all together may take of what everyone shares.
//!
//! Nobody proves who it is when it comes for ASAP, so a [`Source`] is whom things are counted for:
//! an address, or the /64 network of one. What is refused is refused with cause 6, counted, and
//! told to the application; what is there already stays.

use std::collections::BTreeMap;
use std::time::Duration;

use rserpool_wire::counters::Counter;
use rserpool_wire::param::{Cause, PoolHandle};
use rserpool_wire::registry::CauseCode;

use super::{Event, Registrar};
use crate::handlespace::{ElementIndex, Limit, limit_reached};
use crate::machine::{Output, Peer, Source};
use crate::time::Time;

/// The most that one association, one source, or all of them take of a registrar that is not the
/// handlespace's to limit. Octets are those of messages as they came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Quotas {
    /// Pools that were founded over one association. Default: 4 000.
    pub pools_per_association: u32,
    /// Pools that were founded from one source and still exist. Default: 10 000, a tenth of all.
    pub pools_per_source: u32,
    /// Elements of one association. Default: 250 000.
    pub elements_per_association: u32,
    /// Elements of all associations of one source. Default: 1 000 000, half of all.
    pub elements_per_source: u32,
    /// Associations that elements and users of one source have with this registrar. Default:
    /// 50 000.
    pub associations_per_source: u32,
    /// Those of them that are TCP connections, for each of which the system wants a descriptor.
    /// Default: no limit of its own; the driver sets one somewhat below what it accepts, so that
    /// there is room for those that make the silent go.
    pub connections_per_source: u32,
    /// Subscriptions of one source. Default: 25 000.
    pub subscriptions_per_source: u32,
    /// Subscriptions of all. Default: 100 000.
    pub subscriptions: u32,
    /// Octets of the requests of one association that wait while this registrar starts. Default:
    /// 4 MiB.
    pub held_octets_per_association: usize,
    /// The same of all associations of one source. Default: 32 MiB.
    pub held_octets_per_source: usize,
    /// The same of all. Default: 64 MiB.
    pub held_octets: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            pools_per_association: 4_000,
            pools_per_source: 10_000,
            elements_per_association: 250_000,
            elements_per_source: 1_000_000,
            associations_per_source: 50_000,
            connections_per_source: u32::MAX,
            subscriptions_per_source: 25_000,
            subscriptions: 100_000,
            held_octets_per_association: 4 << 20,
            held_octets_per_source: 32 << 20,
            held_octets: 64 << 20,
        }
    }
}

/// One of the [`Quotas`], or [`Config::subscriptions_max`](super::Config::subscriptions_max).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Quota {
    /// [`Quotas::pools_per_association`].
    PoolsPerAssociation,
    /// [`Quotas::pools_per_source`].
    PoolsPerSource,
    /// [`Quotas::elements_per_association`].
    ElementsPerAssociation,
    /// [`Quotas::elements_per_source`].
    ElementsPerSource,
    /// [`Quotas::associations_per_source`], or [`Quotas::connections_per_source`].
    AssociationsPerSource,
    /// [`Config::subscriptions_max`](super::Config::subscriptions_max).
    SubscriptionsPerAssociation,
    /// [`Quotas::subscriptions_per_source`].
    SubscriptionsPerSource,
    /// [`Quotas::subscriptions`].
    Subscriptions,
    /// [`Quotas::held_octets_per_association`].
    HeldOctetsPerAssociation,
    /// [`Quotas::held_octets_per_source`].
    HeldOctetsPerSource,
    /// [`Quotas::held_octets`].
    HeldOctets,
}

impl Quota {
    /// All quotas.
    pub const ALL: &'static [Self] = &[
        Self::PoolsPerAssociation,
        Self::PoolsPerSource,
        Self::ElementsPerAssociation,
        Self::ElementsPerSource,
        Self::AssociationsPerSource,
        Self::SubscriptionsPerAssociation,
        Self::SubscriptionsPerSource,
        Self::Subscriptions,
        Self::HeldOctetsPerAssociation,
        Self::HeldOctetsPerSource,
        Self::HeldOctets,
    ];

    /// The name, as in metrics, in the log, and in the configuration file.
    pub const fn label(self) -> &'static str {
        match self {
            Self::PoolsPerAssociation => "pools_per_association",
            Self::PoolsPerSource => "pools_per_source",
            Self::ElementsPerAssociation => "elements_per_association",
            Self::ElementsPerSource => "elements_per_source",
            Self::AssociationsPerSource => "associations_per_source",
            Self::SubscriptionsPerAssociation => "subscriptions",
            Self::SubscriptionsPerSource => "subscriptions_per_source",
            Self::Subscriptions => "subscriptions_in_all",
            Self::HeldOctetsPerAssociation => "held_octets_per_association",
            Self::HeldOctetsPerSource => "held_octets_per_source",
            Self::HeldOctets => "held_octets",
        }
    }
}

/// How often each quota made a registrar refuse something.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct QuotaCounts([u64; Quota::ALL.len()]);

impl QuotaCounts {
    /// How often this quota was reached.
    pub const fn of(&self, quota: Quota) -> u64 {
        self.0[quota as usize]
    }

    /// All of them with their names.
    pub fn counters(&self) -> impl Iterator<Item = Counter> {
        let counts = self.0;
        Quota::ALL.iter().map(move |&quota| limit_reached(quota.label(), counts[quota as usize]))
    }

    const fn count(&mut self, quota: Quota) {
        self.0[quota as usize] += 1;
    }
}

/// What one source has now. One that has nothing is not kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Used {
    pub(super) associations: u32,
    /// Those of them that are TCP connections.
    pub(super) connections: u32,
    pub(super) elements: u32,
    pub(super) pools: u32,
    pub(super) subscriptions: u32,
    pub(super) held_octets: usize,
}

/// A number of things, none of which there are 2³² of.
pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Who founded a pool.
#[derive(Clone, Copy, Debug)]
struct Founder {
    association: Peer,
    source: Option<Source>,
}

/// What each source has, and what was told of quotas that were reached.
#[derive(Debug, Default)]
pub(super) struct Usage {
    sources: BTreeMap<Source, Used>,
    founders: BTreeMap<PoolHandle, Founder>,
    told: BTreeMap<(&'static str, Option<Source>), Time>,
}

/// A limit that the same source reaches again and again is told of once in this time.
const TOLD_AGAIN: Duration = Duration::from_secs(60);
/// So many are told of in that time.
const TOLD_MAX: usize = 64;

impl Usage {
    /// What a source has.
    pub(super) fn of(&self, source: Option<Source>) -> Used {
        source.and_then(|source| self.sources.get(&source)).copied().unwrap_or_default()
    }

    /// Changes what a source has; nothing is counted for one that is not known.
    pub(super) fn change(&mut self, source: Option<Source>, change: impl FnOnce(&mut Used)) {
        let Some(source) = source else { return };
        let used = self.sources.entry(source).or_default();
        change(used);
        if *used == Used::default() {
            self.sources.remove(&source);
        }
    }

    /// How many sources have anything.
    #[cfg(test)]
    pub(super) fn sources(&self) -> usize {
        self.sources.len()
    }

    fn is_news(&mut self, now: Time, limit: &'static str, by: Option<Source>) -> bool {
        self.told.retain(|_, at| now - *at < TOLD_AGAIN);
        let is_news = self.told.len() < TOLD_MAX && !self.told.contains_key(&(limit, by));
        if is_news {
            self.told.insert((limit, by), now);
        }
        is_news
    }
}

impl Registrar {
    /// True where an element may come to this association, new or from another one; where it founds
    /// a pool, that too.
    ///
    /// # Errors
    ///
    /// Cause 6.
    pub(super) fn check_quotas(
        &mut self,
        now: Time,
        peer: Peer,
        handle: &PoolHandle,
        index: Option<ElementIndex>,
    ) -> Result<(), Cause> {
        let carrier = index.and_then(|index| self.supervised.get(index)?.association);
        if carrier == Some(peer) {
            return Ok(());
        }
        let Some(association) = self.associations.get(&peer) else { return Ok(()) };
        let (quotas, used) = (&self.config.quotas, self.usage.of(association.source));
        let old = carrier.and_then(|old| self.associations.get(&old));
        let same_source = old.is_some_and(|old| old.source == association.source);
        let founds = !self.handlespace.contains(handle);
        let reached = if association.elements.len() >= quotas.elements_per_association as usize {
            Quota::ElementsPerAssociation
        } else if !same_source && used.elements >= quotas.elements_per_source {
            Quota::ElementsPerSource
        } else if founds && association.pools >= quotas.pools_per_association {
            Quota::PoolsPerAssociation
        } else if founds && used.pools >= quotas.pools_per_source {
            Quota::PoolsPerSource
        } else {
            return Ok(());
        };
        let source = association.source;
        self.quota_reached(now, reached, source);
        Err(Cause::new(CauseCode::LACK_OF_RESOURCES))
    }

    /// Something was refused because of a quota.
    pub(super) fn quota_reached(&mut self, now: Time, quota: Quota, by: Option<Source>) {
        self.stats.quotas.count(quota);
        self.tell_of_limit(now, quota.label(), by);
    }

    /// Something was refused because of a limit of the handlespace, which counts it.
    pub(super) fn limit_reached(&mut self, now: Time, limit: Limit, peer: Peer) {
        let by = self.associations.get(&peer).and_then(|association| association.source);
        self.tell_of_limit(now, limit.label(), by);
    }

    fn tell_of_limit(&mut self, now: Time, limit: &'static str, by: Option<Source>) {
        if self.usage.is_news(now, limit, by) {
            self.outputs.push_back(Output::Event(Event::LimitReached { limit, by }));
        }
    }

    /// A pool was founded over this association.
    pub(super) fn pool_founded(&mut self, peer: Peer, handle: &PoolHandle) {
        let Some(association) = self.associations.get_mut(&peer) else { return };
        association.pools += 1;
        let source = association.source;
        self.usage.change(source, |used| used.pools += 1);
        self.usage.founders.insert(handle.clone(), Founder { association: peer, source });
    }

    /// An element left a pool, which may have ended with it.
    pub(super) fn pool_may_have_ended(&mut self, handle: &PoolHandle) {
        if self.handlespace.contains(handle) {
            return;
        }
        let Some(founder) = self.usage.founders.remove(handle) else { return };
        self.usage.change(founder.source, |used| used.pools = used.pools.saturating_sub(1));
        if let Some(association) = self.associations.get_mut(&founder.association) {
            association.pools = association.pools.saturating_sub(1);
        }
    }
}
