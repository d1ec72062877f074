//! Two endpoints and the network between them, in virtual time.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fastrand::Rng;
use rserpool_sctp::{
    AssociationId, Command, Config, Endpoint, Event, Input, Message, Output, Up, Way,
};

/// The SCTP port of both.
pub(crate) const PORT: u16 = 7;

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What the network does to packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Impairment {
    /// Parts of 1000 that are lost.
    pub(crate) loss: u32,
    /// Parts of 1000 that arrive twice.
    pub(crate) duplicates: u32,
    /// One way.
    pub(crate) delay: Duration,
    /// Added to it, at random: later packets overtake earlier ones.
    pub(crate) jitter: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct InTransit {
    pub(crate) to: usize,
    pub(crate) way: Way,
    pub(crate) octets: Vec<u8>,
}

/// What one side has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) events: Vec<(Duration, Event)>,
    pub(crate) messages: Vec<(Duration, Message)>,
    pub(crate) up: Option<Up>,
    pub(crate) assoc: Option<AssociationId>,
}

impl Seen {
    pub(crate) fn has(&self, wanted: &Event) -> bool {
        self.events.iter().any(|(_, event)| event == wanted)
    }
}

pub(crate) struct Network {
    pub(crate) now: Duration,
    pub(crate) ends: [Endpoint; 2],
    pub(crate) seen: [Seen; 2],
    /// Addresses of each.
    pub(crate) addresses: [Vec<IpAddr>; 2],
    pub(crate) impairment: Impairment,
    /// Addresses of which nothing arrives, and to which nothing does.
    pub(crate) cut: HashSet<IpAddr>,
    transit: BTreeMap<(Duration, u64), InTransit>,
    sent: u64,
    pub(crate) rng: Rng,
    /// Packets that left each end, if `records`.
    pub(crate) record: Vec<(Duration, usize, Way, Vec<u8>)>,
    pub(crate) records: bool,
    /// Looks at each packet before it is sent on; false loses it.
    #[expect(clippy::type_complexity, reason = "used once")]
    pub(crate) filter: Option<Box<dyn FnMut(usize, &mut Vec<u8>) -> bool>>,
    /// What arrives is sent back, on the same stream.
    pub(crate) echoes: bool,
}

pub(crate) fn ip(end: usize, network: u8) -> IpAddr {
    IpAddr::from([10, 0, network, u8::try_from(end).unwrap() + 1])
}

pub(crate) fn socket(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, 9899)
}

/// Quick timers, as in one data centre.
pub(crate) fn quick() -> Config {
    Config {
        rto_initial: ms(250),
        rto_min: ms(100),
        rto_max: ms(1000),
        heartbeat_interval: ms(500),
        ..Config::default()
    }
}

impl Network {
    /// Each end has an address in each of so many networks.
    pub(crate) fn new(seed: u64, networks: u8, configs: [Config; 2]) -> Self {
        let addresses = [0, 1].map(|end| (0..networks).map(|n| ip(end, n)).collect::<Vec<_>>());
        let [first, second] = configs;
        let end = |end: usize, config| {
            let seed = [u8::try_from(seed % 251).unwrap() + u8::try_from(end).unwrap(); 32];
            Endpoint::new(config, PORT, addresses[end].clone(), seed)
        };
        let mut ends = [end(0, first), end(1, second)];
        ends[1].listen(true);
        Self {
            now: Duration::ZERO,
            ends,
            seen: Default::default(),
            addresses,
            impairment: Impairment::default(),
            cut: HashSet::new(),
            transit: BTreeMap::new(),
            sent: 0,
            rng: Rng::with_seed(seed),
            record: Vec::new(),
            records: false,
            filter: None,
            echoes: false,
        }
    }

    /// With an association between the two.
    pub(crate) fn up(seed: u64, networks: u8, configs: [Config; 2]) -> Self {
        let mut network = Self::new(seed, networks, configs);
        network.connect();
        network.run(ms(50));
        assert!(network.seen[0].up.is_some() && network.seen[1].up.is_some());
        network
    }

    pub(crate) fn connect(&mut self) -> AssociationId {
        let remotes: Vec<SocketAddr> = self.addresses[1].iter().map(|ip| socket(*ip)).collect();
        let id = self.ends[0].connect(self.now, &remotes, PORT).unwrap();
        self.seen[0].assoc = Some(id);
        id
    }

    pub(crate) fn send(&mut self, end: usize, stream: u16, octets: &[u8]) {
        self.try_send(end, stream, octets).unwrap();
    }

    pub(crate) fn try_send(
        &mut self,
        end: usize,
        stream: u16,
        octets: &[u8],
    ) -> Result<(), rserpool_sctp::SendError> {
        let message =
            Message { stream, ppid: 11, unordered: false, octets: octets.to_vec().into() };
        let id = self.seen[end].assoc.unwrap();
        self.ends[end].send(self.now, id, message)
    }

    pub(crate) fn command(&mut self, end: usize, command: Command) {
        let id = self.seen[end].assoc.unwrap();
        self.ends[end].handle(self.now, Input::Command(id, command));
    }

