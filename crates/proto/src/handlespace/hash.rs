use std::hash::{BuildHasher, Hasher};

use siphasher::sip::SipHasher13;

/// Keyed hashing: whoever chooses pool handles cannot choose collisions, and the same seed gives
/// the same key.
#[derive(Clone, Debug)]
pub(super) struct Keyed([u64; 2]);

/// Hashes the octets of a pool handle, which come in one piece: that is quicker than a hasher that
/// collects pieces.
pub(super) struct HandleHasher {
    key: [u64; 2],
    hash: u64,
}

impl Keyed {
    /// Hashing with this key.
    pub(super) fn new(key: [u64; 2]) -> Self {
        Self(key)
    }
}

impl BuildHasher for Keyed {
    type Hasher = HandleHasher;

    fn build_hasher(&self) -> HandleHasher {
        HandleHasher { key: self.0, hash: 0 }
    }
}

impl Hasher for HandleHasher {
    fn write(&mut self, octets: &[u8]) {
        // Of several pieces each is hashed under the hash of those before it.
        let [first, second] = self.key;
        self.hash = SipHasher13::new_with_keys(first ^ self.hash, second).hash(octets);
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use rserpool_wire::param::PoolHandle;

    use super::*;

    #[test]
    fn the_key_the_octets_and_their_order_decide() {
        let hash = |key, text: &str| Keyed::new(key).hash_one(PoolHandle::new(text).unwrap());
        assert_eq!(hash([1, 2], "EchoPool"), hash([1, 2], "EchoPool"));
        assert_ne!(hash([1, 2], "EchoPool"), hash([1, 3], "EchoPool"));
        assert_ne!(hash([1, 2], "EchoPool"), hash([2, 2], "EchoPool"));
        assert_ne!(hash([1, 2], "EchoPool"), hash([1, 2], "EchoPoom"));
        let mut pieces = Keyed::new([1, 2]).build_hasher();
        pieces.write(b"Echo");
        let half = pieces.finish();
        pieces.write(b"Pool");
        assert_ne!(half, pieces.finish());
        let mut other_order = Keyed::new([1, 2]).build_hasher();
        other_order.write(b"Pool");
        other_order.write(b"Echo");
        assert_ne!(pieces.finish(), other_order.finish());
    }
}
