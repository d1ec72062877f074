//! Nodes that mean no good: strangers, elements that lie, and those that read nothing. They never
//! stop, and honest elements have to be found all the same.
//!
//! | file | what it holds |
//! |---|---|
//! | `asap` | what a stranger does at the port for elements and users, and what an element that lies does |
//! | `enrp` | what a stranger does at the port for registrars |

mod asap;
mod enrp;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rserpool_proto::machine::{Input, Machine, Output, Peer, Target};
use rserpool_proto::time::Time;
use rserpool_wire::asap::Asap;
use rserpool_wire::enrp::Body;
use rserpool_wire::param::{
    PeId, Policy, PoolElement, PoolHandle, RegistrarId, Transport, TransportUse,
};
use rserpool_wire::{Message, Protocol};

/// What a hostile node is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Registers what makes no sense, floods, takes pools, and wants others' elements out.
    Stranger,
    /// Reports elements that live, over as many associations as it can have.
    Slanderer,
    /// Is an element that answers late, with other identifiers, and registers with other ports.
    Liar,
    /// Subscribes to everything, asks much, and reads nothing.
    Mute,
    /// Says that it is a registrar: a new one each time, or one that there is. Adds and deletes
    /// others' elements, takes over who lives, tells of registrars that there are not.
    Impostor,
    /// A registrar that meets others and reads nothing from then on.
    MuteRegistrar,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Stranger,
        Self::Slanderer,
        Self::Liar,
        Self::Mute,
        Self::Impostor,
        Self::MuteRegistrar,
    ];

    /// The port that it comes to.
    pub(crate) const fn protocol(self) -> Protocol {
        match self {
            Self::Stranger | Self::Slanderer | Self::Liar | Self::Mute => Protocol::Asap,
            Self::Impostor | Self::MuteRegistrar => Protocol::Enrp,
        }
    }

    /// True where its process takes nothing of what has arrived.
    pub(crate) const fn reads_nothing(self) -> bool {
        matches!(self, Self::Mute | Self::MuteRegistrar)
    }
}

/// A hostile node.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is.
    pub kind: Kind,
    /// The pools of honest elements, and what goes with each: whoever comes first into a pool that
    /// is empty says that for all.
    pub pools: Vec<(PoolHandle, Policy, TransportUse)>,
    /// About so long it rests between two deeds.
    pub pause: Duration,
    /// How many registrars the driver knows by number.
    pub registrars: usize,
    /// Where it is.
    pub transport: Transport,
}

/// Its machine.
#[derive(Debug)]
pub(crate) struct Hostile {
    config: Config,
    rng: StdRng,
    dialed: u64,
    /// Associations that are up, and who it is there, where it is a registrar.
    links: Vec<(Peer, Option<RegistrarId>)>,
    dialing: Vec<Peer>,
    /// Elements that it has heard of.
    victims: BTreeMap<(PoolHandle, PeId), PoolElement>,
    /// Registrars that it has heard of.
    registrars: Vec<RegistrarId>,
    /// Answers that come late.
    late: VecDeque<(Time, Peer, Asap)>,
    next: Option<Time>,
    outputs: VecDeque<Output<Infallible>>,
}

/// Associations of one hostile node.
pub(crate) const LINKS_MAX: usize = 8;
/// What it remembers.
const VICTIMS_MAX: usize = 200;
/// Identifiers of hostile elements are from here on: no honest one draws them in a world's life.
pub(crate) const FIRST_ID: u32 = 0xffff_ff00;

/// True for the identifier of an element that a hostile node made up.
pub(crate) const fn is_made_up(id: PeId) -> bool {
    id.0 >= FIRST_ID
}

