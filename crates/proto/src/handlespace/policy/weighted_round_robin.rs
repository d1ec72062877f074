use std::collections::BTreeSet;

use rserpool_wire::param::{PeId, Policy, PolicyField};

use super::Request;
use super::slab::Slab;

/// One after the other in proportion to weights, spread evenly (RFC 5356 §4.2): earliest deadline
/// first.
///
/// Time is counted in rounds. In each round an element of weight `w` has `w` turns, evenly spread:
/// the `k`th, from 0, is due at `(2k + 1) / 2w` of the round. Whoever is due first is selected, of
/// those due together the one with the lowest identifier; weights 1, 2, 3 give 3 2 1 3 2 3. Present
/// is the turn that was taken last.
///
/// An element that comes waits for its first turn after the present, so that it neither is owed nor
/// owes anything. One that changes its weight keeps what it has waited: if half of its wait was
/// over, half of the new one is left, and its turns go on from there. Weight 0 has no turns.
#[derive(Debug)]
pub(in crate::handlespace) struct WeightedRoundRobin {
    entries: Slab<Entry>,
    in_order: BTreeSet<Turn>,
    present: Moment,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    slot: u32,
    id: PeId,
    weight: u32,
    /// The turn that it waits for, counted from `origin`; below `weight` but for weight 0.
    step: u32,
    /// When a round of its turns began: one of the pool's rounds, unless its weight changed.
    origin: Moment,
}

/// A turn of an element.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Turn {
    due: Moment,
    id: PeId,
    entry: u32,
}

/// A point in time: whole rounds, and 2⁻⁶⁴ths of one.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct Moment {
    round: u64,
    part: u64,
}

impl Default for WeightedRoundRobin {
    /// The rounds begin with 1, so that there is something before.
    fn default() -> Self {
        let present = Moment { round: 1, part: 0 };
        Self { entries: Slab::default(), in_order: BTreeSet::new(), present }
    }
}

impl WeightedRoundRobin {
    pub(super) fn insert(&mut self, slot: u32, id: PeId, policy: &Policy) -> u32 {
        let (weight, origin) = (weight(policy), Moment::default());
        let newcomer = Entry { slot, id, weight, step: 0, origin };
        let entry = self.entries.take(newcomer.waiting(self.present));
        self.join(entry);
        entry
    }

    pub(super) fn change(&mut self, entry: u32, policy: &Policy) {
        let before = self.entries[entry];
        let weight = weight(policy);
        if weight == before.weight {
            return;
        }
        self.leave(entry);
        self.entries[entry] = match before.due() {
            Some(due) if weight > 0 => {
                let wait = due.after(self.present) * u128::from(before.weight) / u128::from(weight);
                let due = Moment::of(self.present.count() + wait);
                let origin = Moment::of(due.after(Moment::of(halfway(0, weight))));
                Entry { weight, step: 0, origin, ..before }
            }
            _ => Entry { weight, origin: Moment::default(), ..before }.waiting(self.present),
        };
        self.join(entry);
    }

    pub(super) fn remove(&mut self, entry: u32) {
        self.leave(entry);
        self.entries.leave(entry);
    }

    pub(super) fn select(&mut self, request: Request, listed: &mut Vec<u32>) {
        let start = listed.len();
        listed.extend(self.in_order.iter().take(request.items).map(|turn| turn.entry));
        let taken = request.increment.min(listed.len() - start);
        let turns = &listed[start..start + taken];
        let latest = turns.last().and_then(|&entry| self.entries[entry].due());
        self.present = latest.unwrap_or(self.present);
        for &entry in turns {
            self.leave(entry);
            self.entries[entry] = self.entries[entry].waiting(self.present);
            self.join(entry);
        }
        for entry in &mut listed[start..] {
            *entry = self.entries[*entry].slot;
        }
    }

    fn join(&mut self, entry: u32) {
        self.in_order.extend(self.turn(entry));
    }

    fn leave(&mut self, entry: u32) {
        if let Some(turn) = self.turn(entry) {
            self.in_order.remove(&turn);
        }
    }

    fn turn(&self, entry: u32) -> Option<Turn> {
        let it = &self.entries[entry];
        it.due().map(|due| Turn { due, id: it.id, entry })
    }
}

impl Entry {
    /// When its turn is due, `None` where it has none.
    fn due(&self) -> Option<Moment> {
        let due = |weight| Moment::of(self.origin.count() + halfway(self.step, weight));
        (self.weight > 0).then(|| due(self.weight))
    }

    /// The same, waiting for its first turn after `present`.
    fn waiting(self, present: Moment) -> Self {
        let elapsed = Moment::of(present.after(self.origin));
        let round = self.origin.round + elapsed.round;
        // The least k with (2k + 1) · 2⁶³ / w, rounded down, above the part of the round.
        let step = ((u128::from(elapsed.part) + 1) * u128::from(self.weight) + (1 << 63) - 1) >> 64;
        match u32::try_from(step) {
            Ok(step) if step < self.weight => {
                Self { step, origin: Moment { round, ..self.origin }, ..self }
            }
            _ => Self { step: 0, origin: Moment { round: round + 1, ..self.origin }, ..self },
        }
    }
}

impl Moment {
    fn of(count: u128) -> Self {
        let half = |word: u128| u64::try_from(word).unwrap_or(u64::MAX);
        Self { round: half(count >> 64), part: half(count & u128::from(u64::MAX)) }
    }

    fn count(self) -> u128 {
        u128::from(self.round) << 64 | u128::from(self.part)
    }

    /// How long after `earlier`, 0 where it is before.
    fn after(self, earlier: Self) -> u128 {
        self.count().saturating_sub(earlier.count())
    }
}

/// (2k + 1) / 2w of a round.
fn halfway(step: u32, weight: u32) -> u128 {
    ((2 * u128::from(step) + 1) << 63) / u128::from(weight)
}

fn weight(policy: &Policy) -> u32 {
    policy.get(PolicyField::Weight).unwrap_or_default()
}
