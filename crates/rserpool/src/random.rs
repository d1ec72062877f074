//! What nobody may guess: seeds of machines, and secrets.

use rand::TryRng as _;
use rand::rngs::SysRng;

/// The seed of a machine: what it was given, else something nobody can guess.
pub(crate) fn seed(given: Option<u64>) -> u64 {
    given.unwrap_or_else(|| {
        // Without the system's generator the address of a fresh allocation and the time are what
        // is left; identifiers must differ, not be secret.
        SysRng.try_next_u64().unwrap_or_else(|_| {
            use std::hash::{BuildHasher as _, RandomState};
            RandomState::new().hash_one(std::process::id())
        })
    })
}

/// The system has no random numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoRandomness;

/// Octets that nobody can guess.
pub(crate) fn secret() -> Result<[u8; 32], NoRandomness> {
    let mut octets = [0; 32];
    SysRng.try_fill_bytes(&mut octets).map_err(|_| NoRandomness)?;
    Ok(octets)
}
