use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use rserpool_proto::handlespace::{Config, Handlespace};
use rserpool_wire::param::{
    PeId, Policy, PolicyField, PoolElement, PoolHandle, RegistrarId, RegistrationLife,
    SctpTransport, Transport, TransportUse,
};

use super::Model;
use super::scenario::Scenario;
use super::timeline::{Event, Message};

/// Seconds until somebody who knows no registrar looks for one again.
pub(super) const HUNT_SECONDS: f64 = 10.0;

/// A registrar: the real handlespace.
#[derive(Debug)]
pub(super) struct Registrar {
    pub(super) id: RegistrarId,
    pub(super) handlespace: Handlespace,
    pub(super) handle: PoolHandle,
    /// What of an element is the same for all.
    pub(super) blank: PoolElement,
    pub(super) is_down: bool,
    /// How often it was down.
    pub(super) outages: u32,
    items: u32,
}

/// Something that registered: elements do anew whenever they start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instance {
    pub(super) owner: Owner,
    /// Whether its owner ended, and then whether it did so cleanly.
    pub(super) ended: Option<bool>,
    pub(super) home: Option<usize>,
    /// Since when it is registered, and when it last registered again.
    since: Option<f64>,
    renewed: f64,
    /// Reports since then.
    reports: u32,
}

/// Who registered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Element(usize),
    Attacker,
}

impl Registrar {
    pub(super) fn new(scenario: &Scenario, rng: &mut StdRng) -> Self {
        let policy_type = scenario.selection.policy_type;
        let transport = SctpTransport {
            port: 7,
            transport_use: TransportUse::DataOnly,
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)].into(),
        };
        let blank = PoolElement {
            id: PeId(1),
            home: None,
            life: RegistrationLife::FOREVER,
            user_transport: Transport::Sctp(transport),
            policy: Policy::of_type(policy_type),
            asap_transport: None,
        };
        Self {
            id: RegistrarId::from(rng.random::<NonZeroU32>()),
            handlespace: empty(scenario, rng),
            handle: pool_handle(),
            blank,
            is_down: false,
            outages: 0,
            items: scenario.items,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        !self.is_down
    }

    /// Enters an element, or changes what is known of it.
    pub(super) fn enter(&mut self, instance: u32, home: RegistrarId, policy: Policy) {
        let (id, home) = (identifier(instance), Some(home));
        let element = PoolElement { id, home, policy, ..self.blank.clone() };
        // What it refuses is a mistake of whoever made up the scenario, and shows in the results.
        let _ = self.handlespace.register(&self.handle, element);
    }

    /// Takes an element out.
    pub(super) fn remove(&mut self, instance: u32) {
        if let Some(index) = self.handlespace.find(&self.handle, identifier(instance)) {
            self.handlespace.deregister(index);
        }
    }

    /// The first of the elements that the policy lists.
    pub(super) fn select(&mut self) -> Option<u32> {
        let found = self.handlespace.resolve(&self.handle, Some(self.items))?;
        found.elements().next().map(|element| number(element.id))
    }
}

/// A handlespace without elements.
pub(super) fn empty(scenario: &Scenario, rng: &mut StdRng) -> Handlespace {
    let mut config = Config::default();
    config.max_increment = NonZeroU32::new(scenario.increment);
    Handlespace::new(config, rng.next_u64())
}

fn pool_handle() -> PoolHandle {
    PoolHandle::new(*b"CalcApp").expect("seven octets are a handle")
}

/// Odd; and what undoes it.
const SPREAD: u32 = 0x9e37_79b1;
const GATHER: u32 = inverse(SPREAD);

/// Identifiers look random, and tell which instance they belong to.
pub(super) fn identifier(instance: u32) -> PeId {
    PeId((instance + 1).wrapping_mul(SPREAD))
}

pub(super) fn number(id: PeId) -> u32 {
    id.0.wrapping_mul(GATHER) - 1
}

