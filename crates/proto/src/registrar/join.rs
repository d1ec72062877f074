//! Joining a scope (RFC 5353 §3.2): a mentor is found and asked for the registrars that it knows,
//! then for the handlespace.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use rserpool_wire::enrp::{Body, ListResponse};
use rserpool_wire::param::RegistrarId;

use super::adoption::Reach;
use super::hearsay::Origin;
use super::peers::Status;
use super::supervision::LATENESS_TOLERATED;
use super::{Deadline, Event, Registrar, State};
use crate::handlespace::ElementIndex;
use crate::machine::{Carrier, Output, Peer};
use crate::time::Time;

/// How far a registrar that starts has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Nobody has asked it to start.
    Waiting,
    /// It looks for a mentor.
    Discover,
    /// It has asked a mentor for the other registrars.
    List(RegistrarId),
    /// It fetches the handlespace from a mentor.
    Table(RegistrarId),
}

/// What a registrar that starts remembers.
#[derive(Debug, Default)]
pub(super) struct Join {
    /// Mentors asked in this round.
    tried: BTreeSet<RegistrarId>,
    /// Mentors that rejected, for they start themselves.
    rejected: BTreeSet<RegistrarId>,
    /// It has looked for long enough: the next failure is the last.
    is_overdue: bool,
    /// Who told the handlespace.
    mentor: Option<RegistrarId>,
}

impl Join {
    /// A mentor that lost an association is still there.
    pub(super) fn may_ask_again(&mut self, mentor: RegistrarId) {
        self.tried.remove(&mentor);
    }
}

impl Registrar {
    /// Checklist 146, 147.
    pub(super) fn start(&mut self, now: Time) {
        if self.state == State::Starting(Phase::Waiting) {
            self.state = State::Starting(Phase::Discover);
            self.deadlines.arm(Deadline::Start, now + self.config.start_timeout);
            if self.config.discover {
                self.arm_presence(now);
            }
        } else if self.is_serving() {
            self.announce(now);
            self.arm_suggestions(now);
        }
        for number in 0..self.dialing.configured.len() {
            self.dial_configured(now, number);
        }
        self.seek_mentor(now);
    }

    /// Asks the next mentor, where there is one; serves alone where there is none left.
    pub(super) fn seek_mentor(&mut self, now: Time) {
        if self.state != State::Starting(Phase::Discover) {
            return;
        }
        let is_one = |(id, peer): (&RegistrarId, &super::PeerRegistrar)| {
            let is_there = peer.met && peer.status == Status::Active && !peer.links.is_empty();
            (is_there && !self.join.tried.contains(id)).then_some(*id)
        };
        let mut mentors: Vec<RegistrarId> = self.peers.iter().filter_map(is_one).collect();
        let is_pending = self.dialing.configured.iter().any(|configured| {
            let known = configured.id.is_some_and(|id| self.join.tried.contains(&id));
            !configured.is_self && configured.peer.is_some() && !known
        });
        // Those first that the operator knows of; strangers only where there are no others.
        let vouched: Vec<RegistrarId> =
            mentors.iter().copied().filter(|id| self.is_vouched_for(*id)).collect();
        if !vouched.is_empty() || (is_pending && !self.join.is_overdue) {
            mentors = vouched;
        }
        if !mentors.is_empty() {
            // RFC 5353 §3.2.2.1: one of them; the others are its backup.
            let mentor = mentors[self.rng.random_range(0..mentors.len())];
            self.ask_mentor(now, mentor);
            return;
        }
        // Multicast may still bring one.
        if is_pending || (self.config.discover && !self.join.is_overdue) {
            return;
        }
        let starts_first = |other: &RegistrarId| self.id > *other;
        if self.join.is_overdue || self.join.rejected.iter().all(starts_first) {
            // Nobody is there, or all that are have just started, too, and wait for this one.
            self.serve(now, false);
        } else if self.deadlines.deadline(Deadline::Join).is_none() {
            let pause = self.config.timing.response_timeout / 2;
            self.deadlines.arm(Deadline::Join, now + pause.max(Duration::from_millis(1)));
        }
    }

    fn ask_mentor(&mut self, now: Time, mentor: RegistrarId) {
        let Some(link) = self.link_to(mentor) else { return };
        self.join.tried.insert(mentor);
        self.state = State::Starting(Phase::List(mentor));
        self.deadlines.arm(Deadline::Join, now + self.config.timing.response_timeout);
        self.send_enrp(link, Body::ListRequest);
    }

