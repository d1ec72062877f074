//! Into the pool and out of it (RFC 5352 §3.1, §3.2).

use std::net::IpAddr;

use rserpool_wire::asap::RegistrationResponse;
use rserpool_wire::asap::{Deregistration, DeregistrationResponse, Registration};
use rserpool_wire::param::{self, Cause, Transport};
use rserpool_wire::registry::CauseCode;
use rserpool_wire::{Asap, Message};

use super::refusal::{is_out, is_taken};
use super::{Advertised, Event, Goal, PoolElement, State, Timer};
use crate::advertised_addresses;
use crate::machine::{Output, Peer};
use crate::time::Time;

impl PoolElement {
    /// Where each message goes.
    pub(super) fn message(&mut self, now: Time, peer: Peer, message: Message) {
        use State::{Deregistering, Registered, Registering, Reregistering};
        self.heard(now, peer);
        match (self.state, message) {
            (
                Registering { home } | Reregistering { home },
                Message::Asap(Asap::RegistrationResponse(response)),
            ) if peer == home
                && response.handle == self.config.handle
                && response.id == self.id =>
            {
                self.registration_answered(now, home, response);
            }
            (Deregistering { home }, Message::Asap(Asap::DeregistrationResponse(response)))
                if peer == home && self.is_about_this(&response) =>
            {
                if response.causes.is_empty() {
                    self.leave();
                } else {
                    self.deregistration_refused(now, home, response.causes);
                }
            }
            (
                Registered { home } | Reregistering { home },
                Message::Asap(Asap::DeregistrationResponse(response)),
            ) if peer == home && self.is_about_this(&response) && is_out(&response.causes) => {
                self.expired(now, home, is_taken(&response.causes));
            }
            // RFC 5352 §2.2.14; rsplib answers so what it cannot read.
            (Registering { home } | Reregistering { home }, Message::Asap(Asap::Error(causes)))
                if peer == home =>
            {
                self.refused(now, home, causes);
            }
            (Deregistering { home }, Message::Asap(Asap::Error(causes))) if peer == home => {
                self.deregistration_refused(now, home, causes);
            }
            (_, Message::Asap(Asap::Error(_))) => self.stats.errors += 1,
            (_, Message::Asap(Asap::KeepAlive(keep_alive))) => {
                self.keep_alive(now, peer, &keep_alive);
            }
            // Answers to what has been overtaken by something else.
            (_, Message::Asap(Asap::RegistrationResponse(_) | Asap::DeregistrationResponse(_))) => {
            }
            // An element asks nothing else, and is asked nothing else.
            (_, Message::Asap(_) | Message::Enrp(_)) => self.stats.unexpected += 1,
        }
    }

    fn is_about_this(&self, response: &DeregistrationResponse) -> bool {
        response.handle == self.config.handle && response.id == self.id
    }

    /// RFC 5352 §3.1 R2–R4.
    pub(super) fn register(&mut self, now: Time, home: Peer) {
        self.told = Advertised {
            user_transport: self.config.user_transport.clone(),
            policy: self.config.policy.clone(),
            has_moved: false,
        };
        let association = self.association(home);
        let local = association.map_or(&[][..], |association| &association.home.link.local);
        let element = param::PoolElement {
            id: self.id,
            home: association.and_then(|association| association.home.id),
            life: self.config.dialect.registration_life(self.config.lifetime),
            user_transport: advertised(&self.told.user_transport, local),
            policy: self.told.policy.clone(),
            asap_transport: None,
        };
        let handle = self.config.handle.clone();
        self.outputs.push_back(Output::Send(
            home,
            Asap::Registration(Registration { handle, element }).into(),
        ));
        self.stats.registrations += 1;
        self.attempts = self.attempts.saturating_add(1);
        self.state = match self.state {
            State::Registered { .. } | State::Reregistering { .. } => State::Reregistering { home },
            State::Idle
            | State::Hunting { .. }
            | State::Registering { .. }
            | State::Deregistering { .. } => State::Registering { home },
        };
        self.timers.disarm(Timer::Deregistration);
        self.timers.disarm(Timer::Reregistration);
        self.timers.disarm(Timer::Retry);
        self.timers.arm(Timer::Registration, now + self.config.timing.registration_timeout);
    }

