//! What must hold for any packets and cookies.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use rserpool_sctp::chunk::kind;
use rserpool_sctp::crc::seal;
use rserpool_sctp::packet::{HEADER, Packet};
use rserpool_sctp::{Input, Output, Way};
use tokio::runtime::{Builder, Runtime};

use super::UserlandEndpoint;
use super::encapsulation::Route;
use super::endpoint::{engine, settings};
use crate::address::{Address, Scheme};
use crate::endpoint::{AssocId, Endpoint, Event, Options, Ppid};

/// The SCTP port of the peer that is played here.
const PORT: u16 = 5000;
/// The INIT of a peer with tag 77.
const INIT: [u8; 20] = [kind::INIT, 0, 0, 20, 0, 0, 0, 77, 0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1];
/// The longest message.
const MESSAGE_MAX: usize = 10_000;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().unwrap_or_else(|e| panic!("{e}"));
}

/// A peer with an association, on a socket of its own.
struct Peer {
    endpoint: UserlandEndpoint,
    socket: UdpSocket,
    assoc: AssocId,
    /// The endpoint's tag and the peer's.
    tags: [u32; 2],
    /// The endpoint's first TSN.
    tsn: u32,
    /// Octets that came in messages.
    received: usize,
}

/// Whatever a peer with an association sends, and whenever: no call into the machine panics, what is
/// kept is what is counted and within its bounds, messages and packets are not longer than they may
/// be, and afterwards a new peer is answered.
///
/// An input is a list of steps. The low four bits of the first octet of one say what happens:
///
/// | bits | then come | what |
/// |---|---|---|
/// | 0 to 9 | length (2 octets), chunks | a packet with the right tag, its TSNs counted from the first |
/// | 10, 11, 12 | the same | with tag 0, another one, the peer's own |
/// | 13 | length (2 octets) | the user sends a message |
/// | 14 | | the user closes the association |
/// | 15 | an octet | so many twentieths of a second pass |
///
/// # Panics
///
/// Where it is not so.
pub fn userland_packets(input: &[u8]) {
    RUNTIME.with(|runtime| {
        let _guard = runtime.enter();
        let Some(mut peer) = Peer::new() else { return };
        let mut rest = input;
        while let Some(after) = peer.step(rest) {
            rest = after;
            peer.check();
        }
        peer.is_followed_by_others();
    });
}

