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

use rand::RngExt;
use rserpool_wire::enrp::{Body, Takeover};
use rserpool_wire::param::RegistrarId;

use super::peers::Status;
use super::supervision::LATENESS_TOLERATED;
use super::{Deadline, Event, Registrar};
use crate::handlespace::ElementIndex;
use crate::machine::{Output, Peer};
use crate::time::Time;

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
            self.group_cast_presence();
            return;
        }
        let is_own = matches!(
            self.peers.get(&target).map(|peer| &peer.status),
            Some(Status::TakingOver { .. })
        );
        if is_own && self.config.dialect.wins_takeover(self.id, sender) {
            return;
        }
        if sender != target {
            self.leave_takeover(now, target, sender, is_own);
        }
        // Also where the target is not known: the sender may not wait for nothing.
        self.send_enrp(link, Body::TakeoverAck(takeover));
    }

    fn leave_takeover(&mut self, now: Time, target: RegistrarId, to: RegistrarId, is_own: bool) {
        let timing = &self.config.timing;
        let wait = timing.takeover_timeout.saturating_mul(2) + timing.response_timeout;
        // Registrars of different dialects give way to each other. They are not to do so in step.
        let wait = wait.mul_f64(self.rng.random_range(1.0..=1.25));
        let Some(peer) = self.peers.get_mut(&target) else { return };
        peer.status = Status::LeftTo(to);
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
        self.remove_peer(now, target);
        let elements: Vec<ElementIndex> = self.handlespace.owned_by(target).collect();
        for &index in &elements {
            self.handlespace.set_home(index, self.id);
        }
        let count = elements.len();
        self.outputs.push_back(Output::Event(Event::TakeoverWon { target, elements: count }));
        self.adopt(now, elements);
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
        self.remove_peer(now, target);
        self.no_longer_pending(now, target);
        let elements = self.handlespace.rehome_all(target, sender);
        let event = Event::TakenOver { target, by: sender, elements };
        self.outputs.push_back(Output::Event(event));
    }

    /// RFC 5353 is silent about this: everyone else believes now that this registrar's elements are
    /// another one's. Those that are still connected are asked back; each that agrees is announced.
    fn taken_for_dead(&mut self, now: Time, by: RegistrarId) {
        self.outputs.push_back(Output::Event(Event::TakenForDead { by }));
        self.group_cast_presence();
        let connected = self.supervised.iter();
        let connected: Vec<(ElementIndex, Peer)> = connected
            .filter_map(|(index, supervised)| Some((index, supervised.association?)))
            .collect();
        self.claim(now, connected);
    }
}
