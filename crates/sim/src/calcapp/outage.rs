//! Registrars that fail and come back, and who takes over from whom (RFC 5353 §3.5).

use rand::seq::IteratorRandom as _;
use rserpool_proto::registrar::aptitude;
use rserpool_wire::param::PeId;

use super::Model;
use super::registrar::{self, HUNT_SECONDS, Owner, Registrar};
use super::timeline::{Event, Message};
use super::user::ATTEMPTS_MAX;

/// Seconds until the others notice that a registrar is silent: MAX-TIME-LAST-HEARD, then
/// MAX-TIME-NO-RESPONSE.
const SILENCE: f64 = 61.0 + 5.0;
/// Seconds that an element waits for the answer to a registration.
const REGISTRATION_TIMEOUT: f64 = 5.0;

impl Model<'_> {
    pub(super) fn begin_registrar_failures(&mut self) {
        let Some(failures) = self.scenario.registrar_failures else { return };
        let mut start = 0.0;
        for registrar in 0..self.registrars.len() {
            start += super::REGISTRARS_START;
            if registrar > 0 || !failures.first_is_safe {
                let at = start + self.exponential(failures.uptime);
                self.timeline.plan(at, Event::RegistrarFails { registrar });
            }
        }
    }

    pub(super) fn registrar_fails(&mut self, registrar: usize) {
        let Some(failures) = self.scenario.registrar_failures else { return };
        let it = &mut self.registrars[registrar];
        it.is_down = true;
        it.outages += 1;
        let outage = it.outages;
        let now = self.timeline.now();
        self.timeline.plan(now + SILENCE, Event::Takeover { registrar, outage });
        let back = now + self.exponential(failures.downtime);
        self.timeline.plan(back, Event::RegistrarStarts { registrar });
    }

    /// A registrar is back, and has its handlespace from a mentor.
    pub(super) fn registrar_starts(&mut self, registrar: usize) {
        let Some(failures) = self.scenario.registrar_failures else { return };
        let mentor = self.any_registrar();
        let mut handlespace = registrar::empty(self.scenario, &mut self.rng);
        if let Some(mentor) = mentor.map(|number| &self.registrars[number]) {
            let pool = mentor.handlespace.pool(&mentor.handle);
            for view in pool.iter().flat_map(|pool| pool.elements()) {
                let _ = handlespace.register(&mentor.handle, view.element.clone());
            }
        }
        let it = &mut self.registrars[registrar];
        it.handlespace = handlespace;
        it.is_down = false;
        let at = self.timeline.now() + self.exponential(failures.uptime);
        self.timeline.plan(at, Event::RegistrarFails { registrar });
    }

    /// One of the others makes itself the home of the elements of one that is still down.
    pub(super) fn take_over(&mut self, registrar: usize, outage: u32) {
        let Registrar { id: dead, is_down, outages, .. } = self.registrars[registrar];
        if !is_down || outages != outage {
            return;
        }
        let Some(taker) = self.any_registrar() else { return };
        self.tally.takeovers += 1;
        let it = &self.registrars[taker];
        let pool = it.handlespace.pool(&it.handle);
        let orphans: Vec<PeId> = pool
            .iter()
            .flat_map(|pool| pool.elements())
            .filter(|view| view.element.home == Some(dead))
            .map(|view| view.element.id)
            .collect();
        for id in orphans {
            self.adopt(taker, registrar::number(id));
        }
    }

    /// A registrar tells an element that it is its home now: KEEP_ALIVE with the H bit.
    fn adopt(&mut self, registrar: usize, instance: u32) {
        if let Owner::Element(element) = self.instances[instance as usize].owner {
            self.tally.asap_messages += 2;
            self.timeline.send(Message::Adoption { element, registrar });
        }
    }

    /// The element registers at its new home.
    pub(super) fn adopted(&mut self, element: usize, registrar: usize) {
        if self.elements[element].home != Some(registrar) {
            self.set_home(element, Some(registrar));
            self.tell_load(element);
        }
    }

    /// Asks the registrar that is best for an element to take it over, if it is another one
    /// (draft-dreibholz-rserpool-enrp-takeover).
    pub(super) fn suggest(&mut self, home: usize, instance: u32) {
        let element = registrar::identifier(instance);
        let up = (0..self.registrars.len()).filter(|&number| self.registrars[number].is_up());
        let best = up.max_by_key(|&number| aptitude(self.registrars[number].id, element));
        if let Some(registrar) = best.filter(|&best| best != home) {
            self.tally.updates += 1;
            self.timeline.send(Message::Suggestion { registrar, instance });
        }
    }

    /// Follows a suggestion.
    pub(super) fn suggested(&mut self, registrar: usize, instance: u32) {
        if self.registrars[registrar].is_up() {
            self.adopt(registrar, instance);
        }
    }

    /// An element's home did not take the message being delivered.
    pub(super) fn home_is_silent(&mut self, element: usize) {
        if !self.elements[element].loses_home {
            self.elements[element].loses_home = true;
            let wait = REGISTRATION_TIMEOUT * f64::from(ATTEMPTS_MAX);
            self.timeline.plan(self.timeline.sent() + wait, Event::HomeLost { element });
        }
    }

    /// An element turns to another registrar, unless its home is back.
    pub(super) fn home_lost(&mut self, element: usize) {
        self.elements[element].loses_home = false;
        let home = self.elements[element].home;
        if home.is_none_or(|number| self.registrars[number].is_down) {
            let other = self.any_registrar();
            self.set_home(element, other);
        }
        if self.elements[element].home.is_none() {
            self.elements[element].loses_home = true;
            let at = self.timeline.now() + HUNT_SECONDS;
            return self.timeline.plan(at, Event::HomeLost { element });
        }
        self.tell_load(element);
    }

    /// One registrar after the other gets an element, as far as they are up.
    pub(super) fn first_home(&mut self, element: usize) -> Option<usize> {
        let number = element % self.registrars.len().max(1);
        if self.registrars[number].is_up() { Some(number) } else { self.any_registrar() }
    }

    /// One that is up.
    pub(super) fn any_registrar(&mut self) -> Option<usize> {
        let mut up = (0..self.registrars.len()).filter(|&number| self.registrars[number].is_up());
        if self.registrars.len() == 1 { up.next() } else { up.choose(&mut self.rng) }
    }

    /// Until now, elements had the homes that they have.
    pub(super) fn count_owners_until_now(&mut self) {
        let now = self.timeline.now();
        let owned = self.elements.iter().filter(|element| element.home == Some(0)).count();
        let owned = f64::from(u32::try_from(owned).unwrap_or(u32::MAX));
        self.tally.owned_by_first += owned * (now - self.owners_counted);
        self.owners_counted = now;
    }

    fn set_home(&mut self, element: usize, home: Option<usize>) {
        self.count_owners_until_now();
        self.elements[element].home = home;
    }
}
