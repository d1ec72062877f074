//! A node: a host with one process that runs one machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rserpool_proto::element::{self, PoolElement};
use rserpool_proto::machine::{self, Input, Machine, Output, Peer};
use rserpool_proto::registrar::{self, Registrar};
use rserpool_proto::time::Time;
use rserpool_proto::user::{self, PoolUser};
use rserpool_wire::param::RegistrarId;

use crate::clock::Clock;
use crate::crowd::{self, Crowd};
use crate::hostile::{self, Hostile};
use crate::network::{Arrival, Dial, Payload};
use crate::session::{Role, Sessions};
use crate::world::Application;

/// The number of a node in its world.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeId(pub usize);

/// What a node runs.
#[derive(Clone, Debug)]
pub enum Program {
    /// A registrar.
    Registrar(registrar::Config),
    /// A pool element.
    Element(element::Config),
    /// A pool user.
    User(user::Config),
    /// Very many elements.
    Crowd(crowd::Config),
    /// Who means no good.
    Hostile(hostile::Config),
}

/// A command for a machine.
#[derive(Clone, Debug)]
pub enum MachineCommand {
    /// For a registrar.
    Registrar(registrar::Command),
    /// For a pool element.
    Element(element::Command),
    /// For a pool user.
    User(user::Command),
    /// The application of a session has its turn.
    Session,
}

/// What a machine tells its application.
#[derive(Clone, Debug)]
pub(crate) enum MachineEvent {
    Registrar(registrar::Event),
    Element(element::Event),
    User(user::Event),
}

/// One of the real machines.
#[derive(Debug)]
pub(crate) enum AnyMachine {
    Registrar(Box<Registrar>),
    Element(Box<PoolElement>),
    User(Box<PoolUser>),
    Crowd(Box<Crowd>),
    Hostile(Box<Hostile>),
}

impl Program {
    pub(crate) fn begin(&self, seed: u64) -> AnyMachine {
        match self.clone() {
            Self::Registrar(config) => {
                AnyMachine::Registrar(Box::new(Registrar::new(config, seed)))
            }
            Self::Element(config) => AnyMachine::Element(Box::new(PoolElement::new(config, seed))),
            Self::User(config) => AnyMachine::User(Box::new(PoolUser::new(config, seed))),
            Self::Crowd(config) => AnyMachine::Crowd(Box::new(Crowd::new(config, seed))),
            Self::Hostile(config) => AnyMachine::Hostile(Box::new(Hostile::new(config, seed))),
        }
    }
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

/// What a machine may believe of an association.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Known {
    Dialing,
    Up,
}

/// A host, its process, and what runs in it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) program: Program,
    /// What [`Target::Configured`](machine::Target::Configured) counts.
    pub(crate) targets: Vec<Dial>,
    pub(crate) application: Application,
    /// What it does in sessions.
    pub(crate) role: Option<Role>,
    /// Decides what the machine draws; another one at each start.
    pub(crate) seed: u64,
    /// How often the process was started.
    pub(crate) starts: u64,
    /// Rate of its clock in millionths.
    pub(crate) rate: u32,
    /// How long the process is busy with one round.
    pub(crate) cost: Duration,
    /// When something last held up its process.
    pub(crate) steady_since: Time,
    pub(crate) running: Option<Running>,
}

/// What a process has in its memory.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) machine: AnyMachine,
    pub(crate) sessions: Sessions,
    pub(crate) clock: Clock,
    pub(crate) inbox: VecDeque<Arrival>,
    pub(crate) orders: VecDeque<MachineCommand>,
    /// What the driver has a name for.
    pub(crate) known: BTreeMap<Peer, Known>,
    /// What this round has told the machine to be gone: what it wanted before is still to come.
    pub(crate) just_lost: BTreeSet<Peer>,
    /// Someone else was heard of with this registrar's identifier.
    pub(crate) has_twin: bool,
    /// Registrars that were taken over, and not heard of since.
    pub(crate) taken_over: BTreeSet<RegistrarId>,
    /// The last name that the machine gave.
    pub(crate) last_dialed: Option<Peer>,
    /// The last name that the machine of a session gave.
    pub(crate) last_session: Option<Peer>,
    /// Dials and sends that failed at once.
    pub(crate) failed: VecDeque<Peer>,
    /// What was dialed and is there already, under another name.
    pub(crate) there: VecDeque<(Peer, Peer)>,
    pub(crate) wakes_at: Option<Time>,
    pub(crate) busy_until: Time,
    /// The second that messages are counted in, and how many there were.
    pub(crate) sent: (u64, u64),
    /// Timeouts handed in at one and the same time.
    pub(crate) timeouts: (Time, u32),
}

