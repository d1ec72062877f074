//! What this registrar knows of each association.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use rserpool_wire::Protocol;
use rserpool_wire::param::RegistrarId;

use super::dialing::Dial;
use super::round_trip::RoundTrip;
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
    /// What answers to keep-alives told of its other end.
    pub(super) answers: Answers,
    /// Elements that were asked over it to accept this registrar, and have not answered.
    pub(super) claims: usize,
    /// The registrar at the other end, once it has said who it is.
    pub(super) registrar: Option<RegistrarId>,
    /// The other end looks on, and is no registrar.
    pub(super) is_observer: bool,
    /// More waits to be sent to the other end than it takes.
    pub(super) is_congested: bool,
    /// The handle table that the other end is fetching.
    pub(super) download: Option<Download>,
}

/// What the answers to keep-alives tell of the other end of an association, which may have very many
/// elements.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// How quickly they come.
    round_trip: RoundTrip,
    /// When the latest question was asked that has an answer, and when an answer came last.
    latest: Option<(Time, Time)>,
}

impl Answers {
    /// A question was answered; `in_time` where the answer did not lie around here.
    pub(super) fn note(&mut self, now: Time, asked: Time, in_time: bool) {
        if in_time {
            self.round_trip.sample(now - asked);
        }
        let asked = self.latest.map_or(asked, |(latest, _)| latest.max(asked));
        self.latest = Some((asked, now));
    }

    /// How long to wait for an answer: as [`RoundTrip::timeout`], but not long before the first.
    pub(super) fn timeout(&self, floor: Duration, cap: Duration) -> Duration {
        match self.latest {
            Some(_) => self.round_trip.timeout(floor, cap),
            None => floor,
        }
    }

    /// True where an answer came within this time, but none to a later question than this: the other
    /// end takes its time, with one question after the other.
    pub(super) fn are_behind(&self, now: Time, asked: Time, patience: Duration) -> bool {
        self.latest.is_some_and(|(latest, heard)| latest <= asked && now - heard < patience)
    }
}

/// So many elements are taken out at once: some 0.1 ms.
const LOST_AT_ONCE: usize = 64;

impl Registrar {
    pub(super) fn on_up(&mut self, now: Time, peer: Peer, link: Link) {
        let dial = self.dials.remove(&peer);
        if peer.is_dialed() && dial.is_none() {
            // It came up before the driver heard that it is wanted no more: its end is under way.
            return;
        }
        let protocol = link.protocol;
        let association = Association {
            link,
            dial: dial.clone(),
            elements: BTreeSet::new(),
            answers: Answers::default(),
            claims: 0,
            registrar: None,
            is_observer: false,
            is_congested: false,
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
            self.arm_lost(now);
        }
        if association.link.protocol == Protocol::Enrp {
            self.deadlines.disarm(Deadline::Introduction(peer));
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
            self.arm_lost(now);
        }
    }

    /// At once, but not before what has arrived is handed in.
    fn arm_lost(&mut self, now: Time) {
        self.deadlines.arm(Deadline::Lost, now + Duration::from_nanos(1));
    }

    /// The association of an element is gone.
    fn lose(&mut self, now: Time, index: ElementIndex) {
        if self.is_on_its_way(now, index) {
            self.await_other_home(now, index);
        } else {
            self.remove(index, LeaveReason::AssociationLost);
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
