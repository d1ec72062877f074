//! Messages a second between two machines in memory, of this crate and of dcsctp: what the protocol
//! costs without sockets.
//!
//! ```sh
//! cargo run --release -p rserpool-sctp --example throughput
//! ```

#![expect(clippy::disallowed_methods, reason = "this measures")]

use std::time::{Duration, Instant};

use dcsctp::api::{
    DcSctpSocket, Message as Theirs, Options, PpId, SendOptions, Socket, SocketEvent, SocketTime,
    StreamId,
};
use rserpool_sctp::{AssociationId, Config, Endpoint, Event, Input, Message, Output, Way};

/// How long each measurement takes.
const TIME: Duration = Duration::from_secs(1);
/// Octets that are in the send queue at least, in bulk.
const QUEUED: usize = 256 << 10;

/// Two ends of an association.
trait Pair {
    /// Sends a message from an end.
    fn send(&mut self, end: usize, octets: &[u8]);
    /// Hands packets over until there are none; messages and octets that each end got are added.
    fn exchange(&mut self, now: Duration);
    /// What each end got: messages.
    fn got(&self) -> [usize; 2];
    /// What the first end has not sent yet, in octets.
    fn waiting(&self) -> usize;
}

struct Ours {
    ends: [Endpoint; 2],
    ids: [AssociationId; 2],
    got: [usize; 2],
    now: Duration,
    packet: Vec<u8>,
}

fn way(end: usize) -> Way {
    let last = if end == 0 { 1 } else { 2 };
    Way { local: None, remote: ([10, 0, 0, last], 9899).into() }
}

impl Ours {
    fn new() -> Self {
        let config = || Config { send_queue_max: 8 << 20, ..Config::default() };
        let mut ends = [1, 2].map(|seed| Endpoint::new(config(), 7, Vec::new(), [seed; 32]));
        ends[1].listen(true);
        let _ = ends[0].connect(Duration::ZERO, &[way(1).remote], 7);
        let ids = [AssociationId(1); 2];
        let mut pair = Self { ends, ids, got: [0; 2], now: Duration::ZERO, packet: Vec::new() };
        pair.exchange(Duration::ZERO);
        pair
    }
}

impl Pair for Ours {
    fn send(&mut self, end: usize, octets: &[u8]) {
        let octets = octets.to_vec().into();
        let message = Message { stream: 0, ppid: 11, unordered: false, octets };
        if let Err(error) = self.ends[end].send(self.now, self.ids[end], message) {
            panic!("{error}");
        }
    }

    fn exchange(&mut self, now: Duration) {
        self.now = now;
        let mut idle = 0;
        let mut end = 0;
        while idle < 2 {
            idle += 1;
            while let Some(output) = self.ends[end].poll(&mut self.packet) {
                match output {
                    Output::Packet(_) => {
                        idle = 0;
                        let input = Input::Packet { way: way(end), octets: &self.packet };
                        self.ends[1 - end].handle(now, input);
                    }
                    Output::Event(id, Event::Up(_)) => self.ids[end] = id,
                    Output::Event(_, Event::Message(_)) => self.got[end] += 1,
                    Output::Event(..) => {}
                }
            }
            if self.ends[end].next_timeout().is_some_and(|at| at <= now) {
                self.ends[end].handle(now, Input::Timeout);
            }
            end = 1 - end;
        }
    }

    fn got(&self) -> [usize; 2] {
        self.got
    }

    fn waiting(&self) -> usize {
        self.ends[0].waiting(self.ids[0])
    }
}

struct Dcsctp {
    ends: [Socket; 2],
    got: [usize; 2],
}

impl Dcsctp {
    fn new() -> Self {
        let options = Options {
            mtu: 1472,
            max_send_buffer_size: usize::MAX >> 1,
            per_stream_send_queue_limit: usize::MAX >> 1,
            max_receiver_window_buffer_size: 512 << 10,
            immediate_sack_under_cwnd_mtus: 0,
            enable_partial_reliability: false,
            ..Options::default()
        };
        let mut ends = [Socket::new("", &options), Socket::new("", &options)];
        ends[0].connect();
        let mut pair = Self { ends, got: [0; 2] };
        pair.exchange(Duration::ZERO);
        pair
    }
}

impl Pair for Dcsctp {
    fn send(&mut self, end: usize, octets: &[u8]) {
        let message = Theirs::new(StreamId(0), PpId(11), octets.to_vec());
        if let Err(error) = self.ends[end].send(message, &SendOptions::default()) {
            panic!("{error}");
        }
    }

    fn exchange(&mut self, now: Duration) {
        let mut idle = 0;
        let mut end = 0;
        while idle < 2 {
            idle += 1;
            self.ends[end].advance_time(SocketTime::zero() + now);
            while let Some(event) = self.ends[end].poll_event() {
                if let SocketEvent::SendPacket(packet) = event {
                    idle = 0;
                    self.ends[1 - end].handle_input(&packet);
                }
            }
            while self.ends[end].get_next_message().is_some() {
                self.got[end] += 1;
            }
            end = 1 - end;
        }
    }

    fn got(&self) -> [usize; 2] {
        self.got
    }

    fn waiting(&self) -> usize {
        self.ends[0].buffered_amount(StreamId(0))
    }
}

/// Messages of one end, as many as go; how many a second.
fn bulk(pair: &mut impl Pair, length: usize) -> f64 {
    let octets = vec![7; length];
    let begin = Instant::now();
    let before = pair.got()[1];
    while begin.elapsed() < TIME {
        while pair.waiting() < QUEUED {
            pair.send(0, &octets);
        }
        pair.exchange(begin.elapsed());
    }
    rate(pair.got()[1] - before, begin)
}

/// A message, and its answer, one after the other; how many such round trips a second.
fn round_trips(pair: &mut impl Pair, length: usize) -> f64 {
    let octets = vec![7; length];
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < TIME {
        for end in [0, 1] {
            let before = pair.got()[1 - end];
            pair.send(end, &octets);
            let mut now = begin.elapsed();
            while pair.got()[1 - end] == before {
                pair.exchange(now);
                now += Duration::from_millis(1);
            }
        }
        count += 1;
    }
    rate(count, begin)
}

fn rate(count: usize, begin: Instant) -> f64 {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    f64::from(count) / begin.elapsed().as_secs_f64()
}

fn main() {
    println!("{:<34} {:>12} {:>12} {:>7}", "a second", "ours", "dcsctp", "ratio");
    for length in [100, 1024, 65_536] {
        let of = [bulk(&mut Ours::new(), length), bulk(&mut Dcsctp::new(), length)];
        print(&format!("messages of {length} octets, one way"), of);
    }
    for length in [100, 1024, 65_536] {
        let of = [round_trips(&mut Ours::new(), length), round_trips(&mut Dcsctp::new(), length)];
        print(&format!("round trips of {length} octets"), of);
    }
}

fn print(what: &str, [ours, theirs]: [f64; 2]) {
    println!("{what:<34} {ours:>12.0} {theirs:>12.0} {:>7.1}", ours / theirs);
}
