//! What this registrar knows of each association.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use rserpool_wire::Protocol;
use rserpool_wire::param::RegistrarId;

use super::dialing::Dial;
use super::table::Download;
use super::{Deadline, LeaveReason, Registrar};
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
    /// Of the keep-alives that were answered over it, when the latest was asked, and when an answer
    /// came last.
    pub(super) answered: Option<(Time, Time)>,
    /// Elements that were asked over it to accept this registrar, and have not answered.
    pub(super) claims: usize,
    /// The registrar at the other end, once it has said who it is.
    pub(super) registrar: Option<RegistrarId>,
    /// The other end looks on, and is no registrar.
    pub(super) is_observer: bool,
    /// The handle table that the other end is fetching.
    pub(super) download: Option<Download>,
}

/// So many elements are taken out at once: some 0.1 ms.
const LOST_AT_ONCE: usize = 64;

impl Registrar {
    pub(super) fn on_up(&mut self, now: Time, peer: Peer, link: Link) {
        let dial = self.dials.remove(&peer);
        let protocol = link.protocol;
        let association = Association {
            link,
            dial: dial.clone(),
            elements: BTreeSet::new(),
            answered: None,
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
        if association.elements.len() <= LOST_AT_ONCE {
            for index in association.elements {
                self.lose(now, index);
            }
        } else {
            self.lost.extend(association.elements.into_iter().map(|index| (peer, index)));
        }
        if association.link.protocol == Protocol::Enrp {
            if self.deadlines.disarm(Deadline::Download(peer)) {
                self.end_download(peer);
            }
            self.link_lost(now, peer, association.registrar, association.dial);
        }
    }

    /// Takes out some of those whose associations are gone. Of very many it takes out few at a time,
    /// and between them others have their answers.
    pub(super) fn remove_lost(&mut self, now: Time) {
        let count = self.lost.len().min(LOST_AT_ONCE);
        for (peer, index) in self.lost.drain(..count).collect::<Vec<_>>() {
            // It may have registered again meanwhile.
            if self.supervised.get(index).is_some_and(|it| it.association == Some(peer)) {
                self.lose(now, index);
            }
        }
        if !self.lost.is_empty() {
            self.deadlines.arm(Deadline::Lost, now + Duration::from_nanos(1));
        }
    }

    /// The association of an element is gone.
    fn lose(&mut self, now: Time, index: ElementIndex) {
        if self.is_on_its_way(now, index) {
            self.await_other_home(now, index);
        } else {
            self.remove(now, index, LeaveReason::AssociationLost);
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
