//! What this registrar knows of each association.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rserpool_wire::Protocol;
use rserpool_wire::param::RegistrarId;

use super::dialing::Dial;
use super::table::Download;
use super::{LeaveReason, Registrar};
use crate::handlespace::ElementIndex;
use crate::machine::{Link, Peer};
use crate::time::Time;

/// One association: with elements, with a user, or with another registrar.
#[derive(Debug)]
pub(super) struct Association {
    pub(super) link: Link,
    /// Why this registrar set it up; `None` where the other end did.
    pub(super) dial: Option<Dial>,
    /// The elements that registered over it, or acknowledged this registrar as home over it.
    pub(super) elements: BTreeSet<ElementIndex>,
    /// Elements that were asked over it to accept this registrar, and have not answered.
    pub(super) claims: usize,
    /// The registrar at the other end, once it has said who it is.
    pub(super) registrar: Option<RegistrarId>,
    /// The other end looks on, and is no registrar.
    pub(super) is_observer: bool,
    /// The handle table that the other end is fetching.
    pub(super) download: Option<Download>,
}

impl Registrar {
    pub(super) fn on_up(&mut self, now: Time, peer: Peer, link: Link) {
        let dial = self.dials.remove(&peer);
        let protocol = link.protocol;
        let association = Association {
            link,
            dial: dial.clone(),
            elements: BTreeSet::new(),
            claims: 0,
            registrar: None,
            is_observer: false,
            download: None,
        };
        self.associations.insert(peer, association);
        match (protocol, dial) {
            (Protocol::Enrp, _) => self.link_up(now, peer),
            (Protocol::Asap, Some(Dial::Elements(transport))) => {
                self.elements_reached(now, peer, &transport);
            }
            (Protocol::Asap, _) => {}
        }
    }

    pub(super) fn on_down(&mut self, now: Time, peer: Peer) {
        if let Some(dial) = self.dials.remove(&peer) {
            self.dial_failed(now, dial);
            return;
        }
        let Some(association) = self.associations.remove(&peer) else {
            return;
        };
        self.subscriptions.forget(peer);
        for index in association.elements {
            if self.is_on_its_way(now, index) {
                self.await_other_home(now, index);
            } else {
                self.remove(now, index, LeaveReason::AssociationLost);
            }
        }
        if association.link.protocol == Protocol::Enrp {
            if self.deadlines.disarm(super::Deadline::Download(peer)) {
                self.end_download(peer);
            }
            self.link_lost(now, peer, association.registrar, association.dial);
        }
    }

    /// True where this association is there, and goes to the port of this protocol.
    pub(super) fn speaks(&self, peer: Peer, protocol: Protocol) -> bool {
        self.associations
            .get(&peer)
            .is_some_and(|association| association.link.protocol == protocol)
    }

    /// From now on this registrar tells that peer that it is there.
    pub(super) fn on_own_addresses(&mut self, peer: Peer, local: Vec<IpAddr>) {
        if let Some(association) = self.associations.get_mut(&peer) {
            association.link.local = local;
        }
    }

    pub(super) fn on_addresses(&mut self, peer: Peer, remote: Vec<IpAddr>) {
        if let Some(association) = self.associations.get_mut(&peer) {
            association.link.remote = remote;
        }
    }
}
