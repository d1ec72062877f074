//! How the rate of keep-alives is shared: fairly between associations, however many elements each
//! of them has.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use super::token_bucket::TokenBucket;
use crate::handlespace::ElementIndex;
use crate::machine::Peer;

/// How often, and in which order, this registrar's elements are asked.
#[derive(Debug)]
pub(super) struct KeepAliveRate {
    /// How many in a second.
    pub(super) tokens: TokenBucket,
    /// Whose elements wait for that.
    pub(super) turns: RoundRobin,
    /// How often those of each association.
    pub(super) share: FairShare,
}

impl KeepAliveRate {
    /// At most `rate_max` a second.
    pub(super) fn new(rate_max: NonZeroU32) -> Self {
        let tokens = TokenBucket::new(rate_max);
        Self { tokens, turns: RoundRobin::default(), share: FairShare::default() }
    }
}

/// How many elements the associations have.
///
/// Where there are more elements than the rate allows to ask in the interval, associations with few
/// elements have theirs asked in the interval, and those with many share what is left (max-min
/// fairness). Associations are counted in classes by the logarithm of their size, so that a change
/// costs little, and what they are allowed is exact but for that.
#[derive(Debug, Default)]
pub(super) struct FairShare {
    classes: [Class; CLASSES],
    /// Elements of all associations.
    elements: u64,
}

/// Associations with at least half as many elements as this class allows.
#[derive(Clone, Copy, Debug, Default)]
struct Class {
    associations: u32,
    elements: u64,
}

const CLASSES: usize = 32;

/// Keep-alives for each element in an interval: they come after two thirds of it on the average.
const PER_INTERVAL: f64 = 1.5;

impl FairShare {
    /// An association has another number of elements than before.
    pub(super) fn resize(&mut self, from: usize, to: usize) {
        if let Some(class) = class_of(from) {
            let class = &mut self.classes[class];
            class.associations -= 1;
            class.elements -= from as u64;
            self.elements -= from as u64;
        }
        if let Some(class) = class_of(to) {
            let class = &mut self.classes[class];
            class.associations += 1;
            class.elements += to as u64;
            self.elements += to as u64;
        }
    }

    /// The least time between two keep-alives to an element of an association with `size` elements,
    /// which is asked for only where that counts; each element should have one in each `interval`,
    /// and there are at most `rate` of them in a second.
    pub(super) fn interval(
        &self,
        size: impl FnOnce() -> usize,
        interval: Duration,
        rate: NonZeroU32,
    ) -> Duration {
        let mut allowance = f64::from(rate.get()) * interval.as_secs_f64();
        if self.elements as f64 * PER_INTERVAL <= allowance {
            return Duration::ZERO;
        }
        let mut associations: u32 = self.classes.iter().map(|class| class.associations).sum();
        for class in &self.classes {
            let wanted = class.elements as f64 * PER_INTERVAL;
            let share = allowance / f64::from(associations) * f64::from(class.associations);
            if wanted > share {
                break;
            }
            allowance -= wanted;
            associations -= class.associations;
        }
        if associations == 0 {
            return Duration::ZERO;
        }
        let share = allowance / f64::from(associations);
        let times = size() as f64 / share;
        Duration::try_from_secs_f64(interval.as_secs_f64() * times).unwrap_or(Duration::MAX)
    }
}

fn class_of(size: usize) -> Option<usize> {
    Some(size.checked_ilog2()? as usize).map(|class| class.min(CLASSES - 1))
}

/// The elements of one association whose turn it is to be asked, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) elements: VecDeque<ElementIndex>,
    /// The association is among those that have a turn.
    has_turn: bool,
}

/// The associations that have elements to ask: one of each in turn.
#[derive(Debug, Default)]
pub(super) struct RoundRobin(VecDeque<Peer>);

impl Queue {
    /// Forgets those that have gone to another association, where there are many.
    pub(super) fn tidy(&mut self, elements: &BTreeSet<ElementIndex>) {
        if self.elements.len() > 2 * elements.len() {
            let mut seen = BTreeSet::new();
            self.elements.retain(|index| elements.contains(index) && seen.insert(*index));
        }
    }
}

impl RoundRobin {
    /// An element of this association is to be asked.
    pub(super) fn enqueue(&mut self, peer: Peer, queue: &mut Queue, index: ElementIndex) {
        queue.elements.push_back(index);
        if !queue.has_turn {
            queue.has_turn = true;
            self.0.push_back(peer);
        }
    }

    /// Whose turn it is.
    pub(super) fn next(&self) -> Option<Peer> {
        self.0.front().copied()
    }

    /// The association has had its turn. Its queue, where it is still there.
    pub(super) fn pass(&mut self, queue: Option<&mut Queue>) {
        let Some(peer) = self.0.pop_front() else { return };
        let Some(queue) = queue else { return };
        queue.has_turn = !queue.elements.is_empty();
        if queue.has_turn {
            self.0.push_back(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(500);

    fn rate(per_second: u32) -> NonZeroU32 {
        NonZeroU32::new(per_second).unwrap()
    }

    /// What associations of these sizes have to wait between two keep-alives, in milliseconds.
    fn intervals(sizes: &[usize], per_second: u32) -> Vec<u128> {
        let mut share = FairShare::default();
        for &size in sizes {
            // One after the other, as elements register.
            (0..size).for_each(|before| share.resize(before, before + 1));
        }
        let of = |&size: &usize| share.interval(|| size, INTERVAL, rate(per_second)).as_millis();
        let intervals = sizes.iter().map(of).collect();
        for &size in sizes {
            share.resize(size, 0);
        }
        assert_eq!(share.elements, 0);
        assert!(share.classes.iter().all(|it| it.associations == 0 && it.elements == 0));
        intervals
    }

    #[test]
    fn few_elements_are_asked_as_often_as_the_profile_says() {
        assert_eq!(intervals(&[100, 3], 20_000), [0, 0]);
        assert_eq!(intervals(&[], 20_000), []);
    }

    #[test]
    fn one_association_is_asked_as_often_as_the_rate_allows() {
        assert_eq!(intervals(&[100_000], 20_000), [5_000]);
        assert_eq!(intervals(&[1_000], 100), [10_000]);
    }

    #[test]
    fn equals_share_equally() {
        assert_eq!(intervals(&[500; 10], 1_000), [5_000; 10]);
        assert_eq!(intervals(&[1; 1_000], 100), [10_000; 1_000]);
    }

    #[test]
    fn many_elements_of_one_association_do_not_delay_those_of_others() {
        let intervals = intervals(&[100_000, 1, 50], 2_000);
        assert!(intervals[0] > 50_000 && intervals[0] < 60_000, "{intervals:?}");
        assert!(intervals[1] <= 1, "{intervals:?}");
        assert!(intervals[2] < 50, "{intervals:?}");
    }
}
