use std::collections::BTreeMap;

use rserpool_wire::checksum::ChecksumSum;
use rserpool_wire::param::{PeChecksum, PeId, PoolHandle, RegistrarId, SctpTransport};

use super::Handlespace;
use super::element::{ElementIndex, Stored};
use super::members::Member;
use super::reach::Reach;

/// Who is at home where: for each registrar the pools in which it has elements, how many these
/// are, and their checksum (RFC 5353 §3.6.2). The elements themselves are listed in their pools.
#[derive(Debug, Default)]
pub(super) struct Homes(BTreeMap<Option<RegistrarId>, Home>);

/// What belongs to one registrar.
#[derive(Debug, Default)]
pub(super) struct Home {
    /// The pools with elements of this home.
    pub(super) pools: BTreeMap<PoolHandle, Part>,
    pub(super) count: usize,
    pub(super) sum: ChecksumSum,
    /// Of those that do not reach everywhere, by how far they do.
    near: [ChecksumSum; Reach::NEAR],
}

/// The elements of a pool that belong to one registrar.
#[derive(Debug)]
pub(super) struct Part {
    /// The slot of the pool.
    pub(super) pool: u32,
    /// How many these are; at least one.
    count: u32,
}

impl Homes {
    /// An element comes to a home.
    pub(super) fn add(
        &mut self,
        home: Option<RegistrarId>,
        handle: &PoolHandle,
        pool: u32,
        id: PeId,
        reach: Reach,
    ) {
        let home = self.0.entry(home).or_default();
        home.count += 1;
        home.sum.add(handle, id);
        if let Some(near) = home.near.get_mut(reach as usize) {
            near.add(handle, id);
        }
        match home.pools.get_mut(handle) {
            Some(part) => part.count += 1,
            None => {
                home.pools.insert(handle.clone(), Part { pool, count: 1 });
            }
        }
    }

    /// An element leaves a home.
    pub(super) fn remove(
        &mut self,
        home: Option<RegistrarId>,
        handle: &PoolHandle,
        id: PeId,
        reach: Reach,
    ) {
        let Some(entry) = self.0.get_mut(&home) else { return };
        entry.count -= 1;
        entry.sum.remove(handle, id);
        if let Some(near) = entry.near.get_mut(reach as usize) {
            near.remove(handle, id);
        }
        if let Some(part) = entry.pools.get_mut(handle) {
            part.count -= 1;
            if part.count == 0 {
                entry.pools.remove(handle);
            }
        }
        if entry.count == 0 {
            self.0.remove(&home);
        }
    }

    /// An element reaches as far as the second now, and no more as far as the first.
    pub(super) fn change_reach(
        &mut self,
        home: Option<RegistrarId>,
        handle: &PoolHandle,
        id: PeId,
        (old, new): (Reach, Reach),
    ) {
        let Some(home) = self.0.get_mut(&home) else { return };
        if let Some(near) = home.near.get_mut(old as usize) {
            near.remove(handle, id);
        }
        if let Some(near) = home.near.get_mut(new as usize) {
            near.add(handle, id);
        }
    }

    /// What belongs to a registrar, `None` where nothing does.
    pub(super) fn of(&self, home: RegistrarId) -> Option<&Home> {
        self.0.get(&Some(home))
    }

    /// All registrars that are the home of something.
    pub(super) fn registrars(&self) -> impl Iterator<Item = RegistrarId> + '_ {
        self.0.keys().copied().flatten()
    }
}

impl Handlespace {
    /// The checksum over the elements of one home (RFC 5353 §3.6.2).
    pub fn checksum(&self, home: RegistrarId) -> PeChecksum {
        self.homes.of(home).map_or_else(ChecksumSum::default, |home| home.sum).checksum()
    }

    /// The checksum over those of them that reach so far: what somebody there may be told of.
    pub fn checksum_within(&self, home: RegistrarId, reach: Reach) -> PeChecksum {
        let Some(home) = self.homes.of(home) else { return ChecksumSum::default().checksum() };
        let near = home.near[..reach as usize].iter();
        near.fold(home.sum, |sum, near| sum.without(*near)).checksum()
    }

