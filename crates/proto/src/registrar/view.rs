//! What an operator may see of a registrar: an overview, and everything else a page at a time, so
//! that no look takes long however much there is.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rserpool_wire::Protocol;
use rserpool_wire::param::{PeId, PoolElement, PoolHandle, RegistrarId, TransportUse};
use rserpool_wire::registry::{ParamType, PolicyType};

use super::peers::{PeerState, PeerView};
use super::sizes::Size;
use super::{Deadline, Registrar, State, Stats};
use crate::handlespace::{ElementIndex, LimitCounts, PoolView};
use crate::machine::{Carrier, Peer};
use crate::time::Time;

/// Entries of a page, at most.
pub const PAGE_MAX: usize = 512;
/// Elements that are looked at for one page, at most, where only some are wanted.
const LOOKED_AT_MAX: usize = 8 * PAGE_MAX;

/// How a registrar is, in a few numbers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Overview {
    /// Its identifier.
    pub id: RegistrarId,
    /// What it does.
    pub state: State,
    /// Pools that it knows.
    pub pools: usize,
    /// Elements that it knows.
    pub elements: usize,
    /// Those of them that it is the home of.
    pub own: usize,
    /// Its associations, with anyone.
    pub associations: usize,
    /// How many pools are subscribed to, each by how many.
    pub subscriptions: usize,
    /// The other registrars that are active, suspected, and dead.
    pub peers: PeerCounts,
    /// The registrars that it was given to dial.
    pub peers_configured: usize,
    /// The length of each queue and map with its limit.
    pub sizes: Vec<Size>,
    /// What it counted.
    pub stats: Stats,
    /// How often each limit of the handlespace was reached.
    pub limits_reached: LimitCounts,
}

/// How many other registrars there are, by what is thought of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct PeerCounts {
    /// [`PeerState::Active`].
    pub active: usize,
    /// [`PeerState::Suspected`].
    pub suspected: usize,
    /// [`PeerState::Dead`].
    pub dead: usize,
}

/// Part of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Page<T, C> {
    /// At most [`PAGE_MAX`] entries, in order; there may be none although more follow.
    pub items: Vec<T>,
    /// What to ask for the rest with; `None` where this is the end.
    pub next: Option<C>,
}

/// Which pools are wanted.
#[derive(Clone, Debug, Default)]
pub struct PoolQuery {
    /// Behind this one.
    pub after: Option<PoolHandle>,
    /// Whose handles begin with these octets.
    pub prefix: Vec<u8>,
    /// At most so many; no more than [`PAGE_MAX`] come.
    pub limit: usize,
}

/// A pool.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PoolRow {
    /// Its handle.
    pub handle: PoolHandle,
    /// How its elements are picked.
    pub policy: PolicyType,
    /// The kind of its elements' transports.
    pub transport: ParamType,
    /// Whether its elements have a control channel.
    pub transport_use: TransportUse,
    /// How many elements it has.
    pub elements: usize,
    /// How many of them this registrar is the home of.
    pub own: usize,
    /// How many of them may be listed: those that no operator holds.
    pub listed: usize,
}

/// Which elements are wanted.
#[derive(Clone, Debug, Default)]
pub struct ElementQuery {
    /// Only those of this pool.
    pub pool: Option<PoolHandle>,
    /// Behind this one; it may be gone since.
    pub after: Option<(PoolHandle, PeId)>,
    /// Only those of this home.
    pub home: Option<RegistrarId>,
    /// At most so many; no more than [`PAGE_MAX`] come.
    pub limit: usize,
}

/// An element.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ElementRow {
    /// Its pool.
    pub handle: PoolHandle,
    /// What it registered.
    pub element: PoolElement,
    /// Whether it may be listed: no operator holds it.
    pub is_listed: bool,
    /// What its home knows beyond that; `None` where another registrar is that.
    pub supervision: Option<SupervisionView>,
}

/// What a registrar knows of an element of its own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SupervisionView {
    /// Where its association goes, and over what.
    pub remote: Option<(SocketAddr, Carrier)>,
    /// How quickly it answers, once it has.
    pub round_trip: Option<Duration>,
    /// How long ago it was asked what it has not answered yet.
    pub asked_ago: Option<Duration>,
    /// When it is asked next, or the wait for its answer ends.
    pub next_in: Option<Duration>,
    /// When its registration runs out; `None` for never.
    pub expires_in: Option<Duration>,
    /// How often the wait for that answer was extended.
    pub extensions: u8,
    /// How many have reported it as unreachable since it answered last.
    pub reports: usize,
}

/// An association.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AssociationRow {
    /// Its name.
    pub peer: Peer,
    /// The protocol of the port that it goes to.
    pub protocol: Protocol,
    /// What it runs over.
    pub carrier: Carrier,
    /// The addresses of the other end.
    pub remote: Vec<IpAddr>,
    /// The port of the other end.
    pub remote_port: u16,
    /// The registrar at the other end, where it is one.
    pub registrar: Option<RegistrarId>,
    /// How many elements are supervised over it.
    pub elements: usize,
    /// Whether more waits to be sent than the other end takes.
    pub is_congested: bool,
    /// How long ago a message came last.
    pub idle: Duration,
}

