use std::ops::Bound;

use rserpool_wire::param::{PeId, PoolElement, PoolHandle, RegistrarId};

use super::Handlespace;
use super::element::ElementView;
use super::pool::PoolView;
use super::reach::Reach;

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
        self.table_within(cursor, home, Reach::Nowhere)
    }

    /// The same of the elements that reach so far.
    pub fn table_within<'a>(
        &'a self,
        cursor: Option<&(PoolHandle, PeId)>,
        home: Option<RegistrarId>,
        reach: Reach,
    ) -> impl Iterator<Item = (&'a PoolHandle, &'a PoolElement)> + use<'a> {
        let cursor = cursor.cloned();
        let start = cursor.as_ref().map_or(Bound::Unbounded, |(handle, _)| Bound::Included(handle));
        let range = (start, Bound::Unbounded);
        let everyone = home.is_none().then(|| self.in_order.range::<PoolHandle, _>(range));
        let owned = home.and_then(|home| self.homes.of(home));
        let owned = owned.map(|home| home.pools.range::<PoolHandle, _>(range));
        let everyone = everyone.into_iter().flatten().map(|(handle, &number)| (handle, number));
        let owned = owned.into_iter().flatten().map(|(handle, part)| (handle, part.pool));
        everyone.chain(owned).flat_map(move |(handle, number)| {
            let after = cursor.as_ref().filter(|cursor| cursor.0 == *handle).map(|cursor| cursor.1);
            let slots = self.pools[number].slots_after(after, home);
            let stored = slots.map(move |slot| &self.elements[slot]);
            let told = stored.filter(move |stored| stored.reach >= reach);
            told.map(move |stored| (handle, &stored.element))
        })
    }

    /// All elements, by pool handle and identifier, behind `cursor`, as
    /// [`table_after`](Self::table_after) has them.
    pub fn elements_after<'a>(
        &'a self,
        cursor: Option<&(PoolHandle, PeId)>,
    ) -> Box<dyn Iterator<Item = ElementView<'a>> + 'a> {
        let cursor = cursor.cloned();
        let start = cursor.as_ref().map_or(Bound::Unbounded, |(handle, _)| Bound::Included(handle));
        let pools = self.in_order.range::<PoolHandle, _>((start, Bound::Unbounded));
        Box::new(pools.flat_map(move |(handle, &number)| {
            let after = cursor.as_ref().filter(|cursor| cursor.0 == *handle).map(|cursor| cursor.1);
            self.views(number, after)
        }))
    }

    /// The elements of a pool, by identifier, behind `cursor`; none where there is no such pool, or
    /// the cursor is in a later one.
    pub fn elements_of<'a>(
        &'a self,
        handle: &PoolHandle,
        cursor: Option<&(PoolHandle, PeId)>,
    ) -> Box<dyn Iterator<Item = ElementView<'a>> + 'a> {
        let is_over = cursor.is_some_and(|(at, _)| at > handle);
        let number = self.by_handle.get(handle).filter(|_| !is_over);
        let after = cursor.filter(|(at, _)| at == handle).map(|(_, id)| *id);
        Box::new(number.into_iter().flat_map(move |&number| self.views(number, after)))
    }

    fn views(&self, number: u32, after: Option<PeId>) -> impl Iterator<Item = ElementView<'_>> {
        let pool = &self.pools[number];
        let slots = pool.slots_after(after, None);
        slots.map(move |slot| ElementView::of(pool, &self.elements, slot))
    }

    /// The pools whose handles begin with `prefix`, by handle, behind this one.
    pub fn pools_after<'a>(
        &'a self,
        after: Option<&PoolHandle>,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = PoolView<'a>> + use<'a> {
        let first = PoolHandle::new(prefix);
        let after = after.filter(|after| first.as_ref().is_none_or(|first| *after >= first));
        let start = match (after, first.as_ref()) {
            (Some(after), _) => Bound::Excluded(after),
            (None, Some(first)) => Bound::Included(first),
            (None, None) => Bound::Unbounded,
        };
        let pools = self.in_order.range::<PoolHandle, _>((start, Bound::Unbounded));
        let pools = pools.take_while(move |(handle, _)| handle.as_bytes().starts_with(prefix));
        pools.map(|(_, &number)| PoolView { pool: &self.pools[number], elements: &self.elements })
    }

    /// All pools, by handle.
    pub fn pools(&self) -> impl Iterator<Item = PoolView<'_>> {
        let pools = self.in_order.values().map(|&number| &self.pools[number]);
        pools.map(|pool| PoolView { pool, elements: &self.elements })
    }
}
