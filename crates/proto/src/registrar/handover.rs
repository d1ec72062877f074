//! Leaving a scope on purpose: the elements are handed over first
//! (draft-dreibholz-rserpool-enrp-takeover; the RFCs have no such procedure).

use std::collections::{BTreeMap, VecDeque};

use rserpool_wire::param::RegistrarId;

use super::held::Held;
use super::peers::{PeerRegistrar, Status};
use super::quota::Usage;
use super::subscription::Subscriptions;
use super::{Deadline, Event, Registrar, State};
use crate::dialect::Dialect;
use crate::handlespace::ElementIndex;
use crate::machine::{Input, Output, Peer};
use crate::time::Time;

/// Elements that are on their way to other registrars.
#[derive(Debug, Default)]
pub(super) struct Handover {
    /// Elements that nobody has been asked to take yet, by who will be.
    waiting: BTreeMap<RegistrarId, VecDeque<ElementIndex>>,
    /// Elements that someone has been asked to take.
    asked: BTreeMap<ElementIndex, RegistrarId>,
    done: usize,
}

/// So many elements one registrar is asked to take at once.
const ASKED_MAX: usize = 500;

impl Registrar {
    /// Each element is suggested to one of the others, evenly; each that was taken makes room for
    /// the next. Where there are registrars that the operator knows of, to none but these.
    pub(super) fn leave(&mut self, now: Time) {
        if matches!(self.state, State::Leaving | State::Departed) {
            return;
        }
        let takers = self.takers();
        let is_of_use = self.is_serving() && self.config.dialect == Dialect::Rfc;
        if takers.is_empty() || self.supervised.is_empty() || !is_of_use {
            self.depart();
            return;
        }
        self.state = State::Leaving;
        self.deadlines.disarm(Deadline::Announce);
        self.deadlines.arm(Deadline::Leave, now + self.config.leave_timeout);
        let links: Vec<Option<Peer>> = takers.iter().map(|taker| self.link_to(*taker)).collect();
        for (turn, (index, _)) in self.supervised.iter().enumerate() {
            // Elements of this host or link are none for those elsewhere.
            let mut rows = (turn..turn + takers.len()).map(|row| row % takers.len());
            let may = |row: &usize| links[*row].is_some_and(|link| self.may_be_told(index, link));
            if let Some(row) = rows.find(may) {
                self.handover.waiting.entry(takers[row]).or_default().push_back(index);
            }
        }
        for taker in takers {
            for _ in 0..ASKED_MAX {
                self.suggest_next(taker);
            }
        }
        self.depart_if_done();
    }

    fn takers(&self) -> Vec<RegistrarId> {
        let is_there = |peer: &&PeerRegistrar| {
            peer.met && peer.status == Status::Active && !peer.links.is_empty()
        };
        let all = self.peers.iter().filter(|(_, peer)| is_there(peer));
        let known = all.clone().filter(|(_, peer)| peer.proof.is_vouched_for());
        let known: Vec<RegistrarId> = known.map(|(&id, _)| id).collect();
        if known.is_empty() { all.map(|(&id, _)| id).collect() } else { known }
    }

    /// Where nobody takes any more elements, there is nothing to wait for.
    fn depart_if_done(&mut self) {
        let handover = &self.handover;
        let is_done =
            handover.asked.is_empty() && handover.waiting.values().all(VecDeque::is_empty);
        if is_done || self.supervised.is_empty() {
            self.depart();
        }
    }

    fn suggest_next(&mut self, taker: RegistrarId) {
        let Some(link) = self.link_to(taker) else { return };
        let next = |handover: &mut Handover| handover.waiting.get_mut(&taker)?.pop_front();
        while let Some(index) = next(&mut self.handover) {
            if self.suggest(index, link) {
                self.handover.asked.insert(index, taker);
                return;
            }
        }
    }

    /// An element of this registrar has moved to another one.
    pub(super) fn handed_over(&mut self, index: ElementIndex) {
        if self.state == State::Leaving {
            self.handover.done += 1;
            self.no_longer_own(index);
        }
    }

    /// An element has moved, or is gone. Where none is left, there is nothing to wait for.
    pub(super) fn no_longer_own(&mut self, index: ElementIndex) {
        if self.state != State::Leaving {
            return;
        }
        if let Some(taker) = self.handover.asked.remove(&index) {
            self.suggest_next(taker);
        }
        self.depart_if_done();
    }

    /// Whoever comes to a registrar that has left is sent away, and nothing else is done.
    pub(super) fn turn_away(&mut self, input: &Input<super::Command>) {
        // What this registrar has dialed itself was ended when it left.
        if let Input::Up(peer, _) = input
            && !peer.is_dialed()
        {
            self.outputs.push_back(Output::Close(*peer));
        }
    }

    /// Who has left waits for nothing more, whatever else the last input did.
    pub(super) fn forget_timers(&mut self) {
        self.deadlines = crate::deadlines::Deadlines::default();
        self.lost = super::Lost::default();
    }

    /// Ends every association. Nobody is told of the elements that are left: their home is found
    /// dead, and whoever takes over keeps them until they have registered again.
    pub(super) fn depart(&mut self) {
        let left_behind = self.supervised.len();
        self.state = State::Departed;
        self.forget_timers();
        self.supervised.clear();
        self.reports = crate::handlespace::PerElement::default();
        self.adopting = super::Adopting::new(self.config.adoption_rate_max);
        self.contests = super::Contests::default();
        self.foreign_claims = super::ForeignClaims::default();
        self.hearsay = super::Hearsay::default();
        self.downloads.clear();
        let dialed = self.dialing.under_way.end_all().map(Output::Abort);
        self.outputs.extend(dialed);
        let closed = std::mem::take(&mut self.associations).into_keys().map(Output::Close);
        self.outputs.extend(closed);
        self.peers.clear();
        self.subscriptions = Subscriptions::default();
        self.held = Held::default();
        self.usage = Usage::default();
        self.silent = super::Silent::default();
        let handed_over = self.handover.done;
        let event = Event::Departed { handed_over, left_behind };
        self.outputs.push_back(Output::Event(event));
    }
}
