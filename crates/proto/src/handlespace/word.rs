/// A `u64` that is aligned like a `u32`: beside small fields, an eighth to a third less memory.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Word {
    // The high half comes first, so that the derived order is the numbers'.
    high: u32,
    low: u32,
}

impl Word {
    /// The number.
    pub(super) fn get(self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }
}

impl From<u64> for Word {
    fn from(number: u64) -> Self {
        let half = |half: u64| u32::try_from(half).unwrap_or(u32::MAX);
        Self { high: half(number >> 32), low: half(number & 0xffff_ffff) }
    }
}
