//! How long an element takes to answer.

use std::num::NonZeroU32;
use std::time::Duration;

/// A smoothed round trip time and its variation (as RFC 6298 §2 has it).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrip {
    /// Smoothed round trip time and variation in microseconds; `None` before the first sample.
    estimate: Option<(NonZeroU32, u32)>,
}

impl RoundTrip {
    /// Takes a sample.
    pub(super) fn sample(&mut self, elapsed: Duration) {
        let sample = u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX / 8);
        self.estimate = Some(match self.estimate {
            None => (at_least_one(sample), sample / 2),
            Some((srtt, rttvar)) => {
                let srtt = srtt.get();
                let deviation = srtt.abs_diff(sample);
                (at_least_one(srtt - srtt / 8 + sample / 8), rttvar - rttvar / 4 + deviation / 4)
            }
        });
    }

    /// How long to wait for an answer: srtt + 4·rttvar between `floor` and `cap`; `cap` before the
    /// first sample.
    pub(super) fn timeout(self, floor: Duration, cap: Duration) -> Duration {
        let Some((srtt, rttvar)) = self.estimate else {
            return cap;
        };
        let micros = u64::from(srtt.get()) + 4 * u64::from(rttvar);
        Duration::from_micros(micros).clamp(floor.min(cap), cap)
    }

    /// The smoothed round trip time.
    pub(super) fn smoothed(self) -> Option<Duration> {
        self.estimate.map(|(srtt, _)| Duration::from_micros(srtt.get().into()))
    }
}

fn at_least_one(micros: u32) -> NonZeroU32 {
    NonZeroU32::new(micros).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_follows_the_round_trips_between_floor_and_cap() {
        let (floor, cap) = (Duration::from_millis(200), Duration::from_millis(900));
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.timeout(floor, cap), cap);
        for _ in 0..50 {
            round_trip.sample(Duration::from_millis(1));
        }
        assert_eq!(round_trip.timeout(floor, cap), floor);
        for _ in 0..50 {
            round_trip.sample(Duration::from_millis(400));
        }
        let timeout = round_trip.timeout(floor, cap);
        assert!(timeout >= Duration::from_millis(390) && timeout < cap, "{timeout:?}");
        for _ in 0..50 {
            round_trip.sample(Duration::from_secs(5));
        }
        assert_eq!(round_trip.timeout(floor, cap), cap);
    }
}
