use std::fmt;

/// A `u64` that is aligned like an octet: beside small fields it takes no more room than it needs.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct PackedU64([u8; 8]);

impl PackedU64 {
    /// Packs a number.
    pub(crate) const fn new(number: u64) -> Self {
        Self(number.to_ne_bytes())
    }

    /// The number.
    pub(crate) const fn get(self) -> u64 {
        u64::from_ne_bytes(self.0)
    }
}

impl Ord for PackedU64 {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.get().cmp(&other.get())
    }
}

impl PartialOrd for PackedU64 {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for PackedU64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_the_order_of_their_numbers() {
        let mut words = [u64::MAX, 0, 256, 255, 1 << 32].map(PackedU64::new);
        words.sort();
        assert_eq!(words.map(PackedU64::get), [0, 255, 256, 1 << 32, u64::MAX]);
        assert_eq!(format!("{:?}", words[1]), "255");
    }
}
