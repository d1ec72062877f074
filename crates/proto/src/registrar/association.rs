//! What this registrar knows of each association.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rserpool_wire::Protocol;
use rserpool_wire::param::RegistrarId;

use super::dials::Dial;
use super::fair_share::Queue;
use super::proof::Proof;
use super::quota::count;
use super::reach::reach_over;
use super::table::Download;
use super::{Deadline, Registrar};
use crate::handlespace::{ElementIndex, Reach};
use crate::machine::{Link, Output, Peer, Source};
use crate::time::Time;

/// One association: with elements, with a user, or with another registrar.
#[derive(Debug)]
pub(super) struct Association {
    pub(super) link: Link,
    /// The rules that are about its other end.
    pub(super) rules: Box<[usize]>,
    /// Why this registrar set it up; `None` where the other end did.
    pub(super) dial: Option<Dial>,
    /// The elements that registered over it, or acknowledged this registrar as home over it.
    pub(super) elements: BTreeSet<ElementIndex>,
    /// What was asked over it, and what answers told of its other end.
    pub(super) answers: Answers,
    /// Its elements that are to be asked whether they live.
    pub(super) queue: Queue,
    /// Elements that were asked over it to accept this registrar, and have not answered.
    pub(super) claims: usize,
    /// The registrar at the other end, once it has said who it is.
    pub(super) registrar: Option<RegistrarId>,
    /// What shows that it is that one, where it is believed.
    pub(super) proof: Proof,
    /// It is not believed, but may be proved right yet.
    pub(super) is_doubted: bool,
    /// Since when it is believed.
    pub(super) identified_at: Option<Time>,
    /// The other end looks on, and is no registrar.
    pub(super) is_observer: bool,
    /// More waits to be sent to the other end than it takes.
    pub(super) is_congested: bool,
    /// The handle table that the other end is fetching.
    pub(super) download: Option<Download>,
    /// Whom it is counted for, from its beginning to its end.
    pub(super) source: Option<Source>,
    /// How far an element has to reach for its other end to be told of it.
    pub(super) reach: Reach,
    /// How many pools that still exist were founded over it.
    pub(super) pools: u32,
    /// When a message came last, or when it came up.
    pub(super) last_used: Time,
    /// A message came.
    pub(super) has_spoken: bool,
}

/// What keep-alives and their answers tell of the other end of an association, which may have very
/// many elements.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// When a question was sent last.
    asked: Option<Time>,
    /// When the latest question was asked that has an answer, and when an answer came last.
    latest: Option<(Time, Time)>,
}

impl Answers {
    /// A question is sent.
    pub(super) fn note_question(&mut self, now: Time) {
        self.asked = Some(now);
    }

    /// A question was answered.
    pub(super) fn note(&mut self, now: Time, asked: Time) {
        let asked = self.latest.map_or(asked, |(latest, _)| latest.max(asked));
        self.latest = Some((asked, now));
    }

    /// True where another question followed the one of this time, not longer ago than `pause`.
    pub(super) fn is_followed(&self, now: Time, asked: Time, pause: Duration) -> bool {
        self.asked.is_some_and(|last| last > asked && now - last < pause)
    }

    /// True where an answer came within this time, but none to a later question than this: the other
    /// end takes its time, with one question after the other.
    pub(super) fn are_behind(&self, now: Time, asked: Time, patience: Duration) -> bool {
        self.latest.is_some_and(|(latest, heard)| latest <= asked && now - heard < patience)
    }
}

impl Registrar {
    /// Where the other end of an association is, for people.
    pub(super) fn remote_addr(&self, peer: Peer) -> Option<SocketAddr> {
        self.associations.get(&peer).and_then(|association| association.link.remote_addr())
    }

