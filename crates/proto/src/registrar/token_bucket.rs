//! A bound on how often something is done.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::time::Time;

/// How much of a second's allowance may be used at once.
const BURST: f64 = 0.1;

/// So many times a second on the average, with short bursts.
#[derive(Debug)]
pub(super) struct TokenBucket {
    rate: f64,
    allowance: f64,
    as_of: Time,
}

impl TokenBucket {
    /// At most `rate` times a second.
    pub(super) fn new(rate: NonZeroU32) -> Self {
        let rate = f64::from(rate.get());
        Self { rate, allowance: (rate * BURST).max(1.0), as_of: Time::ZERO }
    }

    /// At most `rate` times a second from now on; what may be used at once is bounded when it is
    /// taken next.
    pub(super) fn set_rate(&mut self, rate: NonZeroU32) {
        self.rate = f64::from(rate.get());
    }

    /// Takes one turn.
    ///
    /// # Errors
    ///
    /// When the next one may be taken.
    pub(super) fn take(&mut self, now: Time) -> Result<(), Time> {
        self.earn(now);
        if self.allowance < 1.0 {
            let missing = (1.0 - self.allowance) / self.rate;
            return Err(now + Duration::from_secs_f64(missing) + Duration::from_nanos(1));
        }
        self.allowance -= 1.0;
        Ok(())
    }

    /// Takes one turn for something that is of use and not necessary: at least half of a burst is
    /// left for what is. False where there is none.
    pub(super) fn take_spare(&mut self, now: Time) -> bool {
        self.earn(now);
        let spares = self.allowance >= (self.rate * BURST / 2.0).max(1.0);
        if spares {
            self.allowance -= 1.0;
        }
        spares
    }

    fn earn(&mut self, now: Time) {
        let earned = (now - self.as_of).as_secs_f64() * self.rate;
        self.allowance = (self.allowance + earned).min((self.rate * BURST).max(1.0));
        self.as_of = now;
    }

    /// How often each of `count` may have its turn.
    pub(super) fn interval_of_each(&self, count: usize) -> Duration {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Duration::from_secs_f64(f64::from(count) / self.rate)
    }
}
