//! The checksum over the elements of one registrar (RFC 5353 §3.6.2).

use crate::param::{PeChecksum, PeId, PoolHandle};

/// The sum behind a [`PeChecksum`], kept unfolded so that elements can be taken out again.
///
/// Each element adds its pool handle, padded with zeros to a multiple of 4, and its identifier, as
/// 16-bit words; the order does not matter. The folded sum is the internet checksum (RFC 1071) of
/// them all. (Folding at every step instead would leave a one's complement −0 behind.)
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ChecksumSum(u64);

impl ChecksumSum {
    /// Counts an element in.
    pub fn add(&mut self, handle: &PoolHandle, id: PeId) {
        self.0 = self.0.wrapping_add(block(handle, id));
    }

    /// Counts an element out that was counted in.
    pub fn remove(&mut self, handle: &PoolHandle, id: PeId) {
        self.0 = self.0.wrapping_sub(block(handle, id));
    }

    /// The sum without what is counted in another one, all of which is counted in here.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }

    /// The checksum of what is counted in.
    pub fn checksum(self) -> PeChecksum {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        #[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits")]
        PeChecksum(!(sum as u16))
    }
}

fn block(handle: &PoolHandle, id: PeId) -> u64 {
    let words = handle.as_bytes().chunks(2).map(|word| match word {
        [high, low] => u64::from(u16::from_be_bytes([*high, *low])),
        [high] => u64::from(*high) << 8,
        _ => 0,
    });
    words.sum::<u64>() + u64::from(id.0 >> 16) + u64::from(id.0 & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(name: &str) -> PoolHandle {
        PoolHandle::new(name.as_bytes()).unwrap()
    }

    // Checklist 178.
    #[test]
    fn the_worked_examples_come_out() {
        let mut sum = ChecksumSum::default();
        assert_eq!(sum.checksum(), PeChecksum(0xffff));
        sum.add(&handle("EchoPool"), PeId(0x1122_3344));
        assert_eq!(sum.checksum(), PeChecksum(0x4deb));
        sum.add(&handle("Echo1"), PeId(1));
        assert_eq!(sum.checksum(), PeChecksum(0x6f17));
        let mut one = ChecksumSum::default();
        one.add(&handle("EchoPool"), PeId(0x1122_3344));
        assert_eq!(sum.without(one).checksum(), PeChecksum(0x212c));
        sum.remove(&handle("EchoPool"), PeId(0x1122_3344));
        assert_eq!(sum.checksum(), PeChecksum(0x212c));
        sum.remove(&handle("Echo1"), PeId(1));
        assert_eq!(sum.checksum(), PeChecksum(0xffff));
    }
}
