//! Taking over a dead registrar (RFC 5353 §3.5).
//!
//! ```text
//!          dead: INIT_TAKEOVER to all         all agreed, or the wait is over
//!   Suspected -----------------> TakingOver ---------------------------------> won: TAKEOVER_SERVER
//!       ^                         |      |
//!       |   another one wins      |      |  it is heard
//!       |   +---------------------+      +-----------------> Active
//!       |   v                                                  ^
//!     LeftTo ---------------------------------------------------+
//!       a while after nobody has taken it over: Suspected again
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use rserpool_wire::enrp::{Body, Takeover};
use rserpool_wire::param::RegistrarId;

use super::adoption::Reach;
use super::peers::{Bid, Status};
use super::supervision::LATENESS_TOLERATED;
use super::{Deadline, Event, Misbehaviour, Registrar};
use crate::handlespace::ElementIndex;
use crate::machine::{Output, Peer};
use crate::time::Time;

/// So often a dead registrar is left to others that nobody vouches for, and that do nothing.
const TIMES_LEFT_MAX: u8 = 2;

impl Registrar {
    /// RFC 5353 §3.5.1: asks everyone, the target included.
    pub(super) fn start_takeover(&mut self, now: Time, target: RegistrarId) {
        let can_agree = |(id, peer): (&RegistrarId, &super::PeerRegistrar)| {
            let is_there = matches!(peer.status, Status::Active | Status::Suspected);
            (*id != target && peer.met && is_there && !peer.links.is_empty()).then_some(*id)
        };
        let pending: BTreeSet<RegistrarId> = self.peers.iter().filter_map(can_agree).collect();
        let Some(peer) = self.peers.get_mut(&target) else { return };
        let is_alone = pending.is_empty();
        peer.status = Status::TakingOver { pending };
        self.outputs.push_back(Output::Event(Event::TakeoverBegun { target }));
        self.group_cast(Body::TakeoverInit(Takeover { target: Some(target) }), None);
        // Who is being taken over agrees to nothing any more.
        self.no_longer_pending(now, target);
        if is_alone {
            self.take_over(now, target);
        } else {
            let wait = self.config.timing.takeover_timeout;
            self.deadlines.arm(Deadline::Peer(target), now + wait);
        }
    }

    /// A registrar will not answer any more.
    fn no_longer_pending(&mut self, now: Time, id: RegistrarId) {
        let waiting = self.peers.iter_mut().filter_map(|(&target, peer)| match &mut peer.status {
            Status::TakingOver { pending } => {
                (pending.remove(&id) && pending.is_empty()).then_some(target)
            }
            _ => None,
        });
        let decided: Vec<RegistrarId> = waiting.collect();
        for target in decided {
            self.take_over(now, target);
        }
    }

    pub(super) fn on_takeover_init(
        &mut self,
        now: Time,
        link: Peer,
        sender: RegistrarId,
        takeover: Takeover,
    ) {
        let Some(target) = takeover.target else {
            self.stats.unexpected += 1;
            return;
        };
        if target == self.id {
            // RFC 5353 §3.5.1 case 1: proof of life, to all.
            self.show_life(now);
            return;
        }
        if self.has_failed(target, sender) {
            self.refuse_takeover(sender);
            return;
        }
        let is_own = matches!(
            self.peers.get(&target).map(|peer| &peer.status),
            Some(Status::TakingOver { .. })
        );
        if is_own && self.config.dialect.wins_takeover(self.id, sender) {
            return;
        }
        if sender != target && !self.bid_while_heard(now, target, sender, false) {
            self.leave_takeover(now, target, sender, is_own);
        }
        // Also where the target is not known: the sender may not wait for nothing.
        self.send_enrp(link, Body::TakeoverAck(takeover));
    }

    /// Tells everyone that this registrar lives; once for many that doubt it.
    fn show_life(&mut self, now: Time) {
        let pause = self.config.timing.response_timeout / 4;
        if self.heartbeat.may_show_life(now, pause) {
            self.group_cast_presence();
        }
    }

    /// True where a registrar is dead and was left to others often enough, and one wants it again
    /// that nobody vouches for.
    fn has_failed(&self, target: RegistrarId, sender: RegistrarId) -> bool {
        let left = self.peers.get(&target).map_or(0, |peer| peer.times_left);
        left >= TIMES_LEFT_MAX && !self.is_vouched_for(sender)
    }

    fn refuse_takeover(&mut self, sender: RegistrarId) {
        self.stats.takeovers_refused += 1;
        self.complain_of_peer(sender, Misbehaviour::TakesOverLiving);
    }

    /// Another registrar wants to take over one that is heard here, or says that it has: that one is
    /// asked, and nothing changes before it is found dead here, too. False where it is not heard.
    fn bid_while_heard(
        &mut self,
        now: Time,
        target: RegistrarId,
        by: RegistrarId,
        is_done: bool,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(&target) else { return false };
        if peer.status != Status::Active || peer.links.is_empty() {
            return false;
        }
        let before = peer.bid.filter(|bid| bid.by == by);
        peer.bid =
            Some(Bid { by, is_done: is_done || before.is_some_and(|bid| bid.is_done), at: now });
        if before.is_none() {
            let link = peer.links[0];
            let wait = self.config.timing.response_timeout.max(Duration::from_millis(1));
            self.deadlines.arm(Deadline::Peer(target), now + wait);
            self.send_presence(link, Some(target), true);
        }
        true
    }

    /// A registrar that another one takes over was heard: that comes to nothing here.
    pub(super) fn bid_disproved(&mut self, id: RegistrarId) {
        let bid = self.peers.get_mut(&id).and_then(|peer| peer.bid.take());
        if let Some(Bid { by, is_done: true, .. }) = bid {
            self.refuse_takeover(by);
        }
    }

