//! Very many elements of one process, which share its associations: just enough of ASAP to register,
//! to answer, to agree to a new home and to look for one. Unlike the machine of a single element it
//! keeps the associations with former homes, for other elements may still be at home there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rserpool_proto::machine::{Input, Machine, Output, Peer, Target};
use rserpool_proto::time::Time;
use rserpool_proto::timing::Timing;
use rserpool_wire::asap::{
    Asap, DeregistrationResponse, KeepAlive, KeepAliveAck, Registration, RegistrationResponse,
};
use rserpool_wire::param::{
    PeId, Policy, PoolElement, PoolHandle, RegistrarId, RegistrationLife, Transport,
};
use rserpool_wire::{Message, Protocol};

/// Who is in a crowd.
#[derive(Clone, Debug)]
pub struct Config {
    /// The pool of all of them.
    pub handle: PoolHandle,
    /// Their policy.
    pub policy: Policy,
    /// Where all of them serve.
    pub user_transport: Transport,
    /// The identifier of the first; the others follow.
    pub first: PeId,
    /// How many there are.
    pub count: u32,
    /// How many registrars the driver knows by number.
    pub registrars: usize,
    /// Timer values.
    pub timing: Timing,
}

/// The elements.
#[derive(Debug)]
pub(crate) struct Crowd {
    config: Config,
    /// Which registrar is dialed next.
    next: usize,
    dialed: u64,
    /// Where elements register.
    home: Option<Home>,
    /// The registrar at the other end of each association, once it has said who it is.
    associations: BTreeMap<Peer, Option<RegistrarId>>,
    elements: Vec<Element>,
    /// Elements that have to register.
    waiting: VecDeque<usize>,
    /// Registrations at the home without an answer.
    asked: usize,
    /// When the next registrar is dialed, where there is no home.
    dial_at: Option<Time>,
    /// When those that were rejected try again.
    retry_at: Option<Time>,
    /// How often the home of an element said that it is out.
    evictions: u64,
    outputs: VecDeque<Output<std::convert::Infallible>>,
}

#[derive(Debug)]
struct Home {
    peer: Peer,
    is_up: bool,
    heard: Time,
}

#[derive(Clone, Copy, Debug, Default)]
struct Element {
    home: Option<Peer>,
    /// Where its registration has no answer yet.
    asked: Option<Peer>,
    /// Who claims it meanwhile.
    claimed: Option<Peer>,
}

/// Registrations under way at once.
const ASKED_MAX: usize = 64;

