//! Deadlines: one for each key, the earliest first.

use std::collections::BTreeMap;

use crate::packed_u64::PackedU64;
use crate::time::Time;

/// Children of a node of the heap.
const FANOUT: usize = 4;

/// What a deadline is for.
pub trait Key: Copy + Ord {
    /// The row of this key in a table that is as long as the largest row, for keys that there are
    /// many of. Of those with the same row only one is armed at a time. `None`, the default, is
    /// for the others.
    fn row(self) -> Option<usize> {
        None
    }
}

/// One deadline for each key, in a heap that knows where each key is. What is armed again moves,
/// so that there is never more than one entry of a key; each change costs O(log n), and most less.
///
/// Times are kept as nanoseconds, to 584 years after the origin; later ones count as that.
#[derive(Clone, Debug)]
pub struct Deadlines<K> {
    /// The earliest on top; of equal times, the smallest key.
    heap: Vec<Entry<K>>,
    /// For each row the place in the heap, or [`NOWHERE`].
    places: Vec<u32>,
    /// The places of keys without a row.
    others: BTreeMap<K, u32>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Entry<K> {
    at: PackedU64,
    key: K,
}

const NOWHERE: u32 = u32::MAX;

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { heap: Vec::new(), places: Vec::new(), others: BTreeMap::new() }
    }
}

impl<K: Key> Deadlines<K> {
    /// Arms the timer of a key; an armed one is moved, and that of another key with the same row
    /// ends.
    pub fn arm(&mut self, key: K, deadline: Time) {
        let entry = Entry { at: deadline.packed(), key };
        let place = self.known_place(key).unwrap_or(self.heap.len());
        if place == self.heap.len() {
            self.heap.push(entry);
        }
        self.settle(place, entry);
    }

    /// Disarms the timer of a key. False where it was not armed.
    pub fn disarm(&mut self, key: K) -> bool {
        let Some(place) = self.place(key) else { return false };
        self.put_down(key, NOWHERE);
        let last = self.heap.pop();
        if let Some(last) = last.filter(|_| place < self.heap.len()) {
            self.settle(place, last);
        }
        true
    }

    /// Disarms and returns the key with the earliest deadline that is due at `now`; of equal
    /// deadlines that of the smallest key.
    pub fn pop_due(&mut self, now: Time) -> Option<K> {
        let key = self.heap.first()?.key;
        (self.next()? <= now && self.disarm(key)).then_some(key)
    }

    /// The deadline of a key.
    pub fn deadline(&self, key: K) -> Option<Time> {
        self.place(key).map(|place| Time::unpacked(self.heap[place].at))
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Time> {
        self.heap.first().map(|entry| Time::unpacked(entry.at))
    }

    /// How many timers are armed.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// True where no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Where this key is in the heap.
    fn place(&self, key: K) -> Option<usize> {
        self.known_place(key).filter(|&place| self.heap[place].key == key)
    }

    /// Where this key is, or another one with its row.
    fn known_place(&self, key: K) -> Option<usize> {
        let place = match key.row() {
            Some(row) => *self.places.get(row)?,
            None => *self.others.get(&key)?,
        };
        (place != NOWHERE).then_some(place as usize)
    }

    fn put_down(&mut self, key: K, place: u32) {
        match key.row() {
            Some(row) => {
                if self.places.len() <= row {
                    self.places.resize(row + 1, NOWHERE);
                }
                self.places[row] = place;
            }
            None if place == NOWHERE => {
                self.others.remove(&key);
            }
            None => {
                self.others.insert(key, place);
            }
        }
    }

    /// Puts an entry at a place that is free for it, or where the heap wants it instead.
    fn settle(&mut self, mut place: usize, entry: Entry<K>) {
        while place > 0 && entry < self.heap[(place - 1) / FANOUT] {
            let parent = (place - 1) / FANOUT;
            self.put(place, self.heap[parent]);
            place = parent;
        }
        while let Some((child, earliest)) = self.earliest_child(place)
            && earliest < entry
        {
            self.put(place, earliest);
            place = child;
        }
        self.put(place, entry);
    }

    fn earliest_child(&self, place: usize) -> Option<(usize, Entry<K>)> {
        let first = place * FANOUT + 1;
        let children = self.heap.iter().copied().enumerate().skip(first).take(FANOUT);
        children.min_by_key(|&(_, entry)| entry)
    }

    fn put(&mut self, place: usize, entry: Entry<K>) {
        self.heap[place] = entry;
        self.put_down(entry.key, u32::try_from(place).unwrap_or(NOWHERE));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    impl Key for u16 {
        /// Every other one has a row.
        fn row(self) -> Option<usize> {
            self.is_multiple_of(2).then_some(self.into())
        }
    }

    fn at(millis: u64) -> Time {
        Time::from_origin(Duration::from_millis(millis))
    }

    #[test]
    fn equal_deadlines_come_in_the_order_of_their_keys() {
        let mut deadlines = Deadlines::default();
        for key in [3_u16, 1, 2] {
            deadlines.arm(key, at(5));
        }
        deadlines.arm(0, at(6));
        let due: Vec<u16> = std::iter::from_fn(|| deadlines.pop_due(at(5))).collect();
        assert_eq!((due, deadlines.next()), (vec![1, 2, 3], Some(at(6))));
    }

    #[test]
    fn of_keys_with_one_row_the_latest_counts() {
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        struct Generation(u32);
        impl Key for Generation {
            fn row(self) -> Option<usize> {
                Some(0)
            }
        }
        let mut deadlines = Deadlines::default();
        deadlines.arm(Generation(1), at(5));
        deadlines.arm(Generation(2), at(6));
        assert!(!deadlines.disarm(Generation(1)));
        assert_eq!(deadlines.deadline(Generation(1)), None);
        assert_eq!(deadlines.pop_due(at(5)), None);
        assert_eq!(deadlines.pop_due(at(6)), Some(Generation(2)));
        assert!(deadlines.is_empty());
    }

    #[test]
    fn the_end_of_time_is_kept() {
        let mut deadlines = Deadlines::default();
        deadlines.arm(1, Time::ZERO + Duration::MAX);
        assert_eq!(deadlines.pop_due(at(u64::MAX / 1_000_001)), None);
        assert_eq!(deadlines.pop_due(Time::ZERO + Duration::MAX), Some(1));
    }

    proptest! {
        #[test]
        fn does_what_a_search_through_all_does(
            steps in prop::collection::vec((0..4u8, 0..60u16, 0..30u64), 1..600),
        ) {
            let (mut deadlines, mut plain) = (Deadlines::default(), BTreeMap::new());
            for (kind, key, millis) in steps {
                match kind {
                    0 | 1 => {
                        deadlines.arm(key, at(millis));
                        plain.insert(key, at(millis));
                    }
                    2 => prop_assert_eq!(deadlines.disarm(key), plain.remove(&key).is_some()),
                    _ => {
                        let due = plain.iter().filter(|entry| *entry.1 <= at(millis));
                        let due = due.min_by_key(|(key, deadline)| (**deadline, **key));
                        let due = due.map(|(&key, _)| key);
                        prop_assert_eq!(deadlines.pop_due(at(millis)), due);
                        due.and_then(|key| plain.remove(&key));
                    }
                }
                prop_assert_eq!(deadlines.next(), plain.values().min().copied());
                prop_assert_eq!(deadlines.len(), plain.len());
                prop_assert_eq!(deadlines.is_empty(), plain.is_empty());
                prop_assert_eq!(deadlines.deadline(key), plain.get(&key).copied());
            }
        }
    }
}
