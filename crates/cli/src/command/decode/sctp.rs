//! Messages in SCTP packets (RFC 9260).

use std::collections::{HashMap, HashSet, VecDeque};

use rserpool_wire::Protocol;

const COMMON_HEADER_LEN: usize = 12;
/// Octets of a DATA chunk in front of the user data (RFC 9260 §3.3.1).
const DATA_HEADER_LEN: usize = 16;
const DATA: u8 = 0;
const LAST_FRAGMENT: u8 = 0x01;
const FIRST_FRAGMENT: u8 = 0x02;

/// So many fragments are kept while a message is incomplete, of so many octets in all.
const FRAGMENTS_MAX: usize = 4096;
const FRAGMENT_OCTETS_MAX: usize = 16 << 20;
/// So many chunks are remembered, so that retransmissions are told from news.
const SEEN_MAX: usize = 65_536;

/// True where octets end like an SCTP packet starts: with its CRC32c (RFC 9260 §6.8). An ASAP or
/// ENRP message passes by a chance of 2⁻³².
pub(super) fn has_valid_checksum(packet: &[u8]) -> bool {
    let (Some(before), Some(sum), Some(chunks)) = (
        packet.get(..8),
        packet.get(8..COMMON_HEADER_LEN).and_then(<[u8]>::first_chunk),
        packet.get(COMMON_HEADER_LEN..),
    ) else {
        return false;
    };
    let crc = crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]);
    crc32c::crc32c_append(crc, chunks) == u32::from_le_bytes(*sum)
}

/// One direction of an association: addresses change, the verification tag does not.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Direction {
    tag: u32,
    ports: (u16, u16),
}

#[derive(Debug)]
struct Fragment {
    flags: u8,
    octets: Vec<u8>,
}

/// Fragments that wait for others.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    fragments: HashMap<(Direction, u32), Fragment>,
    octets: usize,
    seen: HashSet<(Direction, u32)>,
    /// `seen` in the order of arrival.
    seen_order: VecDeque<(Direction, u32)>,
    lost: u64,
}

impl Reassembly {
    /// The ports of a packet, source first, and the messages that are complete with it; `None`
    /// where it is no SCTP packet.
    #[expect(clippy::type_complexity, reason = "two pairs")]
    pub(super) fn packet(
        &mut self,
        packet: &[u8],
    ) -> Option<((u16, u16), Vec<(Protocol, Vec<u8>)>)> {
        let (header, mut rest) = packet.split_at_checked(COMMON_HEADER_LEN)?;
        let ports = (be16(header, 0), be16(header, 2));
        let direction = Direction { tag: be32(header, 4), ports };
        let mut messages = Vec::new();
        while let Some((length, chunk)) = chunk(rest) {
            if chunk[0] == DATA && chunk.len() > DATA_HEADER_LEN {
                messages.extend(self.data(direction, chunk));
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        Some((ports, messages))
    }

    /// Fragments of which no message came.
    pub(super) fn lost(&self) -> u64 {
        self.lost + self.fragments.len() as u64
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.octets
    }

    fn data(&mut self, direction: Direction, chunk: &[u8]) -> Option<(Protocol, Vec<u8>)> {
        let protocol = Protocol::from_ppid(be32(chunk, 12))?;
        let key = (direction, be32(chunk, 4));
        // The tag is 0 in packets that were made up: their chunk numbers mean nothing.
        if direction.tag != 0 && !self.remember(key) {
            return None;
        }
        let (flags, octets) = (chunk[1], chunk[DATA_HEADER_LEN..].to_vec());
        if flags & FIRST_FRAGMENT != 0 && flags & LAST_FRAGMENT != 0 {
            return Some((protocol, octets));
        }
        if self.fragments.len() >= FRAGMENTS_MAX || self.octets + octets.len() > FRAGMENT_OCTETS_MAX
        {
            self.lost += self.fragments.len() as u64;
            self.fragments.clear();
            self.octets = 0;
        }
        self.octets += octets.len();
        if let Some(old) = self.fragments.insert(key, Fragment { flags, octets }) {
            self.octets -= old.octets.len();
        }
        self.assemble(key).map(|octets| (protocol, octets))
    }

    /// The message around a fragment, where all of it is there.
    fn assemble(&mut self, (direction, tsn): (Direction, u32)) -> Option<Vec<u8>> {
        let flags = |tsn| self.fragments.get(&(direction, tsn)).map(|fragment| fragment.flags);
        let mut first = tsn;
        while flags(first)? & FIRST_FRAGMENT == 0 {
            first = first.wrapping_sub(1);
        }
        let mut last = tsn;
        while flags(last)? & LAST_FRAGMENT == 0 {
            last = last.wrapping_add(1);
            if flags(last)? & FIRST_FRAGMENT != 0 {
                return None;
            }
        }
        let mut message = Vec::new();
        let mut tsn = first;
        loop {
            message.extend(self.fragments.remove(&(direction, tsn))?.octets);
            if tsn == last {
                break;
            }
            tsn = tsn.wrapping_add(1);
        }
        self.octets -= message.len();
        Some(message)
    }

    /// False where the chunk was there before.
    fn remember(&mut self, key: (Direction, u32)) -> bool {
        if !self.seen.insert(key) {
            return false;
        }
        self.seen_order.push_back(key);
        if self.seen_order.len() > SEEN_MAX
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

/// The first chunk of `rest`, and how many octets it takes with its padding. `None` where the rest
/// is no chunk, or is cut.
fn chunk(rest: &[u8]) -> Option<(usize, &[u8])> {
    let length = usize::from(be16(rest.get(..4)?, 2));
    let chunk = rest.get(..length).filter(|_| length >= 4)?;
    Some((length.next_multiple_of(4), chunk))
}

/// The number at an offset that the caller knows to be there; 0 where it is not.
fn be16(octets: &[u8], offset: usize) -> u16 {
    octets.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |field| u16::from_be_bytes(*field))
}

fn be32(octets: &[u8], offset: usize) -> u32 {
    octets.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |field| u32::from_be_bytes(*field))
}