impl Registrar {
    /// How it is. Takes as long however many elements, users and associations there are.
    pub fn overview(&self) -> Overview {
        let mut peers = PeerCounts::default();
        for peer in self.peers() {
            *match peer.state {
                PeerState::Active => &mut peers.active,
                PeerState::Suspected => &mut peers.suspected,
                PeerState::Dead => &mut peers.dead,
            } += 1;
        }
        Overview {
            id: self.id,
            state: self.state,
            pools: self.handlespace.pool_count(),
            elements: self.handlespace.len(),
            own: self.handlespace.owned_count(self.id),
            associations: self.associations.len(),
            subscriptions: self.subscriptions.len(),
            peers,
            peers_configured: self.configured_numbers().count(),
            sizes: self.sizes_at_a_glance(),
            stats: self.stats,
            limits_reached: *self.handlespace.limits_reached(),
        }
    }

    /// Pools, by handle.
    pub fn pool_page(&self, query: &PoolQuery) -> Page<PoolRow, PoolHandle> {
        let limit = query.limit.clamp(1, PAGE_MAX);
        let pools = self.handlespace.pools_after(query.after.as_ref(), &query.prefix);
        let mut rows = pools.map(|pool| self.pool_row(pool));
        let items: Vec<PoolRow> = rows.by_ref().take(limit).collect();
        let next = rows.next().and_then(|_| items.last()).map(|last| last.handle.clone());
        Page { items, next }
    }

    /// A pool.
    pub fn pool_detail(&self, handle: &PoolHandle) -> Option<PoolRow> {
        self.handlespace.pool(handle).map(|pool| self.pool_row(pool))
    }

    fn pool_row(&self, pool: PoolView<'_>) -> PoolRow {
        PoolRow {
            handle: pool.handle().clone(),
            policy: pool.policy_type(),
            transport: pool.transport_type(),
            transport_use: pool.transport_use(),
            elements: pool.len(),
            own: self.handlespace.owned_count_in(self.id, pool.handle()),
            listed: pool.listed(),
        }
    }

    /// Elements, by pool and identifier. Who stays while page after page is asked for is on one of
    /// them, and only on one.
    pub fn element_page(
        &self,
        now: Time,
        query: &ElementQuery,
    ) -> Page<ElementRow, (PoolHandle, PeId)> {
        let limit = query.limit.clamp(1, PAGE_MAX);
        let mut items = Vec::new();
        let mut looked_at = None;
        let elements = match &query.pool {
            Some(pool) => self.handlespace.elements_of(pool, query.after.as_ref()),
            None => self.handlespace.elements_after(query.after.as_ref()),
        };
        for (number, view) in elements.enumerate() {
            if items.len() == limit || number == LOOKED_AT_MAX {
                return Page { items, next: looked_at };
            }
            looked_at = Some((view.handle.clone(), view.element.id));
            if query.home.is_none_or(|home| view.element.home == Some(home)) {
                items.push(self.element_row(now, view.index, view.handle, view.element));
            }
        }
        Page { items, next: None }
    }

    /// An element.
    pub fn element_detail(&self, now: Time, handle: &PoolHandle, id: PeId) -> Option<ElementRow> {
        let view = self.handlespace.element(self.handlespace.find(handle, id)?)?;
        Some(self.element_row(now, view.index, view.handle, view.element))
    }

    fn element_row(
        &self,
        now: Time,
        index: ElementIndex,
        handle: &PoolHandle,
        element: &PoolElement,
    ) -> ElementRow {
        let supervision = self.supervision_view(now, index);
        let is_listed = self.handlespace.is_listed(index);
        ElementRow { handle: handle.clone(), element: element.clone(), is_listed, supervision }
    }

    fn supervision_view(&self, now: Time, index: ElementIndex) -> Option<SupervisionView> {
        let supervised = self.supervised.get(index)?;
        let association = supervised.association.and_then(|peer| self.associations.get(&peer));
        let link = association.map(|association| &association.link);
        let deadline = self.deadlines.deadline(Deadline::Supervision(index));
        Some(SupervisionView {
            remote: link.and_then(|link| Some((link.remote_addr()?, link.carrier))),
            round_trip: supervised.round_trip.smoothed(),
            asked_ago: supervised.asked_at().map(|asked| now - asked),
            next_in: deadline.map(|at| at - now),
            expires_in: supervised.expires_at().map(|at| at - now),
            extensions: supervised.extensions(),
            reports: self.reports.get(index).map_or(0, super::reports::Reports::count),
        })
    }

    /// The other registrars, by identifier, behind this one.
    pub fn peer_page(
        &self,
        after: Option<RegistrarId>,
        limit: usize,
    ) -> Page<PeerView, RegistrarId> {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut rows = self.peers().filter(|peer| after.is_none_or(|after| peer.id > after));
        let items: Vec<PeerView> = rows.by_ref().take(limit).collect();
        let next = rows.next().and_then(|_| items.last()).map(|last| last.id);
        Page { items, next }
    }

    /// The associations, by name, behind this one.
    pub fn association_page(
        &self,
        now: Time,
        after: Option<Peer>,
        limit: usize,
    ) -> Page<AssociationRow, Peer> {
        use std::ops::Bound::{Excluded, Unbounded};
        let limit = limit.clamp(1, PAGE_MAX);
        let mut rest = self.associations.range((after.map_or(Unbounded, Excluded), Unbounded));
        let rows = rest.by_ref().take(limit).map(|(&peer, association)| AssociationRow {
            peer,
            protocol: association.link.protocol,
            carrier: association.link.carrier,
            remote: association.link.remote.clone(),
            remote_port: association.link.remote_port,
            registrar: association.registrar,
            elements: association.elements.len(),
            is_congested: association.is_congested,
            idle: now - association.last_used,
        });
        let items: Vec<AssociationRow> = rows.collect();
        let next = rest.next().and_then(|_| items.last()).map(|last| last.peer);
        Page { items, next }
    }
}
