//! Whether elements live (RFC 5352 §3.5), and what follows when they do not.

use std::time::Duration;

use rand::RngExt;
use rserpool_wire::asap::{Asap, KeepAlive, KeepAliveAck};
use rserpool_wire::param::RegistrationLife;

use super::round_trip::RoundTrip;
use super::{Deadline, Event, LeaveReason, Registrar};
use crate::dialect::Lifetime;
use crate::handlespace::{ElementIndex, Outcome};
use crate::machine::{Output, Peer};
use crate::packed_u64::PackedU64;
use crate::time::Time;

/// What a registrar knows of an element of its own, beyond the handlespace.
#[derive(Debug, Default)]
pub(super) struct Supervised {
    /// The association that it registered over.
    pub(super) association: Option<Peer>,
    /// How quickly it answers.
    pub(super) round_trip: RoundTrip,
    /// When it was asked first what it has not answered yet, [packed](Time::packed).
    probed: Option<PackedU64>,
    /// How long the answer to the next question, or to this one, is waited for at least,
    /// [packed](Time::packed).
    patience: Option<PackedU64>,
    /// How many questions have no answer.
    unanswered: u8,
    /// How often the wait for that answer was extended.
    extensions: u8,
    /// It is among those of its association that are to be asked.
    is_queued: bool,
    /// When its registration runs out, [packed](Time::packed); `None` for never.
    expires: Option<PackedU64>,
}

impl Supervised {
    /// When it was asked first what it has not answered yet.
    pub(super) fn asked_at(&self) -> Option<Time> {
        self.probed.map(Time::unpacked)
    }

    /// When its registration runs out.
    pub(super) fn expires_at(&self) -> Option<Time> {
        self.expires.map(Time::unpacked)
    }

    /// How often the wait for its answer was extended.
    pub(super) fn extensions(&self) -> u8 {
        self.extensions
    }
}

/// A timer that fires later than this says that the registrar was busy, not the other one silent.
pub(super) const LATENESS_TOLERATED: Duration = Duration::from_millis(20);
/// So often a wait is extended for that reason: a registrar that is always late still finds the dead.
pub(super) const EXTENSIONS_MAX: u8 = 8;

/// Where the first answers are slow, a question is sent so often at least before the wait ends.
const QUESTIONS_MIN: u32 = 3;

impl Registrar {
    /// Makes an element one of this registrar's own, supervised over this association.
    pub(super) fn supervise_over(
        &mut self,
        now: Time,
        index: ElementIndex,
        peer: Peer,
        life: RegistrationLife,
    ) {
        let supervised = self.supervised.get_or_default(index);
        let is_new = supervised.association.is_none();
        let old = supervised.association.replace(peer);
        let comes = old != Some(peer);
        // An element that registers lives: what it was asked before is answered.
        supervised.probed = None;
        supervised.unanswered = 0;
        supervised.is_queued &= !comes || old.is_none();
        supervised.expires = match self.config.dialect.lifetime(life) {
            Lifetime::Forever => None,
            Lifetime::For(span) => Some((now + span).packed()),
        };
        if comes {
            old.into_iter().for_each(|old| self.detach(old, index));
            self.attach(peer, index);
        }
        self.reports.remove(index);
        self.arm_keep_alive(now, index, is_new);
    }

    /// Arms the next keep-alive. The first one comes at a random part of the interval, so that
    /// elements that registered together are not asked together (RFC 5352 §3.5).
    fn arm_keep_alive(&mut self, now: Time, index: ElementIndex, is_first: bool) {
        let Some(supervised) = self.supervised.get_mut(index) else { return };
        let timing = &self.config.timing;
        let interval = timing.keep_alive_interval;
        // It lives now: this is how long it may be silent, whenever it is asked in between.
        supervised.patience = Some((now + interval + timing.keep_alive_timeout_cap).packed());
        let peer = supervised.association;
        let association = || peer.and_then(|peer| self.associations.get(&peer));
        let size = || association().map_or(0, |association| association.elements.len());
        let rate = self.config.supervision_rate_max;
        let stretched = self.keep_alive_rate.share.interval(size, interval, rate);
        // ±50 % around two thirds of the interval: never later than the interval.
        let spread = self.rng.random_range(1.0 / 3.0..=1.0);
        let mut wait = interval.mul_f64(spread).max(stretched);
        if is_first {
            wait = interval.max(stretched).mul_f64(self.rng.random_range(0.0..=1.0));
        }
        self.arm_supervision(index, now + wait);
    }