    /// True where the home has to be told something.
    pub(super) fn has_news(&self) -> bool {
        self.told.user_transport != self.config.user_transport
            || self.told.policy != self.config.policy
            || self.told.has_moved
    }

    /// This host has other addresses than before, and an association knows (RFC 5061): an element
    /// that serves at all of them tells its home at once.
    pub(super) fn moved(&mut self, now: Time, peer: Peer, local: Vec<IpAddr>) {
        let transport = self.config.user_transport.clone();
        let Some(association) = self.association_mut(peer) else { return };
        let before = advertised(&transport, &association.home.link.local);
        let has_moved = before != advertised(&transport, &local);
        association.home.link.local = local;
        if has_moved && self.state.home() == Some(peer) {
            self.told.has_moved = true;
            if let State::Registered { home } = self.state {
                self.register(now, home);
            }
        }
    }

    fn registration_answered(&mut self, now: Time, home: Peer, response: RegistrationResponse) {
        if response.rejected {
            self.refused(now, home, response.causes);
        } else {
            self.accepted(now, home, response.causes);
        }
    }

    fn accepted(&mut self, now: Time, home: Peer, causes: Vec<Cause>) {
        let is_news = !self.entered || matches!(self.state, State::Registering { .. });
        self.stats.accepted += 1;
        self.answered();
        self.state = State::Registered { home };
        self.entered = true;
        self.established = Some(self.told.clone());
        self.refusals.clear();
        self.draws = 0;
        self.held_claim = None;
        self.timers.disarm(Timer::Claim);
        self.timers.disarm(Timer::Registration);
        self.timers.arm(Timer::Reregistration, now + self.config.reregistration_interval());
        self.begin_vigil(now, home);
        if is_news && let Some(home) = self.home().cloned() {
            self.outputs.push_back(Output::Event(Event::Registered { id: self.id, home }));
        }
        if !causes.is_empty() {
            // RFC 5352 §2.2.3.
            self.outputs.push_back(Output::Event(Event::Warned { causes }));
        }
        if self.has_news() {
            // One registration at a time: what has changed meanwhile goes out at once, together.
            self.register(now, home);
        }
    }

    /// A registrar has answered: it is a home, and the search for one is a success.
    pub(super) fn answered(&mut self) {
        self.attempts = 0;
        self.alone = false;
        self.hunt.settle();
    }

    /// RFC 5352 §3.2 D1–D4.
    pub(super) fn deregister(&mut self, now: Time, home: Peer) {
        if self.timers.is_armed(Timer::Retry) {
            // It is out, for somebody else has its identifier.
            return self.leave();
        }
        let deregistration = Deregistration { handle: self.config.handle.clone(), id: self.id };
        self.outputs.push_back(Output::Send(home, Asap::Deregistration(deregistration).into()));
        self.attempts = self.attempts.saturating_add(1);
        self.state = State::Deregistering { home };
        self.timers.disarm(Timer::Registration);
        self.timers.disarm(Timer::Reregistration);
        self.timers.disarm(Timer::Silence);
        self.timers.arm(Timer::Deregistration, now + self.config.timing.deregistration_timeout);
    }

    /// It is out, as it was asked to be.
    pub(super) fn leave(&mut self) {
        self.answered();
        self.close_all();
        self.rest();
        self.outputs.push_back(Output::Event(Event::Deregistered));
    }

    /// It is still in the pool; the registration is renewed, for its lifetime went on meanwhile.
    fn deregistration_refused(&mut self, now: Time, home: Peer, causes: Vec<Cause>) {
        self.answered();
        self.outputs.push_back(Output::Event(Event::DeregistrationRefused { causes }));
        self.state = State::Registered { home };
        self.register(now, home);
    }