    /// Everything goes on until then, or until nothing more happens.
    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
    }

    /// Until something holds; false where it did not in this time.
    pub(crate) fn run_until(
        &mut self,
        time: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> bool {
        let until = self.now + time;
        self.drain();
        while !holds(self) {
            if !self.step(until) {
                return false;
            }
        }
        true
    }

    /// The next thing happens; false where that would be after `until`.
    pub(crate) fn step(&mut self, until: Duration) -> bool {
        self.drain();
        let arrival = self.transit.keys().next().map(|(at, _)| *at);
        let timers = [0, 1].map(|end| self.ends[end].next_timeout());
        let next = timers.into_iter().flatten().chain(arrival).min();
        let Some(next) = next.filter(|next| *next <= until) else { return false };
        self.now = self.now.max(next);
        // What arrives counts before timers do.
        if arrival.is_some_and(|at| at <= self.now) {
            let (_, packet) = self.transit.pop_first().unwrap();
            let input = Input::Packet { way: packet.way, octets: &packet.octets };
            self.ends[packet.to].handle(self.now, input);
        } else {
            for (end, timer) in timers.into_iter().enumerate() {
                if timer.is_some_and(|at| at <= self.now) {
                    self.ends[end].handle(self.now, Input::Timeout);
                }
            }
        }
        self.drain();
        true
    }

    pub(crate) fn drain(&mut self) {
        let mut buffer = Vec::new();
        for end in [0, 1] {
            while let Some(output) = self.ends[end].poll(&mut buffer) {
                match output {
                    Output::Packet(way) => self.carry(end, way, buffer.clone()),
                    Output::Event(id, event) => self.note(end, id, event),
                }
            }
        }
    }

    fn note(&mut self, end: usize, id: AssociationId, event: Event) {
        let seen = &mut self.seen[end];
        match &event {
            Event::Up(up) | Event::Restarted(up) => {
                seen.up = Some(up.clone());
                seen.assoc = Some(id);
            }
            Event::Message(message) => {
                let message = message.clone();
                seen.messages.push((self.now, message.clone()));
                if self.echoes && end == 1 {
                    self.ends[1].send(self.now, id, message).unwrap();
                }
                return;
            }
            _ => {}
        }
        self.seen[end].events.push((self.now, event));
    }

    /// Puts a packet on its way.
    pub(crate) fn carry(&mut self, from: usize, way: Way, mut octets: Vec<u8>) {
        if self.records {
            self.record.push((self.now, from, way, octets.clone()));
        }
        if let Some(filter) = &mut self.filter
            && !filter(from, &mut octets)
        {
            return;
        }
        let to = 1 - from;
        let target = way.remote.ip();
        if !self.addresses[to].contains(&target) {
            return;
        }
        let is_paired = |own: &IpAddr, peer: IpAddr| match (own, peer) {
            (IpAddr::V4(own), IpAddr::V4(peer)) => own.octets()[..3] == peer.octets()[..3],
            _ => false,
        };
        // Where nothing else is said, the system leaves from the network that the packet goes to.
        let own = way
            .local
            .or_else(|| self.addresses[from].iter().copied().find(|own| is_paired(own, target)));
        let source = own.unwrap_or(self.addresses[from][0]);
        if [source, target].iter().any(|ip| self.cut.contains(ip)) {
            return;
        }
        if self.rng.u32(..1000) < self.impairment.loss {
            return;
        }
        let copies = 1 + u32::from(self.rng.u32(..1000) < self.impairment.duplicates);
        for _ in 0..copies {
            let jitter = self.impairment.jitter.mul_f64(self.rng.f64());
            let at = self.now + self.impairment.delay + jitter;
            self.sent += 1;
            let way = Way { local: Some(target), remote: socket(source) };
            let packet = InTransit { to, way, octets: octets.clone() };
            self.transit.insert((at, self.sent), packet);
        }
    }

    /// Hands a packet in, as if it came from there.
    pub(crate) fn inject(&mut self, to: usize, remote: SocketAddr, local: IpAddr, octets: &[u8]) {
        let way = Way { local: Some(local), remote };
        self.ends[to].handle(self.now, Input::Packet { way, octets });
        self.drain();
    }

    /// Cuts a network, or mends it.
    pub(crate) fn cut(&mut self, network: u8, is_cut: bool) {
        for end in [0, 1] {
            if is_cut {
                self.cut.insert(ip(end, network));
            } else {
                self.cut.remove(&ip(end, network));
            }
        }
    }

    pub(crate) fn assert_consistent(&self) {
        assert!(self.ends.iter().all(Endpoint::is_consistent));
    }
}

/// A message that can be told from others.
pub(crate) fn payload(number: usize, length: usize) -> Vec<u8> {
    let mut octets: Vec<u8> =
        (0..length).map(|at| u8::try_from((at * 7 + number) % 251).unwrap()).collect();
    let number = u32::try_from(number).unwrap().to_be_bytes();
    let head = octets.len().min(4);
    octets[..head].copy_from_slice(&number[4 - head..]);
    octets
}
