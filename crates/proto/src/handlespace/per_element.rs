use std::num::NonZeroU32;

use super::element::ElementIndex;

/// Rows in one allocation: growing never moves what is there.
const PAGE: usize = 128;

/// What is known of elements beyond the handlespace: a map by [`ElementIndex`] that takes little
/// more than its values, as long as those are together. Its order is that of the indexes.
#[derive(Debug)]
pub struct PerElement<T> {
    /// Rows by the slots of their elements. A page without a value may have no rows.
    pages: Vec<Vec<Option<Row<T>>>>,
    len: usize,
}

#[derive(Debug)]
struct Row<T> {
    generation: NonZeroU32,
    value: T,
}

impl<T> Default for PerElement<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

impl<T> PerElement<T> {
    /// The value of an element; one that is new has the default.
    pub fn get_or_default(&mut self, index: ElementIndex) -> &mut T
    where
        T: Default,
    {
        let (page, row) = place(index);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, Vec::new);
        }
        let page = &mut self.pages[page];
        if page.is_empty() {
            page.reserve_exact(PAGE);
            page.resize_with(PAGE, || None);
        }
        let row = &mut page[row];
        // Of two elements in one slot the earlier one is gone.
        if let Some(old) = row.take_if(|row| row.generation != index.generation) {
            drop(old);
            self.len -= 1;
        }
        if row.is_none() {
            self.len += 1;
        }
        let fresh = || Row { generation: index.generation, value: T::default() };
        &mut row.get_or_insert_with(fresh).value
    }

    /// Takes a value out.
    pub fn remove(&mut self, index: ElementIndex) -> Option<T> {
        let (page, row) = place(index);
        let row = self.pages.get_mut(page)?.get_mut(row)?;
        let row = row.take_if(|row| row.generation == index.generation)?;
        self.len -= 1;
        Some(row.value)
    }

    /// Takes all values out.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The value of an element.
    pub fn get(&self, index: ElementIndex) -> Option<&T> {
        let (page, row) = place(index);
        let row = self.pages.get(page)?.get(row)?.as_ref();
        row.filter(|row| row.generation == index.generation).map(|row| &row.value)
    }

    /// The value of an element, to be changed.
    pub fn get_mut(&mut self, index: ElementIndex) -> Option<&mut T> {
        let (page, row) = place(index);
        let row = self.pages.get_mut(page)?.get_mut(row)?.as_mut();
        row.filter(|row| row.generation == index.generation).map(|row| &mut row.value)
    }

    /// True where an element has a value.
    pub fn contains(&self, index: ElementIndex) -> bool {
        self.get(index).is_some()
    }

    /// How many elements have one.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True where none has.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All elements with a value, in the order of their indexes.
    pub fn iter(&self) -> impl Iterator<Item = (ElementIndex, &T)> {
        self.after(None)
    }

    /// All elements with a value that come after this one, in the order of their indexes.
    pub fn after(&self, index: Option<ElementIndex>) -> impl Iterator<Item = (ElementIndex, &T)> {
        let first = index.map_or(0, |index| index.slot() + 1);
        let pages = self.pages.iter().enumerate().skip(first / PAGE);
        let rows = pages.flat_map(|(page, rows)| {
            rows.iter().enumerate().map(move |(row, it)| (page * PAGE + row, it))
        });
        rows.skip_while(move |(slot, _)| *slot < first).filter_map(|(slot, row)| {
            let Row { generation, value } = row.as_ref()?;
            let slot = u32::try_from(slot).ok()?;
            Some((ElementIndex { slot, generation: *generation }, value))
        })
    }
}

fn place(index: ElementIndex) -> (usize, usize) {
    (index.slot() / PAGE, index.slot() % PAGE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn index(slot: u32, generation: u32) -> ElementIndex {
        let generation = NonZeroU32::MIN.saturating_add(generation);
        ElementIndex { slot, generation }
    }

    proptest! {
        #[test]
        fn does_what_a_map_does(steps in prop::collection::vec((0..3u8, 0..300u32), 0..300)) {
            let (mut rows, mut map) = (PerElement::default(), BTreeMap::new());
            for (kind, slot) in steps {
                let at = index(slot, 0);
                match kind {
                    0 | 1 => {
                        *rows.get_or_default(at) += slot;
                        *map.entry(at).or_insert(0) += slot;
                    }
                    _ => prop_assert_eq!(rows.remove(at), map.remove(&at)),
                }
                prop_assert_eq!(rows.get(at), map.get(&at));
                prop_assert_eq!(rows.get_mut(at), map.get_mut(&at));
                prop_assert_eq!((rows.len(), rows.is_empty()), (map.len(), map.is_empty()));
            }
            for slot in [0, 127, 128, 299] {
                let after = rows.after(Some(index(slot, 0))).map(|(at, value)| (at, *value));
                let wanted = map.iter().filter(|(at, _)| at.slot > slot);
                prop_assert!(after.eq(wanted.map(|(at, value)| (*at, *value))));
            }
            prop_assert!(rows.iter().map(|(at, value)| (at, *value)).eq(map));
        }
    }

    #[test]
    fn the_next_element_in_a_slot_has_nothing_of_the_one_before() {
        let mut rows = PerElement::default();
        *rows.get_or_default(index(7, 0)) = 1;
        assert!(!rows.contains(index(7, 1)));
        assert_eq!(rows.remove(index(7, 1)), None);
        assert_eq!(*rows.get_or_default(index(7, 1)), 0);
        assert_eq!((rows.get(index(7, 0)), rows.len()), (None, 1));
        rows.clear();
        assert!(rows.is_empty() && rows.get(index(7, 1)).is_none());
    }
}
