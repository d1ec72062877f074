/// Numbered slots for what a selection keeps of each element.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<T>,
    /// Empty slots, the latest freed on top.
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts a value on a slot.
    pub(super) fn take(&mut self, value: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = value;
            return slot;
        }
        self.slots.push(value);
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    /// Empties a slot that is taken.
    pub(super) fn leave(&mut self, slot: u32) {
        self.free.push(slot);
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, slot: u32) -> &T {
        &self.slots[slot as usize]
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        &mut self.slots[slot as usize]
    }
}
