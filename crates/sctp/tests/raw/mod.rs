//! A peer that is played by hand: it sends whatever a test wants.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rserpool_sctp::chunk::{Chunks, Data, Init, kind, write};
use rserpool_sctp::packet::{HEADER, Header};
use rserpool_sctp::parameter::{Parameters, kind as parameter};
use rserpool_sctp::{
    AssociationId, Command, Config, Endpoint, Event, Input, Message, Output, Way, crc,
};

/// The peer's SCTP port, and the endpoint's.
pub(crate) const PORTS: [u16; 2] = [5000, 7];

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A chunk that came out, and where to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Out {
    pub(crate) to: SocketAddr,
    pub(crate) tag: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) value: Vec<u8>,
}

impl Out {
    /// The first error cause in it.
    pub(crate) fn cause(&self) -> Option<u16> {
        Parameters::new(&self.value).next().map(|cause| cause.kind)
    }
}

pub(crate) struct Raw {
    pub(crate) endpoint: Endpoint,
    pub(crate) now: Duration,
    pub(crate) at: SocketAddr,
    /// The peer's tag, and the endpoint's.
    pub(crate) tags: [u32; 2],
    /// The peer's next TSN, and the endpoint's first.
    pub(crate) tsns: [u32; 2],
    pub(crate) id: Option<AssociationId>,
    pub(crate) events: Vec<Event>,
}

impl Raw {
    pub(crate) fn new(config: Config) -> Self {
        let mut endpoint = Endpoint::new(config, PORTS[1], Vec::new(), [9; 32]);
        endpoint.listen(true);
        Self {
            endpoint,
            now: ms(1000),
            at: "192.0.2.1:9899".parse().unwrap(),
            tags: [0x1111_1111, 0],
            tsns: [100, 0],
            id: None,
            events: Vec::new(),
        }
    }

    /// The peer has dialed, and is up.
    pub(crate) fn dialed(config: Config) -> Self {
        let mut raw = Self::new(config);
        raw.dial(&[]);
        raw
    }

    /// The endpoint has dialed, and is up.
    pub(crate) fn accepted(config: Config) -> Self {
        let mut raw = Self::new(config);
        let out = raw.connect();
        assert_eq!(out[0].kind, kind::INIT);
        raw.answer_init(&out[0], &cookie_parameter(b"cookie"));
        let out = raw.packet(&[(kind::COOKIE_ACK, 0, vec![])]);
        assert!(out.is_empty(), "{out:?}");
        assert!(matches!(raw.events[0], Event::Up(_)));
        raw
    }

    pub(crate) fn connect(&mut self) -> Vec<Out> {
        self.id = Some(self.endpoint.connect(self.now, &[self.at], PORTS[0]).unwrap());
        self.drain()
    }

    /// Answers an INIT; what the endpoint sends then.
    pub(crate) fn answer_init(&mut self, sent: &Out, parameters: &[u8]) -> Vec<Out> {
        let chunk = [&[kind::INIT, 0, 0, 0][..], &sent.value].concat();
        self.note_init(&chunk);
        self.packet(&[(kind::INIT_ACK, 0, self.init(parameters))])
    }

    fn note_init(&mut self, chunk: &[u8]) {
        let word = |at: usize| u32::from_be_bytes(*chunk[at..].first_chunk().unwrap());
        self.tags[1] = word(4);
        self.tsns[1] = word(16);
    }

    /// The value of the peer's INIT or INIT ACK.
    pub(crate) fn init(&self, parameters: &[u8]) -> Vec<u8> {
        let init = Init {
            tag: self.tags[0],
            window: 100_000,
            streams_out: 10,
            streams_in: 10,
            tsn: self.tsns[0],
            parameters,
        };
        let mut octets = Vec::new();
        init.write(&mut octets, kind::INIT);
        octets[4..4 + 16 + parameters.len()].to_vec()
    }

    /// Sends an INIT, and its cookie back.
    pub(crate) fn dial(&mut self, parameters: &[u8]) -> Vec<Out> {
        let out = self.send_init(parameters);
        assert_eq!(out[0].kind, kind::INIT_ACK, "{out:?}");
        let out = self.echo(&out[0]);
        assert_eq!(out[0].kind, kind::COOKIE_ACK, "{out:?}");
        out
    }

    pub(crate) fn send_init(&mut self, parameters: &[u8]) -> Vec<Out> {
        self.with_tag(0, &[(kind::INIT, 0, self.init(parameters))])
    }

    /// Sends the cookie of an INIT ACK back.
    pub(crate) fn echo(&mut self, ack: &Out) -> Vec<Out> {
        self.note_init(&[&[kind::INIT_ACK, 0, 0, 0][..], &ack.value].concat());
        self.packet(&[(kind::COOKIE_ECHO, 0, cookie_of(ack))])
    }

    /// Sends a packet with the endpoint's tag.
    pub(crate) fn packet(&mut self, chunks: &[(u8, u8, Vec<u8>)]) -> Vec<Out> {
        self.with_tag(self.tags[1], chunks)
    }

    pub(crate) fn with_tag(&mut self, tag: u32, chunks: &[(u8, u8, Vec<u8>)]) -> Vec<Out> {
        let octets = encode(tag, chunks);
        self.octets(&octets)
    }