    /// Arms an element's timer: it fires then, or when its registration runs out.
    fn arm_supervision(&mut self, index: ElementIndex, at: Time) {
        let expires = self.supervised.get(index).and_then(|supervised| supervised.expires);
        let at = expires.map_or(at, |expires| at.min(Time::unpacked(expires)));
        self.deadlines.arm(Deadline::Supervision(index), at);
    }

    /// Asks an element whether it lives, and waits for the answer: for
    /// [`keep_alive_timeout_cap`](crate::timing::Timing::keep_alive_timeout_cap), and longer where
    /// it was asked before its time; not where it was reported.
    fn probe(&mut self, now: Time, index: ElementIndex, is_reported: bool) {
        let Some(supervised) = self.supervised.get_mut(index) else {
            return;
        };
        supervised.probed = Some(now.packed());
        supervised.unanswered = 0;
        supervised.extensions = 0;
        let least = (now + self.config.timing.keep_alive_timeout_cap).packed();
        let earned = supervised.patience.filter(|_| !is_reported);
        supervised.patience = earned.max(Some(least));
        self.send_keep_alive(now, index);
        self.await_answer(now, index);
    }

    fn send_keep_alive(&mut self, now: Time, index: ElementIndex) {
        let Some(supervised) = self.supervised.get_mut(index) else { return };
        let (Some(peer), Some(view)) = (supervised.association, self.handlespace.element(index))
        else {
            return;
        };
        // Until it is its turn to be taken out, one that is lost is looked after.
        let Some(association) = self.associations.get_mut(&peer) else { return };
        supervised.unanswered = supervised.unanswered.saturating_add(1);
        association.answers.note_question(now);
        self.stats.keep_alives += 1;
        let message = KeepAlive {
            claim_home: false,
            sender: Some(self.id),
            handle: view.handle.clone(),
            id: (!self.config.strict_rfc_keepalive).then_some(view.element.id),
        };
        self.send(peer, Asap::KeepAlive(message));
    }

    /// Arms the time to ask once more, or to give up.
    fn await_answer(&mut self, now: Time, index: ElementIndex) {
        let Some(supervised) = self.supervised.get(index) else { return };
        let again = now + self.repetition_pause(supervised);
        let until = supervised.patience.map_or(again, Time::unpacked);
        self.arm_supervision(index, again.min(until));
    }

    /// How long to wait for an answer before asking once more.
    fn repetition_pause(&self, supervised: &Supervised) -> Duration {
        let timing = &self.config.timing;
        let floor = timing.keep_alive_timeout_floor;
        let slowest = floor.max(timing.keep_alive_timeout_cap / QUESTIONS_MIN);
        supervised.round_trip.timeout(floor, slowest)
    }

    /// Asks an element once more. Each message that follows a lost one makes the transport notice
    /// the loss sooner than its own timer would, so one to any element of the association will do;
    /// and an end that is busy with earlier questions is not helped by more.
    fn ask_again(&mut self, now: Time, index: ElementIndex, probed: Time) {
        self.await_answer(now, index);
        let Some(supervised) = self.supervised.get(index) else { return };
        let association = supervised.association.and_then(|peer| self.associations.get(&peer));
        let Some(association) = association else { return };
        let pause = self.repetition_pause(supervised);
        let floor = self.config.timing.keep_alive_timeout_floor;
        if association.answers.is_followed(now, probed, pause)
            || association.answers.are_behind(now, probed, floor)
            || !self.keep_alive_rate.tokens.take_spare(now)
        {
            return;
        }
        self.stats.keep_alives_repeated += 1;
        self.send_keep_alive(now, index);
    }

