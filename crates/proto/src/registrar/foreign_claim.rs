//! An element that lives at one registrar, and that another one says is its own.
//!
//! An update may be older than what it is about, or a lie. So it changes nothing at first: the
//! element is asked. One that has moved ends its association here, or says nothing; one that still
//! belongs here registers again when it is told that it is out, or answers and stays. Where there
//! are two elements with one identifier, and both live, the registrar with the larger identifier
//! keeps its own, and the other one is told so: the entry does not go to and fro.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rserpool_wire::param::{Cause, PoolElement, PoolHandle, RegistrarId};
use rserpool_wire::registry::CauseCode;

use super::admission::same_server;
use super::peers::Status;
use super::{Deadline, Event, Misbehaviour, Registrar, State};
use crate::handlespace::ElementIndex;
use crate::time::Time;

/// Elements that more than one registrar says are its own.
#[derive(Debug, Default)]
pub(super) struct ForeignClaims {
    open: BTreeMap<ElementIndex, ForeignClaim>,
    /// When each is decided, in order.
    due: BTreeSet<(Time, ElementIndex)>,
}

#[derive(Debug)]
struct ForeignClaim {
    /// Who says that the element is its own, and what it says of it.
    by: RegistrarId,
    element: PoolElement,
    decided_at: Time,
    /// The element has answered since.
    has_answered: bool,
    /// It was told that it is out: if it still belongs here it registers again.
    was_told: bool,
    extensions: u8,
}

/// So many are open at once, and so many of one registrar that nobody vouches for. What comes
/// beyond, the next audit brings again.
pub(super) const CLAIMS_MAX: usize = 16_384;
const CLAIMS_OF_STRANGER_MAX: usize = 1_024;
/// How often the decision waits for an answer of the element.
const EXTENSIONS_MAX: u8 = 4;

impl ForeignClaims {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// The element has registered, or is its claimant's own by now.
    pub(super) fn close(&mut self, index: ElementIndex) -> bool {
        self.take(index).is_some()
    }

    /// The element has answered.
    pub(super) fn note_answer(&mut self, index: ElementIndex) {
        if let Some(claim) = self.open.get_mut(&index) {
            claim.has_answered = true;
        }
    }

    fn take(&mut self, index: ElementIndex) -> Option<ForeignClaim> {
        let claim = self.open.remove(&index)?;
        self.due.remove(&(claim.decided_at, index));
        Some(claim)
    }
}

impl Registrar {
    /// True where an update of this registrar about an element that is there is not to be entered:
    /// it is looked into instead, or has nothing to say.
    pub(super) fn is_claimed(
        &mut self,
        now: Time,
        by: RegistrarId,
        handle: &PoolHandle,
        element: &PoolElement,
    ) -> bool {
        let Some(index) = self.handlespace.find(handle, element.id) else { return false };
        let Some(home) = self.handlespace.element(index).and_then(|view| view.element.home) else {
            return false;
        };
        if home == by {
            self.foreign_claims.close(index);
            return false;
        }
        let is_own = self.supervised.contains(index);
        let is_anothers = !is_own && home != self.id && self.is_heard(home);
        // Whoever was asked to take it says of it what it was told.
        let is_same = self
            .handlespace
            .element(index)
            .is_some_and(|view| same_server(&view.element.user_transport, &element.user_transport));
        let is_given = self.state == State::Leaving || (is_same && self.is_on_its_way(now, index));
        let was_given = is_own && is_given;
        if was_given || !(is_own || (is_anothers && !self.is_vouched_for(by))) {
            return false;
        }
        self.look_into_claim(now, by, index, element.clone());
        true
    }