impl Hostile {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            rng: StdRng::seed_from_u64(seed),
            dialed: 0,
            links: Vec::new(),
            dialing: Vec::new(),
            victims: BTreeMap::new(),
            registrars: Vec::new(),
            late: VecDeque::new(),
            next: None,
            outputs: VecDeque::new(),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.config.kind
    }

    fn dial(&mut self) {
        let links_max = if self.config.kind.reads_nothing() { 2 } else { LINKS_MAX };
        if self.links.len() + self.dialing.len() < links_max && self.config.registrars > 0 {
            self.dialed += 1;
            let peer = Peer::dialed(self.dialed);
            let target = Target::Configured(self.rng.random_range(0..self.config.registrars));
            self.dialing.push(peer);
            self.outputs.push_back(Output::Connect(peer, target, self.config.kind.protocol()));
        }
    }

    fn abort_one(&mut self) {
        if let Some(row) = self.any(self.links.len()) {
            let (peer, _) = self.links.swap_remove(row);
            self.outputs.push_back(Output::Abort(peer));
        }
    }

    /// A row of so many; `None` of none.
    fn any(&mut self, count: usize) -> Option<usize> {
        (count > 0).then(|| self.rng.random_range(0..count))
    }

    fn victim(&mut self) -> Option<(PoolHandle, PoolElement)> {
        let row = self.any(self.victims.len())?;
        let ((handle, _), element) = self.victims.iter().nth(row)?;
        Some((handle.clone(), element.clone()))
    }

    fn learn(&mut self, handle: &PoolHandle, elements: impl IntoIterator<Item = PoolElement>) {
        for element in elements {
            if self.victims.len() < VICTIMS_MAX && !is_made_up(element.id) {
                self.victims.insert((handle.clone(), element.id), element);
            }
        }
    }

    fn made_up_id(&mut self) -> PeId {
        PeId(FIRST_ID + self.rng.random_range(0..16))
    }

    /// Its own transport, with another port each time.
    fn transport(&mut self, serves: TransportUse) -> Transport {
        let port = self.rng.random_range(1..=u16::MAX);
        let mut transport = self.config.transport.clone();
        match &mut transport {
            Transport::Sctp(sctp) => (sctp.port, sctp.transport_use) = (port, serves),
            Transport::Tcp { port: own, transport_use, .. } => {
                (*own, *transport_use) = (port, serves);
            }
            _ => {}
        }
        transport
    }

    fn say(&mut self, peer: Peer, message: impl Into<Message>) {
        self.outputs.push_back(Output::Send(peer, message.into()));
    }

    fn act(&mut self, now: Time) {
        let pause = self.config.pause.mul_f64(self.rng.random_range(0.1..=2.0));
        self.next = Some(now + pause);
        if self.links.is_empty() || self.rng.random_bool(0.1) {
            self.dial();
        }
        if self.rng.random_bool(0.02) {
            self.abort_one();
        }
        let Some(row) = self.any(self.links.len()) else { return };
        let (peer, identity) = self.links[row];
        match self.config.kind {
            Kind::Stranger => self.be_strange(peer),
            Kind::Slanderer => self.slander(peer),
            Kind::Liar => self.lie(peer),
            Kind::Mute => self.ask_much(peer),
            Kind::Impostor => self.pretend(peer, identity),
            Kind::MuteRegistrar => self.ask_much_as_registrar(peer, identity),
        }
    }
}

impl Machine for Hostile {
    type Command = Infallible;
    type Event = Infallible;

    fn handle(&mut self, now: Time, input: Input<Infallible>) {
        match input {
            Input::Command(never) => match never {},
            Input::Up(peer, _) => {
                self.dialing.retain(|dialing| *dialing != peer);
                self.links.push((peer, None));
                self.greet(peer);
            }
            Input::Down(peer) => {
                self.dialing.retain(|dialing| *dialing != peer);
                self.links.retain(|(link, _)| *link != peer);
            }
            Input::Message(peer, Message::Asap(message)) => self.on_asap(now, peer, message),
            Input::Message(peer, Message::Enrp(message)) => match message.body {
                Body::Presence(_)
                | Body::TableRequest(_)
                | Body::ListResponse(_)
                | Body::TableResponse(_)
                | Body::Update(_)
                | Body::TakeoverInit(_) => {
                    self.on_enrp(peer, message);
                }
                _ => {}
            },
            Input::Timeout => {
                while self.late.front().is_some_and(|(at, ..)| *at <= now)
                    && let Some((_, peer, answer)) = self.late.pop_front()
                {
                    if self.links.iter().any(|(link, _)| *link == peer) {
                        self.say(peer, answer);
                    }
                }
                if self.next.is_none_or(|next| next <= now) {
                    self.act(now);
                }
            }
            Input::Known(..)
            | Input::Malformed(..)
            | Input::Addresses(..)
            | Input::OwnAddresses(..)
            | Input::Congested(_)
            | Input::Drained(_)
            | Input::Announce(..) => {}
        }
    }

    fn poll(&mut self) -> Option<Output<Infallible>> {
        self.outputs.pop_front()
    }

    fn next_timeout(&self) -> Option<Time> {
        // It begins by itself.
        let next = Some(self.next.unwrap_or(Time::ZERO));
        self.late.front().map(|(at, ..)| *at).into_iter().chain(next).min()
    }
}
