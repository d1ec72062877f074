//! Telling elements and users where this registrar is (RFC 5352 §3.6).

use std::collections::BTreeMap;

use rserpool_wire::Message;
use rserpool_wire::asap::{Announce, Asap};
use rserpool_wire::param::RegistrarId;

use super::{Deadline, Registrar};
use crate::machine::Output;
use crate::time::Time;

/// Other registrars that announce themselves in this scope.
#[derive(Debug, Default)]
pub(super) struct Announcing {
    /// When each was last heard.
    heard: BTreeMap<RegistrarId, Time>,
}

/// So many other registrars are counted; announces are not authenticated, and anyone can send them.
const HEARD_MAX: usize = 64;

impl Registrar {
    /// Announces this registrar, and arms the next time: every (N + 1)·T6, where N other registrars
    /// announce themselves, so that the scope hears one announce per T6.
    pub(super) fn announce(&mut self, now: Time) {
        let Some(transports) = self.config.announced.clone() else {
            return;
        };
        let lifetime = self.config.timing.announce_lifetime;
        self.announcing.heard.retain(|_, heard| now - *heard < lifetime);
        let others = u32::try_from(self.announcing.heard.len()).unwrap_or(u32::MAX);
        let wait = self.config.timing.announce_interval.saturating_mul(others.saturating_add(1));
        // Past its lifetime an announce is forgotten, so no registrar waits that long.
        let wait = wait.min(lifetime.mul_f64(0.8));
        self.deadlines.arm(Deadline::Announce, now + wait);
        self.stats.announces += 1;
        let announce = Announce { sender: Some(self.id), transports };
        self.outputs.push_back(Output::Announce(Message::Asap(Asap::Announce(announce))));
    }

    /// Another registrar announces itself.
    pub(super) fn on_announce(&mut self, now: Time, message: Message) {
        let Message::Asap(Asap::Announce(announce)) = message else {
            self.stats.unexpected += 1;
            return;
        };
        let heard = &mut self.announcing.heard;
        if let Some(other) = announce.sender.filter(|other| *other != self.id)
            && (heard.len() < HEARD_MAX || heard.contains_key(&other))
        {
            heard.insert(other, now);
        }
    }
}
