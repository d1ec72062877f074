//! SCTP packets as the endpoint sees them: what it checks before a packet reaches an association, and
//! the few packets that it answers without one (RFC 9260 §3, §8.4).

use std::borrow::Cow;

/// Octets of the common header (RFC 9260 §3.1).
pub(super) const HEADER: usize = 12;

/// Chunks in a packet besides DATA: many are answered by a packet each.
pub(super) const CONTROL_MAX: usize = 16;

/// Streams that we announce as incoming. RSerPool sends on stream 0; a peer that uses more costs
/// memory for each.
pub(super) const STREAMS: u16 = 16;

/// Chunk types (RFC 9260 §3.2).
pub(super) mod chunk {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const INIT: u8 = 1;
    pub(crate) const INIT_ACK: u8 = 2;
    pub(crate) const SACK: u8 = 3;
    pub(crate) const ABORT: u8 = 6;
    pub(crate) const SHUTDOWN: u8 = 7;
    pub(crate) const SHUTDOWN_ACK: u8 = 8;
    pub(crate) const ERROR: u8 = 9;
    pub(crate) const COOKIE_ECHO: u8 = 10;
    pub(crate) const COOKIE_ACK: u8 = 11;
    pub(crate) const SHUTDOWN_COMPLETE: u8 = 14;
    /// I-DATA (RFC 8260).
    pub(crate) const I_DATA: u8 = 64;
    /// RE-CONFIG (RFC 6525).
    pub(crate) const RE_CONFIG: u8 = 130;
    /// FORWARD TSN (RFC 3758).
    pub(crate) const FORWARD_TSN: u8 = 192;
    /// I-FORWARD-TSN (RFC 8260).
    pub(crate) const I_FORWARD_TSN: u8 = 194;
}

/// The T bit of ABORT and SHUTDOWN COMPLETE: the tag is the sender's own, reflected.
const REFLECTED: u8 = 1;

/// Why a datagram is not a packet for us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// The CRC32c is wrong, or it is too short to have one: noise, or another protocol.
    Checksum,
    /// The chunks break a rule that every sender has to keep, or one that keeps us safe.
    Malformed,
}

/// What becomes of a chunk before the machine gets it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Edit {
    Keep,
    Drop,
    /// A SACK instead of it.
    Replace([u8; SACK]),
    /// A SACK before it.
    Precede([u8; SACK]),
}

/// Octets of a SACK without gaps.
pub(super) const SACK: usize = 16;

/// What a SHUTDOWN says of the DATA that has arrived (RFC 9260 §9.2), as the SACK that says the same;
/// `window` is what the peer said last that it takes.
pub(super) fn sack_of(shutdown: &[u8], window: u32) -> [u8; SACK] {
    let mut sack = [0; SACK];
    sack[..4].copy_from_slice(&[chunk::SACK, 0, 0, 16]);
    sack[4..8].copy_from_slice(&word(shutdown, 4).to_be_bytes());
    sack[8..12].copy_from_slice(&window.to_be_bytes());
    sack
}

/// A packet whose checksum and framing are right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// The whole packet.
    pub(super) octets: &'a [u8],
    /// The sender's SCTP port.
    pub(super) source: u16,
    /// The SCTP port it is for.
    pub(super) destination: u16,
    /// The verification tag.
    pub(super) tag: u32,
    /// The type of the first chunk.
    pub(super) first: u8,
    /// True where there is an ABORT.
    pub(super) aborts: bool,
    /// True where there is a SHUTDOWN.
    pub(super) shuts_down: bool,
    /// True where there is DATA.
    pub(super) has_data: bool,
    /// What the last SACK in it says that the sender takes, where there is one.
    pub(super) window: Option<u32>,
    /// True where the tag is reflected: an ABORT or SHUTDOWN COMPLETE with the T bit.
    pub(super) reflected: bool,
}

impl<'a> Packet<'a> {
    /// Checks the CRC32c and all chunks; `mtu` is the largest packet that we send.
    pub(super) fn parse(octets: &'a [u8], mtu: usize) -> Result<Self, Refusal> {
        if octets.len() < HEADER + 4 || checksum(octets) != word(octets, 8).swap_bytes() {
            return Err(Refusal::Checksum);
        }
        let mut packet = Self {
            octets,
            source: half(octets, 0),
            destination: half(octets, 2),
            tag: word(octets, 4),
            first: octets[HEADER],
            aborts: false,
            shuts_down: false,
            has_data: false,
            window: None,
            reflected: false,
        };
        if packet.source == 0 || packet.chunks(mtu).is_none() {
            return Err(Refusal::Malformed);
        }
        Ok(packet)
    }

