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
use crate::time::Time;
use crate::word::Word;

/// What a registrar knows of an element of its own, beyond the handlespace.
#[derive(Debug, Default)]
pub(super) struct Supervised {
    /// The association that it registered over.
    pub(super) association: Option<Peer>,
    /// How quickly it answers.
    pub(super) round_trip: RoundTrip,
    /// When the keep-alive was sent that it has not answered yet, [packed](Time::packed).
    probed: Option<Word>,
    /// How often the wait for that answer was extended.
    extensions: u8,
    /// When its registration runs out, [packed](Time::packed); `None` for never.
    expires: Option<Word>,
}

/// By whom and when an element was reported.
#[derive(Debug, Default)]
pub(super) struct Reports(Vec<(Peer, Time)>);

/// A timer that fires later than this says that the registrar was busy, not the other one silent.
pub(super) const LATENESS_TOLERATED: Duration = Duration::from_millis(20);
/// So often a wait is extended for that reason: a registrar that is always late still finds the dead.
pub(super) const EXTENSIONS_MAX: u8 = 8;

/// The least time to wait is so many times as long where SCTP may send over another path, in either
/// direction, what it lost on one.
const PATH_CHANGE_FLOORS: u32 = 3;

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
        if let Some(old) = supervised.association.replace(peer).filter(|old| *old != peer)
            && let Some(association) = self.associations.get_mut(&old)
        {
            association.elements.remove(&index);
        }
        if let Some(association) = self.associations.get_mut(&peer) {
            association.elements.insert(index);
        }
        self.reports.remove(index);
        // An element that registers lives: what it was asked before is answered.
        supervised.probed = None;
        supervised.extensions = 0;
        supervised.expires = match self.config.dialect.lifetime(life) {
            Lifetime::Forever => None,
            Lifetime::For(span) => Some((now + span).packed()),
        };
        self.arm_keep_alive(now, index, is_new);
    }

    /// Arms the next keep-alive. The first one comes at a random part of the interval, so that
    /// elements that registered together are not asked together (RFC 5352 §3.5).
    fn arm_keep_alive(&mut self, now: Time, index: ElementIndex, is_first: bool) {
        let interval = self.config.timing.keep_alive_interval;
        let stretched = self.pace.interval_of_each(self.supervised.len());
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

    /// Asks an element whether it lives, and waits for the answer.
    fn probe(&mut self, now: Time, index: ElementIndex) {
        let Some(supervised) = self.supervised.get_mut(index) else {
            return;
        };
        let (Some(peer), Some(view)) = (supervised.association, self.handlespace.element(index))
        else {
            return;
        };
        let (handle, id) = (view.handle.clone(), view.element.id);
        supervised.probed = Some(now.packed());
        supervised.extensions = 0;
        let timing = &self.config.timing;
        let association = self.associations.get(&peer);
        let is_multihomed = association.is_some_and(|it| it.link.remote.len() > 1);
        let floor = match is_multihomed {
            true => timing.keep_alive_timeout_floor * PATH_CHANGE_FLOORS,
            false => timing.keep_alive_timeout_floor,
        };
        // Where an association has many elements, others were asked more lately.
        let cap = timing.keep_alive_timeout_cap;
        let of_all = association.map_or(floor, |it| it.answers.timeout(floor, cap));
        let wait = supervised.round_trip.timeout(floor, cap).max(of_all);
        self.arm_supervision(index, now + wait);
        self.stats.keep_alives += 1;
        let message = KeepAlive {
            claim_home: false,
            sender: Some(self.id),
            handle,
            id: (!self.config.strict_rfc_keepalive).then_some(id),
        };
        self.send(peer, Asap::KeepAlive(message));
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
            self.waiting.push_back(index);
            self.probe_waiting(now);
            return;
        };
        // The answer may wait in a queue that this registrar had no time to read.
        let lateness = now - due;
        if lateness > LATENESS_TOLERATED && supervised.extensions < EXTENSIONS_MAX {
            supervised.extensions += 1;
            self.stats.keep_alive_extensions += 1;
            let wait = lateness.min(self.config.timing.keep_alive_timeout_cap);
            self.arm_supervision(index, now + wait);
            return;
        }
        let association = supervised.association.and_then(|peer| self.associations.get(&peer));
        let patience = self.config.timing.keep_alive_timeout_floor;
        if association.is_some_and(|it| it.answers.are_behind(now, probed, patience)) {
            self.stats.keep_alive_extensions += 1;
            self.arm_supervision(index, now + patience);
            return;
        }
        self.remove_unanswering(now, index, LeaveReason::Silent);
    }

    /// Asks those elements whose turn it is, as many as the pace allows, in order.
    pub(super) fn probe_waiting(&mut self, now: Time) {
        while let Some(&index) = self.waiting.front() {
            if let Err(at) = self.pace.take(now) {
                self.deadlines.arm(Deadline::Pace, at);
                return;
            }
            self.waiting.pop_front();
            // A report or a registration may have come in between.
            if self.deadlines.deadline(Deadline::Supervision(index)).is_none() {
                self.probe(now, index);
            }
        }
    }

    /// An element answered.
    pub(super) fn acknowledge(&mut self, now: Time, peer: Peer, message: KeepAliveAck) {
        let index = self.handlespace.find(&message.handle, message.id);
        if let Some(index) = index.filter(|index| self.adopting.is_asked(*index, peer)) {
            self.adopted(now, peer, index);
            return;
        }
        let supervised = index.and_then(|index| self.supervised.get_mut(index));
        let (Some(index), Some(supervised)) = (index, supervised) else {
            self.stats.unexpected += 1;
            return;
        };
        let Some(probed) = supervised.probed.filter(|_| supervised.association == Some(peer))
        else {
            self.stats.unexpected += 1;
            return;
        };
        let probed = Time::unpacked(probed);
        supervised.probed = None;
        // After an extension nobody knows how long the answer lay around.
        let in_time = supervised.extensions == 0;
        if in_time {
            supervised.round_trip.sample(now - probed);
        }
        if let Some(association) = self.associations.get_mut(&peer) {
            association.answers.note(now, probed, in_time);
        }
        self.stats.keep_alive_acks += 1;
        self.arm_keep_alive(now, index, false);
    }

    /// Counts a report and asks the element at once; false where the report does not count.
    pub(super) fn report_unreachable(
        &mut self,
        now: Time,
        reporter: Peer,
        index: ElementIndex,
    ) -> bool {
        let max = self.config.bad_reports_max;
        let again_after = self.config.timing.request_timeout;
        let Some(supervised) = self.supervised.get_mut(index) else {
            return false;
        };
        // RFC 5355 §2.13: one user cannot report an element away by shouting.
        let is_repetition = |&(by, at): &(Peer, Time)| by == reporter && now - at < again_after;
        let Reports(reports) = self.reports.get_or_default(index);
        if reports.iter().any(is_repetition) {
            return false;
        }
        reports.push((reporter, now));
        if u32::try_from(reports.len()).is_ok_and(|count| count <= max) {
            if supervised.probed.is_none() {
                self.probe(now, index);
            }
        } else {
            self.remove_unanswering(now, index, LeaveReason::Reported);
        }
        true
    }

    /// Removes an element that may not know it, and lets it know: should it come back, it registers
    /// again. Where its association carried nothing else, its end says so.
    fn remove_unanswering(&mut self, now: Time, index: ElementIndex, reason: LeaveReason) {
        let association = self.supervised.get(index).and_then(|s| s.association);
        let view = self.handlespace.element(index);
        let key = view.map(|view| (view.handle.clone(), view.element.id));
        self.remove(index, reason);
        let (Some(peer), Some((handle, id))) = (association, key) else {
            return;
        };
        // A registrar that leaves may have waited for this one only, and have ended all by now.
        let Some(association) = self.associations.get(&peer) else { return };
        let is_idle = association.elements.is_empty();
        if reason == LeaveReason::Silent && is_idle {
            self.on_down(now, peer);
            self.outputs.push_back(Output::Abort(peer));
        } else {
            self.tell_removed(peer, handle, id);
        }
    }

    /// Takes an element of this registrar's out of its pool. Everything that removes one ends here.
    pub(super) fn remove(&mut self, index: ElementIndex, reason: LeaveReason) {
        let Some((handle, element)) = self.handlespace.deregister(index) else {
            return;
        };
        let association = self.supervised.remove(index).and_then(|s| s.association);
        self.forget_adoption(index);
        self.deadlines.disarm(Deadline::Supervision(index));
        self.reports.remove(index);
        if let Some(association) = association.and_then(|peer| self.associations.get_mut(&peer)) {
            association.elements.remove(&index);
        }
        match reason {
            LeaveReason::Deregistered => {}
            LeaveReason::AssociationLost => self.stats.removed_lost += 1,
            LeaveReason::Silent => self.stats.removed_silent += 1,
            LeaveReason::Reported => self.stats.removed_reported += 1,
            LeaveReason::Expired => self.stats.removed_expired += 1,
            LeaveReason::Orphaned => self.stats.orphaned += 1,
        }
        self.subscriptions.mark(&handle, Outcome::Changed);
        let event = Event::Left { handle: handle.clone(), id: element.id, reason };
        self.outputs.push_back(Output::Event(event));
        self.tell_deleted(handle, element);
        self.no_longer_own(index);
    }
}