/// Of an odd number, modulo 2³²: each step doubles the digits that are right.
const fn inverse(odd: u32) -> u32 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 5 {
        inverse = inverse.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

impl Model<'_> {
    pub(super) fn new_instance(&mut self, owner: Owner) -> u32 {
        let number = u32::try_from(self.instances.len()).unwrap_or(u32::MAX);
        let (ended, home, since) = (None, None, None);
        self.instances.push(Instance { owner, ended, home, since, renewed: 0.0, reports: 0 });
        number
    }

    /// The element that is registered as this, where it still is.
    pub(super) fn owner_alive(&self, instance: u32) -> Option<usize> {
        match self.instances[instance as usize] {
            Instance { owner: Owner::Element(element), ended: None, .. } => Some(element),
            _ => None,
        }
    }

    /// Somebody registers, or registers again.
    pub(super) fn register(&mut self, registrar: usize, instance: u32, load: u32) {
        if self.registrars[registrar].is_down {
            if let Owner::Element(element) = self.instances[instance as usize].owner {
                self.home_is_silent(element);
            }
            return;
        }
        let now = self.timeline.now();
        self.tally.asap_messages += 1;
        let it = &mut self.instances[instance as usize];
        it.home = Some(registrar);
        it.since.get_or_insert(now);
        (it.renewed, it.reports) = (now, 0);
        let policy = self.policy_of(instance, load);
        let it = &mut self.registrars[registrar];
        it.enter(instance, it.id, policy);
        self.tell_peers(registrar, |registrar| Message::Update { registrar, instance, load });
        if self.scenario.takeover_suggestion {
            self.suggest(registrar, instance);
        }
    }

    /// Another registrar says what an element's home knows.
    pub(super) fn update(&mut self, registrar: usize, instance: u32, load: u32) {
        let Some(home) = self.instances[instance as usize].home else { return };
        let (home, policy) = (self.registrars[home].id, self.policy_of(instance, load));
        if self.registrars[registrar].is_up() {
            self.registrars[registrar].enter(instance, home, policy);
        }
    }

    /// An element leaves. One that nobody hears is gone all the same.
    pub(super) fn deregister(&mut self, registrar: usize, instance: u32) {
        self.expel(registrar, instance);
        self.tally.asap_messages += 1;
        if let Owner::Element(element) = self.instances[instance as usize].owner {
            self.timeline.send(Message::Deregistered { element });
        }
    }

    /// A user asks.
    pub(super) fn resolve(&mut self, registrar: usize, user: usize, step: u32) {
        let now = self.timeline.now();
        let admits = self.users[user].resolutions.admits(now);
        let it = &mut self.registrars[registrar];
        if it.is_down || !admits {
            return self.plan_unanswered_resolution(user, step);
        }
        let instance = it.select();
        self.timeline.send(Message::Resolved { user, step, instance });
    }

    /// A user could not reach an element.
    pub(super) fn user_reports(&mut self, registrar: usize, user: usize, instance: u32) {
        if self.users[user].reports.admits(self.timeline.now()) {
            self.report(registrar, instance);
        }
    }

    /// Counts a report. Enough of them remove the element.
    pub(super) fn report(&mut self, registrar: usize, instance: u32) {
        let it = &mut self.instances[instance as usize];
        it.reports += 1;
        if self.scenario.reports_max.is_some_and(|most| it.reports >= most) {
            self.expel(registrar, instance);
        }
    }

    /// The home of an element that ended without a word notices it.
    pub(super) fn purge(&mut self, instance: u32) {
        if let Some(home) = self.instances[instance as usize].home {
            self.expel(home, instance);
        }
    }

    /// When a registrar will have noticed that this one ended now.
    pub(super) fn plan_purge(&mut self, instance: u32) {
        let (now, scenario) = (self.timeline.now(), self.scenario);
        let it = &mut self.instances[instance as usize];
        it.ended = Some(false);
        let since = it.since.unwrap_or(now);
        let noticed = scenario.endpoint_keep_alive.noticed(since, now, scenario.delay);
        let expires = it.renewed.max(since) + scenario.lifetime;
        self.timeline.plan(noticed.min(expires), Event::Purge { instance });
    }

    /// Takes an element out here and elsewhere.
    fn expel(&mut self, registrar: usize, instance: u32) {
        self.instances[instance as usize].since = None;
        self.registrars[registrar].remove(instance);
        self.tell_peers(registrar, |registrar| Message::Removal { registrar, instance });
    }

    /// Sends to all others that are up.
    fn tell_peers(&mut self, from: usize, message: impl Fn(usize) -> Message) {
        for number in 0..self.registrars.len() {
            if number != from && self.registrars[number].is_up() {
                self.tally.updates += 1;
                self.timeline.send(message(number));
            }
        }
    }

    /// What registers of an element, at this load.
    pub(super) fn policy_of(&self, instance: u32, load: u32) -> Policy {
        let policy = match self.instances[instance as usize].owner {
            Owner::Element(element) => self.elements[element].policy.clone(),
            // As attractive as can be.
            Owner::Attacker => {
                self.registrars[0].blank.policy.clone().with(PolicyField::Weight, u32::MAX)
            }
        };
        policy.with(PolicyField::Load, load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_lead_back_to_instances() {
        assert_eq!(SPREAD.wrapping_mul(GATHER), 1);
        assert!((0..1000).all(|instance| number(identifier(instance)) == instance));
    }
}
