//! Chunks (RFC 9260 §3.2, §3.3): what a packet is made of.

use crate::read::{u16_at, u32_at};

/// Chunk types.
pub mod kind {
    /// User data (RFC 9260 §3.3.1).
    pub const DATA: u8 = 0;
    /// Begins an association (§3.3.2).
    pub const INIT: u8 = 1;
    /// Answers INIT, with a cookie (§3.3.3).
    pub const INIT_ACK: u8 = 2;
    /// Says which TSNs have arrived (§3.3.4).
    pub const SACK: u8 = 3;
    /// Asks whether an address is reached (§3.3.5).
    pub const HEARTBEAT: u8 = 4;
    /// Answers HEARTBEAT (§3.3.6).
    pub const HEARTBEAT_ACK: u8 = 5;
    /// Ends an association at once (§3.3.7).
    pub const ABORT: u8 = 6;
    /// Begins the end of an association (§3.3.8).
    pub const SHUTDOWN: u8 = 7;
    /// Answers SHUTDOWN (§3.3.9).
    pub const SHUTDOWN_ACK: u8 = 8;
    /// Reports what could not be used (§3.3.10).
    pub const ERROR: u8 = 9;
    /// Brings the cookie back (§3.3.11).
    pub const COOKIE_ECHO: u8 = 10;
    /// The association is established (§3.3.12).
    pub const COOKIE_ACK: u8 = 11;
    /// Answers SHUTDOWN ACK (§3.3.13).
    pub const SHUTDOWN_COMPLETE: u8 = 14;
    /// Authenticates the chunks behind it (RFC 4895 §4.1).
    pub const AUTH: u8 = 15;
    /// Answers ASCONF (RFC 5061 §4.1.2).
    pub const ASCONF_ACK: u8 = 0x80;
    /// Changes addresses (RFC 5061 §4.1.1).
    pub const ASCONF: u8 = 0xc1;
}

/// Flags of DATA: the last fragment of a message.
pub const ENDS: u8 = 1;
/// Flags of DATA: the first fragment of a message.
pub const BEGINS: u8 = 2;
/// Flags of DATA: the message has no place in the order of its stream.
pub const UNORDERED: u8 = 4;
/// Flags of DATA: its sender wants a SACK at once (RFC 7053).
pub const IMMEDIATE: u8 = 8;
/// The T bit of ABORT and SHUTDOWN COMPLETE: the tag is the one that the receiver sends with.
pub const REFLECTED: u8 = 1;

/// Octets of a DATA chunk before the user data.
pub const DATA_HEADER: usize = 16;

/// One chunk of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Chunk<'a> {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// What follows its header, without padding.
    pub value: &'a [u8],
    /// The whole chunk, without padding.
    pub whole: &'a [u8],
    /// Where it begins in the packet.
    pub offset: usize,
}

/// The chunks of a packet, in order, up to the first that is not whole.
#[derive(Clone, Copy, Debug)]
pub struct Chunks<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Chunks<'a> {
    /// The chunks in `octets` from `at` on.
    pub fn new(octets: &'a [u8], at: usize) -> Self {
        Self { octets, at }
    }

    /// Whether all was read that there is. After the last chunk it says whether the packet ended as
    /// it should.
    pub fn is_at_end(&self) -> bool {
        self.at >= self.octets.len()
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let rest = self.octets.get(self.at..)?;
        let length = usize::from(u16_at(rest, 2)?);
        let whole = rest.get(..length)?;
        let [kind, flags, _, _, value @ ..] = whole else { return None };
        let chunk = Chunk { kind: *kind, flags: *flags, value, whole, offset: self.at };
        // The padding of the last one may be missing.
        self.at += length.next_multiple_of(4);
        Some(chunk)
    }
}

/// What is to be done with a chunk of a type that is not known (RFC 9260 §3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unknown {
    /// The rest of the packet (for a parameter: of the chunk) is not looked at.
    pub stop: bool,
    /// Its sender is told.
    pub report: bool,
}

/// What the highest bits of an unknown chunk type ask for.
pub fn unknown(kind: u8) -> Unknown {
    Unknown { stop: kind & 0x80 == 0, report: kind & 0x40 != 0 }
}

