//! Elements and registrars watch each other (RFC 5352 §3.5).

use std::time::Duration;

use rserpool_wire::Asap;
use rserpool_wire::asap::{KeepAlive, KeepAliveAck};
use rserpool_wire::param::RegistrarId;

use super::{Event, Goal, PoolElement, State, Timer};
use crate::machine::{Output, Peer};
use crate::time::Time;

/// What an element knows of the rhythm in which its home asks.
///
/// A home that has many elements asks each of them less often, so its silence is measured by its own
/// rhythm. One that has not asked yet is questioned once, for it may have died before it could; if
/// it answers and goes on not asking, it is never found silent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HomeLiveness {
    /// When it first accepted a registration on this association, and when last.
    accepted: Option<(Time, Time)>,
    /// When it last asked.
    asked: Option<Time>,
    /// The longest pause between two questions; earlier ones fade.
    pause: Option<Duration>,
    /// Its silence was questioned.
    questioned: bool,
}

/// How often the usual silence a home may take for its first question.
const FIRST_SILENCES: u32 = 4;

impl HomeLiveness {
    fn asked(&mut self, now: Time) {
        let Some((accepted, _)) = self.accepted else { return };
        let pause = now - self.asked.unwrap_or(accepted);
        let faded = self.pause.unwrap_or_default() / 8 * 7;
        self.pause = Some(pause.max(faded));
        self.asked = Some(now);
    }

    fn was_silent(&mut self, now: Time) {
        self.pause = self.pause.max(self.asked.map(|asked| now - asked));
        self.questioned = true;
    }

    /// How long it has been since the last registration was accepted.
    pub(super) fn accepted_for(&self, now: Time) -> Option<Duration> {
        self.accepted.map(|(_, last)| now - last)
    }

    /// How long this home may be silent; `None` where it does not ask.
    fn silence_max(&self, floor: Duration) -> Option<Duration> {
        match self.pause {
            Some(pause) => Some(floor.max(pause.saturating_add(pause / 2))),
            None if self.questioned => None,
            None => Some(floor.saturating_mul(FIRST_SILENCES)),
        }
    }
}

impl PoolElement {
    /// RFC 5352 §2.2.7, §3.5 KA1, KA2.
    pub(super) fn keep_alive(&mut self, now: Time, peer: Peer, keep_alive: &KeepAlive) {
        let is_other = keep_alive.id.is_some_and(|id| id != self.id);
        if self.state == State::Idle
            || keep_alive.handle != self.config.handle
            || is_other
            || self.association(peer).is_none()
        {
            self.stats.keep_alives_ignored += 1;
            return;
        }
        self.stats.keep_alives += 1;
        if let Some(sender) = keep_alive.sender.filter(|_| keep_alive.claim_home)
            && self.is_registering_elsewhere(peer)
        {
            self.hold_claim(now, peer, sender);
            return;
        }
        self.acknowledge(peer);
        let is_home = self.state.home() == Some(peer);
        match keep_alive.sender {
            Some(sender) if is_home => {
                self.learn_home_id(peer, sender);
                if !keep_alive.claim_home {
                    self.home_asked(now, peer);
                }
            }
            // KA2.4. Also where the home itself comes on another association.
            Some(sender) if keep_alive.claim_home => self.adopt(now, peer, sender),
            // Who looks for a home has one there: that registrar took it over before, and does not
            // know of the home that was lost. Dialing it would only find this association.
            Some(sender) if matches!(self.state, State::Hunting { .. }) => {
                self.adopt(now, peer, sender);
            }
            Some(_) | None => {}
        }
    }

    fn acknowledge(&mut self, peer: Peer) {
        let ack = KeepAliveAck { handle: self.config.handle.clone(), id: self.id };
        self.outputs.push_back(Output::Send(peer, Asap::KeepAliveAck(ack).into()));
    }

    /// True where a first registration at another registrar is under way.
    fn is_registering_elsewhere(&self, peer: Peer) -> bool {
        matches!(self.state, State::Registering { home } if home != peer)
            && self.timers.is_armed(Timer::Registration)
    }

    /// Of a registrar that was asked and one that asks only one can be the home, and the first may
    /// have entered the element already: it has a moment to say so. Agreeing to both makes them
    /// disagree.
    fn hold_claim(&mut self, now: Time, peer: Peer, sender: RegistrarId) {
        if self.held_claim.is_none() {
            self.timers.arm(Timer::Claim, now + self.config.timing.response_timeout);
        }
        self.held_claim = Some((peer, sender));
    }

