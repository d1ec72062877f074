//! What registrars have told lately (RFC 5352 §3.4).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rserpool_wire::param::{PeId, PoolHandle};

use super::selection::Turn;
use super::{Answer, Resolution, Source};
use crate::time::Time;

/// One resolution for each pool, the newest. Only pools that were asked for get in.
#[derive(Debug)]
pub(super) struct Cache {
    pools_max: usize,
    entries: BTreeMap<PoolHandle, Entry>,
    /// Numbers the uses of entries.
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    resolution: Arc<Resolution>,
    stored: Time,
    used: u64,
    turn: Turn,
}

impl Cache {
    pub(super) fn new(pools_max: usize) -> Self {
        Self { pools_max: pools_max.max(1), entries: BTreeMap::new(), uses: 0 }
    }

    /// Remembers a resolution in place of an older one.
    pub(super) fn store(&mut self, now: Time, resolution: Arc<Resolution>) {
        let handle = resolution.handle.clone();
        if self.entries.len() >= self.pools_max && !self.entries.contains_key(&handle) {
            self.make_room();
        }
        self.uses += 1;
        let entry = Entry { resolution, stored: now, used: self.uses, turn: Turn::default() };
        self.entries.insert(handle, entry);
    }

    /// An answer from what is not older than `max_age` and was asked for as many elements.
    pub(super) fn answer(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        items: Option<u32>,
        max_age: Duration,
        source: Source,
        rng: &mut StdRng,
    ) -> Option<Answer> {
        let entry = self.entries.get_mut(handle)?;
        if now - entry.stored > max_age || !covers(entry.resolution.items, items) {
            return None;
        }
        self.uses += 1;
        entry.used = self.uses;
        let resolution = Arc::clone(&entry.resolution);
        let first = entry.turn.pick(&resolution, rng);
        Some(Answer { resolution, first, source })
    }

    /// Forgets a pool.
    pub(super) fn forget(&mut self, handle: &PoolHandle) {
        self.entries.remove(handle);
    }

    /// Forgets an element, and a pool without any.
    pub(super) fn forget_element(&mut self, handle: &PoolHandle, id: PeId) {
        let Some(entry) = self.entries.get_mut(handle) else { return };
        let Some(row) = entry.resolution.elements.iter().position(|element| element.id == id)
        else {
            return;
        };
        if entry.resolution.elements.len() == 1 {
            self.entries.remove(handle);
            return;
        }
        Arc::make_mut(&mut entry.resolution).elements.remove(row);
        entry.turn.forget(row);
    }

    fn make_room(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
        if let Some(handle) = oldest.map(|(handle, _)| handle.clone()) {
            self.entries.remove(&handle);
        }
    }
}

/// True where what was asked with `had` answers what is asked with `wanted`; `None` asks for all.
pub(super) fn covers(had: Option<u32>, wanted: Option<u32>) -> bool {
    match (had, wanted) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(had), Some(wanted)) => had >= wanted,
    }
}