    pub(super) fn on_up(&mut self, now: Time, peer: Peer, link: Link) {
        let dial = self.dialing.under_way.remove(&peer);
        if peer.is_dialed() && dial.is_none() {
            // It came up before the driver heard that it is wanted no more: its end is under way.
            return;
        }
        // Who is not admitted takes nobody's place.
        if !self.admits(now, peer, &link) || !self.makes_room(now, peer, &link) {
            self.outputs.push_back(Output::Abort(peer));
            return;
        }
        self.seat(peer, &link);
        let protocol = link.protocol;
        let rules = self.config.access.as_ref();
        let rules = rules.map_or_else(Vec::new, |rules| rules.about(link.identity()));
        let association = Association {
            source: link.source(),
            reach: reach_over(&link),
            link,
            rules: rules.into(),
            dial: dial.clone(),
            elements: BTreeSet::new(),
            answers: Answers::default(),
            queue: Queue::default(),
            claims: 0,
            registrar: None,
            proof: Proof::default(),
            is_doubted: false,
            identified_at: None,
            is_observer: false,
            is_congested: false,
            download: None,
            pools: 0,
            last_used: now,
            has_spoken: false,
        };
        self.associations.insert(peer, association);
        self.count_association(now, peer);
        match (protocol, dial) {
            (Protocol::Enrp, _) if !self.may_speak_enrp(now, peer) => {}
            (Protocol::Enrp, _) => self.link_up(now, peer),
            (Protocol::Asap, Some(Dial::Elements(transport))) => {
                self.elements_reached(now, peer, &transport);
            }
            (Protocol::Asap, _) => {}
        }
    }

    pub(super) fn on_down(&mut self, now: Time, peer: Peer) {
        if let Some(dial) = self.dialing.under_way.remove(&peer) {
            self.dial_failed(now, dial);
            return;
        }
        let Some(mut association) = self.associations.remove(&peer) else {
            return;
        };
        self.forget_contests(peer);
        self.keep_alive_rate.share.resize(association.elements.len(), 0);
        self.discount_association(peer, &association);
        let elements = count(association.elements.len());
        self.usage.change(association.source, |used| used.elements -= elements);
        let elements = std::mem::take(&mut association.elements);
        self.lose_all(now, peer, &association, elements);
        if association.link.protocol == Protocol::Enrp {
            self.deadlines.disarm(Deadline::Introduction(peer));
            self.end_download(peer);
            self.link_lost(now, peer, &association);
        }
    }

    /// An element is looked after over this association.
    pub(super) fn attach(&mut self, peer: Peer, index: ElementIndex) {
        let Some(association) = self.associations.get_mut(&peer) else { return };
        let before = association.elements.len();
        if association.elements.insert(index) {
            self.usage.change(association.source, |used| used.elements += 1);
        }
        self.keep_alive_rate.share.resize(before, association.elements.len());
    }

    /// An element is not looked after over this association any more.
    pub(super) fn detach(&mut self, peer: Peer, index: ElementIndex) {
        let Some(association) = self.associations.get_mut(&peer) else { return };
        let before = association.elements.len();
        if association.elements.remove(&index) {
            association.queue.tidy(&association.elements);
            self.usage.change(association.source, |used| {
                used.elements = used.elements.saturating_sub(1);
            });
        }
        self.keep_alive_rate.share.resize(before, association.elements.len());
    }

    /// True where this association is there, and goes to the port of this protocol.
    pub(super) fn speaks(&self, peer: Peer, protocol: Protocol) -> bool {
        self.associations
            .get(&peer)
            .is_some_and(|association| association.link.protocol == protocol)
    }

    /// A peer has taken what waited for it: what it is owed is made now.
    pub(super) fn resume(&mut self, now: Time, peer: Peer) {
        self.settle_debts(peer);
        self.arm_held(now);
    }

    /// From now on this registrar tells that peer that it is there.
    pub(super) fn on_own_addresses(&mut self, peer: Peer, local: Vec<IpAddr>) {
        if let Some(association) = self.associations.get_mut(&peer) {
            association.link.local = local;
            association.reach = reach_over(&association.link);
        }
    }

    pub(super) fn on_addresses(&mut self, peer: Peer, remote: Vec<IpAddr>) {
        if let Some(association) = self.associations.get_mut(&peer) {
            association.link.remote = remote;
            association.reach = reach_over(&association.link);
        }
    }
}
