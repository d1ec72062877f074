//! A pool element driven as its driver would, in virtual time.

mod hostile;
mod refusal;
mod registration;
mod supervision;

use std::net::Ipv4Addr;
use std::time::Duration;

use rserpool_wire::asap::{
    Deregistration, DeregistrationResponse, KeepAlive, KeepAliveAck, Registration,
    RegistrationResponse,
};
use rserpool_wire::param::{
    self, Cause, PeId, PoolHandle, RegistrarId, RegistrationLife, Transport, TransportUse,
};
use rserpool_wire::registry::CauseCode;
use rserpool_wire::{Asap, Message, Protocol};

use super::*;
use crate::machine::{Carrier, Link, Target};
use crate::timing::{Profile, Timing};

const ID: PeId = PeId(0x1122_3344);
/// The registrar that the element dials first, and the second one.
const FIRST: Peer = Peer::dialed(1);
const SECOND: Peer = Peer::dialed(2);
/// A registrar that comes to the element.
const CALLER: Peer = Peer::accepted(1);

/// An element with the RFC's timers at a point in time, and everything that it has asked for.
struct Lab {
    element: PoolElement,
    now: Time,
}

impl Lab {
    /// One registrar, which is dialed as [`FIRST`] and then as [`SECOND`].
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: Config) -> Self {
        Self { element: PoolElement::new(config, 1), now: Time::ZERO }
    }

    /// Registered at [`FIRST`], at second 0.
    fn registered() -> Self {
        Self::registered_with(config())
    }

    fn registered_with(config: Config) -> Self {
        let mut lab = Self::with(config);
        lab.command(Command::Register);
        lab.up(FIRST);
        let (handle, id) = (handle(), lab.element.id());
        let accepted = RegistrationResponse { rejected: false, handle, id, causes: vec![] };
        lab.message(FIRST, Asap::RegistrationResponse(accepted));
        assert_eq!(lab.element.state, State::Registered { home: FIRST });
        lab
    }

    /// Registered, and the home has asked a second ago whether the element lives.
    fn supervised() -> Self {
        let mut lab = Self::registered();
        lab.wait(5);
        lab.message(FIRST, keep_alive());
        lab
    }

    fn input(&mut self, input: Input<Command>) -> Vec<Output<Event>> {
        self.element.handle(self.now, input);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Output<Event>> {
        std::iter::from_fn(|| self.element.poll()).collect()
    }

    fn command(&mut self, command: Command) -> Vec<Output<Event>> {
        self.input(Input::Command(command))
    }

    fn up(&mut self, peer: Peer) -> Vec<Output<Event>> {
        self.input(Input::Up(peer, link()))
    }

    fn down(&mut self, peer: Peer) -> Vec<Output<Event>> {
        self.input(Input::Down(peer))
    }

    fn message(&mut self, peer: Peer, message: impl Into<Message>) -> Vec<Output<Event>> {
        self.input(Input::Message(peer, message.into()))
    }

    /// Lets so many seconds pass; no timer may be due in them.
    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        assert!(self.element.next_timeout().is_none_or(|due| due >= self.now));
    }

    /// Goes to the next timeout; the seconds that it took, and what came of it.
    fn timeout(&mut self) -> (u64, Vec<Output<Event>>) {
        let due = self.element.next_timeout().unwrap();
        let waited = (due - self.now).as_secs();
        self.now = due;
        (waited, self.input(Input::Timeout))
    }

    fn timeout_in(&self) -> Option<u64> {
        self.element.next_timeout().map(|due| (due - self.now).as_secs())
    }
}

fn handle() -> PoolHandle {
    PoolHandle::new(*b"pool").unwrap()
}

fn config() -> Config {
    Config { id: Some(ID), timing: Timing::of(Profile::Rfc), ..Config::new(handle(), transport(7)) }
}

fn two_registrars() -> Config {
    Config { registrars: 2, ..config() }
}

fn transport(port: u16) -> Transport {
    let address = Ipv4Addr::LOCALHOST.into();
    Transport::Tcp { port, transport_use: TransportUse::DataOnly, address }
}

fn link() -> Link {
    Link {
        protocol: Protocol::Asap,
        carrier: Carrier::Sctp,
        remote: vec![Ipv4Addr::LOCALHOST.into()],
        remote_port: 3863,
        local: vec![Ipv4Addr::LOCALHOST.into()],
        identity: None,
    }
}

fn registrar(number: u32) -> RegistrarId {
    RegistrarId::new(number).unwrap()
}

/// The home as it is dialed and as long as its identifier is not known.
fn home(number: usize) -> Home {
    Home { id: None, target: Some(Target::Configured(number)), link: link() }
}

fn accepted() -> Asap {
    answer(false, vec![])
}

fn answer(rejected: bool, causes: Vec<Cause>) -> Asap {
    Asap::RegistrationResponse(RegistrationResponse { rejected, handle: handle(), id: ID, causes })
}

fn deregistered() -> Asap {
    deregistration_answer(vec![])
}

fn deregistration_answer(causes: Vec<Cause>) -> Asap {
    Asap::DeregistrationResponse(DeregistrationResponse { handle: handle(), id: ID, causes })
}

fn cause(code: CauseCode) -> Cause {
    Cause::new(code)
}

/// What registrar 9 asks.
fn keep_alive() -> Asap {
    Asap::KeepAlive(KeepAlive {
        claim_home: false,
        sender: Some(registrar(9)),
        handle: handle(),
        id: Some(ID),
    })
}

/// What registrar 8 says when it wants the element.
fn claim() -> Asap {
    Asap::KeepAlive(KeepAlive {
        claim_home: true,
        sender: Some(registrar(8)),
        handle: handle(),
        id: Some(ID),
    })
}

fn connect(peer: Peer, number: usize) -> Output<Event> {
    Output::Connect(peer, Target::Configured(number), Protocol::Asap)
}

fn send(peer: Peer, message: Asap) -> Output<Event> {
    Output::Send(peer, message.into())
}

fn registration(policy: Policy) -> Asap {
    registration_knowing(None, policy)
}

fn registration_knowing(home: Option<RegistrarId>, policy: Policy) -> Asap {
    let element = param::PoolElement {
        id: ID,
        home,
        life: RegistrationLife(300),
        user_transport: transport(7),
        policy,
        asap_transport: None,
    };
    Asap::Registration(Registration { handle: handle(), element })
}

fn register_at(peer: Peer) -> Output<Event> {
    send(peer, registration(Policy::round_robin()))
}

fn deregister_at(peer: Peer) -> Output<Event> {
    send(peer, Asap::Deregistration(Deregistration { handle: handle(), id: ID }))
}

fn ack(peer: Peer) -> Output<Event> {
    send(peer, Asap::KeepAliveAck(KeepAliveAck { handle: handle(), id: ID }))
}
