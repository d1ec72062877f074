//! A peer that writes its packets by hand.

use std::cell::Cell;
use std::net::UdpSocket;

use rserpool_sctp::chunk::kind as chunk;
use rserpool_sctp::crc::seal;
use rserpool_sctp::packet::HEADER;

use super::super::fuzzing::{half, word};
use super::*;

/// A peer that writes its packets by hand.
pub(super) struct Forger {
    pub(super) socket: UdpSocket,
    pub(super) to: (Ipv4Addr, u16),
    /// Of what the endpoint sends, by its last INIT ACK.
    pub(super) first_tsn: Cell<u32>,
}

impl Forger {
    pub(super) fn new(endpoint: &UserlandEndpoint) -> Self {
        Self::at("127.0.0.1", endpoint)
    }

    /// At this address.
    pub(super) fn at(ip: &str, endpoint: &UserlandEndpoint) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let to = (Ipv4Addr::LOCALHOST, endpoint.local.port);
        Self { socket, to, first_tsn: Cell::new(0) }
    }

    pub(super) fn send(&self, source: u16, tag: u32, chunks: &[u8]) {
        self.socket.send_to(&packet([source, self.to.1], tag, chunks), self.to).unwrap();
    }

    pub(super) fn receive(&self) -> Option<Vec<u8>> {
        let mut octets = [0; 2000];
        let length = self.socket.recv(&mut octets).ok()?;
        Some(octets[..length].to_vec())
    }

    /// The tag and the cookie of the answer to an INIT.
    pub(super) async fn cookie(
        &self,
        endpoint: &mut UserlandEndpoint,
        source: u16,
    ) -> (u32, Vec<u8>) {
        self.cookie_for(endpoint, source, &init(77)).await
    }

    /// The same for another INIT with this tag.
    pub(super) async fn cookie_for(
        &self,
        endpoint: &mut UserlandEndpoint,
        source: u16,
        init: &[u8],
    ) -> (u32, Vec<u8>) {
        self.send(source, 0, init);
        settle(endpoint).await;
        let answer = self.receive().unwrap();
        assert_eq!((half(&answer, 2), word(&answer, 4)), (source, 77));
        assert_eq!(answer[HEADER], chunk::INIT_ACK);
        self.first_tsn.set(word(&answer, HEADER + 16));
        let mut at = HEADER + 20;
        while half(&answer, at) != 7 {
            at += usize::from(half(&answer, at + 2)).next_multiple_of(4);
        }
        let length = usize::from(half(&answer, at + 2));
        (word(&answer, HEADER + 4), answer[at + 4..at + length].to_vec())
    }

    /// An association from this SCTP port, whose first TSN is 1: its name there, and the tag.
    pub(super) async fn up(&self, endpoint: &mut UserlandEndpoint, source: u16) -> (AssocId, u32) {
        let (tag, cookie) = self.cookie(endpoint, source).await;
        self.send(source, tag, &cookie_echo(&cookie));
        let (_, Event::Up { assoc, .. }) = next(&mut [endpoint]).await else { panic!() };
        assert_eq!(self.receive().unwrap()[HEADER], chunk::COOKIE_ACK);
        (assoc, tag)
    }
}

pub(super) fn packet(ports: [u16; 2], tag: u32, chunks: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    octets.extend_from_slice(&ports[0].to_be_bytes());
    octets.extend_from_slice(&ports[1].to_be_bytes());
    octets.extend_from_slice(&tag.to_be_bytes());
    octets.extend_from_slice(&[0; 4]);
    octets.extend_from_slice(chunks);
    seal(&mut octets);
    octets
}

pub(super) fn init(tag: u32) -> Vec<u8> {
    let mut octets = vec![chunk::INIT, 0, 0, 20];
    octets.extend_from_slice(&tag.to_be_bytes());
    octets.extend_from_slice(&[0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1]);
    octets
}

pub(super) fn cookie_echo(cookie: &[u8]) -> Vec<u8> {
    let length = u16::try_from(cookie.len() + 4).unwrap().to_be_bytes();
    let mut octets = vec![chunk::COOKIE_ECHO, 0, length[0], length[1]];
    octets.extend_from_slice(cookie);
    octets.resize(octets.len().next_multiple_of(4), 0);
    octets
}

/// A DATA chunk of stream 0, padded: flags 1 end, 2 begin, 4 unordered.
pub(super) fn data(flags: u8, tsn: u32, number: u16, octets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(octets.len() + 16).unwrap().to_be_bytes();
    let mut chunk = vec![chunk::DATA, flags, length[0], length[1]];
    chunk.extend_from_slice(&tsn.to_be_bytes());
    chunk.extend_from_slice(&[0, 0]);
    chunk.extend_from_slice(&number.to_be_bytes());
    chunk.extend_from_slice(&Ppid::ASAP.0.to_be_bytes());
    chunk.extend_from_slice(octets);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}