    pub(super) fn on_list_response(
        &mut self,
        now: Time,
        link: Peer,
        id: RegistrarId,
        response: ListResponse,
    ) {
        let is_mentor = self.state == State::Starting(Phase::List(id));
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let was_asked = std::mem::take(&mut peer.list_asked);
        if !is_mentor && !was_asked {
            self.stats.unexpected += 1;
            return;
        }
        if response.rejected {
            if is_mentor {
                self.mentor_failed(now, id, true);
            }
            return;
        }
        let is_vouched_for = self.proof(link).is_vouched_for();
        let ends = self.associations.get(&link).map(|association| &association.link);
        let (carrier, addresses) =
            ends.map_or((Carrier::Sctp, Vec::new()), |link| (link.carrier, link.remote.clone()));
        for server in &response.servers {
            let origin = Origin { addresses: &addresses, is_vouched_for };
            self.learn(now, server, carrier, origin);
        }
        if is_mentor {
            self.state = State::Starting(Phase::Table(id));
            self.deadlines.disarm(Deadline::Join);
            self.start_sync(now, id, false);
        }
    }

    /// A mentor did not answer, or rejects: the next one has its turn (checklist 148, 151, 158).
    pub(super) fn mentor_failed(&mut self, now: Time, id: RegistrarId, rejected: bool) {
        let is_mentor = self.state == State::Starting(Phase::List(id))
            || self.state == State::Starting(Phase::Table(id));
        if !is_mentor {
            return;
        }
        self.deadlines.disarm(Deadline::Join);
        if rejected {
            self.join.rejected.insert(id);
        } else {
            self.join.rejected.remove(&id);
        }
        self.state = State::Starting(Phase::Discover);
        self.seek_mentor(now);
    }

    /// A registrar's last association ended.
    pub(super) fn mentor_lost(&mut self, now: Time, id: RegistrarId) {
        self.join.rejected.remove(&id);
        self.mentor_failed(now, id, false);
    }

    /// The handlespace is here (checklist 156).
    pub(super) fn mentor_told_all(&mut self, now: Time, id: RegistrarId) {
        if self.state == State::Starting(Phase::Table(id)) {
            self.join.mentor = Some(id);
            self.serve(now, true);
        }
    }

    pub(super) fn on_join_timeout(&mut self, now: Time, due: Time) {
        match self.state {
            State::Starting(Phase::List(mentor)) => {
                let lateness = now - due;
                if lateness > LATENESS_TOLERATED {
                    let wait = lateness.min(self.config.timing.response_timeout);
                    self.deadlines.arm(Deadline::Join, now + wait);
                } else {
                    self.mentor_failed(now, mentor, false);
                }
            }
            State::Starting(Phase::Discover) => {
                // Those that rejected may have started by now.
                self.join.tried.clear();
                self.seek_mentor(now);
            }
            State::Starting(Phase::Waiting | Phase::Table(_))
            | State::Serving
            | State::Leaving
            | State::Departed => {}
        }
    }

    pub(super) fn on_start_timeout(&mut self, now: Time) {
        self.join.is_overdue = true;
        if self.state == State::Starting(Phase::Discover) {
            self.serve(now, false);
        }
    }

    fn serve(&mut self, now: Time, synchronised: bool) {
        self.state = State::Serving;
        self.deadlines.disarm(Deadline::Start);
        self.deadlines.disarm(Deadline::Join);
        self.outputs.push_back(Output::Event(Event::Serving { synchronised }));
        self.announce(now);
        self.arm_presence(now);
        self.arm_suggestions(now);
        // What has this registrar as its home is from before it was restarted.
        let own: Vec<ElementIndex> = self.handlespace.owned_by(self.id).collect();
        let mentor = self.join.mentor;
        let reach = mentor.map_or(Reach::Connected, |id| self.reach_of_elements_from(id));
        self.adopt(now, own, reach);
        // A home that nobody knows is dead: it will not speak up, and is taken over.
        let homes = self.handlespace.homes().filter(|home| *home != self.id);
        for home in homes.collect::<Vec<_>>() {
            self.add_peer(now, home, Carrier::Sctp, None, false);
        }
        let active = self.peers.iter().filter(|(_, p)| p.met && p.status == Status::Active);
        let others: Vec<RegistrarId> = active.map(|(&id, _)| id).collect();
        others.into_iter().for_each(|id| self.ask_for_list(id));
        self.answer_held(now);
    }
}
