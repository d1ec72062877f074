use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rserpool_wire::asap::{
    Asap, Deregistration, HandleResolution, KeepAliveAck, Registration, Unreachable,
};
use rserpool_wire::param::{
    Cause, PeId, Policy, PoolElement, PoolHandle, RegistrarId, RegistrationLife, SctpTransport,
    Transport, TransportUse,
};
use rserpool_wire::registry::CauseCode;
use rserpool_wire::{Message, Protocol};

use super::bounds::assert_bounded;
use crate::machine::{Carrier, Input, Link, Machine, Output, Peer};
use crate::registrar::{Command, Config, Event, Registrar};
use crate::time::Time;

pub(super) const ELEMENT: Peer = Peer::accepted(1);
pub(super) const OTHER: Peer = Peer::accepted(2);
pub(super) const USER: Peer = Peer::accepted(3);
pub(super) const ELEMENT_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub(super) const OTHER_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
pub(super) const USER_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3));

/// A registrar at a point in time, with an element, another one and a user connected by SCTP.
pub(super) struct Lab {
    pub(super) registrar: Registrar,
    pub(super) now: Time,
    /// The events of the last step.
    pub(super) events: Vec<Event>,
    /// Associations that have ended.
    gone: BTreeSet<Peer>,
}

impl Lab {
    pub(super) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(super) fn with(config: Config) -> Self {
        let id = RegistrarId::new(0x11);
        let registrar = Registrar::new(Config { id, ..config }, 7);
        let mut lab =
            Self { registrar, now: Time::ZERO, events: Vec::new(), gone: BTreeSet::new() };
        for (peer, address) in
            [(ELEMENT, ELEMENT_ADDRESS), (OTHER, OTHER_ADDRESS), (USER, USER_ADDRESS)]
        {
            lab.input(Input::Up(peer, link(Carrier::Sctp, &[address])));
        }
        lab
    }

    /// Hands in one input; what the registrar wants done but events. Whatever it was, nothing has
    /// grown beyond what may be, and nothing goes to who is gone.
    pub(super) fn input(&mut self, input: Input<Command>) -> Vec<Output<Event>> {
        match input {
            Input::Down(peer) => drop(self.gone.insert(peer)),
            Input::Up(peer, _) => drop(self.gone.remove(&peer)),
            _ => {}
        }
        self.registrar.handle(self.now, input);
        let outputs = self.drain();
        assert_bounded(&self.registrar);
        outputs
    }

    pub(super) fn drain(&mut self) -> Vec<Output<Event>> {
        let mut outputs = Vec::new();
        self.events.clear();
        while let Some(output) = self.registrar.poll() {
            match output.legible().unwrap() {
                Output::Event(event) => self.events.push(event),
                other => outputs.push(other),
            }
        }
        for output in &outputs {
            let to = match output {
                Output::Send(peer, _) => std::slice::from_ref(peer),
                Output::GroupCast(peers, _) => &peers[..],
                _ => &[],
            };
            assert!(to.iter().all(|peer| !self.gone.contains(peer)), "{output:?}: it is gone");
        }
        outputs
    }

    pub(super) fn asap(&mut self, peer: Peer, message: Asap) -> Vec<Output<Event>> {
        self.input(Input::Message(peer, Message::Asap(message)))
    }

    /// The one ASAP message that goes back to the peer that sent this one.
    pub(super) fn ask(&mut self, peer: Peer, message: Asap) -> Asap {
        let mut outputs = self.asap(peer, message);
        // What other registrars are told is another matter.
        outputs.retain(|output| !matches!(output, Output::GroupCast(..)));
        match outputs.as_slice() {
            [Output::Send(to, Message::Asap(answer))] if *to == peer => answer.clone(),
            other => panic!("not one answer: {other:?}"),
        }
    }

    /// The causes with which a registration is answered; none where it is accepted.
    pub(super) fn register(&mut self, peer: Peer, element: PoolElement) -> Vec<Cause> {
        let (handle, id) = (pool(), element.id);
        match self.ask(peer, Asap::Registration(Registration { handle, element })) {
            Asap::RegistrationResponse(answer) => {
                assert_eq!((answer.handle, answer.id), (pool(), id));
                assert_eq!(answer.rejected, !answer.causes.is_empty());
                answer.causes
            }
            other => panic!("{other:?}"),
        }
    }

    /// The identifiers of the elements that a resolution lists; `None` where it is negative.
    pub(super) fn resolve(&mut self, items: Option<u32>) -> Option<Vec<u32>> {
        let question = HandleResolution { want_updates: false, handle: pool(), items };
        match self.ask(USER, Asap::HandleResolution(question)) {
            Asap::HandleResolutionResponse(answer) => {
                assert_eq!(answer.handle, pool());
                if answer.causes.is_empty() {
                    return Some(answer.elements.iter().map(|element| element.id.0).collect());
                }
                assert_eq!(answer.causes, [Cause::new(CauseCode::UNKNOWN_POOL_HANDLE)]);
                assert_eq!((answer.policy, answer.elements.len()), (None, 0));
                None
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn deregister(&mut self, peer: Peer, id: u32) -> Vec<Cause> {
        let message = Deregistration { handle: pool(), id: PeId(id) };
        match self.ask(peer, Asap::Deregistration(message)) {
            Asap::DeregistrationResponse(answer) => answer.causes,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn acknowledge(&mut self, peer: Peer, id: u32) -> Vec<Output<Event>> {
        self.asap(peer, Asap::KeepAliveAck(KeepAliveAck { handle: pool(), id: PeId(id) }))
    }

    pub(super) fn report(&mut self, peer: Peer, id: u32) -> Vec<Output<Event>> {
        self.asap(peer, Asap::Unreachable(Unreachable { handle: pool(), id: PeId(id) }))
    }

    /// Goes to the next timeout and hands it in; what the registrar wants done then.
    pub(super) fn timeout(&mut self) -> Vec<Output<Event>> {
        self.now = self.registrar.next_timeout().expect("a timer runs").max(self.now);
        self.input(Input::Timeout)
    }

    pub(super) fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }
}

pub(super) fn link(carrier: Carrier, remote: &[IpAddr]) -> Link {
    let (remote, local) = (remote.to_vec(), Vec::new());
    Link { protocol: Protocol::Asap, carrier, remote, remote_port: 4711, local, identity: None }
}

pub(super) fn pool() -> PoolHandle {
    PoolHandle::new(*b"EchoPool").expect("neither empty nor long")
}

pub(super) fn sctp(addresses: &[IpAddr], port: u16) -> SctpTransport {
    SctpTransport { port, transport_use: TransportUse::DataOnly, addresses: addresses.into() }
}

/// An element that serves at these addresses over SCTP, port 7, round robin.
pub(super) fn element(id: u32, addresses: &[IpAddr]) -> PoolElement {
    PoolElement {
        id: PeId(id),
        home: None,
        life: RegistrationLife(300),
        user_transport: Transport::Sctp(sctp(addresses, 7)),
        policy: Policy::round_robin(),
        asap_transport: None,
    }
}
