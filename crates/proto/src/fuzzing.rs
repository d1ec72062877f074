//! What must hold for whatever a registrar is told, as a function that panics where it does not: the
//! body of a fuzz target, and of the test that runs what the fuzzer started from and found.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rserpool_wire::Protocol;
use rserpool_wire::param::{RegistrarId, SctpTransport, TransportUse};
use rserpool_wire::registry::ENRP_PORT;

use crate::dialect::Dialect;
use crate::machine::{self, Carrier, Input, Link, Machine, Output, Peer};
use crate::registrar::{Command, Config, Event, Registrar};
use crate::time::Time;

/// Places from which others connect: those with odd numbers are registrars'.
const PLACES: u8 = 16;
/// Outputs of one input.
const OUTPUTS_MAX: usize = 20_000;
/// So often a timer may be handed in at one time.
const TIMEOUTS_MAX: usize = 2_000;
/// Timers of one input.
const TIMERS_MAX: usize = 20_000;

/// Whatever comes from many sides, in whatever order: a registrar stays within its limits, no timer
/// stands still, and what it sends can be read. The input is an octet of settings and then steps, each
/// of them an octet for what happens, one for the place where it happens, and what that needs:
///
/// | octet, modulo 10 | what happens | what follows |
/// |---|---|---|
/// | 0 | somebody connects | |
/// | 1 | an association ends | |
/// | 2, 3, 9 | a message comes | its length in two octets, and the message |
/// | 4 | time passes, as many twentieths of a second as the place says | |
/// | 5 | more waits than is taken, or that is over | |
/// | 6 | what was dialed is up, or cannot be reached | |
/// | 7 | nothing happens for as many seconds as the place says, then all timers fire late | |
/// | 8 | the application wants it to start, or to leave | |
///
/// # Panics
///
/// Where it is not so.
pub fn registrar(input: &[u8]) {
    let Some((&settings, mut steps)) = input.split_first() else { return };
    let mut lab = Lab::new(settings);
    while let [what, place, rest @ ..] = steps {
        steps = lab.step(*what, *place, rest);
        lab.check();
    }
    lab.pass(Duration::from_secs(20));
    lab.check();
}

struct Lab {
    registrar: Registrar,
    now: Time,
    /// Who is connected from each place.
    places: BTreeMap<u8, Peer>,
    /// What is up, and what it speaks.
    up: BTreeMap<Peer, Protocol>,
    dials: Vec<(Peer, Protocol)>,
    accepted: u64,
    timers: usize,
}

impl Lab {
    fn new(settings: u8) -> Self {
        let mut config = Config {
            id: RegistrarId::new(0x11),
            peers: usize::from(settings & 1),
            dialect: if settings & 2 == 0 { Dialect::Rfc } else { Dialect::Rsplib },
            takeover_suggestion: settings & 4 != 0,
            discover: settings & 8 != 0,
            strict_rfc_keepalive: settings & 16 != 0,
            ..Config::default()
        };
        if settings & 32 != 0 {
            (config.handlespace.limits.elements_max, config.handlespace.limits.pools_max) = (8, 4);
            config.peers_max = 3;
        }
        let (transport_use, addresses) = (TransportUse::DataOnly, [address(PLACES)].into());
        config.enrp = Some(SctpTransport { port: ENRP_PORT, transport_use, addresses });
        Self {
            registrar: Registrar::new(config, u64::from(settings)),
            now: Time::ZERO,
            places: BTreeMap::new(),
            up: BTreeMap::new(),
            dials: Vec::new(),
            accepted: 0,
            timers: 0,
        }
    }

