use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};

use crate::time::Time;

/// One deadline for each key. What is armed again moves, so that there is never more than one
/// entry of a key; each change costs O(log n).
#[derive(Clone, Debug)]
pub struct Deadlines<K> {
    of: HashMap<K, Time, BuildHasherDefault<DefaultHasher>>,
    in_order: BTreeSet<(Time, K)>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { of: HashMap::default(), in_order: BTreeSet::new() }
    }
}

impl<K: Copy + Eq + Hash + Ord> Deadlines<K> {
    /// Arms the timer of a key; an armed one is moved.
    pub fn arm(&mut self, key: K, deadline: Time) {
        if let Some(before) = self.of.insert(key, deadline) {
            self.in_order.remove(&(before, key));
        }
        self.in_order.insert((deadline, key));
    }

    /// Disarms the timer of a key. False where it was not armed.
    pub fn disarm(&mut self, key: K) -> bool {
        let deadline = self.of.remove(&key);
        deadline.is_some_and(|deadline| self.in_order.remove(&(deadline, key)))
    }

    /// Disarms and returns the key with the earliest deadline that is due at `now`; of equal
    /// deadlines that of the smallest key.
    pub fn pop_due(&mut self, now: Time) -> Option<K> {
        let &(deadline, key) = self.in_order.first()?;
        if deadline > now {
            return None;
        }
        self.disarm(key);
        Some(key)
    }

    /// The deadline of a key.
    pub fn deadline(&self, key: K) -> Option<Time> {
        self.of.get(&key).copied()
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Time> {
        self.in_order.first().map(|&(deadline, _)| deadline)
    }

    /// How many timers are armed.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// True where no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_origin(Duration::from_millis(millis))
    }

    #[test]
    fn equal_deadlines_come_in_the_order_of_their_keys() {
        let mut deadlines = Deadlines::default();
        for key in [3, 1, 2] {
            deadlines.arm(key, at(5));
        }
        deadlines.arm(0, at(6));
        let due: Vec<i32> = std::iter::from_fn(|| deadlines.pop_due(at(5))).collect();
        assert_eq!((due, deadlines.next()), (vec![1, 2, 3], Some(at(6))));
    }

    proptest! {
        #[test]
        fn does_what_a_search_through_all_does(
            steps in prop::collection::vec((0..4u8, 0..20u16, 0..30u64), 1..300),
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
