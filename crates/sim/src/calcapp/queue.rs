use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What is ordered by a number that is no integer, the smallest first.
#[derive(Debug)]
pub(super) struct Queue<T>(BinaryHeap<Entry<T>>);

#[derive(Debug)]
struct Entry<T> {
    at: f64,
    /// Says who is first among equals: who has less of it.
    number: u64,
    item: T,
}

impl<T> Queue<T> {
    /// Without anything in it.
    pub(super) fn new() -> Self {
        Self(BinaryHeap::new())
    }

    /// Puts something in; of equals the one with the smaller number is first.
    pub(super) fn push(&mut self, at: f64, number: u64, item: T) {
        self.0.push(Entry { at, number, item });
    }

    /// Takes the first out.
    pub(super) fn pop(&mut self) -> Option<(f64, T)> {
        self.0.pop().map(|first| (first.at, first.item))
    }

    /// Takes all out, in no order.
    pub(super) fn take(&mut self) -> Vec<T> {
        std::mem::take(&mut self.0).into_vec().into_iter().map(|entry| entry.item).collect()
    }

    /// Where the first is.
    pub(super) fn first(&self) -> Option<f64> {
        self.0.peek().map(|first| first.at)
    }

    /// True where there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The greatest is what comes first.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at).then_with(|| other.number.cmp(&self.number))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}
