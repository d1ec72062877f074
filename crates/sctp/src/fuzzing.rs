//! What must hold for whatever peers and networks do, as functions that panic where it does not: the
//! bodies of the fuzz targets, and of the tests that run what the fuzzers started from and found.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::chunk::{Chunks, Init, kind, write};
use crate::packet::{HEADER, Header};
use crate::{
    AssociationId, Command, Config, Endpoint, Event, Input, Message, Output, SendError, Way, crc,
    parameter,
};

/// The longest message.
const MESSAGE_MAX: usize = 10_000;
/// Ports of the played peer and of the endpoint.
const PORTS: [u16; 2] = [5000, 7];
/// Outputs that one input may have.
const OUTPUTS_MAX: usize = 2000;

fn config() -> Config {
    Config {
        message_max: MESSAGE_MAX,
        receive_window: 2 * MESSAGE_MAX,
        send_queue_max: 4 * MESSAGE_MAX,
        rto_min: Duration::from_millis(100),
        rto_max: Duration::from_secs(2),
        rto_initial: Duration::from_millis(250),
        heartbeat_interval: Duration::from_secs(2),
        ..Config::default()
    }
}

fn at(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 9899))
}

/// Cuts a length of one octet, or two, and as much off an input.
fn cut<'a>(rest: &mut &'a [u8], wide: bool) -> Option<&'a [u8]> {
    let head = if wide { 2 } else { 1 };
    let (length, after) = rest.split_at_checked(head)?;
    let length = length.iter().fold(0, |sum, octet| 256 * sum + usize::from(*octet));
    let (own, after) = after.split_at(length.min(after.len()));
    *rest = after;
    Some(own)
}

/// A peer with an association, played by an input.
struct Peer {
    endpoint: Endpoint,
    now: Duration,
    id: AssociationId,
    /// The peer's tag, and the endpoint's.
    tags: [u32; 2],
    /// The endpoint's first TSN; the peer's is 1.
    tsn: u32,
    source: SocketAddr,
}

/// Whatever a peer with an association sends, and whenever: nothing panics, what is kept stays within
/// its bounds and is what is counted, messages and packets are not longer than they may be, and
/// afterwards a new peer is answered.
///
/// An input is a list of steps. The low four bits of the first octet of one say what happens:
///
/// | bits | then come | what |
/// |---|---|---|
/// | 0 to 9 | length (2 octets), chunks | a packet with the right tag; TSNs of DATA and SACK, and serials of ASCONF, are counted from the first |
/// | 10, 11, 12 | the same | with tag 0, another one, the peer's own |
/// | 13 | length (2 octets) | the user sends a message |
/// | 14 | an octet | a command |
/// | 15 | an octet | so many twentieths of a second pass |
///
/// The high four bits choose the address that a packet comes from.
///
/// # Panics
///
/// Where it is not so.
pub fn sctp_packets(input: &[u8]) {
    let Some(mut peer) = Peer::new() else { return };
    let mut rest = input;
    while !rest.is_empty() {
        if peer.step(&mut rest).is_none() {
            break;
        }
    }
    peer.drain();
    let mut init = Vec::new();
    Header { source: 77, destination: PORTS[1], tag: 0 }.write(&mut init);
    greeting(5, &[]).write(&mut init, kind::INIT);
    crc::seal(&mut init);
    let way = Way { local: None, remote: at(200) };
    peer.endpoint.handle(peer.now, Input::Packet { way, octets: &init });
    let answered = peer.drain().iter().any(|packet| packet.get(HEADER) == Some(&kind::INIT_ACK));
    assert!(answered, "a new peer is not answered");
}

fn greeting(tag: u32, parameters: &[u8]) -> Init<'_> {
    Init { tag, window: 20_000, streams_out: 4, streams_in: 4, tsn: 1, parameters }
}

impl Peer {
    fn new() -> Option<Self> {
        let mut endpoint = Endpoint::new(config(), PORTS[1], vec![at(100).ip()], [3; 32]);
        endpoint.listen(true);
        let now = Duration::from_secs(1);
        let mut peer = Self {
            endpoint,
            now,
            id: AssociationId(0),
            tags: [0x0101_0101, 0],
            tsn: 0,
            source: at(1),
        };
        let mut parameters = Vec::new();
        parameter::write_address(&mut parameters, at(2).ip());
        let mut value = Vec::new();
        greeting(peer.tags[0], &parameters).write(&mut value, kind::INIT);
        let value = value.get(4..)?.to_vec();
        let ack = peer.send(0, kind::INIT, &value).into_iter().next()?;
        let ack = Chunks::new(&ack, HEADER).next()?;
        let init = Init::read(&ack)?;
        peer.tags[1] = init.tag;
        peer.tsn = init.tsn;
        let mut parameters = parameter::Parameters::new(init.parameters);
        let cookie = parameters.find(|p| p.kind == parameter::kind::STATE_COOKIE)?.value.to_vec();
        let tag = peer.tags[1];
        peer.send(tag, kind::COOKIE_ECHO, &cookie);
        peer.id = AssociationId(1);
        assert_eq!(peer.endpoint.len(), 1);
        Some(peer)
    }

