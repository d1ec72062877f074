//! Hashing of numbers that this host gives out itself.

use std::hash::{BuildHasher, Hasher};

/// Hashes numbers that this host gives out itself, one after the other, such as [`AssocId`]: nobody
/// can choose them so that they collide, so it need not be more than quick.
///
/// [`AssocId`]: crate::AssocId
#[derive(Clone, Copy, Debug, Default)]
pub struct BuildIdHasher;

/// What [`BuildIdHasher`] hashes with.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl BuildHasher for BuildIdHasher {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher::default()
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.write_u64(octet.into());
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_i32(&mut self, number: i32) {
        self.write_u64(u32::from_ne_bytes(number.to_ne_bytes()).into());
    }

    fn write_u64(&mut self, number: u64) {
        // The odd number that is 2^64 divided by the golden ratio (Knuth): neighbours end up far
        // from each other.
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn neighbours_do_not_share_a_place() {
        let hash = |number: u64| BuildIdHasher.hash_one(number);
        // As in a table of 4096 places: by the low bits, told apart by the high ones.
        let low: HashSet<u64> = (0..2048).map(|n| hash(n) % 4096).collect();
        assert!(low.len() > 1200, "{}", low.len());
        let high: HashSet<u64> = (0..2048).map(|n| hash(n) >> 57).collect();
        assert_eq!(high.len(), 128);
        assert_ne!(BuildIdHasher.hash_one((1_u64, 2_u64)), BuildIdHasher.hash_one((2_u64, 1_u64)));
    }
}
