//! Points in time as the machines see them.

use std::ops::{Add, Sub};
use std::time::Duration;

use crate::packed_u64::PackedU64;

/// A point in time: so long after an origin that the driver chose. Never read from a clock here.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Time(Duration);

impl Time {
    /// The origin.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// So long after the origin.
    pub const fn from_origin(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after the origin.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// In little room: nanoseconds up to 584 years after the origin; what is later counts as that.
    pub(crate) fn packed(self) -> PackedU64 {
        PackedU64::new(u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX))
    }

    /// What was packed.
    pub(crate) fn unpacked(nanos: PackedU64) -> Self {
        Self(Duration::from_nanos(nanos.get()))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

impl Sub for Time {
    type Output = Duration;

    /// How long `self` is after `earlier`; zero where it is before.
    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