    /// True where a registrar lives, as far as is known here.
    pub(super) fn is_heard(&self, id: RegistrarId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.met && peer.status == Status::Active)
    }

    fn look_into_claim(
        &mut self,
        now: Time,
        by: RegistrarId,
        index: ElementIndex,
        element: PoolElement,
    ) {
        if let Some(open) = self.foreign_claims.open.get_mut(&index) {
            // One question is enough. What the same one says later is newer.
            if open.by == by {
                open.element = element;
            } else {
                self.stats.foreign_claims_overflows += 1;
            }
            return;
        }
        let is_believed = self.is_vouched_for(by) || self.has_taken_over_lately(now, by);
        let has_many = !is_believed && {
            let of_it = self.foreign_claims.open.values().filter(|claim| claim.by == by);
            of_it.count() >= CLAIMS_OF_STRANGER_MAX
        };
        if has_many || self.foreign_claims.len() >= CLAIMS_MAX {
            self.stats.foreign_claims_overflows += 1;
            return;
        }
        let is_own = self.supervised.contains(index);
        let at = now + if is_own { self.claim_wait() } else { self.audit_wait() };
        // What agreed here a moment ago may have registered there just before; so the other one
        // hears of that, and gives way.
        let was_told = is_own && is_believed && !self.adopting.has_won_lately(now);
        let has_answered = false;
        let claim =
            ForeignClaim { by, element, decided_at: at, has_answered, was_told, extensions: 0 };
        self.foreign_claims.open.insert(index, claim);
        self.foreign_claims.due.insert((at, index));
        self.arm_claims();
        if is_own {
            self.ask_claimed(now, index, was_told);
        }
    }

    /// Elements end the association with a former home after a response time; until then they have
    /// answered, where they live.
    fn claim_wait(&self) -> Duration {
        let timing = &self.config.timing;
        (timing.response_timeout * 2)
            .max(timing.keep_alive_timeout_cap)
            .max(Duration::from_millis(1))
    }

    /// If the home of an element has let it go, the audit has shown it by then.
    fn audit_wait(&self) -> Duration {
        self.config.timing.presence_interval * 4 + self.claim_wait()
    }

    fn arm_claims(&mut self) {
        if let Some(&(at, _)) = self.foreign_claims.due.first() {
            self.deadlines.arm(Deadline::ForeignClaim, at);
        }
    }

    /// True where this registrar has taken over another one a moment ago, so that elements of that
    /// one agree to it while they may be registering here.
    fn has_taken_over_lately(&self, now: Time, id: RegistrarId) -> bool {
        self.peers.get(&id).is_some_and(|peer| now < peer.adopts_until)
    }

    /// Asks an element whether it lives, and where somebody says so who is known, whether it still
    /// wants this registrar: one that does registers again.
    fn ask_claimed(&mut self, now: Time, index: ElementIndex, is_told: bool) {
        self.ask_at_once(now, index, true);
        let peer = self.supervised.get(index).and_then(|supervised| supervised.association);
        if let (true, Some(peer), Some(view)) = (is_told, peer, self.handlespace.element(index)) {
            let (handle, id) = (view.handle.clone(), view.element.id);
            self.tell_removed(peer, handle, id);
        }
    }

    pub(super) fn decide_claims(&mut self, now: Time) {
        while let Some(&(at, index)) = self.foreign_claims.due.first() {
            if at > now {
                break;
            }
            self.foreign_claims.due.pop_first();
            self.decide(now, index);
        }
        self.arm_claims();
    }

    fn decide(&mut self, now: Time, index: ElementIndex) {
        let Some(mut claim) = self.foreign_claims.take(index) else { return };
        let Some(view) = self.handlespace.element(index) else { return };
        if !self.supervised.contains(index) {
            // Its home still says that it is its own, or it would have been decided.
            if view.element.home.is_some_and(|home| self.is_heard(home)) {
                self.refuse_claim(claim.by);
            } else {
                self.yield_to(index, claim);
            }
            return;
        }
        if !claim.has_answered && claim.extensions < EXTENSIONS_MAX {
            claim.extensions += 1;
            claim.decided_at = now + self.claim_wait();
            self.foreign_claims.due.insert((claim.decided_at, index));
            self.foreign_claims.open.insert(index, claim);
            return;
        }
        let is_same = same_server(&view.element.user_transport, &claim.element.user_transport);
        let is_vouched_for = self.is_vouched_for(claim.by);
        if claim.was_told && is_same {
            // It was told that it is out, and did not mind: it is there by now.
            self.yield_to(index, claim);
        } else if is_vouched_for && !is_same && claim.by > self.id {
            self.tell_displaced(index);
            self.yield_to(index, claim);
        } else {
            if !self.adopting.has_won_lately(now) {
                self.refuse_claim(claim.by);
            }
            self.tell_added(index);
        }
    }

    fn refuse_claim(&mut self, by: RegistrarId) {
        self.stats.foreign_claims_refused += 1;
        if !self.is_vouched_for(by) {
            self.complain_of_peer(by, Misbehaviour::ForeignElements);
        }
    }

    /// Another element has the identifier of this one, and keeps it (cause 4).
    fn tell_displaced(&mut self, index: ElementIndex) {
        let peer = self.supervised.get(index).and_then(|supervised| supervised.association);
        let Some((peer, view)) = peer.zip(self.handlespace.element(index)) else { return };
        let causes = vec![Cause::new(CauseCode::NON_UNIQUE_PE_IDENTIFIER)];
        let (handle, id) = (view.handle.clone(), view.element.id);
        self.tell_out(peer, handle, id, causes);
    }

    /// The element is gone from its home: if another registrar says that it has it, that one is
    /// believed now. False where nobody does, or what it says does not go with the pool.
    pub(super) fn yield_claimed(&mut self, index: ElementIndex) -> bool {
        let Some(claim) = self.foreign_claims.take(index) else { return false };
        if !self.peers.contains_key(&claim.by) {
            return false;
        }
        self.yield_to(index, claim)
    }

    /// False where what it says does not go with the pool here: then nothing has changed.
    fn yield_to(&mut self, index: ElementIndex, claim: ForeignClaim) -> bool {
        let ForeignClaim { by, element, .. } = claim;
        let Some(view) = self.handlespace.element(index) else { return false };
        let (handle, id) = (view.handle.clone(), view.element.id);
        match self.handlespace.register(&handle, element) {
            Ok(registered) => {
                self.stats.updates_received += 1;
                self.let_go(index, by);
                self.subscriptions.mark(&handle, registered.outcome);
                true
            }
            Err(refused) => {
                self.refused_update(by, &handle, id, &refused);
                false
            }
        }
    }

    /// An element of this registrar has another home now: it is no longer looked after here, and
    /// knows why.
    fn let_go(&mut self, index: ElementIndex, to: RegistrarId) {
        // Its identifier is the other registrar's to give.
        self.defend(index);
        self.forget_adoption(index);
        self.adopting.forget_crossed(index);
        let Some(supervised) = self.supervised.remove(index) else { return };
        self.deadlines.disarm(Deadline::Supervision(index));
        self.reports.remove(index);
        self.stats.moved_away += 1;
        if let Some(view) = self.handlespace.element(index) {
            let (handle, id) = (view.handle.clone(), view.element.id);
            self.outputs.push_back(crate::machine::Output::Event(Event::Moved { handle, id, to }));
        }
        if let Some(peer) = supervised.association {
            self.detach(peer, index);
        }
        self.handed_over(index);
    }
}
