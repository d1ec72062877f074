//! Against another implementation: the crate `dcsctp`, in memory and in virtual time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod network;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use dcsctp::api::{
    DcSctpSocket, Message as Theirs, Options, PpId, SendOptions, Socket, SocketEvent, SocketState,
    SocketTime, StreamId,
};
use fastrand::Rng;
use network::{PORT, ms, payload, quick};
use rserpool_sctp::{
    AssociationId, Command, DownReason, Endpoint, Event, Input, Message, Output, Way, crc,
};

const THEIRS: &str = "10.0.0.2:9899";

/// One of our endpoints and one of their sockets, with a network between them.
struct Pair {
    now: Duration,
    ours: Endpoint,
    theirs: Socket,
    transit: BTreeMap<(Duration, u64), (bool, Vec<u8>)>,
    sent: u64,
    loss: u32,
    delay: Duration,
    rng: Rng,
    id: Option<AssociationId>,
    is_up: [bool; 2],
    down: Option<DownReason>,
    got: [Vec<(u16, u32, Vec<u8>)>; 2],
    aborted: Option<String>,
}

impl Pair {
    fn new(seed: u64, loss: u32, delay: Duration) -> Self {
        let options = Options {
            local_port: PORT,
            remote_port: PORT,
            announced_maximum_incoming_streams: 16,
            announced_maximum_outgoing_streams: 16,
            mtu: 1472,
            rto_initial: ms(250),
            rto_min: ms(100),
            rto_max: ms(1000),
            t1_init_timeout: ms(250),
            t1_cookie_timeout: ms(250),
            t2_shutdown_timeout: ms(250),
            max_timer_backoff_duration: Some(ms(1000)),
            heartbeat_interval: ms(500),
            max_init_retransmits: Some(20),
            max_retransmissions: Some(20),
            max_send_buffer_size: usize::MAX >> 1,
            per_stream_send_queue_limit: usize::MAX >> 1,
            enable_partial_reliability: false,
            ..Options::default()
        };
        let mut ours = Endpoint::new(quick(), PORT, Vec::new(), [7; 32]);
        ours.listen(true);
        Self {
            now: Duration::ZERO,
            ours,
            theirs: Socket::new("", &options),
            transit: BTreeMap::new(),
            sent: 0,
            loss,
            delay,
            rng: Rng::with_seed(seed),
            id: None,
            is_up: [false; 2],
            down: None,
            got: [Vec::new(), Vec::new()],
            aborted: None,
        }
    }

    fn carry(&mut self, to_us: bool, octets: Vec<u8>) {
        assert!(crc::is_right(&octets) || cfg!(target_endian = "big"));
        if self.rng.u32(..1000) >= self.loss {
            self.sent += 1;
            self.transit.insert((self.now + self.delay, self.sent), (to_us, octets));
        }
    }

    fn drain(&mut self) {
        let mut buffer = Vec::new();
        while let Some(output) = self.ours.poll(&mut buffer) {
            match output {
                Output::Packet(way) => {
                    assert_eq!(way.remote, THEIRS.parse::<SocketAddr>().unwrap());
                    self.carry(false, buffer.clone());
                }
                Output::Event(id, Event::Up(_)) => {
                    self.id = Some(id);
                    self.is_up[0] = true;
                }
                Output::Event(_, Event::Message(m)) => {
                    self.got[0].push((m.stream, m.ppid, m.octets.to_vec()));
                }
                Output::Event(_, Event::Down(reason)) => self.down = Some(reason),
                Output::Event(..) => {}
            }
        }
        while let Some(event) = self.theirs.poll_event() {
            match event {
                SocketEvent::SendPacket(octets) => self.carry(true, octets),
                SocketEvent::OnConnected() => self.is_up[1] = true,
                SocketEvent::OnAborted(kind, why) => self.aborted = Some(format!("{kind:?} {why}")),
                SocketEvent::OnError(kind, why) => panic!("{kind:?} {why}"),
                _ => {}
            }
        }
        while let Some(message) = self.theirs.get_next_message() {
            self.got[1].push((message.stream_id.0, message.ppid.0, message.payload));
        }
    }

    fn run(&mut self, time: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let until = self.now + time;
        loop {
            self.drain();
            if holds(self) {
                return true;
            }
            let arrival = self.transit.keys().next().map(|(at, _)| *at);
            let theirs = self.theirs.poll_timeout() - SocketTime::zero();
            let next = [arrival, self.ours.next_timeout(), Some(theirs)];
            let next = next.into_iter().flatten().min().unwrap();
            if next > until {
                self.now = until;
                return false;
            }
            self.now = self.now.max(next);
            self.theirs.advance_time(SocketTime::zero() + self.now);
            if arrival.is_some_and(|at| at <= self.now) {
                let (_, (to_us, octets)) = self.transit.pop_first().unwrap();
                if to_us {
                    let way = Way { local: None, remote: THEIRS.parse().unwrap() };
                    self.ours.handle(self.now, Input::Packet { way, octets: &octets });
                } else {
                    self.theirs.handle_input(&octets);
                }
            } else {
                self.ours.handle(self.now, Input::Timeout);
            }
        }
    }