impl Crowd {
    /// A crowd that dials the registrar of the lot at first.
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let next = usize::try_from(seed % config.registrars.max(1) as u64).unwrap_or_default();
        let elements: Vec<Element> = vec![Element::default(); config.count as usize];
        Self {
            next,
            dialed: 0,
            home: None,
            associations: BTreeMap::new(),
            waiting: (0..elements.len()).collect(),
            elements,
            asked: 0,
            dial_at: None,
            retry_at: None,
            evictions: 0,
            outputs: VecDeque::new(),
            config,
        }
    }

    /// Each element: its identifier, and where it believes to be at home, as far as that one has said
    /// who it is.
    pub(crate) fn homes(&self) -> impl Iterator<Item = (PeId, Option<Option<RegistrarId>>)> + '_ {
        self.elements.iter().enumerate().map(|(row, element)| {
            let home = element.home.map(|peer| self.associations.get(&peer).copied().flatten());
            (self.id(row), home)
        })
    }

    /// How often the home of an element said that it is out of its pool.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions
    }

    fn id(&self, row: usize) -> PeId {
        PeId(self.config.first.0 + u32::try_from(row).unwrap_or_default())
    }

    fn row(&self, id: PeId) -> Option<usize> {
        let row = id.0.checked_sub(self.config.first.0)? as usize;
        (row < self.elements.len()).then_some(row)
    }

    fn dial(&mut self, now: Time) {
        let number = self.next % self.config.registrars.max(1);
        self.next += 1;
        self.dialed += 1;
        let peer = Peer::dialed(self.dialed);
        self.home = Some(Home { peer, is_up: false, heard: now });
        self.dial_at = None;
        self.outputs.push_back(Output::Connect(peer, Target::Configured(number), Protocol::Asap));
    }

    fn dial_later(&mut self, now: Time) {
        self.dial_at = Some(now + self.config.timing.registration_timeout / 10);
    }

    /// How long a home may be silent: as elements do, by the rhythm in which it usually asks.
    fn silence_max(&self) -> Duration {
        self.config.timing.peer_silence_max * 4
    }

    /// When the home has been silent for too long, where it is one.
    fn silent_at(&self) -> Option<Time> {
        let home = self.home.as_ref().filter(|home| home.is_up)?;
        let is_home = self.asked > 0 || self.elements.iter().any(|e| e.home == Some(home.peer));
        is_home.then(|| home.heard + self.silence_max())
    }

    fn on_timeout(&mut self, now: Time) {
        if self.dial_at.is_some_and(|at| at <= now) {
            self.dial(now);
        }
        if self.retry_at.take_if(|at| *at <= now).is_some() {
            self.look_for_homeless();
        }
        if self.silent_at().is_some_and(|at| at <= now)
            && let Some(home) = self.home.take()
        {
            self.outputs.push_back(Output::Abort(home.peer));
            self.lose(now, home.peer);
        }
    }

    /// An association is gone: who has its home there needs another one.
    fn lose(&mut self, now: Time, peer: Peer) {
        self.associations.remove(&peer);
        if self.is_home(peer) {
            self.home = None;
        }
        if self.home.is_none() {
            self.asked = 0;
            self.dial_later(now);
        }
        let mut claimed = Vec::new();
        for (row, element) in self.elements.iter_mut().enumerate() {
            element.home = element.home.filter(|home| *home != peer);
            element.asked = element.asked.filter(|asked| *asked != peer);
            element.claimed = element.claimed.filter(|by| *by != peer);
            if element.home.is_none() && element.asked.is_none() {
                claimed.extend(element.claimed.take().map(|by| (row, by)));
            }
        }
        for (row, by) in claimed {
            self.agree(row, by);
        }
        self.look_for_homeless();
    }

    fn look_for_homeless(&mut self) {
        let rows = self.elements.iter().enumerate();
        let homeless = rows.filter(|(_, e)| e.home.is_none() && e.asked.is_none());
        self.waiting = homeless.map(|(row, _)| row).collect();
    }

    fn on_up(&mut self, now: Time, peer: Peer) {
        let home = self.home.as_mut().filter(|home| home.peer == peer);
        if home.is_none() && peer.is_dialed() {
            return;
        }
        self.associations.insert(peer, None);
        if let Some(home) = home {
            (home.is_up, home.heard) = (true, now);
        }
    }

    /// There is an association with the registrar that was dialed already: that one is the home.
    fn on_known(&mut self, now: Time, dialed: Peer, there: Peer) {
        if self.is_home(dialed) {
            let is_up = self.associations.contains_key(&there);
            self.home = Some(Home { peer: there, is_up, heard: now });
        }
    }

    fn on_message(&mut self, now: Time, peer: Peer, message: Message) {
        if !self.associations.contains_key(&peer) {
            return;
        }
        if let Some(home) = self.home.as_mut().filter(|home| home.peer == peer) {
            home.heard = now;
        }
        match message {
            Message::Asap(Asap::RegistrationResponse(answer)) => self.on_answer(now, peer, &answer),
            Message::Asap(Asap::KeepAlive(question)) => self.on_keep_alive(peer, question),
            Message::Asap(Asap::DeregistrationResponse(told)) => self.on_removed(peer, &told),
            Message::Asap(_) | Message::Enrp(_) => {}
        }
    }

    fn on_answer(&mut self, now: Time, peer: Peer, answer: &RegistrationResponse) {
        if self.is_home(peer) {
            self.asked = self.asked.saturating_sub(1);
        }
        let Some(row) = self.row(answer.id) else { return };
        let element = &mut self.elements[row];
        // Where another registrar has claimed it meanwhile, that one is its home.
        if element.asked == Some(peer) {
            element.asked = None;
            let claimed = element.claimed.take();
            if answer.rejected {
                element.home = None;
                self.retry_at = Some(now + self.config.timing.registration_timeout);
                if let Some(by) = claimed {
                    self.agree(row, by);
                }
            } else {
                element.home = Some(peer);
            }
        }
    }

    fn on_keep_alive(&mut self, peer: Peer, question: KeepAlive) {
        if question.sender.is_some() {
            self.associations.insert(peer, question.sender);
        }
        let id = question.id.filter(|_| question.handle == self.config.handle);
        let Some((id, row)) = id.and_then(|id| Some((id, self.row(id)?))) else { return };
        let element = &mut self.elements[row];
        if question.claim_home && element.home != Some(peer) {
            // Whoever was asked first has time to answer, as elements do it.
            if element.home.is_none() && element.asked.is_some_and(|asked| asked != peer) {
                element.claimed = Some(peer);
            } else {
                self.agree(row, peer);
            }
        } else {
            self.acknowledge(id, peer);
        }
    }

    fn acknowledge(&mut self, id: PeId, peer: Peer) {
        let ack = KeepAliveAck { handle: self.config.handle.clone(), id };
        self.outputs.push_back(Output::Send(peer, Asap::KeepAliveAck(ack).into()));
    }

    /// The new home gets a registration at once, as elements do it.
    fn agree(&mut self, row: usize, peer: Peer) {
        self.acknowledge(self.id(row), peer);
        self.elements[row].home = Some(peer);
        self.ask(row, peer);
    }

    /// A registrar says that an element is out; where that one is its home, it registers again.
    fn on_removed(&mut self, peer: Peer, told: &DeregistrationResponse) {
        let Some(row) = self.row(told.id) else { return };
        let element = &mut self.elements[row];
        self.evictions += u64::from(element.home == Some(peer));
        if element.home == Some(peer) && element.asked.is_none() {
            element.home = None;
            self.ask(row, peer);
        }
    }

    /// Registers as many as may be under way.
    fn register(&mut self) {
        let Some(home) = self.home.as_ref().filter(|home| home.is_up) else { return };
        let home = home.peer;
        while self.asked < ASKED_MAX
            && let Some(row) = self.waiting.pop_front()
        {
            // It may have been claimed meanwhile.
            let element = self.elements[row];
            if element.home.is_none() && element.asked.is_none() {
                self.ask(row, home);
            }
        }
    }

    /// Registers an element over this association.
    fn ask(&mut self, row: usize, peer: Peer) {
        self.elements[row].asked = Some(peer);
        self.asked += usize::from(self.is_home(peer));
        let element = PoolElement {
            id: self.id(row),
            home: None,
            life: RegistrationLife::FOREVER,
            user_transport: self.config.user_transport.clone(),
            policy: self.config.policy.clone(),
            asap_transport: None,
        };
        let handle = self.config.handle.clone();
        let message = Asap::Registration(Registration { handle, element });
        self.outputs.push_back(Output::Send(peer, message.into()));
    }

    fn is_home(&self, peer: Peer) -> bool {
        self.home.as_ref().is_some_and(|home| home.peer == peer)
    }
}

impl Machine for Crowd {
    type Command = std::convert::Infallible;
    type Event = std::convert::Infallible;

    fn handle(&mut self, now: Time, input: Input<Self::Command>) {
        match input {
            Input::Command(never) => match never {},
            Input::Up(peer, _) => self.on_up(now, peer),
            Input::Down(peer) => self.lose(now, peer),
            Input::Message(peer, message) => self.on_message(now, peer, message),
            Input::Timeout => self.on_timeout(now),
            Input::Known(dialed, there) => self.on_known(now, dialed, there),
            Input::Malformed(..)
            | Input::Addresses(..)
            | Input::OwnAddresses(..)
            | Input::Congested(_)
            | Input::Drained(_)
            | Input::Announce(..) => {}
        }
        if self.dialed == 0 {
            self.dial(now);
        }
        self.register();
    }

    fn poll(&mut self) -> Option<Output<Self::Event>> {
        self.outputs.pop_front()
    }

    fn next_timeout(&self) -> Option<Time> {
        if self.dialed == 0 {
            // It begins by itself.
            return Some(Time::ZERO);
        }
        [self.dial_at, self.retry_at, self.silent_at()].into_iter().flatten().min()
    }
}