    /// The home of an element; `None` where it is undetermined, or the element gone.
    pub fn home(&self, index: ElementIndex) -> Option<RegistrarId> {
        self.stored(index)?.element.home
    }

    /// How many elements have this home.
    pub fn owned_count(&self, home: RegistrarId) -> usize {
        self.homes.of(home).map_or(0, |home| home.count)
    }

    /// How many elements of a pool have this home.
    pub fn owned_count_in(&self, home: RegistrarId, handle: &PoolHandle) -> usize {
        let part = self.homes.of(home).and_then(|home| home.pools.get(handle));
        part.map_or(0, |part| part.count as usize)
    }

    /// The registrars that are the home of something, by identifier.
    pub fn homes(&self) -> impl Iterator<Item = RegistrarId> + '_ {
        self.homes.registrars()
    }

    /// The elements of one home, by pool handle and identifier.
    pub fn owned_by(&self, home: RegistrarId) -> impl Iterator<Item = ElementIndex> + '_ {
        let pools = self.homes.of(home).into_iter().flat_map(|home| home.pools.values());
        let slots = pools.flat_map(move |it| self.pools[it.pool].slots_after(None, Some(home)));
        slots.map(|slot| ElementIndex::of(&self.elements, slot))
    }

    /// Gives an element another home; its mark is cleared. False where it is gone.
    pub fn set_home(&mut self, index: ElementIndex, home: RegistrarId) -> bool {
        if self.stored(index).is_none() {
            return false;
        }
        self.move_home(index.slot, Some(home));
        self.elements[index.slot].marked = false;
        true
    }

    /// Gives all elements of one home another one (RFC 5353 §3.5.2), and clears their marks.
    /// Returns how many there were.
    pub fn rehome_all(&mut self, from: RegistrarId, to: RegistrarId) -> usize {
        let moved: Vec<ElementIndex> = self.owned_by(from).collect();
        for &index in &moved {
            self.set_home(index, to);
        }
        moved.len()
    }

    /// Where registrars reach an element, learned from its association. False where it is gone.
    pub fn set_asap_transport(&mut self, index: ElementIndex, transport: SctpTransport) -> bool {
        if self.stored(index).is_none() {
            return false;
        }
        self.elements[index.slot].element.asap_transport = Some(transport);
        true
    }

    /// Marks all elements of one home, as a resynchronisation begins (RFC 5353 §3.6.3). A
    /// registration of an element clears its mark.
    pub fn mark_all(&mut self, home: RegistrarId) {
        let owned: Vec<ElementIndex> = self.owned_by(home).collect();
        for index in owned {
            self.elements[index.slot].marked = true;
        }
    }

    /// Clears one mark.
    pub fn clear_mark(&mut self, index: ElementIndex) {
        if self.stored(index).is_some() {
            self.elements[index.slot].marked = false;
        }
    }

    /// Ends a resynchronisation: clears the marks of one home, and returns whose they were, by pool
    /// handle and identifier. The caller deregisters these where the table was complete.
    pub fn drain_marked(&mut self, home: RegistrarId) -> Vec<ElementIndex> {
        let mut marked: Vec<ElementIndex> = self.owned_by(home).collect();
        marked.retain(|index| std::mem::take(&mut self.elements[index.slot].marked));
        marked
    }

    /// Moves an element from its home to this one.
    pub(super) fn move_home(&mut self, slot: u32, home: Option<RegistrarId>) {
        let Stored { element, pool: number, reach, .. } = &mut self.elements[slot];
        let (id, from) = (element.id, std::mem::replace(&mut element.home, home));
        if from == home {
            return;
        }
        let pool = &mut self.pools[*number];
        pool.members.insert(id, Member { slot, home });
        self.homes.remove(from, &pool.handle, id, *reach);
        self.homes.add(home, &pool.handle, *number, id, *reach);
    }
}