impl Peer {
    /// `None` where the host has no socket for it.
    fn new() -> Option<Self> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let options = Options { message_max: MESSAGE_MAX, ..Options::default() };
        let url = Address::from((Scheme::UserlandSctp, loopback));
        let endpoint = UserlandEndpoint::bind(&url, &options).ok()?;
        let socket = UdpSocket::bind(loopback).ok()?;
        socket.set_nonblocking(true).ok()?;
        let (assoc, tags, tsn) = (AssocId(0), [0, 77], 0);
        let mut peer = Self { endpoint, socket, assoc, tags, tsn, received: 0 };
        let init_ack = peer.init(PORT)?;
        (peer.tags[0], peer.tsn) = (word(&init_ack, HEADER + 4), word(&init_ack, HEADER + 16));
        peer.hand_in(PORT, peer.tags[0], &cookie_echo(&init_ack));
        match peer.endpoint.events.pop_front() {
            Some(Event::Up { assoc, .. }) => peer.assoc = assoc,
            other => panic!("no association but {other:?}"),
        }
        peer.answers();
        Some(peer)
    }

    /// The answer to an INIT.
    fn init(&mut self, port: u16) -> Option<Vec<u8>> {
        self.hand_in(port, 0, &INIT);
        self.answers().into_iter().find(|answer| answer[HEADER] == kind::INIT_ACK)
    }

    fn hand_in(&mut self, port: u16, tag: u32, chunks: &[u8]) {
        let mut octets = Vec::with_capacity(HEADER + chunks.len());
        octets.extend_from_slice(&port.to_be_bytes());
        octets.extend_from_slice(&self.endpoint.local.port.to_be_bytes());
        octets.extend_from_slice(&tag.to_be_bytes());
        octets.extend_from_slice(&[0; 4]);
        octets.extend_from_slice(chunks);
        seal(&mut octets);
        let Ok(remote) = self.socket.local_addr() else { return };
        self.endpoint.on_datagram(Route { socket: 0, local: None, remote }, &octets);
        self.endpoint.flush();
    }

    /// What the endpoint sent.
    fn answers(&self) -> Vec<Vec<u8>> {
        let mut octets = [0; 2048];
        let receive = || self.socket.recv(&mut octets).ok().map(|length| octets[..length].to_vec());
        let answers: Vec<Vec<u8>> = std::iter::from_fn(receive).collect();
        for answer in &answers {
            assert!(Packet::parse(answer).is_ok() && answer.len() <= 1472, "{answer:?}");
        }
        answers
    }

    /// Carries out the first step, and returns the rest; `None` at the end.
    fn step<'a>(&mut self, steps: &'a [u8]) -> Option<&'a [u8]> {
        let (first, rest) = steps.split_first()?;
        match first & 15 {
            kind @ 0..=12 => {
                let length = usize::from(half(rest.get(..2)?, 0)) % 2048;
                let (chunks, rest) = rest[2..].split_at(length.min(rest.len() - 2));
                let tag = [self.tags[0], 0, self.tags[0] ^ 1, self.tags[1]];
                let chunks = self.counted_from_the_first(chunks);
                self.hand_in(PORT, tag[usize::from(kind.saturating_sub(9))], &chunks);
                Some(rest)
            }
            13 => {
                let length = usize::from(half(rest.get(..2)?, 0)) % (MESSAGE_MAX + 2);
                let _ = self.endpoint.send(self.assoc, Ppid::ASAP, &vec![7; length]);
                self.endpoint.flush();
                Some(&rest[2..])
            }
            14 => {
                self.endpoint.close(self.assoc);
                Some(rest)
            }
            _ => {
                let (twentieths, rest) = rest.split_first()?;
                self.endpoint.skip(Duration::from_millis(50) * u32::from(*twentieths));
                Some(rest)
            }
        }
    }

    /// What is acknowledged is counted from the endpoint's first TSN: nobody guesses that.
    fn counted_from_the_first(&self, chunks: &[u8]) -> Vec<u8> {
        let mut chunks = chunks.to_vec();
        let mut at = 0;
        while at + 8 <= chunks.len() {
            if matches!(chunks[at], kind::SACK | kind::SHUTDOWN) {
                let tsn = word(&chunks, at + 4).wrapping_add(self.tsn.wrapping_sub(1));
                chunks[at + 4..at + 8].copy_from_slice(&tsn.to_be_bytes());
            }
            at += usize::from(half(&chunks, at + 2)).max(4).next_multiple_of(4);
        }
        chunks
    }

    fn check(&mut self) {
        self.answers();
        while let Some(event) = self.endpoint.events.pop_front() {
            match event {
                Event::Message { octets, .. } => {
                    assert!(octets.len() <= MESSAGE_MAX, "a message of {}", octets.len());
                    self.received += octets.len();
                }
                Event::Up { assoc, .. } => self.assoc = assoc,
                _ => {}
            }
        }
        self.endpoint.check_bounds();
    }

    /// Whatever came of it, others are served.
    fn is_followed_by_others(&mut self) {
        assert!(self.init(PORT + 1).is_some(), "a new peer is not answered");
    }
}

impl UserlandEndpoint {
    /// Lets time pass without waiting for it: what is due by then expires.
    fn skip(&mut self, time: Duration) {
        self.epoch = self.epoch.checked_sub(time).unwrap_or(self.epoch);
        let now = self.now();
        self.run_timers(now, now);
    }

