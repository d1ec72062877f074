//! Just enough of the packets of SCTP (RFC 9260 §3) to set up an association and to send fragments.

use anyhow::{Context as _, ensure};

/// What stands before the chunks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) source: u16,
    pub(super) destination: u16,
    /// The peer's verification tag; 0 with an INIT.
    pub(super) tag: u32,
}

pub(super) const INIT: u8 = 1;
pub(super) const INIT_ACK: u8 = 2;
pub(super) const COOKIE_ECHO: u8 = 10;
pub(super) const COOKIE_ACK: u8 = 11;
const DATA: u8 = 0;
const STATE_COOKIE: u16 = 7;
const CHECKSUM_AT: usize = 8;
const CHUNKS_AT: usize = 12;
const PARAMETERS_AT: usize = 20;

impl Header {
    /// A packet with these chunks.
    pub(super) fn packet(self, chunks: &[u8]) -> Vec<u8> {
        let mut octets = Vec::with_capacity(CHUNKS_AT + chunks.len());
        octets.extend(self.source.to_be_bytes());
        octets.extend(self.destination.to_be_bytes());
        octets.extend(self.tag.to_be_bytes());
        octets.extend([0; 4]);
        octets.extend(chunks);
        let checksum = crc32c::crc32c(&octets).to_le_bytes();
        octets[CHECKSUM_AT..CHUNKS_AT].copy_from_slice(&checksum);
        octets
    }
}

fn chunk(ty: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut octets = vec![ty, flags];
    octets.extend(length.to_be_bytes());
    octets.extend(value);
    octets.resize(octets.len().next_multiple_of(4), 0);
    octets
}

/// INIT with this tag and first TSN.
pub(super) fn init(tag: u32, tsn: u32) -> Vec<u8> {
    let mut value = Vec::new();
    value.extend(tag.to_be_bytes());
    value.extend(0x0002_0000_u32.to_be_bytes());
    // So many streams out and in.
    value.extend([0, 1, 0, 1]);
    value.extend(tsn.to_be_bytes());
    chunk(INIT, 0, &value)
}

pub(super) fn cookie_echo(cookie: &[u8]) -> Vec<u8> {
    chunk(COOKIE_ECHO, 0, cookie)
}

/// One octet in the middle of a message.
pub(super) fn fragment(tsn: u32) -> Vec<u8> {
    let mut value = Vec::new();
    value.extend(tsn.to_be_bytes());
    // Stream and number within it.
    value.extend([0; 4]);
    value.extend(11_u32.to_be_bytes());
    value.push(1);
    chunk(DATA, 0, &value)
}

/// The type of the first chunk.
pub(super) fn first_chunk(packet: &[u8]) -> Option<u8> {
    packet.get(CHUNKS_AT).copied()
}

/// The peer's tag and the state cookie of an INIT ACK (RFC 9260 §3.3.3).
pub(super) fn init_ack(packet: &[u8]) -> anyhow::Result<(u32, Vec<u8>)> {
    let chunk = packet.get(CHUNKS_AT..).context("no chunk")?;
    ensure!(chunk.first() == Some(&INIT_ACK), "no INIT ACK");
    let tag = chunk.get(4..8).and_then(|tag| tag.try_into().ok()).context("no tag")?;
    let mut rest = chunk.get(PARAMETERS_AT..).context("no parameters")?;
    while let [a, b, c, d, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([c, d]));
        if u16::from_be_bytes([a, b]) == STATE_COOKIE {
            let cookie = rest.get(4..length).context("a cookie that is cut off")?;
            return Ok((u32::from_be_bytes(tag), cookie.to_vec()));
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..).unwrap_or_default();
    }
    anyhow::bail!("no state cookie")
}
