//! Random numbers that nobody can guess, from a seed of the caller.

use sha2::{Digest, Sha256};

/// A generator: SHA-256 over a secret seed and a counter. Who sees some of its numbers learns nothing
/// about the others.
#[derive(Clone)]
pub(crate) struct Random {
    seed: [u8; 32],
    drawn: u64,
}

impl Random {
    /// The same seed gives the same numbers.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    /// 32 octets.
    pub(crate) fn octets(&mut self) -> [u8; 32] {
        self.drawn += 1;
        let digest = Sha256::new().chain_update(self.seed).chain_update(self.drawn.to_be_bytes());
        digest.finalize().into()
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.octets();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// A verification tag: any number but 0.
    pub(crate) fn tag(&mut self) -> u32 {
        self.word().max(1)
    }

    /// Any number.
    pub(crate) fn word(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.octets();
        u32::from_be_bytes([a, b, c, d])
    }
}