    fn send(&mut self, tag: u32, kind: u8, value: &[u8]) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        write(&mut chunks, kind, 0, |octets| octets.extend_from_slice(value));
        self.packet(tag, &chunks)
    }

    fn packet(&mut self, tag: u32, chunks: &[u8]) -> Vec<Vec<u8>> {
        let mut octets = Vec::new();
        Header { source: PORTS[0], destination: PORTS[1], tag }.write(&mut octets);
        octets.extend_from_slice(chunks);
        crc::seal(&mut octets);
        let way = Way { local: Some(at(100).ip()), remote: self.source };
        self.endpoint.handle(self.now, Input::Packet { way, octets: &octets });
        self.drain()
    }

    fn step(&mut self, rest: &mut &[u8]) -> Option<()> {
        let (first, after) = rest.split_first()?;
        *rest = after;
        self.source = at(1 + (first >> 4) % 4);
        match first & 15 {
            what @ 0..=12 => {
                let chunks = cut(rest, true)?.to_vec();
                let chunks = self.rebased(chunks);
                let tag = match what {
                    10 => 0,
                    11 => self.tags[1] ^ 7,
                    12 => self.tags[0],
                    _ => self.tags[1],
                };
                self.packet(tag, &chunks);
            }
            13 => {
                let (length, after) = rest.split_first_chunk::<2>()?;
                *rest = after;
                let length = usize::from(u16::from_be_bytes(*length)) % (MESSAGE_MAX + 2);
                let unordered = length.is_multiple_of(3);
                let octets = vec![7; length].into();
                let message = Message { stream: 1, ppid: 11, unordered, octets };
                match self.endpoint.send(self.now, self.id, message) {
                    Ok(()) | Err(SendError::Full | SendError::NotUp) => {}
                    Err(SendError::TooLong) => assert!(length > MESSAGE_MAX),
                    Err(SendError::Empty) => assert_eq!(length, 0),
                    Err(SendError::NoStream) => panic!("stream 1 was agreed on"),
                }
            }
            14 => {
                let (which, after) = rest.split_first()?;
                *rest = after;
                let command = command(*which, at(100).ip(), at(2).ip());
                self.endpoint.handle(self.now, Input::Command(self.id, command));
            }
            _ => {
                let (time, after) = rest.split_first()?;
                *rest = after;
                pass(&mut self.endpoint, &mut self.now, *time);
            }
        }
        self.drain();
        Some(())
    }

    /// Counts numbers from the first on.
    fn rebased(&self, mut chunks: Vec<u8>) -> Vec<u8> {
        let places: Vec<(usize, u32)> = Chunks::new(&chunks, 0)
            .filter_map(|chunk| match chunk.kind {
                kind::DATA | kind::ASCONF => Some((chunk.offset + 4, 1)),
                kind::SACK | kind::SHUTDOWN | kind::ASCONF_ACK => {
                    Some((chunk.offset + 4, self.tsn.wrapping_sub(1)))
                }
                _ => None,
            })
            .collect();
        for (place, base) in places {
            if let Some(number) = chunks.get_mut(place..).and_then(|rest| rest.first_chunk_mut()) {
                *number = u32::from_be_bytes(*number).wrapping_add(base).to_be_bytes();
            }
        }
        chunks
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        drain(&mut self.endpoint, |output, octets| match output {
            Output::Packet(_) => packets.push(octets.to_vec()),
            Output::Event(id, Event::Up(_)) => self.id = id,
            Output::Event(_, Event::Message(message)) => {
                assert!(!message.octets.is_empty() && message.octets.len() <= MESSAGE_MAX);
            }
            Output::Event(..) => {}
        });
        packets
    }
}

/// Takes all outputs, and looks at what every one of them has to be.
fn drain(endpoint: &mut Endpoint, mut each: impl FnMut(Output, &[u8])) {
    let mut buffer = Vec::new();
    let mut count = 0;
    while let Some(output) = endpoint.poll(&mut buffer) {
        count += 1;
        assert!(count < OUTPUTS_MAX, "outputs without end");
        if let Output::Packet(_) = output {
            assert!(crc::is_right(&buffer), "a wrong checksum");
            assert!(buffer.len() <= 1472, "a packet of {} octets", buffer.len());
        }
        each(output, &buffer);
    }
    assert!(endpoint.is_consistent(), "sums or bounds");
}

