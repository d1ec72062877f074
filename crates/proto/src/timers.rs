//! A table with one deadline for each kind of timer.

use crate::time::Time;

/// A kind of timer: a field-less enum whose variants number the rows of a [`Timers`] table.
pub trait Kind: Copy + 'static {
    /// Every kind, in the order in which timers that expire together are handled.
    const ALL: &'static [Self];
    /// The row of this kind.
    fn row(self) -> usize;
}

/// One optional deadline for each kind.
#[derive(Clone, Debug)]
pub struct Timers<const N: usize> {
    deadlines: [Option<Time>; N],
}

impl<const N: usize> Default for Timers<N> {
    fn default() -> Self {
        Self { deadlines: [None; N] }
    }
}

impl<const N: usize> Timers<N> {
    /// Arms a timer; an armed one is moved.
    pub fn arm(&mut self, kind: impl Kind, deadline: Time) {
        self.deadlines[kind.row()] = Some(deadline);
    }

    /// Disarms a timer.
    pub fn disarm(&mut self, kind: impl Kind) {
        self.deadlines[kind.row()] = None;
    }

    /// Disarms and returns the first kind that is due at `now`.
    pub fn pop_due<K: Kind>(&mut self, now: Time) -> Option<K> {
        let due = |kind: &K| self.deadlines[kind.row()].is_some_and(|deadline| deadline <= now);
        let kind = K::ALL.iter().copied().find(due)?;
        self.disarm(kind);
        Some(kind)
    }

    /// True where a timer runs.
    pub fn is_armed(&self, kind: impl Kind) -> bool {
        self.deadlines[kind.row()].is_some()
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Time> {
        self.deadlines.iter().flatten().min().copied()
    }
}