    /// The Initiate Tag of an INIT or INIT ACK.
    pub(super) fn initiate_tag(&self) -> u32 {
        word(self.octets, HEADER + 4)
    }

    /// The Advertised Receiver Window Credit and the Initial TSN of an INIT or INIT ACK.
    pub(super) fn initial_window_and_tsn(&self) -> (u32, u32) {
        (word(self.octets, HEADER + 8), word(self.octets, HEADER + 16))
    }

    /// The packet with some of its chunks changed, or as it is where none is. The checksum is not
    /// written again.
    pub(super) fn edited(&self, mut edit: impl FnMut(&'a [u8]) -> Edit) -> Cow<'a, [u8]> {
        let mut octets = Cow::Borrowed(self.octets);
        let mut at = HEADER;
        while let Some(length) = self.octets.get(at..).and_then(chunk_length) {
            let chunk = &self.octets[at..at + length];
            let end = (at + length.next_multiple_of(4)).min(self.octets.len());
            let edit = edit(chunk);
            if edit != Edit::Keep && matches!(octets, Cow::Borrowed(_)) {
                octets = Cow::Owned(self.octets[..at].to_vec());
            }
            if let Cow::Owned(octets) = &mut octets {
                match edit {
                    Edit::Drop => {}
                    Edit::Replace(sack) => octets.extend_from_slice(&sack),
                    Edit::Precede(sack) => {
                        octets.extend_from_slice(&sack);
                        octets.extend_from_slice(&self.octets[at..end]);
                    }
                    Edit::Keep => octets.extend_from_slice(&self.octets[at..end]),
                }
            }
            at = end;
        }
        octets
    }

    /// Walks the chunks and notes what is in them; `None` where one is not acceptable.
    fn chunks(&mut self, mtu: usize) -> Option<()> {
        let mut rest = &self.octets[HEADER..];
        let sole = chunk_length(rest)?.next_multiple_of(4) >= rest.len();
        let mut control = 0;
        while !rest.is_empty() {
            let first = rest.len() == self.octets.len() - HEADER;
            let length = chunk_length(rest)?;
            let (kind, flags) = (rest[0], rest[1]);
            control += usize::from(kind != chunk::DATA);
            if control > CONTROL_MAX {
                return None;
            }
            match kind {
                // RFC 9260 §3: neither is ever bundled; §3.3.2: tag 0, and a tag and streams in it.
                chunk::INIT if sole && self.tag == 0 => check_init(&rest[..length])?,
                // A cookie has to fit into a COOKIE ECHO of ours.
                chunk::INIT_ACK if sole && self.tag != 0 && self.octets.len() <= mtu => {
                    check_init(&rest[..length])?;
                }
                chunk::SHUTDOWN_COMPLETE if sole => self.reflected = flags & REFLECTED != 0,
                chunk::COOKIE_ECHO if first => {}
                chunk::ABORT => {
                    self.aborts = true;
                    self.reflected = flags & REFLECTED != 0;
                }
                chunk::DATA if length > 16 && half(rest, 8) < STREAMS => self.has_data = true,
                chunk::SACK if length >= SACK => self.window = Some(word(rest, 8)),
                chunk::SHUTDOWN if length >= 8 => self.shuts_down = true,
                chunk::INIT
                | chunk::INIT_ACK
                | chunk::SHUTDOWN_COMPLETE
                | chunk::COOKIE_ECHO
                | chunk::DATA
                | chunk::SACK
                | chunk::SHUTDOWN
                // Extensions that we never negotiate: whoever sends them does not keep the rules.
                | chunk::I_DATA
                | chunk::RE_CONFIG
                | chunk::FORWARD_TSN
                | chunk::I_FORWARD_TSN => return None,
                _ => {}
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        (self.tag != 0 || self.first == chunk::INIT).then_some(())
    }
}

/// The length of the chunk at the start of `rest`, header included and padding not.
fn chunk_length(rest: &[u8]) -> Option<usize> {
    let length = usize::from(half(rest.get(..4)?, 2));
    (length >= 4 && length <= rest.len()).then_some(length)
}

/// RFC 9260 §3.3.2, §3.3.3: fixed fields, a tag that is not zero and streams both ways.
fn check_init(chunk: &[u8]) -> Option<()> {
    let streams = chunk.len() >= 20 && half(chunk, 12) != 0 && half(chunk, 14) != 0;
    (streams && word(chunk, 4) != 0).then_some(())
}

/// An answer to a packet that belongs to no association (RFC 9260 §8.4); `None` where silence is due.
pub(super) fn out_of_the_blue(packet: &Packet<'_>) -> Option<Vec<u8>> {
    match packet.first {
        _ if packet.aborts => None,
        // R3: an INIT that nobody wants gets an ABORT with its own tag.
        chunk::INIT => Some(bare(packet, packet.initiate_tag(), chunk::ABORT, 0)),
        // R5: the peer lost our SHUTDOWN COMPLETE.
        chunk::SHUTDOWN_ACK => Some(bare(packet, packet.tag, chunk::SHUTDOWN_COMPLETE, REFLECTED)),
        // R6, R7: echoes of an association that is over; a cookie of ours that is no good any more.
        chunk::SHUTDOWN_COMPLETE
        | chunk::COOKIE_ACK
        | chunk::ERROR
        | chunk::COOKIE_ECHO
        | chunk::INIT_ACK => None,
        // R8.
        _ => Some(bare(packet, packet.tag, chunk::ABORT, REFLECTED)),
    }
}

/// A packet with an ABORT between these ports, own and peer's, for whoever has this tag.
pub(super) fn abort(ports: [u16; 2], tag: u32) -> Vec<u8> {
    sole(ports, tag, chunk::ABORT, 0)
}

/// A packet of one chunk without value, back to where `packet` came from.
fn bare(packet: &Packet<'_>, tag: u32, kind: u8, flags: u8) -> Vec<u8> {
    sole([packet.destination, packet.source], tag, kind, flags)
}

fn sole(ports: [u16; 2], tag: u32, kind: u8, flags: u8) -> Vec<u8> {
    let mut octets = Vec::with_capacity(HEADER + 4);
    octets.extend_from_slice(&ports[0].to_be_bytes());
    octets.extend_from_slice(&ports[1].to_be_bytes());
    octets.extend_from_slice(&tag.to_be_bytes());
    octets.extend_from_slice(&[0; 4]);
    octets.extend_from_slice(&[kind, flags, 0, 4]);
    seal(&mut octets);
    octets
}

/// Writes the CRC32c of a packet (RFC 9260 §6.8, appendix A). Shorter ones are left alone.
pub(super) fn seal(octets: &mut [u8]) {
    if octets.len() >= HEADER {
        let sum = checksum(octets).to_le_bytes();
        octets[8..12].copy_from_slice(&sum);
    }
}

/// The CRC32c with the checksum field taken as zero; at least a header long.
fn checksum(octets: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&octets[..8]);
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    crc32c::crc32c_append(sum, &octets[HEADER..])
}

/// Two octets at `at`, or zero beyond the end.
pub(super) fn half(octets: &[u8], at: usize) -> u16 {
    octets.get(at..at + 2).map_or(0, |o| u16::from_be_bytes([o[0], o[1]]))
}

/// Four octets at `at`, or zero beyond the end.
pub(super) fn word(octets: &[u8], at: usize) -> u32 {
    octets.get(at..at + 4).map_or(0, |o| u32::from_be_bytes([o[0], o[1], o[2], o[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A COOKIE ACK between the ports 7 and 3863 for tag 0x01020304, not sealed yet.
    const OPEN: [u8; 16] = [0, 7, 0x0f, 0x17, 1, 2, 3, 4, 0, 0, 0, 0, chunk::COOKIE_ACK, 0, 0, 4];

    /// CRC32c by its definition (RFC 9260 appendix A), octets in wire order.
    fn bit_by_bit(octets: &[u8]) -> [u8; 4] {
        let mut rest = u32::MAX;
        for octet in octets {
            rest ^= u32::from(*octet);
            for _ in 0..8 {
                rest = (rest >> 1) ^ if rest & 1 == 1 { 0x82f6_3b78 } else { 0 };
            }
        }
        [0, 8, 16, 24].map(|at| u8::try_from((!rest >> at) & 0xff).unwrap())
    }

    #[test]
    fn a_sealed_packet_has_its_checksum_in_the_order_of_the_wire() {
        // The check value of CRC-32C.
        assert_eq!(bit_by_bit(b"123456789"), [0x83, 0x92, 0x06, 0xe3]);
        let mut packet = OPEN;
        // Whatever is in the field does not count.
        packet[8..12].copy_from_slice(&[9; 4]);
        seal(&mut packet);
        assert_eq!(packet[8..12], bit_by_bit(&OPEN));
        assert!(Packet::parse(&packet, 1472).is_ok());
        packet[8..12].reverse();
        assert_eq!(Packet::parse(&packet, 1472).unwrap_err(), Refusal::Checksum);
    }
}
