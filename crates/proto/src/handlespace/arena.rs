use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

/// Slots in one allocation: growing never moves what is there.
const PAGE: usize = 128;

/// Values in numbered slots. A slot keeps its number; its generation tells its occupants apart.
#[derive(Debug)]
pub(super) struct Arena<T> {
    pages: Vec<Vec<Slot<T>>>,
    /// Empty slots, the latest on top.
    free: Vec<u32>,
    len: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: NonZeroU32,
    value: Option<T>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Arena<T> {
    /// Puts a value into a slot. The caller keeps the number of values below `u32::MAX`.
    pub(super) fn insert(&mut self, value: T) -> (u32, NonZeroU32) {
        let number = self.free.pop().unwrap_or_else(|| self.extend());
        let slot = &mut self.pages[number as usize / PAGE][number as usize % PAGE];
        slot.value = Some(value);
        self.len += 1;
        (number, slot.generation)
    }

    fn extend(&mut self) -> u32 {
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let before = (self.pages.len() - 1) * PAGE;
        let page = &mut self.pages[before / PAGE];
        page.push(Slot { generation: NonZeroU32::MIN, value: None });
        u32::try_from(before + page.len() - 1).unwrap_or(u32::MAX)
    }

    /// Empties a slot.
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let slot = self.slot_mut(number)?;
        let value = slot.value.take()?;
        // A slot whose generations are used up stays empty for ever.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(number);
        }
        self.len -= 1;
        Some(value)
    }

    /// What is in a slot, and since which generation; `None` for an empty slot.
    pub(super) fn get(&self, number: u32) -> Option<(NonZeroU32, &T)> {
        let slot = self.slot(number)?;
        Some((slot.generation, slot.value.as_ref()?))
    }

    /// The generation of a slot that exists.
    pub(super) fn generation(&self, number: u32) -> NonZeroU32 {
        self.pages[number as usize / PAGE][number as usize % PAGE].generation
    }

    /// Number of values.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    fn slot(&self, number: u32) -> Option<&Slot<T>> {
        self.pages.get(number as usize / PAGE)?.get(number as usize % PAGE)
    }

    fn slot_mut(&mut self, number: u32) -> Option<&mut Slot<T>> {
        self.pages.get_mut(number as usize / PAGE)?.get_mut(number as usize % PAGE)
    }
}

/// What is in a slot that the handlespace's own tables name: it is not empty.
impl<T> Index<u32> for Arena<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        let Some(value) = self.slot(number).and_then(|slot| slot.value.as_ref()) else {
            unreachable!("slot {number} is empty");
        };
        value
    }
}

impl<T> IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        let Some(value) = self.slot_mut(number).and_then(|slot| slot.value.as_mut()) else {
            unreachable!("slot {number} is empty");
        };
        value
    }
}