    /// An element's timer fired: its registration ran out (RFC 5352 §3.2), it is time to ask, or
    /// the answer is overdue. `due` is when the timer should have fired.
    pub(super) fn supervise(&mut self, now: Time, due: Time, index: ElementIndex) {
        let expires = self.supervised.get(index).and_then(|supervised| supervised.expires);
        if expires.is_some_and(|expires| Time::unpacked(expires) <= now) {
            self.remove_unanswering(now, index, LeaveReason::Expired);
            return;
        }
        if self.adopting.contains(index) {
            self.on_grace_over(now, due, index);
            return;
        }
        let Some(supervised) = self.supervised.get_mut(index) else {
            return;
        };
        let Some(probed) = supervised.probed.map(Time::unpacked) else {
            self.enqueue(index);
            self.probe_waiting(now);
            return;
        };
        let patience = supervised.patience.map_or(now, Time::unpacked);
        // The answer may wait in a queue that this registrar had no time to read.
        let lateness = now - due;
        if lateness > LATENESS_TOLERATED && supervised.extensions < EXTENSIONS_MAX {
            supervised.extensions += 1;
            self.stats.keep_alive_extensions += 1;
            let wait = lateness.min(self.config.timing.keep_alive_timeout_cap);
            supervised.patience = Some((patience + wait).max(now + wait).packed());
            self.arm_supervision(index, now + wait);
            return;
        }
        if now < patience {
            self.ask_again(now, index, probed);
            return;
        }
        let association = supervised.association.and_then(|peer| self.associations.get(&peer));
        let pause = self.config.timing.keep_alive_timeout_floor;
        if association.is_some_and(|it| it.answers.are_behind(now, probed, pause)) {
            self.stats.keep_alive_extensions += 1;
            self.arm_supervision(index, now + pause);
            return;
        }
        let reason = match self.is_reported_away(index) {
            true => LeaveReason::Reported,
            false => LeaveReason::Silent,
        };
        self.remove_unanswering(now, index, reason);
    }

    /// It is this element's turn to be asked.
    fn enqueue(&mut self, index: ElementIndex) {
        let Some(supervised) = self.supervised.get_mut(index) else { return };
        let Some(peer) = supervised.association.filter(|_| !supervised.is_queued) else { return };
        let Some(association) = self.associations.get_mut(&peer) else { return };
        supervised.is_queued = true;
        association.queue.tidy(&association.elements);
        self.keep_alive_rate.turns.enqueue(peer, &mut association.queue, index);
    }

    /// Asks those elements whose turn it is, as many as the pace allows: of each association one
    /// after the other, so that none waits for the many elements of another one.
    pub(super) fn probe_waiting(&mut self, now: Time) {
        while let Some(peer) = self.keep_alive_rate.turns.next() {
            let Some(index) = self.first_queued(peer) else {
                self.keep_alive_rate
                    .turns
                    .pass(self.associations.get_mut(&peer).map(|it| &mut it.queue));
                continue;
            };
            if let Err(at) = self.keep_alive_rate.tokens.take(now) {
                self.deadlines.arm(Deadline::Pace, at);
                return;
            }
            let mut queue = self.associations.get_mut(&peer).map(|it| &mut it.queue);
            if let Some(queue) = &mut queue {
                queue.elements.pop_front();
            }
            self.keep_alive_rate.turns.pass(queue);
            if let Some(supervised) = self.supervised.get_mut(index) {
                supervised.is_queued = false;
            }
            self.probe(now, index, false);
        }
    }

    /// The first element in the queue of an association that is still to be asked. Those before it
    /// are dropped, at no cost to the pace: they have gone, registered or been reported meanwhile.
    fn first_queued(&mut self, peer: Peer) -> Option<ElementIndex> {
        let queue = &mut self.associations.get_mut(&peer)?.queue;
        while let Some(&index) = queue.elements.front() {
            let supervised = self.supervised.get_mut(index);
            if let Some(supervised) = supervised.filter(|it| it.association == Some(peer)) {
                if supervised.is_queued
                    && self.deadlines.deadline(Deadline::Supervision(index)).is_none()
                {
                    return Some(index);
                }
                supervised.is_queued = false;
            }
            queue.elements.pop_front();
        }
        None
    }

    /// An element answered.
    pub(super) fn acknowledge(&mut self, now: Time, peer: Peer, message: KeepAliveAck) {
        let index = self.handlespace.find(&message.handle, message.id);
        if let Some(index) = index.filter(|index| self.adopting.is_asked(*index, peer)) {
            if self.may_keep(peer, index) {
                self.adopted(now, peer, index);
            }
            return;
        }
        let supervised = index.and_then(|index| self.supervised.get_mut(index));
        let (Some(index), Some(supervised)) = (index, supervised) else {
            self.stats.unexpected += 1;
            return;
        };
        if supervised.association != Some(peer) || supervised.unanswered == 0 {
            self.stats.unexpected += 1;
            return;
        }
        supervised.unanswered -= 1;
        self.foreign_claims.note_answer(index);
        self.stats.keep_alive_acks += 1;
        // It lives, whoever says otherwise.
        self.reports.remove(index);
        self.defend(index);
        let Some(supervised) = self.supervised.get_mut(index) else { return };
        // The answer to a repetition says nothing that the first one has not said.
        let Some(probed) = supervised.probed.take().map(Time::unpacked) else { return };
        // After an extension nobody knows how long the answer lay around.
        if supervised.extensions == 0 {
            supervised.round_trip.sample(now - probed);
        }
        if let Some(association) = self.associations.get_mut(&peer) {
            association.answers.note(now, probed);
        }
        self.arm_keep_alive(now, index, false);
    }

