//! The real machines, fed and asked alike.

use rserpool_proto::element::PoolElement;
use rserpool_proto::machine::{self, Input, Machine, Output, Peer};
use rserpool_proto::registrar::Registrar;
use rserpool_proto::time::Time;
use rserpool_proto::user::PoolUser;

use crate::crowd::Crowd;
use crate::hostile::Hostile;
use crate::network::{Arrival, Payload};
use crate::program::{MachineCommand, MachineEvent, Program};

/// One of the real machines.
#[derive(Debug)]
pub(crate) enum AnyMachine {
    Registrar(Box<Registrar>),
    Element(Box<PoolElement>),
    User(Box<PoolUser>),
    Crowd(Box<Crowd>),
    Hostile(Box<Hostile>),
}

/// What goes into a machine, besides commands.
#[derive(Clone, Debug)]
pub(crate) enum MachineInput {
    Arrival(Arrival),
    Lost(Peer),
    Known(Peer, Peer),
    Timeout,
}

/// What came of something that was fed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Legible {
    Yes,
    /// A message could not be read: nobody in this world may send such a one.
    No,
}

impl AnyMachine {
    pub(crate) fn begin(program: &Program, seed: u64) -> Self {
        match program.clone() {
            Program::Registrar(config) => Self::Registrar(Box::new(Registrar::new(config, seed))),
            Program::Element(config) => Self::Element(Box::new(PoolElement::new(config, seed))),
            Program::User(config) => Self::User(Box::new(PoolUser::new(config, seed))),
            Program::Crowd(config) => Self::Crowd(Box::new(Crowd::new(config, seed))),
            Program::Hostile(config) => Self::Hostile(Box::new(Hostile::new(config, seed))),
        }
    }

    pub(crate) fn feed(&mut self, own: Time, fed: MachineInput) -> Legible {
        match self {
            Self::Registrar(machine) => feed(machine.as_mut(), own, fed),
            Self::Element(machine) => feed(machine.as_mut(), own, fed),
            Self::User(machine) => feed(machine.as_mut(), own, fed),
            Self::Crowd(machine) => feed(machine.as_mut(), own, fed),
            Self::Hostile(machine) => feed(machine.as_mut(), own, fed),
        }
    }

    /// Hands in a command; one for another machine is ignored.
    pub(crate) fn order(&mut self, own: Time, order: MachineCommand) {
        match (self, order) {
            (Self::Registrar(machine), MachineCommand::Registrar(command)) => {
                machine.handle(own, Input::Command(command));
            }
            (Self::Element(machine), MachineCommand::Element(command)) => {
                machine.handle(own, Input::Command(command));
            }
            (Self::User(machine), MachineCommand::User(command)) => {
                machine.handle(own, Input::Command(command));
            }
            // One for another machine, or for none.
            _ => {}
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Output<MachineEvent>> {
        match self {
            Self::Registrar(machine) => {
                machine.poll().map(|output| told(output, MachineEvent::Registrar))
            }
            Self::Element(machine) => {
                machine.poll().map(|output| told(output, MachineEvent::Element))
            }
            Self::User(machine) => machine.poll().map(|output| told(output, MachineEvent::User)),
            Self::Hostile(machine) => {
                machine.poll().map(|output| told(output, |never| match never {}))
            }
            Self::Crowd(machine) => {
                machine.poll().map(|output| told(output, |never| match never {}))
            }
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Time> {
        match self {
            Self::Registrar(machine) => machine.next_timeout(),
            Self::Element(machine) => machine.next_timeout(),
            Self::User(machine) => machine.next_timeout(),
            Self::Crowd(machine) => machine.next_timeout(),
            Self::Hostile(machine) => machine.next_timeout(),
        }
    }
}

fn feed<M: Machine>(machine: &mut M, own: Time, fed: MachineInput) -> Legible {
    let input = match fed {
        MachineInput::Timeout => Input::Timeout,
        MachineInput::Known(dialed, there) => Input::Known(dialed, there),
        MachineInput::Lost(peer) | MachineInput::Arrival(Arrival::Down(peer, ..)) => {
            Input::Down(peer)
        }
        MachineInput::Arrival(Arrival::Up(peer, link)) => Input::Up(peer, link),
        MachineInput::Arrival(Arrival::Congested(peer)) => Input::Congested(peer),
        MachineInput::Arrival(Arrival::Drained(peer)) => Input::Drained(peer),
        MachineInput::Arrival(Arrival::Announce(source, protocol, octets)) => {
            match rserpool_wire::Message::decode(protocol, &octets) {
                Ok(decoded) => Input::Announce(source, decoded.message),
                Err(_) => return Legible::No,
            }
        }
        // Of sessions, which are not for these machines.
        MachineInput::Arrival(
            Arrival::Session(..) | Arrival::Message { payload: Payload::Data, .. },
        ) => {
            return Legible::No;
        }
        MachineInput::Arrival(Arrival::Message {
            peer,
            payload: Payload::Protocol(protocol),
            octets,
            ..
        }) => {
            let (input, report) = machine::read(peer, protocol, &octets);
            let is_legible = report.is_none() && !matches!(input, Input::Malformed(..));
            machine.handle(own, input);
            if let Some(report) = report {
                machine.handle(own, report);
            }
            return if is_legible { Legible::Yes } else { Legible::No };
        }
    };
    machine.handle(own, input);
    Legible::Yes
}

fn told<E>(output: Output<E>, tell: impl Fn(E) -> MachineEvent) -> Output<MachineEvent> {
    match output {
        Output::Connect(peer, target, protocol) => Output::Connect(peer, target, protocol),
        Output::Send(peer, message) => Output::Send(peer, message),
        Output::SendEncoded(peer, protocol, octets) => Output::SendEncoded(peer, protocol, octets),
        Output::GroupCast(peers, message) => Output::GroupCast(peers, message),
        Output::Close(peer) => Output::Close(peer),
        Output::Abort(peer) => Output::Abort(peer),
        Output::Announce(message) => Output::Announce(message),
        Output::Event(event) => Output::Event(tell(event)),
    }
}