/// So many twentieths of a second pass.
fn pass(endpoint: &mut Endpoint, now: &mut Duration, twentieths: u8) {
    let until = *now + Duration::from_millis(50) * u32::from(twentieths);
    for _ in 0..OUTPUTS_MAX {
        let Some(at) = endpoint.next_timeout().filter(|at| *at <= until) else { break };
        *now = at.max(*now);
        endpoint.handle(*now, Input::Timeout);
        drain(endpoint, |_, _| ());
    }
    *now = until;
}

fn command(which: u8, own: IpAddr, peer: IpAddr) -> Command {
    match which % 10 {
        0 => Command::Shutdown,
        1 => Command::Abort,
        2 => Command::Pause,
        3 => Command::Resume,
        4 => Command::SetPrimary(peer),
        5 => Command::AddAddress(own),
        6 => Command::DeleteAddress(own),
        7 => Command::SetPeerPrimary(own),
        8 => Command::Heartbeat(None),
        _ => Command::Heartbeat(Some(peer)),
    }
}

/// Two endpoints and a network that does whatever the input says: nothing panics, sums and bounds are
/// right, and what is delivered was sent, whole, once, and in the order of its stream.
///
/// Each octet is a step: its low four bits say what happens, the high four which.
///
/// | bits | what |
/// |---|---|
/// | 0 to 5 | the packet at that place of the queue arrives |
/// | 6 | it is lost |
/// | 7 | it arrives, and once more later |
/// | 8 | an octet of it is changed, and its checksum made right or not |
/// | 9, 10 | an end sends a message; the next octet says how long |
/// | 11 | the next timer expires |
/// | 12 | a command of one end |
/// | 13 | an address is added or deleted |
/// | 14 | the first end dials |
/// | 15 | both ends forget nothing, and a second passes |
///
/// # Panics
///
/// Where it is not so.
pub fn sctp_sequences(input: &[u8]) {
    let mut world = World::new();
    let mut rest = input;
    while let Some((step, after)) = rest.split_first() {
        rest = after;
        world.step(step & 15, step >> 4, &mut rest);
    }
    world.drain();
}

struct World {
    ends: [Endpoint; 2],
    now: Duration,
    ids: [AssociationId; 2],
    transit: VecDeque<(usize, Way, Vec<u8>)>,
    /// Messages that each end has sent on each of two streams, and how many of them have arrived.
    sent: [[u32; 2]; 2],
    arrived: [[u32; 2]; 2],
    /// Something that was forged may have been believed.
    is_tainted: bool,
}

impl World {
    fn new() -> Self {
        let end = |which: u8| {
            let own = vec![at(10 + which).ip(), at(20 + which).ip()];
            let mut end = Endpoint::new(config(), PORTS[1], own, [which + 1; 32]);
            end.listen(true);
            end
        };
        let mut world = Self {
            ends: [end(0), end(1)],
            now: Duration::from_secs(1),
            ids: [AssociationId(0); 2],
            transit: VecDeque::new(),
            sent: [[0; 2]; 2],
            arrived: [[0; 2]; 2],
            is_tainted: false,
        };
        world.dial();
        world
    }

    fn dial(&mut self) {
        let remotes = [at(11), at(21)];
        if let Ok(id) = self.ends[0].connect(self.now, &remotes, PORTS[1]) {
            self.ids[0] = id;
        }
        self.drain();
    }

    fn step(&mut self, what: u8, which: u8, rest: &mut &[u8]) {
        let end = usize::from(which & 1);
        let place = usize::from(which);
        match what {
            0..=5 => self.arrive(place, false),
            6 => drop(self.transit.remove(place)),
            7 => self.arrive(place, true),
            8 => self.forge(place, rest),
            9 | 10 => {
                let length = rest.split_first().map_or(1, |(length, after)| {
                    *rest = after;
                    4 + usize::from(*length).pow(2) / 8
                });
                self.send(end, u16::from(which >> 3), length);
            }
            11 => {
                let next = self.ends.iter().filter_map(Endpoint::next_timeout).min();
                self.now = self.now.max(next.unwrap_or_default());
                self.ends.iter_mut().for_each(|end| end.handle(self.now, Input::Timeout));
            }
            12 => {
                let kept = [2, 3, 4, 7, 8, 9, 2, 3];
                let which = kept.get(usize::from(which >> 1)).copied().unwrap_or(0);
                let command = command(which, at(10).ip(), at(11).ip());
                self.ends[end].handle(self.now, Input::Command(self.ids[end], command));
            }
            13 => {
                let octet = if which & 4 == 0 { 20 } else { 30 };
                let ip = at(octet + (which & 1)).ip();
                let command = if which & 2 == 0 {
                    Command::AddAddress(ip)
                } else {
                    Command::DeleteAddress(ip)
                };
                self.ends[end].handle(self.now, Input::Command(self.ids[end], command));
            }
            14 => self.dial(),
            _ => {
                self.now += Duration::from_secs(1);
                self.ends.iter_mut().for_each(|end| end.handle(self.now, Input::Timeout));
            }
        }
        self.drain();
    }

