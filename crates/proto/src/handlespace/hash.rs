use std::hash::{BuildHasher, DefaultHasher, Hasher};

/// Keyed hashing: whoever chooses pool handles cannot choose collisions, and the same seed gives
/// the same key.
#[derive(Clone, Debug)]
pub(super) struct Keyed(DefaultHasher);

impl Keyed {
    /// A hasher that has swallowed its key.
    pub(super) fn new(key: [u64; 2]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(key[0]);
        hasher.write_u64(key[1]);
        Self(hasher)
    }
}

impl BuildHasher for Keyed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        self.0.clone()
    }
}