    /// A registrar is dead: who wants to take it over has told so already. True where that one does,
    /// or has.
    pub(super) fn follow_bid(&mut self, now: Time, target: RegistrarId) -> bool {
        let bid = self.peers.get_mut(&target).and_then(|peer| peer.bid.take());
        let timing = &self.config.timing;
        let wait = timing.takeover_timeout.saturating_mul(2) + timing.response_timeout;
        let counts =
            |bid: &Bid| self.peers.contains_key(&bid.by) && (bid.is_done || now <= bid.at + wait);
        match bid.filter(counts) {
            Some(Bid { by, is_done: true, .. }) => self.taken_over(now, target, by),
            Some(Bid { by, is_done: false, .. }) => self.leave_takeover(now, target, by, false),
            None => return false,
        }
        true
    }

    fn leave_takeover(&mut self, now: Time, target: RegistrarId, to: RegistrarId, is_own: bool) {
        let timing = &self.config.timing;
        let wait = timing.takeover_timeout.saturating_mul(2) + timing.response_timeout;
        // Registrars of different dialects give way to each other. They are not to do so in step.
        let wait = wait.mul_f64(self.rng.random_range(1.0..=1.25));
        let Some(peer) = self.peers.get_mut(&target) else { return };
        peer.status = Status::LeftTo(to);
        peer.times_left = peer.times_left.saturating_add(1);
        if is_own {
            self.stats.takeovers_abandoned += 1;
            self.outputs.push_back(Output::Event(Event::TakeoverLost { target, to }));
        }
        // The other one may die before it is done.
        self.deadlines.arm(Deadline::Peer(target), now + wait);
    }

    pub(super) fn on_takeover_ack(&mut self, now: Time, sender: RegistrarId, takeover: Takeover) {
        let target =
            takeover.target.and_then(|target| Some((target, self.peers.get_mut(&target)?)));
        let Some((target, Status::TakingOver { pending })) =
            target.map(|(target, peer)| (target, &mut peer.status))
        else {
            // It has lived, or another one has taken it over, since the question.
            return;
        };
        pending.remove(&sender);
        if pending.is_empty() {
            self.take_over(now, target);
        }
    }

    /// Not everyone has agreed in time: who has not is not waited for.
    pub(super) fn on_takeover_timeout(&mut self, now: Time, due: Time, target: RegistrarId) {
        if now - due <= LATENESS_TOLERATED {
            self.take_over(now, target);
            return;
        }
        // This registrar stood still; nobody knows what became of the target meanwhile.
        self.stats.peer_extensions += 1;
        if let Some(peer) = self.peers.get_mut(&target) {
            peer.status = Status::Active;
        }
        self.suspect(now, target);
    }

    /// RFC 5353 §3.5.2: the takeover is won.
    fn take_over(&mut self, now: Time, target: RegistrarId) {
        if !self.is_serving() || !self.peers.contains_key(&target) {
            return;
        }
        self.stats.takeovers_won += 1;
        let done = Body::TakeoverDone(Takeover { target: Some(target) });
        self.group_cast(done, Some(target));
        let reach = self.reach_of_elements_from(target);
        // Of one that was never met somebody else has told: the mentor, with its table.
        let was_met = self.peers.get(&target).is_some_and(|peer| peer.met);
        let is_believed = !was_met || self.is_believed(target);
        self.remove_peer(now, target);
        let elements: Vec<ElementIndex> = self.handlespace.owned_by(target).collect();
        for &index in &elements {
            self.handlespace.set_home(index, self.id);
        }
        let count = elements.len();
        if count > 0 && reach == Reach::Dial {
            self.note_takeover(now, count);
        }
        self.outputs.push_back(Output::Event(Event::TakeoverWon { target, elements: count }));
        match is_believed {
            true => self.adopt(now, elements, reach),
            false => self.give_up(now, elements),
        }
    }

    /// Another registrar has taken over the elements of the target.
    pub(super) fn on_takeover_done(&mut self, now: Time, sender: RegistrarId, takeover: Takeover) {
        let Some(target) = takeover.target.filter(|target| *target != sender) else {
            self.stats.unexpected += 1;
            return;
        };
        if target == self.id {
            self.taken_for_dead(now, sender);
            return;
        }
        if !self.bid_while_heard(now, target, sender, true) {
            self.taken_over(now, target, sender);
        }
    }

    fn taken_over(&mut self, now: Time, target: RegistrarId, by: RegistrarId) {
        self.remove_peer(now, target);
        self.no_longer_pending(now, target);
        let elements = self.handlespace.rehome_all(target, by);
        let adopts_until = now + self.grace_among(elements);
        if let Some(peer) = self.peers.get_mut(&by).filter(|_| elements > 0) {
            peer.adopts_until = adopts_until;
        }
        let event = Event::TakenOver { target, by, elements };
        self.outputs.push_back(Output::Event(event));
    }

    /// RFC 5353 is silent about this: everyone else believes now that this registrar's elements are
    /// another one's. Those that are still connected are asked back; each that agrees is announced.
    fn taken_for_dead(&mut self, now: Time, by: RegistrarId) {
        // One round for all that say so meanwhile.
        if !self.adopting.begin_claims(now, self.config.adoption_grace) {
            self.refuse_takeover(by);
            return;
        }
        self.outputs.push_back(Output::Event(Event::TakenForDead { by }));
        self.group_cast_presence();
        let connected = self.supervised.iter();
        let connected: Vec<(ElementIndex, Peer)> = connected
            .filter_map(|(index, supervised)| Some((index, supervised.association?)))
            // One that is being asked already is not asked again.
            .filter(|(index, _)| !self.adopting.contains(*index))
            .collect();
        self.claim(now, connected);
    }
}