/// A DATA chunk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Data<'a> {
    /// [`BEGINS`], [`ENDS`], [`UNORDERED`], [`IMMEDIATE`].
    pub flags: u8,
    /// Its number.
    pub tsn: u32,
    /// The stream.
    pub stream: u16,
    /// The message's number in its stream.
    pub number: u16,
    /// The payload protocol identifier.
    pub ppid: u32,
    /// User data.
    pub payload: &'a [u8],
}

impl<'a> Data<'a> {
    /// Reads one; `None` where it is too short.
    pub fn read(chunk: &Chunk<'a>) -> Option<Self> {
        let value = chunk.value;
        Some(Self {
            flags: chunk.flags,
            tsn: u32_at(value, 0)?,
            stream: u16_at(value, 4)?,
            number: u16_at(value, 6)?,
            ppid: u32_at(value, 8)?,
            payload: value.get(12..)?,
        })
    }

    /// Appends it to a packet.
    pub fn write(&self, packet: &mut Vec<u8>) {
        write(packet, kind::DATA, self.flags, |packet| {
            packet.extend_from_slice(&self.tsn.to_be_bytes());
            packet.extend_from_slice(&self.stream.to_be_bytes());
            packet.extend_from_slice(&self.number.to_be_bytes());
            packet.extend_from_slice(&self.ppid.to_be_bytes());
            packet.extend_from_slice(self.payload);
        });
    }
}

/// The fixed part of INIT and INIT ACK, and their parameters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Init<'a> {
    /// The sender's verification tag.
    pub tag: u32,
    /// What it takes, in octets.
    pub window: u32,
    /// Streams that it wants to send on.
    pub streams_out: u16,
    /// Streams that it takes messages from.
    pub streams_in: u16,
    /// Its first TSN.
    pub tsn: u32,
    /// Parameters, encoded.
    pub parameters: &'a [u8],
}

impl<'a> Init<'a> {
    /// Reads one; `None` where it is too short.
    pub fn read(chunk: &Chunk<'a>) -> Option<Self> {
        let value = chunk.value;
        Some(Self {
            tag: u32_at(value, 0)?,
            window: u32_at(value, 4)?,
            streams_out: u16_at(value, 8)?,
            streams_in: u16_at(value, 10)?,
            tsn: u32_at(value, 12)?,
            parameters: value.get(16..)?,
        })
    }

    /// Appends it to a packet as a chunk of this kind.
    pub fn write(&self, packet: &mut Vec<u8>, kind: u8) {
        write(packet, kind, 0, |packet| {
            packet.extend_from_slice(&self.tag.to_be_bytes());
            packet.extend_from_slice(&self.window.to_be_bytes());
            packet.extend_from_slice(&self.streams_out.to_be_bytes());
            packet.extend_from_slice(&self.streams_in.to_be_bytes());
            packet.extend_from_slice(&self.tsn.to_be_bytes());
            packet.extend_from_slice(self.parameters);
        });
    }
}

/// A SACK.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sack<'a> {
    /// All TSNs up to this one have arrived.
    pub cumulative: u32,
    /// What its sender takes, in octets.
    pub window: u32,
    gaps: &'a [u8],
    duplicates: &'a [u8],
}

impl<'a> Sack<'a> {
    /// Octets of a SACK without gaps and duplicates.
    pub const LENGTH: usize = 16;

    /// Reads one; `None` where it is too short for what it announces.
    pub fn read(chunk: &Chunk<'a>) -> Option<Self> {
        let value = chunk.value;
        let gaps = 4 * usize::from(u16_at(value, 8)?);
        let duplicates = 4 * usize::from(u16_at(value, 10)?);
        let lists = value.get(12..)?;
        let (gaps, rest) = lists.split_at_checked(gaps)?;
        Some(Self {
            cumulative: u32_at(value, 0)?,
            window: u32_at(value, 4)?,
            gaps,
            duplicates: rest.get(..duplicates)?,
        })
    }

