//! Pool users and elements that mean harm. They attack the first registrar.

use rand::RngExt;

use super::Model;
use super::limiter::Limiter;
use super::registrar::Owner;
use super::scenario::{Attack, Scenario};
use super::timeline::{Event, Message};

/// Somebody whom registrars take for a pool user or an element.
#[derive(Debug)]
pub(super) struct Attacker {
    resolutions: Limiter,
    reports: Limiter,
    /// What it registered last.
    instance: Option<u32>,
}

impl Attacker {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            resolutions: Limiter::new(scenario.limits.resolutions),
            reports: Limiter::new(scenario.limits.reports),
            instance: None,
        }
    }
}

impl Model<'_> {
    /// An attacker strikes again.
    pub(super) fn attack(&mut self, attacker: usize) {
        let Some(attack) = self.scenario.attack else { return };
        self.tally.asap_messages += 1;
        match attack {
            Attack::Resolutions { .. } => self.timeline.send(Message::AttackResolve { attacker }),
            Attack::Registrations { one_identifier, .. } => {
                let known = self.attackers[attacker].instance.filter(|_| one_identifier);
                let instance = known.unwrap_or_else(|| self.new_instance(Owner::Attacker));
                self.attackers[attacker].instance = Some(instance);
                self.timeline.send(Message::Register { registrar: 0, instance, load: 0 });
            }
        }
        let at = self.timeline.now() + attack.interval();
        self.timeline.plan(at, Event::Attack { attacker });
    }

    /// The registrar answers an attacker.
    pub(super) fn attack_resolve(&mut self, attacker: usize) {
        let now = self.timeline.now();
        let Some(Attack::Resolutions { report, .. }) = self.scenario.attack else { return };
        if !self.attackers[attacker].resolutions.admits(now) {
            return;
        }
        self.tally.asap_messages += 1;
        if let Some(instance) = self.registrars[0].select()
            && self.rng.random_bool(report)
        {
            self.tally.asap_messages += 1;
            self.timeline.send(Message::AttackReport { attacker, instance });
        }
    }

    /// An attacker says that it could not reach an element.
    pub(super) fn attack_report(&mut self, attacker: usize, instance: u32) {
        if self.attackers[attacker].reports.admits(self.timeline.now()) {
            self.report(0, instance);
        }
    }
}