    /// Checks that what is kept is what is counted, and within its bounds.
    ///
    /// # Panics
    ///
    /// Where it is not so.
    fn check_bounds(&mut self) {
        assert!(self.engine.is_consistent(), "sums and bounds");
        let mut charged = 0;
        for id in self.table.ids() {
            let Some(association) = self.table.get_mut(id) else { continue };
            charged += association.charged;
        }
        assert_eq!(self.table.len(), self.engine.len(), "each has its accounts");
        assert_eq!(charged, self.fragments.all(), "what counts for associations that are gone");
    }
}

/// A cookie is taken back from the address it was given to, in its minute and unchanged, and else it is
/// not;
/// whatever comes, nothing panics.
///
/// An input is the peer's UDP port (2 octets), the age of the cookie in milliseconds (4 octets), and
/// changes of the packet that brings it back: place (2 octets), exclusive or (1 octet).
///
/// # Panics
///
/// Where it is not so.
pub fn state_cookies(input: &[u8]) {
    let [p0, p1, a0, a1, a2, a3, changes @ ..] = input else { return };
    let Ok(mut engine) = engine(settings(&Options::default()), 3863, Vec::new()) else { return };
    engine.listen(true);
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 5000));
    let given = Duration::from_secs(1);
    let mut init = [PORT.to_be_bytes(), 3863_u16.to_be_bytes()].concat();
    init.extend_from_slice(&[0; 8]);
    init.extend_from_slice(&INIT);
    seal(&mut init);
    engine.handle(given, Input::Packet { way: Way { local: None, remote: here }, octets: &init });
    let mut init_ack = Vec::new();
    let Some(Output::Packet(_)) = engine.poll(&mut init_ack) else { panic!("no INIT ACK") };
    let mut echo = [PORT.to_be_bytes(), 3863_u16.to_be_bytes()].concat();
    echo.extend_from_slice(&init_ack[HEADER + 4..HEADER + 8]);
    echo.extend_from_slice(&[0; 4]);
    echo.extend_from_slice(&cookie_echo(&init_ack));
    let genuine = echo.clone();
    for change in changes.chunks_exact(3) {
        let at = usize::from(half(change, 0)) % echo.len();
        echo[at] ^= change[2];
    }
    seal(&mut echo);
    // Address translators change ports.
    let port = here.port() ^ u16::from_be_bytes([*p0, *p1]);
    let way = Way { local: None, remote: SocketAddr::new(here.ip(), port) };
    let age = Duration::from_millis(u32::from_be_bytes([*a0, *a1, *a2, *a3]).into());
    // The flags of the chunk mean nothing.
    let same = echo[..8] == genuine[..8]
        && echo[HEADER] == genuine[HEADER]
        && echo[HEADER + 2..] == genuine[HEADER + 2..];
    engine.handle(given + age, Input::Packet { way, octets: &echo });
    assert_eq!(engine.len() == 1, same && age <= Duration::from_secs(60));
}

/// The COOKIE ECHO that answers an INIT ACK.
fn cookie_echo(init_ack: &[u8]) -> Vec<u8> {
    let mut at = HEADER + 20;
    while half(init_ack, at) != 7 && at < init_ack.len() {
        at += usize::from(half(init_ack, at + 2)).max(4).next_multiple_of(4);
    }
    let mut chunk = init_ack.get(at..).unwrap_or_default().to_vec();
    chunk[..2].copy_from_slice(&[kind::COOKIE_ECHO, 0]);
    chunk
}

/// Two octets at `at`, or zero beyond the end.
pub(super) fn half(octets: &[u8], at: usize) -> u16 {
    octets.get(at..at + 2).map_or(0, |o| u16::from_be_bytes([o[0], o[1]]))
}

/// Four octets at `at`, or zero beyond the end.
pub(super) fn word(octets: &[u8], at: usize) -> u32 {
    octets.get(at..at + 4).map_or(0, |o| u32::from_be_bytes([o[0], o[1], o[2], o[3]]))
}
