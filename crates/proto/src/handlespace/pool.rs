use rserpool_wire::param::{PeId, PoolElement, PoolHandle, RegistrarId, TransportUse};
use rserpool_wire::registry::{ParamType, PolicyType};

use super::arena::Arena;
use super::element::{ElementView, Stored};
use super::members::Members;
use super::policy::Selection;
use super::reach::Near;
use super::refused::Refused;

/// A pool: what its elements have in common, and its elements in two orders.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) handle: PoolHandle,
    pub(super) policy_type: PolicyType,
    pub(super) transport_type: ParamType,
    pub(super) transport_use: TransportUse,
    /// Its elements by identifier.
    pub(super) members: Members,
    /// Slots in the order of the policy.
    pub(super) selection: Selection,
    /// Those of its elements that not everyone may be told of.
    pub(super) near: Near,
    /// How many of its elements have no seat in the selection, nor count among the near.
    pub(super) withheld: u32,
}

impl Pool {
    /// A pool as its first element wants it, still without it; `None` where the policy is unknown.
    pub(super) fn of(handle: &PoolHandle, first: &PoolElement) -> Option<Self> {
        let policy_type = first.policy.policy_type();
        Some(Self {
            handle: handle.clone(),
            policy_type,
            transport_type: first.user_transport.param_type(),
            transport_use: first.user_transport.transport_use(),
            members: Members::default(),
            selection: Selection::of(policy_type)?,
            near: Near::default(),
            withheld: 0,
        })
    }

    /// Refuses an element that does not go with the others (RFC 5352 §3.1).
    pub(super) fn accepts(
        &self,
        element: &PoolElement,
        elements: &Arena<Stored>,
    ) -> Result<(), Refused> {
        if element.policy.policy_type() != self.policy_type {
            return Err(Refused::InconsistentPolicy(self.policy_type));
        }
        if element.user_transport.param_type() != self.transport_type {
            let first = self.members.after(None).next();
            let example = first.map_or(element, |member| &elements[member.slot].element);
            return Err(Refused::InconsistentTransport(Box::new(example.user_transport.clone())));
        }
        if element.user_transport.transport_use() != self.transport_use {
            return Err(Refused::InconsistentUse(self.transport_use));
        }
        Ok(())
    }

    /// The slots of all elements, or of those of one home, by identifier, behind this one.
    pub(super) fn slots_after(
        &self,
        after: Option<PeId>,
        home: Option<RegistrarId>,
    ) -> impl Iterator<Item = u32> + '_ {
        let members = self.members.after(after);
        members.filter(move |it| home.is_none() || it.home == home).map(|member| member.slot)
    }
}

/// A pool of a handlespace.
#[derive(Clone, Copy, Debug)]
pub struct PoolView<'a> {
    pub(super) pool: &'a Pool,
    pub(super) elements: &'a Arena<Stored>,
}

impl<'a> PoolView<'a> {
    /// Its handle.
    pub fn handle(&self) -> &'a PoolHandle {
        &self.pool.handle
    }

    /// Its policy.
    pub fn policy_type(&self) -> PolicyType {
        self.pool.policy_type
    }

    /// The kind of its elements' transports.
    pub fn transport_type(&self) -> ParamType {
        self.pool.transport_type
    }

    /// The Transport Use of its elements.
    pub fn transport_use(&self) -> TransportUse {
        self.pool.transport_use
    }

    /// How many elements it has; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a pool without elements is none")]
    pub fn len(&self) -> usize {
        self.pool.members.len()
    }

    /// Its elements, by identifier.
    pub fn elements(&self) -> impl Iterator<Item = ElementView<'a>> + use<'a> {
        let Self { pool, elements } = *self;
        pool.members.after(None).map(|member| ElementView::of(pool, elements, member.slot))
    }
}
