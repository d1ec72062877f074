//! What of a handlespace is honest nodes' doing. Strangers register elements, tell of others, and
//! take the names of those that are gone; what they did changes all the time and is left out where
//! registrars are compared.

use std::collections::BTreeSet;

use rserpool_proto::handlespace::ElementView;
use rserpool_wire::checksum::ChecksumSum;
use rserpool_wire::param::{PeChecksum, PeId, PoolHandle, RegistrarId};

use super::Members;
use crate::hostile;
use crate::program::NodeId;
use crate::world::World;

/// What one registrar knows, as far as no stranger had a hand in it.
#[derive(Default)]
pub(super) struct Honest {
    pub(super) members: Members,
    elements: Vec<(RegistrarId, PoolHandle, PeId)>,
}

impl Honest {
    /// The checksum over the elements of a home.
    pub(super) fn checksum(&self, home: RegistrarId) -> PeChecksum {
        let mut sum = ChecksumSum::default();
        for (_, handle, id) in self.elements.iter().filter(|(at, ..)| *at == home) {
            sum.add(handle, *id);
        }
        sum.checksum()
    }
}

impl World {
    /// What this registrar knows. Where there are strangers, without elements that they made up,
    /// that are at their addresses, or at home at none of the registrars that live.
    pub(super) fn honest(&self, node: NodeId) -> Honest {
        let mut honest = Honest::default();
        let Some(registrar) = self.registrar(node) else { return honest };
        let living: BTreeSet<RegistrarId> = self
            .nodes()
            .filter_map(|node| self.registrar(node))
            .map(|registrar| registrar.id())
            .collect();
        for pool in registrar.handlespace().pools() {
            for view in pool.elements() {
                let home = view.element.home;
                let lives = home.is_some_and(|home| living.contains(&home));
                if self.hostile > 0 && (self.is_strangers(&view) || !lives) {
                    continue;
                }
                let (handle, id) = (pool.handle().clone(), view.element.id);
                honest.members.entry(handle.clone()).or_default().insert(id);
                honest.elements.extend(home.map(|home| (home, handle, id)));
            }
        }
        honest
    }

    fn is_strangers(&self, view: &ElementView<'_>) -> bool {
        let at = view.element.user_transport.addresses();
        let is_there = |node: NodeId| {
            let own = &self.network().hosts[node.0].addresses;
            at.iter().any(|address| own.contains(address))
        };
        let is_honest = |node: &NodeId| self.node(*node).hostile().is_none();
        hostile::is_made_up(view.element.id) || !self.nodes().filter(is_honest).any(is_there)
    }
}
