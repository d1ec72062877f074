//! The checksum of packets: CRC32c (RFC 9260 §6.8, appendix A).

/// Octets of the packet before and after the checksum.
const BEFORE: usize = 8;
const AFTER: usize = 12;

/// The checksum of a packet, whatever stands in its place in it.
fn of(packet: &[u8]) -> u32 {
    let before = packet.get(..BEFORE).unwrap_or(packet);
    let after = packet.get(AFTER..).unwrap_or_default();
    let crc = crc32c::crc32c_append(crc32c::crc32c(before), &[0; AFTER - BEFORE]);
    crc32c::crc32c_append(crc, after)
}

/// Writes the checksum into a packet. One shorter than its header is left as it is.
pub fn seal(packet: &mut [u8]) {
    let crc = of(packet).to_le_bytes();
    if let Some(place) = packet.get_mut(BEFORE..AFTER) {
        place.copy_from_slice(&crc);
    }
}

/// Whether the checksum in a packet is right.
pub fn is_right(packet: &[u8]) -> bool {
    packet.get(BEFORE..AFTER).is_some_and(|found| found == of(packet).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_octets_are_those_of_other_implementations() {
        // A COOKIE ACK from port 5000 to 5001 with tag 0x01020304.
        let mut packet = [0x13, 0x88, 0x13, 0x89, 1, 2, 3, 4, 0, 0, 0, 0, 11, 0, 0, 4];
        seal(&mut packet);
        assert!(is_right(&packet));
        // RFC 3720 B.4: the CRC32c of 32 zeros is 0x8a9136aa, sent with its low octet first.
        let mut zeros = [0; 32];
        seal(&mut zeros);
        assert_eq!(zeros[8..12], [0xaa, 0x36, 0x91, 0x8a]);
        zeros[31] = 1;
        assert!(!is_right(&zeros));
        assert!(!is_right(&zeros[..11]));
    }
}
