//! Authentic state cookies (RFC 9260 §5.1.3).
//!
//! The cookie of `dcsctp` carries the whole future association and nothing that proves who wrote it:
//! one forged COOKIE ECHO would make an established association. So what goes out is
//!
//! ```text
//! | cookie of dcsctp (48) | time of the INIT (8) | HMAC-SHA256 (32) |
//! ```
//!
//! with a MAC over the cookie, the time, the peer's address and UDP port and both SCTP ports, under a
//! key that the endpoint draws when it is bound. What comes back is checked and cut to the 48 octets.

use std::net::SocketAddr;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::packet::{HEADER, Packet, half, seal, word};

/// Valid.Cookie.Life (RFC 9260 §16).
const LIFE: Duration = Duration::from_secs(60);

/// The cookie of dcsctp 0.1.16; its own tag is the fourth word.
const INNER: usize = 48;
/// Time and MAC.
const TRAILER: usize = 8 + 32;
/// Parameter type of the State Cookie (RFC 9260 §3.3.3).
const STATE_COOKIE: u16 = 7;

/// What a cookie says of the peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Baked {
    /// Its verification tag.
    pub(super) tag: u32,
    /// Its first TSN.
    pub(super) tsn: u32,
    /// What it takes, in octets.
    pub(super) window: u32,
}

impl Baked {
    /// Of a packet that [`Cookies::open`] returned.
    pub(super) fn of(plain: &[u8]) -> Self {
        // After two words of magic, and our own tag and TSN in between.
        let at = HEADER + 4;
        let (tag, tsn, window) = (word(plain, at + 8), word(plain, at + 16), word(plain, at + 24));
        Self { tag, tsn, window }
    }
}

/// Signs the cookies of one endpoint and knows them again.
pub(super) struct Cookies {
    mac: Hmac<Sha256>,
}

impl Cookies {
    /// With a key of its own.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        // The length of SHA-256's block, which HMAC takes as it is.
        let mut key = [0; 64];
        getrandom::fill(&mut key)?;
        let mac = Hmac::new(&key.into());
        Ok(Self { mac })
    }

    /// Signs the cookie in an INIT ACK that dcsctp wrote for `peer`, `now` after the endpoint began.
    /// Returns false where the packet does not end in such a cookie: it must not be sent.
    pub(super) fn sign(&self, packet: &mut Vec<u8>, peer: SocketAddr, now: Duration) -> bool {
        let Some(parameter) = packet.len().checked_sub(INNER + 4) else { return false };
        if parameter < HEADER + 20
            || half(packet, parameter) != STATE_COOKIE
            || usize::from(half(packet, parameter + 2)) != INNER + 4
        {
            return false;
        }
        let time = millis(now).to_be_bytes();
        let ports = [half(packet, 2), half(packet, 0)];
        let mac = self.over(&packet[parameter + 4..], &time, peer, ports).finalize();
        packet.extend_from_slice(&time);
        packet.extend_from_slice(&mac.into_bytes());
        lengthen(packet, parameter + 2);
        lengthen(packet, HEADER + 2);
        seal(packet);
        true
    }

    /// The packet as dcsctp wants it, where its COOKIE ECHO carries a cookie that this endpoint
    /// signed for `peer` in the last minute and the packet has the tag of the cookie
    /// (RFC 9260 §5.1.5). Its checksum is not written again.
    pub(super) fn open(
        &self,
        packet: &Packet<'_>,
        peer: SocketAddr,
        now: Duration,
    ) -> Option<Vec<u8>> {
        let octets = packet.octets;
        let value = octets.get(HEADER + 4..HEADER + 4 + INNER + TRAILER)?;
        if usize::from(half(octets, HEADER + 2)) != 4 + INNER + TRAILER {
            return None;
        }
        let (cookie, trailer) = value.split_at(INNER);
        let (time, mac) = trailer.split_at(8);
        let ports = [packet.source, packet.destination];
        self.over(cookie, time, peer, ports).verify_slice(mac).ok()?;

        let signed = u64::from_be_bytes(time.try_into().ok()?);
        let fresh = millis(now).saturating_sub(signed) <= millis(LIFE);
        let mut plain = Vec::with_capacity(octets.len() - TRAILER);
        plain.extend_from_slice(&octets[..HEADER + 4 + INNER]);
        plain.extend_from_slice(&octets[HEADER + 4 + INNER + TRAILER..]);
        plain[HEADER + 2..HEADER + 4].copy_from_slice(&[0, 4 + 48]);
        (fresh && word(cookie, 12) == packet.tag).then_some(plain)
    }

    fn over(&self, cookie: &[u8], time: &[u8], peer: SocketAddr, ports: [u16; 2]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(cookie);
        mac.update(time);
        match peer {
            SocketAddr::V4(v4) => mac.update(&v4.ip().to_ipv6_mapped().octets()),
            SocketAddr::V6(v6) => mac.update(&v6.ip().octets()),
        }
        mac.update(&peer.port().to_be_bytes());
        mac.update(&ports[0].to_be_bytes());
        mac.update(&ports[1].to_be_bytes());
        mac
    }
}

/// Adds the trailer to the length field at `at`.
fn lengthen(packet: &mut [u8], at: usize) {
    let length = half(packet, at) + 40;
    packet[at..at + 2].copy_from_slice(&length.to_be_bytes());
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
