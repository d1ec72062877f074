//! The clocks of nodes, which differ, and the queue of what is to happen, which does not.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use rserpool_proto::time::Time;

/// The clock of one process: begins with it, and runs fast or slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Time,
    /// Own microseconds in a million of the world's.
    rate: u32,
}

const MILLION: u128 = 1_000_000;

impl Clock {
    /// A clock that is started now. `rate` 1 000 000 is right; 900 000 is slow by a tenth.
    pub(crate) fn start(now: Time, rate: u32) -> Self {
        Self { origin: now, rate: rate.max(1) }
    }

    /// What it shows.
    pub(crate) fn show(self, world: Time) -> Time {
        let nanos = (world - self.origin).as_nanos() * u128::from(self.rate) / MILLION;
        Time::from_origin(span(nanos))
    }

    /// When it shows `own` or more.
    pub(crate) fn when(self, own: Time) -> Time {
        let nanos = own.since_origin().as_nanos().saturating_mul(MILLION);
        self.origin + span(nanos.div_ceil(self.rate.into()))
    }
}

fn span(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What is to happen, by time; what is due at one time, in the order in which it was planned.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    planned: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Time,
    number: u64,
    event: E,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), planned: 0 }
    }
}

impl<E> Agenda<E> {
    /// Plans something.
    pub(crate) fn plan(&mut self, at: Time, event: E) {
        self.planned += 1;
        self.heap.push(Reverse(Entry { at, number: self.planned, event }));
    }

    /// Takes the next thing, where it is due.
    pub(crate) fn take_due(&mut self, until: Time) -> Option<(Time, E)> {
        if self.heap.peek()?.0.at > until {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_a_time_when_it_says_so() {
        for rate in [900_000, 1_000_000, 1_099_999] {
            let clock = Clock::start(Time::from_origin(Duration::from_secs(7)), rate);
            for nanos in [0, 1, 999_999_999, 123_456_789_012] {
                let own = Time::from_origin(Duration::from_nanos(nanos));
                let when = clock.when(own);
                assert!(clock.show(when) >= own);
                assert!(clock.show(when) - own <= Duration::from_nanos(2));
            }
        }
    }

    #[test]
    fn what_is_due_together_happens_in_the_order_of_planning() {
        let mut agenda = Agenda::default();
        let later = Time::from_origin(Duration::from_secs(1));
        agenda.plan(later, 'c');
        agenda.plan(Time::ZERO, 'a');
        agenda.plan(Time::ZERO, 'b');
        let mut order = Vec::new();
        while let Some((_, event)) = agenda.take_due(later) {
            order.push(event);
        }
        assert_eq!(order, ['a', 'b', 'c']);
        agenda.plan(later, 'd');
        assert_eq!(agenda.take_due(Time::ZERO), None);
    }
}