impl Running {
    pub(crate) fn new(machine: AnyMachine, sessions: Sessions, clock: Clock, now: Time) -> Self {
        Self {
            machine,
            sessions,
            clock,
            inbox: VecDeque::new(),
            orders: VecDeque::new(),
            known: BTreeMap::new(),
            just_lost: BTreeSet::new(),
            has_twin: false,
            taken_over: BTreeSet::new(),
            last_dialed: None,
            last_session: None,
            failed: VecDeque::new(),
            there: VecDeque::new(),
            wakes_at: None,
            busy_until: now,
            sent: (0, 0),
            timeouts: (Time::ZERO, 0),
        }
    }

    /// Notes what has come of an association; false where that was given up, or has ended, before.
    pub(crate) fn expects(&mut self, arrival: &Arrival) -> bool {
        match arrival {
            Arrival::Up(peer, _) | Arrival::Session(peer, _) => {
                let is_wanted = !peer.is_dialed() || self.known.get(peer) == Some(&Known::Dialing);
                if is_wanted {
                    self.known.insert(*peer, Known::Up);
                }
                is_wanted
            }
            Arrival::Down(peer, ..) => {
                let was_known = self.known.remove(peer).is_some();
                if was_known {
                    self.just_lost.insert(*peer);
                }
                was_known
            }
            Arrival::Message { peer, .. } | Arrival::Congested(peer) | Arrival::Drained(peer) => {
                self.known.contains_key(peer)
            }
            Arrival::Announce(..) => true,
        }
    }

    /// The next thing that has arrived and that the process takes.
    pub(crate) fn next_arrival(&mut self) -> Option<Arrival> {
        let row = match &self.machine {
            AnyMachine::Hostile(machine) if machine.kind().reads_nothing() => {
                self.inbox.iter().position(|arrival| !matches!(arrival, Arrival::Message { .. }))?
            }
            _ => 0,
        };
        self.inbox.remove(row)
    }

    /// True where something has arrived that the process takes.
    pub(crate) fn has_arrivals(&self) -> bool {
        match &self.machine {
            AnyMachine::Hostile(machine) if machine.kind().reads_nothing() => {
                self.inbox.iter().any(|arrival| !matches!(arrival, Arrival::Message { .. }))
            }
            _ => !self.inbox.is_empty(),
        }
    }

    /// When something is to be handed a timeout, by its own clock.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        [self.machine.next_timeout(), self.sessions.next_timeout()].into_iter().flatten().min()
    }
}

impl Node {
    pub(crate) fn registrar(&self) -> Option<&Registrar> {
        match &self.running.as_ref()?.machine {
            AnyMachine::Registrar(machine) => Some(machine),
            _ => None,
        }
    }

    pub(crate) fn element(&self) -> Option<&PoolElement> {
        match &self.running.as_ref()?.machine {
            AnyMachine::Element(machine) => Some(machine),
            _ => None,
        }
    }

    pub(crate) fn crowd(&self) -> Option<&Crowd> {
        match &self.running.as_ref()?.machine {
            AnyMachine::Crowd(machine) => Some(machine),
            _ => None,
        }
    }

    /// What it is where it means no good.
    pub(crate) fn hostile(&self) -> Option<hostile::Kind> {
        match &self.program {
            Program::Hostile(config) => Some(config.kind),
            _ => None,
        }
    }
}
