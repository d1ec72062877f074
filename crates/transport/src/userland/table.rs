//! The associations of an endpoint, by name.

use std::collections::HashMap;

use rserpool_sctp::AssociationId;

use super::association::Association;
use crate::backlog::Backlog;
use crate::endpoint::AssocId;
use crate::id_hash::BuildIdHasher;

/// All associations.
#[derive(Default)]
pub(super) struct Table {
    by_id: HashMap<AssocId, Box<Association>, BuildIdHasher>,
}

impl Table {
    /// Adds an association.
    pub(super) fn insert(&mut self, id: AssocId, association: Box<Association>) {
        self.by_id.insert(id, association);
    }

    /// Takes an association out.
    pub(super) fn remove(&mut self, id: AssocId) -> Option<Box<Association>> {
        self.by_id.remove(&id)
    }

    /// The association `id`.
    pub(super) fn get_mut(&mut self, id: AssocId) -> Option<&mut Association> {
        self.by_id.get_mut(&id).map(|association| &mut **association)
    }

    /// What waits for the peers of all.
    pub(super) fn backlogs(&self) -> impl Iterator<Item = (AssocId, &Backlog)> {
        self.by_id.iter().map(|(id, association)| (*id, &association.backlog))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All names, in their order.
    pub(super) fn ids(&self) -> Vec<AssocId> {
        let mut ids: Vec<AssocId> = self.by_id.keys().copied().collect();
        ids.sort_unstable();
        ids
    }
}

/// The name of an association of the protocol, for the user.
pub(super) fn name(id: AssociationId) -> AssocId {
    AssocId(id.0)
}

/// And the other way.
pub(super) fn association_id(name: AssocId) -> AssociationId {
    AssociationId(name.0)
}
