//! A registrar: keeps the handlespace, supervises elements, answers users (RFC 5352 §3, 5353).
//!
//! | module | what it holds | source |
//! |---|---|---|
//! | `asap` | registration, deregistration, resolution, reports | RFC 5352 §3.1 to §3.5 |
//! | `admission` | what a registration must bring along | RFC 5352 §2.2.1 |
//! | `supervision` | keep-alives, expiry, removal | RFC 5352 §3.5 |
//! | `subscription` | users that are told of changes | RFC 5352 §2.2.5 |
//! | `announce` | telling where this registrar is | RFC 5352 §3.6 |

mod admission;
mod announce;
mod asap;
mod config;
mod pace;
mod round_trip;
mod stats;
mod subscription;
mod supervision;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU32;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rserpool_wire::asap::{Asap, RegistrationResponse};
use rserpool_wire::param::{Cause, PeId, PoolHandle, RegistrarId};
use rserpool_wire::registry::AsapType;
use rserpool_wire::{Message, Protocol};

use crate::handlespace::{Deadlines, ElementIndex, Handlespace, Key};
use crate::machine::{Input, Link, Machine, Malformed, Output, Peer};
use crate::time::Time;

pub use config::{AddressScope, Config};
pub use stats::Stats;
pub use supervision::LeaveReason;

use announce::Announcing;
use pace::Pace;
use subscription::Subscriptions;
use supervision::Supervised;

/// The registrar.
///
/// It takes part in any number of associations at once; what it knows of one is an `Association`,
/// of an element of its own a `Supervised`. All else is in the [`Handlespace`].
#[derive(Debug)]
pub struct Registrar {
    config: Config,
    id: RegistrarId,
    handlespace: Handlespace,
    associations: BTreeMap<Peer, Association>,
    supervised: BTreeMap<ElementIndex, Supervised>,
    subscriptions: Subscriptions,
    announcing: Announcing,
    deadlines: Deadlines<Deadline>,
    /// How often elements are asked whether they live.
    pace: Pace,
    /// Elements whose turn it is, and that wait for the pace.
    waiting: VecDeque<ElementIndex>,
    outputs: VecDeque<Output<Event>>,
    stats: Stats,
    rng: StdRng,
}

/// What this registrar knows of one association.
#[derive(Debug)]
struct Association {
    link: Link,
    /// The elements that registered over it, or acknowledged this registrar as home over it.
    elements: BTreeSet<ElementIndex>,
}

/// What the application may ask of a registrar.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// Start to announce, if announces are configured. Before it the registrar serves, but tells
    /// nobody.
    Announce,
}

/// What a registrar tells the application.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An element joined a pool here, or moved here from another registrar.
    Joined {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
    },
    /// An element of this registrar is gone.
    Left {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
        /// Why.
        reason: LeaveReason,
    },
    /// A registration was rejected.
    Rejected {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
        /// Why.
        cause: Cause,
    },
    /// A message could not be read.
    Malformed(Peer, Malformed),
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Deadline {
    /// T6-Serverannounce.
    Announce,
    /// The pace allows the next keep-alive.
    Pace,
    /// The next keep-alive of an element, or the end of the wait for its answer.
    Supervision(ElementIndex),
    /// The end of a Registration Life.
    Expiry(ElementIndex),
}

impl Key for Deadline {
    fn row(self) -> Option<usize> {
        match self {
            Self::Announce | Self::Pace => None,
            Self::Supervision(index) => Some(2 * index.slot()),
            Self::Expiry(index) => Some(2 * index.slot() + 1),
        }
    }
}

