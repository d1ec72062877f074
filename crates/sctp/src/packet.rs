//! Packets (RFC 9260 §3): the common header, and what may stand in one packet.

use thiserror::Error;

use crate::chunk::{Chunks, kind};
use crate::crc;
use crate::read::{u16_at, u32_at};

/// Octets of the common header (RFC 9260 §3.1).
pub const HEADER: usize = 12;

/// Why octets are no packet. Nothing was changed by them.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PacketError {
    /// The CRC32c is wrong, or there is no room for one: noise, or another protocol.
    #[error("checksum is wrong at octet 8")]
    Checksum,
    /// A port is 0, or there is no chunk.
    #[error("no packet from octet {offset} on")]
    Malformed {
        /// Where.
        offset: usize,
    },
    /// INIT, INIT ACK or SHUTDOWN COMPLETE together with another chunk, or INIT with a tag
    /// (RFC 9260 §6.10, §8.5.1).
    #[error("chunk {kind} may not stand there")]
    Bundled {
        /// The type of the chunk.
        kind: u8,
    },
}

/// The common header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// The verification tag.
    pub tag: u32,
}

impl Header {
    /// Begins a packet: the buffer holds nothing else afterwards.
    pub fn write(&self, packet: &mut Vec<u8>) {
        packet.clear();
        packet.extend_from_slice(&self.source.to_be_bytes());
        packet.extend_from_slice(&self.destination.to_be_bytes());
        packet.extend_from_slice(&self.tag.to_be_bytes());
        packet.extend_from_slice(&[0; 4]);
    }
}

/// A packet whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Its header.
    pub header: Header,
    /// All its octets.
    pub octets: &'a [u8],
    /// The type of its first chunk.
    pub first: u8,
}

impl<'a> Packet<'a> {
    /// Reads a packet.
    ///
    /// # Errors
    ///
    /// What [`PacketError`] says.
    pub fn parse(octets: &'a [u8]) -> Result<Self, PacketError> {
        if octets.len() < HEADER || !crc::is_right(octets) {
            return Err(PacketError::Checksum);
        }
        Self::parse_checked(octets)
    }

    /// Reads a packet whose checksum somebody has looked at already.
    ///
    /// # Errors
    ///
    /// What [`PacketError`] says.
    pub fn parse_checked(octets: &'a [u8]) -> Result<Self, PacketError> {
        let malformed = |offset| PacketError::Malformed { offset };
        let source = u16_at(octets, 0).filter(|port| *port != 0).ok_or_else(|| malformed(0))?;
        let destination =
            u16_at(octets, 2).filter(|port| *port != 0).ok_or_else(|| malformed(2))?;
        let tag = u32_at(octets, 4).ok_or_else(|| malformed(4))?;
        let mut chunks = Chunks::new(octets, HEADER);
        let first = chunks.next().ok_or_else(|| malformed(HEADER))?.kind;
        let alone = matches!(first, kind::INIT | kind::INIT_ACK | kind::SHUTDOWN_COMPLETE);
        // An INIT begins something: the tag of what is there already has no place in it.
        if (alone && chunks.next().is_some()) || ((first == kind::INIT) != (tag == 0)) {
            return Err(PacketError::Bundled { kind: first });
        }
        Ok(Self { header: Header { source, destination, tag }, octets, first })
    }

    /// Its chunks.
    pub fn chunks(&self) -> Chunks<'a> {
        Chunks::new(self.octets, HEADER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::write;

    fn packet(tag: u32, kinds: &[u8]) -> Vec<u8> {
        let mut octets = Vec::new();
        Header { source: 1, destination: 2, tag }.write(&mut octets);
        for kind in kinds {
            write(&mut octets, *kind, 0, |_| ());
        }
        crc::seal(&mut octets);
        octets
    }

    #[test]
    fn some_chunks_stand_alone() {
        let parse = |tag, kinds: &[u8]| Packet::parse(&packet(tag, kinds)).err();
        assert_eq!(parse(9, &[kind::SACK, kind::DATA]), None);
        assert_eq!(parse(0, &[kind::INIT]), None);
        let bundled = |kind| Some(PacketError::Bundled { kind });
        assert_eq!(parse(0, &[kind::INIT, kind::DATA]), bundled(kind::INIT));
        assert_eq!(parse(9, &[kind::INIT]), bundled(kind::INIT));
        assert_eq!(parse(0, &[kind::SACK]), bundled(kind::SACK));
        assert_eq!(parse(9, &[]), Some(PacketError::Malformed { offset: HEADER }));
        let mut broken = packet(9, &[kind::SACK]);
        broken[13] ^= 1;
        assert_eq!(Packet::parse(&broken).err(), Some(PacketError::Checksum));
    }
}