    /// Does one step; what is left of the input.
    fn step<'a>(&mut self, what: u8, place: u8, rest: &'a [u8]) -> &'a [u8] {
        match what % 10 {
            0 => self.connect(place % PLACES),
            1 => {
                if let Some(peer) = self.places.remove(&(place % PLACES)) {
                    self.up.remove(&peer);
                    self.input(Input::Down(peer));
                }
            }
            4 => self.pass(Duration::from_millis(50) * place.into()),
            5 => {
                if let Some(&peer) = self.places.get(&(place % PLACES)) {
                    let is_over = what >= 128;
                    self.input(if is_over { Input::Drained(peer) } else { Input::Congested(peer) });
                }
            }
            6 if !self.dials.is_empty() => {
                let (peer, protocol) = self.dials.remove(usize::from(place) % self.dials.len());
                let place = place % PLACES;
                if what >= 128 {
                    self.up.insert(peer, protocol);
                    self.places.insert(place, peer);
                    self.input(Input::Up(peer, link(place, protocol)));
                } else {
                    self.input(Input::Down(peer));
                }
            }
            7 => {
                self.now = self.now + Duration::from_secs(place.into());
                self.expire();
            }
            8 => {
                let command = if place < 250 { Command::Start } else { Command::Leave };
                self.input(Input::Command(command));
            }
            _ => {
                let [high, low, rest @ ..] = rest else { return &[] };
                let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
                let (octets, rest) = rest.split_at(length);
                self.message(place % PLACES, octets);
                return rest;
            }
        }
        rest
    }

    fn connect(&mut self, place: u8) {
        self.accepted += 1;
        let (peer, protocol) = (Peer::accepted(self.accepted), protocol_of(place));
        // Another one may be there already: then that is heard of no more.
        self.places.insert(place, peer);
        self.up.insert(peer, protocol);
        self.input(Input::Up(peer, link(place, protocol)));
    }

    fn message(&mut self, place: u8, octets: &[u8]) {
        let Some(&peer) = self.places.get(&place) else { return };
        let Some(&protocol) = self.up.get(&peer) else { return };
        let (first, second) = machine::read(peer, protocol, octets);
        self.input(first);
        if let Some(second) = second {
            self.input(second);
        }
    }

    fn input(&mut self, input: Input<Command>) {
        self.registrar.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        for _ in 0..OUTPUTS_MAX {
            let Some(output) = self.registrar.poll() else { return };
            let output: Output<Event> = output.legible().expect("machines encode what can be read");
            match output {
                Output::Connect(peer, _, protocol) => self.dials.push((peer, protocol)),
                Output::Close(peer) | Output::Abort(peer) => {
                    self.up.remove(&peer);
                    self.places.retain(|_, there| *there != peer);
                    self.dials.retain(|(dialed, _)| *dialed != peer);
                }
                Output::Send(peer, message) => {
                    assert!(self.up.contains_key(&peer), "{message:?} to {peer:?}, which is gone");
                }
                Output::GroupCast(peers, message) => {
                    assert!(peers.iter().all(|peer| self.up.contains_key(peer)), "{message:?}");
                }
                Output::SendEncoded(..) | Output::Announce(_) | Output::Event(_) => {}
            }
        }
        panic!("outputs without end");
    }

    /// Hands in all timers that are due.
    fn expire(&mut self) {
        for _ in 0..TIMEOUTS_MAX {
            if self.registrar.next_timeout().is_none_or(|at| at > self.now) {
                return;
            }
            self.input(Input::Timeout);
        }
        panic!("a timer stands still");
    }

    /// Goes on in time, from timer to timer.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.registrar.next_timeout().filter(|at| *at <= end) {
            self.timers += 1;
            if self.timers > TIMERS_MAX {
                return;
            }
            self.now = self.now.max(at);
            self.expire();
        }
        self.now = end;
    }

    fn check(&self) {
        for size in self.registrar.sizes() {
            assert!(size.is_bounded(), "{}: {} of {}", size.name, size.len, size.limit);
        }
        assert_eq!(self.registrar.associations(), self.up.len(), "associations");
    }
}

fn protocol_of(place: u8) -> Protocol {
    if place.is_multiple_of(2) { Protocol::Asap } else { Protocol::Enrp }
}

fn address(place: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, 1 + place / 2).into()
}

fn link(place: u8, protocol: Protocol) -> Link {
    let carrier = if place < PLACES / 2 { Carrier::Sctp } else { Carrier::Tcp };
    let (remote, local) = (vec![address(place)], vec![address(PLACES)]);
    Link { protocol, carrier, remote, remote_port: 4_000 + u16::from(place), local, identity: None }
}