impl Registrar {
    /// A registrar with an empty handlespace. `seed` decides everything that is random.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let drawn = RegistrarId::from(rng.random::<NonZeroU32>());
        let id = config.id.unwrap_or(drawn);
        Self {
            handlespace: Handlespace::new(config.handlespace, rng.random()),
            id,
            associations: BTreeMap::new(),
            supervised: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            announcing: Announcing::default(),
            deadlines: Deadlines::default(),
            pace: Pace::new(config.supervision_rate_max),
            waiting: VecDeque::new(),
            outputs: VecDeque::new(),
            stats: Stats::default(),
            rng,
            config,
        }
    }

    /// Its identifier.
    pub fn id(&self) -> RegistrarId {
        self.id
    }

    /// What it knows of pools and elements.
    pub fn handlespace(&self) -> &Handlespace {
        &self.handlespace
    }

    /// What it counted since it was made.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How many associations it takes part in.
    pub fn associations(&self) -> usize {
        self.associations.len()
    }

    fn on_up(&mut self, peer: Peer, link: Link) {
        self.associations.insert(peer, Association { link, elements: BTreeSet::new() });
    }

    fn on_down(&mut self, now: Time, peer: Peer) {
        let Some(association) = self.associations.remove(&peer) else {
            return;
        };
        self.subscriptions.forget(peer);
        for index in association.elements {
            self.remove(now, index, LeaveReason::AssociationLost);
        }
    }

    fn on_addresses(&mut self, peer: Peer, remote: Vec<IpAddr>) {
        if let Some(association) = self.associations.get_mut(&peer) {
            association.link.remote = remote;
        }
    }

    fn on_asap(&mut self, now: Time, peer: Peer, message: Asap) {
        match message {
            Asap::Registration(message) => self.register(now, peer, message),
            Asap::Deregistration(message) => self.deregister(now, peer, message),
            Asap::HandleResolution(message) => self.resolve(peer, message),
            Asap::KeepAliveAck(message) => self.acknowledge(now, peer, message),
            Asap::Unreachable(message) => self.on_report(now, peer, message),
            Asap::Error(causes) => {
                self.stats.errors_received += 1;
                drop(causes);
            }
            // What registrars send, and what users and elements tell each other.
            Asap::RegistrationResponse(_)
            | Asap::DeregistrationResponse(_)
            | Asap::HandleResolutionResponse(_)
            | Asap::KeepAlive(_)
            | Asap::Announce(_)
            | Asap::Cookie(_)
            | Asap::CookieEcho(_)
            | Asap::BusinessCard(_) => self.stats.unexpected += 1,
        }
    }

    /// RFC 5352 §2.2.14, 5354 §4: what could not be read is reported where the RFC has a report.
    fn on_malformed(&mut self, peer: Peer, malformed: Malformed) {
        self.stats.malformed += 1;
        let is_error = malformed.message_type == Some(AsapType::ERROR.0);
        if malformed.protocol == Protocol::Asap && !malformed.causes.is_empty() && !is_error {
            let causes = malformed.causes.clone();
            let answer = match malformed.subject.clone() {
                Some((handle, id)) => Asap::RegistrationResponse(RegistrationResponse {
                    rejected: true,
                    handle,
                    id,
                    causes,
                }),
                None => Asap::Error(causes),
            };
            self.send(peer, answer);
        }
        self.outputs.push_back(Output::Event(Event::Malformed(peer, malformed)));
    }

    fn on_timeout(&mut self, now: Time) {
        while let Some(due) = self.deadlines.next()
            && let Some(deadline) = self.deadlines.pop_due(now)
        {
            match deadline {
                Deadline::Announce => self.announce(now),
                Deadline::Pace => self.probe_waiting(now),
                Deadline::Supervision(index) => self.supervise(now, due, index),
                Deadline::Expiry(index) => self.expire(now, index),
            }
        }
    }

    fn send(&mut self, peer: Peer, message: Asap) {
        self.outputs.push_back(Output::Send(peer, Message::Asap(message)));
    }
}

impl Machine for Registrar {
    type Command = Command;
    type Event = Event;

    fn handle(&mut self, now: Time, input: Input<Command>) {
        match input {
            Input::Command(Command::Announce) => self.announce(now),
            Input::Up(peer, link) => self.on_up(peer, link),
            Input::Down(peer) => self.on_down(now, peer),
            Input::Addresses(peer, remote) => self.on_addresses(peer, remote),
            // After an association ended, what it had sent may still be on its way here.
            Input::Message(peer, _) | Input::Malformed(peer, _)
                if !self.associations.contains_key(&peer) =>
            {
                self.stats.unexpected += 1;
            }
            Input::Message(peer, Message::Asap(message)) => self.on_asap(now, peer, message),
            Input::Message(_, Message::Enrp(_)) => self.stats.unexpected += 1,
            Input::Malformed(peer, malformed) => self.on_malformed(peer, malformed),
            Input::Announce(_, message) => self.on_announce(now, message),
            Input::Timeout => self.on_timeout(now),
        }
    }

    fn poll(&mut self) -> Option<Output<Event>> {
        if self.outputs.is_empty() {
            self.push_updates();
        }
        self.outputs.pop_front()
    }

    fn next_timeout(&self) -> Option<Time> {
        self.deadlines.next()
    }
}
