//! Whether a server is well, as its checks say: a value without a clock.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// More changes than this within [`FLAP_WINDOW`] are flapping.
const CHANGES_MAX: usize = 3;
/// Within this time changes are counted.
const FLAP_WINDOW: Duration = Duration::from_secs(60);
/// The most that flapping adds to the way back.
const PENALTY_MAX: Duration = Duration::from_secs(30);

/// What the checks so far amount to.
#[derive(Debug)]
pub(super) struct Health {
    rise: u32,
    fall: u32,
    good: u32,
    bad: u32,
    is_up: bool,
    /// When it changed lately, the oldest first; at most one more than [`CHANGES_MAX`].
    changes: VecDeque<Instant>,
    /// Ends in a row that were flapping.
    flaps: u32,
    /// Since when the checks have been good enough.
    risen: Option<Instant>,
}

/// It is other than before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// Well: `rise` checks in a row were good.
    Up,
    /// Not well: `fall` checks in a row were bad.
    Down,
}

impl Health {
    /// A server that is not well until `rise` checks in a row are good.
    pub(super) fn new(rise: u32, fall: u32) -> Self {
        let (rise, fall) = (rise.max(1), fall.max(1));
        let changes = VecDeque::new();
        Self { rise, fall, good: 0, bad: 0, is_up: false, changes, flaps: 0, risen: None }
    }

    /// Takes the result of a round of checks.
    pub(super) fn observe(&mut self, now: Instant, is_good: bool) -> Option<Change> {
        if !is_good {
            (self.good, self.risen) = (0, None);
            self.bad = self.bad.saturating_add(1);
            return (self.is_up && self.bad >= self.fall).then(|| self.change(now, Change::Down));
        }
        self.bad = 0;
        self.good = self.good.saturating_add(1);
        if self.changes.back().is_some_and(|&latest| now - latest >= FLAP_WINDOW) {
            self.flaps = 0;
        }
        if self.is_up || self.good < self.rise {
            return None;
        }
        let risen = *self.risen.get_or_insert(now);
        (now - risen >= self.penalty()).then(|| self.change(now, Change::Up))
    }

    /// How much longer the way back takes: 1, 2, 4 ... 30 s while it flaps.
    pub(super) fn penalty(&self) -> Duration {
        match self.flaps {
            0 => Duration::ZERO,
            flaps => Duration::from_secs(1 << (flaps - 1).min(5)).min(PENALTY_MAX),
        }
    }

    fn change(&mut self, now: Instant, change: Change) -> Change {
        self.is_up = change == Change::Up;
        (self.good, self.bad, self.risen) = (0, 0, None);
        self.changes.retain(|&then| now - then < FLAP_WINDOW);
        self.changes.push_back(now);
        if self.changes.len() > CHANGES_MAX {
            self.changes.pop_front();
            if change == Change::Down {
                self.flaps = self.flaps.saturating_add(1);
            }
        } else {
            self.flaps = 0;
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(500);

    /// After how many rounds of one kind it changes.
    fn rounds(health: &mut Health, now: &mut Instant, is_good: bool) -> u32 {
        for round in 1..1000 {
            *now += INTERVAL;
            if health.observe(*now, is_good).is_some() {
                return round;
            }
        }
        0
    }

    #[test]
    fn it_takes_rise_good_and_fall_bad_ones_in_a_row() {
        let mut now = Instant::now();
        let mut health = Health::new(2, 3);
        assert_eq!(health.observe(now, true), None);
        assert_eq!(health.observe(now, false), None);
        assert_eq!(health.observe(now, true), None);
        assert_eq!(health.observe(now, true), Some(Change::Up));
        assert_eq!(health.observe(now, false), None);
        assert_eq!(health.observe(now, true), None);
        assert_eq!(rounds(&mut health, &mut now, false), 3);
        assert_eq!(rounds(&mut health, &mut now, true), 2);
    }

    #[test]
    fn who_flaps_comes_back_later_and_later_until_it_is_calm() {
        let mut now = Instant::now();
        let mut health = Health::new(2, 2);
        let mut ways_back = Vec::new();
        for _ in 0..9 {
            ways_back.push(rounds(&mut health, &mut now, true));
            assert_eq!(rounds(&mut health, &mut now, false), 2);
        }
        // Each second more is two rounds.
        assert_eq!(ways_back, [2, 2, 4, 6, 10, 18, 34, 62, 62]);
        now += FLAP_WINDOW;
        assert_eq!(rounds(&mut health, &mut now, true), 2);
        assert!(health.penalty().is_zero());
    }
}
