use rserpool_wire::param::{PeId, PoolHandle};

use super::element::ElementIndex;
use super::{Handlespace, PoolView};

/// The seat of an element that has none in the selection of its pool.
pub(super) const NO_SEAT: u32 = u32::MAX;

impl Handlespace {
    /// Lists an element no more, now that it is there or when it comes: it is as before but in
    /// resolutions. Whether what is listed has changed.
    pub fn withhold(&mut self, handle: &PoolHandle, id: PeId) -> bool {
        self.withheld.entry(handle.clone()).or_default().insert(id);
        self.find(handle, id).is_some_and(|index| self.leave_seat(index.slot))
    }

    /// Lists it again. Whether what is listed has changed.
    pub fn list_again(&mut self, handle: &PoolHandle, id: PeId) -> bool {
        let Some(ids) = self.withheld.get_mut(handle) else { return false };
        if !ids.remove(&id) {
            return false;
        }
        if ids.is_empty() {
            self.withheld.remove(handle);
        }
        self.find(handle, id).is_some_and(|index| self.take_seat(index.slot))
    }

    /// Whether resolutions list it, as far as it reaches and its policy says.
    pub fn is_listed(&self, index: ElementIndex) -> bool {
        self.stored(index).is_some_and(|stored| stored.seat != NO_SEAT)
    }

    /// One that has just come, and has a seat.
    pub(super) fn withhold_newcomer(&mut self, number: u32, id: PeId, slot: u32) {
        let ids = self.withheld.get(&self.pools[number].handle);
        if ids.is_some_and(|ids| ids.contains(&id)) {
            self.leave_seat(slot);
        }
    }

    fn leave_seat(&mut self, slot: u32) -> bool {
        let stored = &mut self.elements[slot];
        let seat = std::mem::replace(&mut stored.seat, NO_SEAT);
        if seat == NO_SEAT {
            return false;
        }
        let pool = &mut self.pools[stored.pool];
        pool.near.remove(stored.reach);
        pool.withheld += 1;
        if let Some(moved) = pool.selection.remove(seat).filter(|moved| *moved != slot) {
            self.elements[moved].seat = seat;
        }
        true
    }

    fn take_seat(&mut self, slot: u32) -> bool {
        let stored = &mut self.elements[slot];
        if stored.seat != NO_SEAT {
            return false;
        }
        let pool = &mut self.pools[stored.pool];
        pool.near.add(stored.reach);
        pool.withheld -= 1;
        stored.seat = pool.selection.insert(slot, stored.element.id, &stored.element.policy);
        true
    }
}

impl PoolView<'_> {
    /// How many of its elements resolutions may list: those that are not withheld.
    pub fn listed(&self) -> usize {
        self.pool.members.len() - self.pool.withheld as usize
    }
}