    /// The application wants out before there is a home to say so to.
    pub(super) fn stop_hunting_to_register(&mut self) {
        if self.entered {
            self.attempts = 0;
            self.state = State::Hunting { goal: Goal::Deregister };
        } else {
            self.hunt.stop(&mut self.outputs);
            self.close_all();
            self.rest();
            self.outputs.push_back(Output::Event(Event::Deregistered));
        }
    }

    /// The application wants in.
    pub(super) fn begin(&mut self, now: Time) {
        if self.config.handle.as_bytes().len() <= self.config.dialect.handle_octets_max() {
            self.seek_home(now, Goal::Register);
        } else {
            // No registrar is to see it.
            self.rejected(vec![Cause::new(CauseCode::INVALID_VALUES)], Vec::new());
        }
    }

    pub(super) fn seek_home(&mut self, now: Time, goal: Goal) {
        self.state = State::Hunting { goal };
        self.timers.disarm(Timer::Registration);
        self.timers.disarm(Timer::Deregistration);
        self.timers.disarm(Timer::Reregistration);
        self.timers.disarm(Timer::Silence);
        self.timers.disarm(Timer::Retry);
        self.hunt.start(now, &mut self.outputs);
    }

    /// The home is silent: another one is sought, and this one only where there is no other.
    pub(super) fn give_up_home(&mut self, now: Time, home: Peer) {
        self.stats.homes_silent += 1;
        if let Some(row) = self.associations.iter().position(|a| a.peer == home) {
            let silent = self.associations.remove(row);
            self.hunt.avoid(silent.home.target);
            self.outputs.push_back(Output::Abort(home));
        }
        self.lose_home(now);
    }

    /// The home is gone: RFC 5352 §3.1, §3.2, a hunt and the same request again.
    pub(super) fn lose_home(&mut self, now: Time) {
        let exhausted = self.attempts >= self.config.registration_attempts_max.max(1);
        match self.state {
            State::Deregistering { .. } if exhausted => return self.abandon(),
            State::Deregistering { .. } => return self.seek_home(now, Goal::Deregister),
            State::Registered { .. } | State::Reregistering { .. } => {
                self.outputs.push_back(Output::Event(Event::HomeLost));
            }
            State::Idle | State::Hunting { .. } | State::Registering { .. } => {}
        }
        if exhausted {
            self.attempts = 0;
            self.report_no_registrar();
        }
        self.seek_home(now, Goal::Register);
    }

    /// A round of the hunt has found nobody.
    pub(super) fn ran_dry(&mut self) {
        match self.state {
            State::Hunting { goal: Goal::Deregister } => self.abandon(),
            State::Idle
            | State::Hunting { goal: Goal::Register }
            | State::Registering { .. }
            | State::Registered { .. }
            | State::Reregistering { .. }
            | State::Deregistering { .. } => self.report_no_registrar(),
        }
    }

    fn abandon(&mut self) {
        self.hunt.stop(&mut self.outputs);
        self.close_all();
        self.rest();
        self.outputs.push_back(Output::Event(Event::Abandoned));
    }

    fn report_no_registrar(&mut self) {
        if !self.alone {
            self.alone = true;
            self.outputs.push_back(Output::Event(Event::NoRegistrar));
        }
    }
}

/// A transport that listens on every address of its host, as someone else can reach it: at the
/// addresses from which this host speaks to its registrar.
fn advertised(transport: &Transport, local: &[IpAddr]) -> Transport {
    let mut advertised = transport.clone();
    match &mut advertised {
        Transport::Sctp(sctp) if sctp.addresses.iter().any(IpAddr::is_unspecified) => {
            let at = advertised_addresses::advertised_addresses(&sctp.addresses, local);
            // Nowhere is better said as it is: the registrar refuses it with a reason.
            if !at.is_empty() {
                sctp.addresses = at.into();
            }
        }
        Transport::Tcp { address, .. }
        | Transport::Udp { address, .. }
        | Transport::UdpLite { address, .. }
        | Transport::Dccp { address, .. }
            if address.is_unspecified() =>
        {
            let at =
                advertised_addresses::advertised_addresses(std::slice::from_ref(address), local);
            *address = at.first().copied().unwrap_or(*address);
        }
        _ => {}
    }
    advertised
}
