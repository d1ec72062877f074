use std::ops::Bound;

use rserpool_wire::param::{PeId, PoolElement, PoolHandle, RegistrarId};

use super::Handlespace;
use super::pool::PoolView;

impl Handlespace {
    /// All elements, or those of one home, by pool handle and identifier, behind `cursor`: what a
    /// handle table tells (RFC 5353 §3.2.3).
    ///
    /// The cursor is the last one that was told. It may be gone since, and elements may have come
    /// and gone everywhere: whoever stays is told once, whoever comes behind the cursor, too.
    pub fn table_after<'a>(
        &'a self,
        cursor: Option<&(PoolHandle, PeId)>,
        home: Option<RegistrarId>,
    ) -> impl Iterator<Item = (&'a PoolHandle, &'a PoolElement)> + use<'a> {
        let cursor = cursor.cloned();
        let start = cursor.as_ref().map_or(Bound::Unbounded, |(handle, _)| Bound::Included(handle));
        let range = (start, Bound::Unbounded);
        let everyone = home.is_none().then(|| self.in_order.range::<PoolHandle, _>(range));
        let owned = home.and_then(|home| self.homes.of(home));
        let owned = owned.map(|home| home.pools.range::<PoolHandle, _>(range));
        let pools = everyone.into_iter().flatten().chain(owned.into_iter().flatten());
        pools.flat_map(move |(handle, &number)| {
            let after = cursor.as_ref().filter(|cursor| cursor.0 == *handle).map(|cursor| cursor.1);
            self.slots_after(number, after, home)
                .map(move |slot| (handle, &self.elements[slot].element))
        })
    }

    /// The slots of a pool's elements, or of those of one home, by identifier, behind `after`.
    fn slots_after(
        &self,
        pool: u32,
        after: Option<PeId>,
        home: Option<RegistrarId>,
    ) -> impl Iterator<Item = u32> + '_ {
        let pool = &self.pools[pool];
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let everyone = home.is_none().then(|| pool.members.range((start, Bound::Unbounded)));
        let owned = home.map(|home| pool.homed_at(Some(home), after));
        everyone.into_iter().flatten().map(|(_, &slot)| slot).chain(owned.into_iter().flatten())
    }

    /// All pools, by handle.
    pub fn pools(&self) -> impl Iterator<Item = PoolView<'_>> {
        let pools = self.in_order.values().map(|&number| &self.pools[number]);
        pools.map(|pool| PoolView { pool, elements: &self.elements })
    }
}