    /// Asks an element at once that somebody doubts, unless it has not answered anyway. What that
    /// takes of the rate is taken from it, but where `is_needed` it is asked all the same.
    pub(super) fn ask_at_once(&mut self, now: Time, index: ElementIndex, is_needed: bool) {
        let is_asked = self.supervised.get(index).is_none_or(|it| it.probed.is_some());
        // Who is to decide between two registrars is asked as well.
        if is_asked || self.adopting.contains(index) {
            return;
        }
        if self.keep_alive_rate.tokens.take_spare(now) || is_needed {
            self.probe(now, index, true);
        }
    }

    /// Whom many doubt has half of the time to answer: still enough to repair a loss.
    pub(super) fn wait_less(&mut self, now: Time, index: ElementIndex) {
        let half = self.config.timing.keep_alive_timeout_cap / 2;
        let Some(supervised) = self.supervised.get_mut(index) else { return };
        let Some(probed) = supervised.probed.map(Time::unpacked) else { return };
        let until = (probed + half).max(now).packed();
        supervised.patience = supervised.patience.map(|patience| patience.min(until));
        if !self.adopting.contains(index) {
            self.await_answer(now, index);
        }
    }

    /// Removes an element that may not know it, and lets it know: should it come back, it registers
    /// again. Where its association carried nothing else, its end says so.
    fn remove_unanswering(&mut self, now: Time, index: ElementIndex, reason: LeaveReason) {
        let association = self.supervised.get(index).and_then(|s| s.association);
        let view = self.handlespace.element(index);
        let key = view.map(|view| (view.handle.clone(), view.element.id));
        self.remove(now, index, reason);
        let (Some(peer), Some((handle, id))) = (association, key) else {
            return;
        };
        // A registrar that leaves may have waited for this one only, and have ended all by now.
        let Some(association) = self.associations.get(&peer) else { return };
        let is_idle = association.elements.is_empty();
        if matches!(reason, LeaveReason::Silent | LeaveReason::Reported) && is_idle {
            self.on_down(now, peer);
            self.outputs.push_back(Output::Abort(peer));
        } else {
            self.tell_removed(peer, handle, id);
        }
    }

    /// Takes an element of this registrar's out of its pool. Everything that removes one ends here.
    pub(super) fn remove(&mut self, now: Time, index: ElementIndex, reason: LeaveReason) {
        let is_gone = !matches!(
            reason,
            LeaveReason::Deregistered | LeaveReason::Expired | LeaveReason::Evicted
        );
        if is_gone && self.supervised.contains(index) && self.yield_claimed(index) {
            return;
        }
        self.foreign_claims.close(index);
        let evidence = self.evidence(now, index);
        let Some((handle, element)) = self.handlespace.deregister(index) else {
            return;
        };
        let association = self.supervised.remove(index).and_then(|s| s.association);
        self.forget_adoption(index);
        self.adopting.forget_crossed(index);
        self.deadlines.disarm(Deadline::Supervision(index));
        self.reports.remove(index);
        if let Some(peer) = association {
            self.detach(peer, index);
        }
        self.pool_may_have_ended(&handle);
        match reason {
            LeaveReason::Deregistered => {}
            LeaveReason::AssociationLost => self.stats.removed_lost += 1,
            LeaveReason::Silent => self.stats.removed_silent += 1,
            LeaveReason::Reported => self.stats.removed_reported += 1,
            LeaveReason::Expired => self.stats.removed_expired += 1,
            LeaveReason::Orphaned => self.stats.orphaned += 1,
            LeaveReason::Evicted => self.stats.evicted += 1,
        }
        self.subscriptions.mark(&handle, Outcome::Changed);
        let event = Event::Left { handle: handle.clone(), id: element.id, reason, evidence };
        self.outputs.push_back(Output::Event(event));
        self.tell_deleted(handle.clone(), element);
        self.inherit(now, index, handle);
        self.no_longer_own(index);
    }
}
