//! Users that are told when a pool changes (RFC 5352 §2.2.5, the S flag).

use std::collections::{BTreeMap, BTreeSet};

use rserpool_wire::param::PoolHandle;

use super::Registrar;
use crate::handlespace::Outcome;
use crate::machine::Peer;

/// Who is told of which pool. A subscription lives as long as its association or its pool.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// For each subscriber the number of elements that it asked for.
    by_pool: BTreeMap<PoolHandle, BTreeMap<Peer, Option<u32>>>,
    by_peer: BTreeMap<Peer, BTreeSet<PoolHandle>>,
    /// Pools that changed since their subscribers were told.
    changed: BTreeSet<PoolHandle>,
}

impl Subscriptions {
    /// Something happened to an element of this pool.
    pub(super) fn mark(&mut self, handle: &PoolHandle, outcome: Outcome) {
        if outcome != Outcome::Unchanged && self.by_pool.contains_key(handle) {
            self.changed.insert(handle.clone());
        }
    }

    /// Enters a subscription; false where the association has as many as it may.
    pub(super) fn enter(
        &mut self,
        peer: Peer,
        handle: PoolHandle,
        items: Option<u32>,
        max: usize,
    ) -> bool {
        let handles = self.by_peer.entry(peer).or_default();
        if !handles.contains(&handle) && handles.len() >= max {
            return false;
        }
        handles.insert(handle.clone());
        self.by_pool.entry(handle).or_default().insert(peer, items);
        true
    }

    /// An association ended.
    pub(super) fn forget(&mut self, peer: Peer) {
        for handle in self.by_peer.remove(&peer).unwrap_or_default() {
            self.cancel(&handle, peer);
        }
    }

    /// A subscription ended.
    fn cancel(&mut self, handle: &PoolHandle, peer: Peer) {
        if let Some(handles) = self.by_peer.get_mut(&peer) {
            handles.remove(handle);
        }
        if let Some(subscribers) = self.by_pool.get_mut(handle) {
            subscribers.remove(&peer);
            if subscribers.is_empty() {
                self.by_pool.remove(handle);
            }
        }
    }
}

impl Registrar {
    /// Tells subscribers of what changed since the last drain: once for any number of changes.
    pub(super) fn push_updates(&mut self) {
        while let Some(handle) = self.subscriptions.changed.pop_first() {
            let subscribers = self.subscriptions.by_pool.get(&handle).cloned().unwrap_or_default();
            for (peer, items) in subscribers {
                // A pool that is gone, or has nobody to offer, takes its subscriptions along.
                if !self.answer_resolution(peer, handle.clone(), items, true) {
                    self.subscriptions.cancel(&handle, peer);
                }
                self.stats.updates_pushed += 1;
            }
        }
    }
}