    /// The registrar that was asked has not answered in time.
    pub(super) fn follow_held_claim(&mut self, now: Time) {
        let Some((peer, sender)) = self.held_claim.take() else { return };
        if self.association(peer).is_some() && self.state.home() != Some(peer) {
            self.acknowledge(peer);
            self.adopt(now, peer, sender);
        }
    }

    fn learn_home_id(&mut self, peer: Peer, id: RegistrarId) {
        let Some(association) = self.association_mut(peer) else { return };
        if association.home.id == Some(id) {
            return;
        }
        association.home.id = Some(id);
        let home = association.home.clone();
        if matches!(self.state, State::Registered { .. } | State::Reregistering { .. }) {
            self.outputs.push_back(Output::Event(Event::HomeChanged { home }));
        }
    }

    /// A registrar has taken over the element: it is the home now, and gets a registration at once,
    /// so that it need not wait for the element's values and lifetime.
    fn adopt(&mut self, now: Time, peer: Peer, id: RegistrarId) {
        let Some(association) = self.association_mut(peer) else { return };
        association.home.id = Some(id);
        association.was_home = true;
        let home = association.home.clone();
        self.stats.adoptions += 1;
        self.outputs.push_back(Output::Event(Event::HomeChanged { home }));
        self.hunt.stop(&mut self.outputs);
        self.timers.disarm(Timer::Silence);
        match self.state {
            State::Hunting { goal: Goal::Deregister } | State::Deregistering { .. } => {
                self.deregister(now, peer);
            }
            State::Idle
            | State::Hunting { goal: Goal::Register }
            | State::Registering { .. }
            | State::Registered { .. }
            | State::Reregistering { .. } => self.register(now, peer),
        }
    }

    /// The home has accepted a registration: from here on its questions are expected.
    pub(super) fn begin_vigil(&mut self, now: Time, home: Peer) {
        if let Some(association) = self.association_mut(home) {
            let first = association.liveness.accepted.map_or(now, |(first, _)| first);
            association.liveness.accepted = Some((first, now));
        }
        self.expect_home(now, home);
        if self.associations.iter().any(|a| a.was_home && a.peer != home) {
            // A former home that loses the association before it has heard of the new one would
            // take the element out of the pool.
            self.timers.arm(Timer::Linger, now + self.config.timing.response_timeout);
        }
    }

    pub(super) fn leave_former_homes(&mut self) {
        let home = self.state.home();
        let outputs = &mut self.outputs;
        self.associations.retain(|association| {
            let is_former = association.was_home && Some(association.peer) != home;
            if is_former {
                outputs.push_back(Output::Close(association.peer));
            }
            !is_former
        });
    }

    /// Something came from there: a live home.
    pub(super) fn heard(&mut self, now: Time, peer: Peer) {
        if self.state.home() == Some(peer) {
            self.expect_home(now, peer);
        }
    }

    fn home_asked(&mut self, now: Time, home: Peer) {
        if let Some(association) = self.association_mut(home) {
            association.liveness.asked(now);
        }
        self.expect_home(now, home);
    }

    fn expect_home(&mut self, now: Time, home: Peer) {
        let floor = self.config.timing.peer_silence_max;
        let silence_max = self.association(home).and_then(|a| a.liveness.silence_max(floor));
        let is_in = matches!(self.state, State::Registered { .. } | State::Reregistering { .. });
        if let (true, Some(silence_max)) = (is_in, silence_max) {
            self.timers.arm(Timer::Silence, now + silence_max);
        }
    }

    /// The home has been silent for longer than it used to be. It may have got many more elements
    /// than before, or this element may have stood still itself, so it is asked before it is left:
    /// by a registration, which also repairs what it may have forgotten.
    pub(super) fn question_silence(&mut self, now: Time, home: Peer) {
        if let Some(association) = self.association_mut(home) {
            association.liveness.was_silent(now);
        }
        if let State::Registered { .. } = self.state {
            self.register(now, home);
        }
        let timing = &self.config.timing;
        let patience = timing.registration_timeout.min(timing.peer_silence_max / 2);
        self.timers.arm(Timer::Registration, now + patience);
    }
}