    /// What has arrived behind the first gap: first and last, counted from the cumulative TSN.
    pub fn gaps(&self) -> impl Iterator<Item = (u16, u16)> + use<'a> {
        let pairs = self.gaps.as_chunks::<4>().0;
        pairs
            .iter()
            .map(|[a, b, c, d]| (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
    }

    /// How many TSNs arrived twice.
    pub fn duplicates(&self) -> usize {
        self.duplicates.len() / 4
    }
}

/// Appends a SACK to a packet.
pub fn write_sack(
    packet: &mut Vec<u8>,
    cumulative: u32,
    window: u32,
    gaps: impl ExactSizeIterator<Item = (u16, u16)>,
    duplicates: &[u32],
) {
    write(packet, kind::SACK, 0, |packet| {
        packet.extend_from_slice(&cumulative.to_be_bytes());
        packet.extend_from_slice(&window.to_be_bytes());
        packet.extend_from_slice(&u16::try_from(gaps.len()).unwrap_or(u16::MAX).to_be_bytes());
        let count = u16::try_from(duplicates.len()).unwrap_or(u16::MAX);
        packet.extend_from_slice(&count.to_be_bytes());
        for (first, last) in gaps {
            packet.extend_from_slice(&first.to_be_bytes());
            packet.extend_from_slice(&last.to_be_bytes());
        }
        for tsn in duplicates {
            packet.extend_from_slice(&tsn.to_be_bytes());
        }
    });
}

/// Appends a chunk to a packet: its header, what `value` appends, and padding.
pub fn write(packet: &mut Vec<u8>, kind: u8, flags: u8, value: impl FnOnce(&mut Vec<u8>)) {
    let start = packet.len();
    packet.extend_from_slice(&[kind, flags, 0, 0]);
    value(packet);
    end(packet, start);
}

/// Writes the length of the chunk or parameter that begins at `start`, and pads it.
pub(crate) fn end(packet: &mut Vec<u8>, start: usize) {
    // Nothing that is written here comes near 64 KiB.
    let length = u16::try_from(packet.len() - start).unwrap_or(u16::MAX);
    if let Some(place) = packet.get_mut(start + 2..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    packet.resize(packet.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn data_is_written_as_the_rfc_draws_it() {
        let data = Data { flags: 3, tsn: 7, stream: 2, number: 5, ppid: 11, payload: b"abcde" };
        let mut packet = Vec::new();
        data.write(&mut packet);
        assert_eq!(packet, hex!("00030015 00000007 0002 0005 0000000b 6162636465 000000"));
        let mut chunks = Chunks::new(&packet, 0);
        assert_eq!(Data::read(&chunks.next().unwrap()), Some(data));
        assert!(chunks.is_at_end() && chunks.next().is_none());
    }

    #[test]
    fn a_sack_is_written_as_the_rfc_draws_it() {
        let mut packet = Vec::new();
        write_sack(&mut packet, 12, 4660, [(2, 3), (5, 5)].into_iter(), &[9]);
        assert_eq!(
            packet,
            hex!("0300001c 0000000c 00001234 0002 0001 0002 0003 0005 0005 00000009")
        );
        let chunk = Chunks::new(&packet, 0).next().unwrap();
        let sack = Sack::read(&chunk).unwrap();
        assert_eq!((sack.cumulative, sack.window, sack.duplicates()), (12, 4660, 1));
        assert_eq!(sack.gaps().collect::<Vec<_>>(), [(2, 3), (5, 5)]);
    }

    #[test]
    fn lengths_that_lie_end_the_packet() {
        for octets in [&hex!("00030003")[..], &hex!("00030005 00"), &hex!("000300"), &[]] {
            let mut chunks = Chunks::new(octets, 0);
            let whole = octets.len() == 5;
            assert_eq!(chunks.next().is_some(), whole, "{octets:?}");
        }
        // A SACK that announces more gaps than it has.
        let sack = hex!("03000010 0000000c 00001234 0001 0000");
        assert_eq!(Sack::read(&Chunks::new(&sack, 0).next().unwrap()), None);
    }

    #[test]
    fn the_highest_bits_of_unknown_types_say_what_to_do() {
        let of = |kind| (unknown(kind).stop, unknown(kind).report);
        assert_eq!(
            [of(0x3f), of(0x7f), of(0xbf), of(0xff)],
            [(true, false), (true, true), (false, false), (false, true)]
        );
    }
}