    fn arrive(&mut self, place: usize, twice: bool) {
        let place = place.min(self.transit.len().saturating_sub(1));
        let Some((to, way, octets)) = self.transit.remove(place) else { return };
        self.ends[to].handle(self.now, Input::Packet { way, octets: &octets });
        if twice {
            self.transit.push_back((to, way, octets));
        }
    }

    fn forge(&mut self, place: usize, rest: &mut &[u8]) {
        let Some((change, after)) = rest.split_first_chunk::<2>() else { return };
        *rest = after;
        let Some((to, way, octets)) = self.transit.get_mut(place) else { return };
        let at = usize::from(change[0]) % octets.len();
        octets[at] ^= change[1];
        if change[0] & 1 == 0 {
            crc::seal(octets);
            self.is_tainted = true;
        }
        let _ = (to, way);
    }

    fn send(&mut self, end: usize, stream: u16, length: usize) {
        let number = &mut self.sent[end][usize::from(stream)];
        let mut octets = number.to_be_bytes().to_vec();
        octets.resize(length.max(4), 7);
        let message = Message { stream, ppid: 11, unordered: false, octets: octets.into() };
        if self.ends[end].send(self.now, self.ids[end], message).is_ok() {
            *number += 1;
        }
    }

    fn drain(&mut self) {
        for from in [0, 1] {
            let (transit, ids) = (&mut self.transit, &mut self.ids[from]);
            let (arrived, sent) = (&mut self.arrived[1 - from], &mut self.sent);
            let (count, tainted) = (sent[1 - from], self.is_tainted);
            let mut restarts = false;
            drain(&mut self.ends[from], |output, octets| match output {
                Output::Packet(way) if transit.len() < 200 => {
                    let local = way.local.unwrap_or_else(|| at(10).ip());
                    let back =
                        Way { local: Some(way.remote.ip()), remote: SocketAddr::new(local, 9899) };
                    transit.push_back((1 - from, back, octets.to_vec()));
                }
                Output::Packet(_) => {}
                Output::Event(id, Event::Up(_) | Event::Restarted(_)) => {
                    *ids = id;
                    restarts = true;
                }
                Output::Event(_, Event::Message(message)) if !tainted => {
                    let stream = usize::from(message.stream);
                    let number = message.octets.first_chunk().map(|n| u32::from_be_bytes(*n));
                    assert_eq!(number, Some(arrived[stream]), "order");
                    assert!(arrived[stream] < count[stream], "sent");
                    assert!(message.octets.iter().skip(4).all(|octet| *octet == 7));
                    arrived[stream] += 1;
                }
                Output::Event(..) => {}
            });
            // What the one before carried is not counted against this one.
            self.is_tainted |= restarts && self.sent != [[0; 2]; 2];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_steps_do_is_what_they_say() {
        let mut world = World::new();
        let mut run = |steps: &[u8]| {
            let mut rest = steps;
            while let Some((step, after)) = rest.split_first() {
                rest = after;
                world.step(step & 15, step >> 4, &mut rest);
            }
            world.arrived
        };
        run(&[0; 20]);
        assert_eq!(run(&[9, 100, 0x99, 200, 0, 0, 0, 0, 0, 0, 0, 0]), [[1, 0], [0, 1]]);
        // One is lost, and comes after a timeout.
        run(&[9, 4, 6]);
        assert_eq!(run(&[11, 11, 0, 0, 0, 0, 0, 0, 11, 11, 0, 0, 0, 0, 0, 0]), [[2, 0], [0, 1]]);
    }

    #[test]
    fn a_played_peer_is_heard() {
        let mut peer = Peer::new().unwrap();
        let data = [0, 3, 0, 20, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 11, 1, 2, 3, 4];
        let step = [&[0, 0, 20][..], &data, &[15, 5]].concat();
        let mut rest = &step[..];
        peer.step(&mut rest).unwrap();
        assert!(
            peer.endpoint.next_timeout().is_some_and(|at| at <= peer.now + config().rto_min / 2)
        );
        peer.step(&mut rest).unwrap();
        assert!(rest.is_empty());
    }
}
