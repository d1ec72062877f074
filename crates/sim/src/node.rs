//! A node: a host with one process that runs one machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rserpool_proto::element::PoolElement;
use rserpool_proto::machine::Peer;
use rserpool_proto::registrar::Registrar;
use rserpool_proto::time::Time;
use rserpool_wire::param::RegistrarId;

use crate::application::Application;
use crate::clock::Clock;
use crate::crowd::Crowd;
use crate::hostile;
use crate::machine::AnyMachine;
use crate::network::{Arrival, Dial};
use crate::program::{MachineCommand, Program};
use crate::session::{Role, Sessions};

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
    /// What [`Target::Configured`](rserpool_proto::machine::Target::Configured) counts.
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
