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