    pub(crate) fn octets(&mut self, octets: &[u8]) -> Vec<Out> {
        self.octets_from(self.at, octets)
    }

    pub(crate) fn octets_from(&mut self, remote: SocketAddr, octets: &[u8]) -> Vec<Out> {
        let local: IpAddr = "192.0.2.9".parse().unwrap();
        let way = Way { local: Some(local), remote };
        self.endpoint.handle(self.now, Input::Packet { way, octets });
        self.drain()
    }

    /// Sends DATA: TSN counted from the first, stream, number, flags, payload.
    pub(crate) fn data(&mut self, parts: &[(u32, u16, u16, u8, &[u8])]) -> Vec<Out> {
        let mut octets = Vec::new();
        Header { source: PORTS[0], destination: PORTS[1], tag: self.tags[1] }.write(&mut octets);
        for (tsn, stream, number, flags, payload) in parts {
            let tsn = self.tsns[0].wrapping_add(*tsn);
            let data =
                Data { flags: *flags, tsn, stream: *stream, number: *number, ppid: 11, payload };
            data.write(&mut octets);
        }
        crc::seal(&mut octets);
        self.octets(&octets)
    }

    /// Acknowledges the endpoint's TSNs up to this one, counted from the first.
    pub(crate) fn sack(&mut self, upto: u32, window: u32, gaps: &[(u16, u16)]) -> Vec<Out> {
        self.packet(&[(kind::SACK, 0, sack_value(self.tsns[1].wrapping_add(upto), window, gaps))])
    }

    /// The user sends a message.
    pub(crate) fn send(&mut self, octets: &[u8]) -> Vec<Out> {
        let octets = octets.to_vec().into();
        let message = Message { stream: 0, ppid: 11, unordered: false, octets };
        self.endpoint.send(self.now, self.id.unwrap(), message).unwrap();
        self.drain()
    }

    pub(crate) fn command(&mut self, command: Command) -> Vec<Out> {
        self.endpoint.handle(self.now, Input::Command(self.id.unwrap(), command));
        self.drain()
    }

    /// Time passes, and timers expire; what the endpoint sends meanwhile.
    pub(crate) fn wait(&mut self, time: Duration) -> Vec<Out> {
        let until = self.now + time;
        let mut out = Vec::new();
        while let Some(at) = self.endpoint.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.endpoint.handle(self.now, Input::Timeout);
            out.extend(self.drain());
        }
        self.now = until;
        out
    }

    pub(crate) fn drain(&mut self) -> Vec<Out> {
        let (mut out, mut buffer) = (Vec::new(), Vec::new());
        while let Some(output) = self.endpoint.poll(&mut buffer) {
            match output {
                Output::Packet(way) => {
                    assert!(crc::is_right(&buffer));
                    let tag = u32::from_be_bytes(*buffer[4..].first_chunk().unwrap());
                    let mut chunks = Chunks::new(&buffer, HEADER);
                    for chunk in &mut chunks {
                        let (kind, flags, value) = (chunk.kind, chunk.flags, chunk.value.to_vec());
                        out.push(Out { to: way.remote, tag, kind, flags, value });
                    }
                    assert!(chunks.is_at_end());
                }
                Output::Event(id, event) => {
                    self.id = Some(id);
                    self.events.push(event);
                }
            }
        }
        assert!(self.endpoint.is_consistent());
        out
    }

    pub(crate) fn messages(&self) -> Vec<Vec<u8>> {
        let octets = |event: &Event| match event {
            Event::Message(message) => Some(message.octets.to_vec()),
            _ => None,
        };
        self.events.iter().filter_map(octets).collect()
    }

    pub(crate) fn down(&self) -> Option<rserpool_sctp::DownReason> {
        self.events.iter().find_map(|event| match event {
            Event::Down(reason) => Some(*reason),
            _ => None,
        })
    }
}

pub(crate) fn sack_value(cumulative: u32, window: u32, gaps: &[(u16, u16)]) -> Vec<u8> {
    let mut value = cumulative.to_be_bytes().to_vec();
    value.extend(window.to_be_bytes());
    value.extend(u16::try_from(gaps.len()).unwrap().to_be_bytes());
    value.extend([0, 0]);
    for (first, last) in gaps {
        value.extend(first.to_be_bytes());
        value.extend(last.to_be_bytes());
    }
    value
}

pub(crate) fn encode(tag: u32, chunks: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
    let mut octets = Vec::new();
    Header { source: PORTS[0], destination: PORTS[1], tag }.write(&mut octets);
    for (kind, flags, value) in chunks {
        write(&mut octets, *kind, *flags, |octets| octets.extend_from_slice(value));
    }
    crc::seal(&mut octets);
    octets
}

/// The cookie in an INIT ACK.
pub(crate) fn cookie_of(ack: &Out) -> Vec<u8> {
    let mut parameters = Parameters::new(&ack.value[16..]);
    parameters.find(|p| p.kind == parameter::STATE_COOKIE).unwrap().value.to_vec()
}

pub(crate) fn cookie_parameter(cookie: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    rserpool_sctp::parameter::write(&mut octets, parameter::STATE_COOKIE, |octets| {
        octets.extend_from_slice(cookie);
    });
    octets
}