    fn begin(&mut self, we_dial: bool) {
        self.theirs.advance_time(SocketTime::zero());
        if we_dial {
            // Their socket has no listener: it takes an INIT while it is closed.
            self.ours.connect(self.now, &[THEIRS.parse().unwrap()], PORT).unwrap();
        } else {
            self.theirs.connect();
        }
        assert!(self.run(ms(20_000), |pair| pair.is_up == [true; 2]), "up");
    }

    fn send(&mut self, ours: bool, stream: u16, octets: Vec<u8>) {
        if ours {
            let message = Message { stream, ppid: 12, unordered: false, octets: octets.into() };
            self.ours.send(self.now, self.id.unwrap(), message).unwrap();
        } else {
            let message = Theirs::new(StreamId(stream), PpId(12), octets);
            self.theirs.send(message, &SendOptions::default()).unwrap();
        }
    }
}

fn assert_got(pair: &Pair, end: usize, count: usize, length: impl Fn(usize) -> usize) {
    assert_eq!(pair.got[end].len(), count);
    for stream in 0..3 {
        let of = pair.got[end].iter().filter(|(s, ..)| *s == stream);
        let expected = (0..count).filter(|number| number % 3 == usize::from(stream));
        for ((_, ppid, octets), number) in of.zip(expected) {
            assert_eq!((*ppid, octets), (12, &payload(number, length(number))));
        }
    }
}

#[test]
fn both_dial_directions_carry_messages_and_end() {
    for (we_dial, we_close) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut pair = Pair::new(1, 0, ms(1));
        pair.begin(we_dial);
        let length = |number: usize| if number.is_multiple_of(5) { 60_000 } else { 20 + number };
        for number in 0..30 {
            for ours in [true, false] {
                let stream = u16::try_from(number % 3).unwrap();
                pair.send(ours, stream, payload(number, length(number)));
            }
        }
        assert!(pair.run(ms(20_000), |p| p.got.iter().all(|got| got.len() == 30)));
        assert_got(&pair, 0, 30, length);
        assert_got(&pair, 1, 30, length);
        if we_close {
            pair.ours.handle(pair.now, Input::Command(pair.id.unwrap(), Command::Shutdown));
        } else {
            pair.theirs.shutdown();
        }
        assert!(pair.run(ms(5000), |pair| pair.down == Some(DownReason::Closed)), "{we_dial}");
        assert!(pair.run(ms(5000), |pair| pair.theirs.state() == SocketState::Closed));
        assert_eq!(pair.aborted, None);
        assert_eq!(pair.ours.statistics().retransmissions, 0);
    }
}

#[test]
fn networks_that_lose_and_delay_deliver_everything() {
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let mut pair = Pair::new(seed, rng.u32(0..=50), ms(rng.u64(0..=25)));
        pair.begin(seed % 2 == 0);
        let length = |number: usize| if number.is_multiple_of(7) { 9000 } else { 20 + number };
        for number in 0..30 {
            let stream = u16::try_from(number % 3).unwrap();
            pair.send(true, stream, payload(number, length(number)));
            pair.send(false, stream, payload(number, length(number)));
            if number % 3 == 0 {
                pair.run(ms(10), |_| false);
            }
        }
        let done = pair.run(ms(120_000), |p| p.got.iter().all(|got| got.len() == 30));
        let counts = [pair.got[0].len(), pair.got[1].len()];
        assert!(done, "seed {seed}: {counts:?} {:?} {:?}", pair.down, pair.aborted);
        assert_got(&pair, 0, 30, length);
        assert_got(&pair, 1, 30, length);
        assert!(pair.ours.is_consistent());
    }
}

#[test]
fn what_one_side_begins_while_the_other_does_too_becomes_one_association() {
    let mut pair = Pair::new(3, 0, ms(5));
    pair.theirs.advance_time(SocketTime::zero());
    pair.theirs.connect();
    pair.ours.connect(pair.now, &[THEIRS.parse().unwrap()], PORT).unwrap();
    assert!(pair.run(ms(3000), |pair| pair.is_up == [true; 2]));
    pair.send(true, 0, b"one".to_vec());
    pair.send(false, 0, b"two".to_vec());
    assert!(pair.run(ms(1000), |pair| pair.got.iter().all(|got| got.len() == 1)));
    assert_eq!(pair.ours.len(), 1);
}

#[test]
fn an_abort_of_either_side_is_understood() {
    let mut pair = Pair::new(4, 0, ms(1));
    pair.begin(true);
    pair.theirs.close();
    assert!(pair.run(ms(100), |pair| matches!(pair.down, Some(DownReason::Aborted(_)))));

    let mut pair = Pair::new(5, 0, ms(1));
    pair.begin(false);
    pair.ours.handle(pair.now, Input::Command(pair.id.unwrap(), Command::Abort));
    assert!(pair.run(ms(100), |pair| pair.aborted.is_some()));
}
