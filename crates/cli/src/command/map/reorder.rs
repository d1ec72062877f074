//! Results in the order of their numbers, whichever comes first.

use std::collections::BTreeMap;

/// What came ahead of its turn.
#[derive(Debug)]
pub(super) struct Reorder<T> {
    next: u64,
    early: BTreeMap<u64, T>,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Self { next: 1, early: BTreeMap::new() }
    }
}

impl<T> Reorder<T> {
    /// Keeps the result of that number; numbers begin with 1.
    pub(super) fn put(&mut self, number: u64, result: T) {
        self.early.insert(number, result);
    }

    /// The result whose turn it is, if it is there.
    pub(super) fn take(&mut self) -> Option<T> {
        let result = self.early.remove(&self.next)?;
        self.next += 1;
        Some(result)
    }

    /// How many wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.early.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_out_in_order() {
        let mut order = Reorder::default();
        order.put(2, "b");
        order.put(3, "c");
        assert_eq!((order.take(), order.waiting()), (None, 2));
        order.put(1, "a");
        let taken: Vec<_> = std::iter::from_fn(|| order.take()).collect();
        assert_eq!(taken, ["a", "b", "c"]);
    }
}
