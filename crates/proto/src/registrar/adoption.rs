//! Becoming the home of elements whose home died, left, or was restarted (RFC 5353 §3.5.2).
//!
//! Each is asked by ENDPOINT_KEEP_ALIVE with the H flag. Until it agrees, or registers, nobody is
//! told anything of it, and it does not count as this registrar's own: so two halves of a scope
//! that was cut do not fight for elements that only one of them reaches.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use rserpool_wire::Protocol;
use rserpool_wire::asap::{Asap, KeepAlive};
use rserpool_wire::param::{RegistrarId, SctpTransport, Transport};

use super::dials::Dial;
use super::supervision::{EXTENSIONS_MAX, LATENESS_TOLERATED};
use super::token_bucket::TokenBucket;
use super::{Deadline, Event, LeaveReason, Registrar};
use crate::handlespace::ElementIndex;
use crate::machine::{Output, Peer, Target};
use crate::time::Time;

/// The elements that this registrar wants to be the home of.
#[derive(Debug)]
pub(super) struct Adopting {
    elements: BTreeMap<ElementIndex, Adoption>,
    /// Elements that wait for an association to this transport.
    awaiting: BTreeMap<SctpTransport, Vec<ElementIndex>>,
    /// Transports that wait for their dial.
    to_dial: VecDeque<SctpTransport>,
    dialing: usize,
    /// Elements that can be asked, in their order.
    to_ask: VecDeque<(ElementIndex, Peer)>,
    pace: TokenBucket,
    /// Elements of this registrar that another one looks after, too, and that are to decide.
    disputed: BTreeMap<ElementIndex, RegistrarId>,
    /// How many of them are being asked.
    disputes: usize,
    /// Elements that registered over another association than the one over which they were asked
    /// at the same time: they may still agree there, and register.
    crossed: BTreeMap<ElementIndex, Peer>,
    /// Until then this registrar's own elements have been asked back; `None` before the first time.
    claimed_until: Option<Time>,
    /// Until then elements agree that this registrar has taken over last.
    won_until: Time,
}

/// How elements may be reached that are to be adopted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// Over the associations that they have here.
    Connected,
    /// Or over new ones.
    Dial,
}

#[derive(Debug, Default)]
struct Adoption {
    /// Over which association it was asked.
    asked: Option<Peer>,
    /// It was this registrar's own until its association ended.
    was_own: bool,
    /// Another registrar looks after it, too.
    is_disputed: bool,
    extensions: u8,
}

/// Elements that two registrars look after asked at once: what they decide has to reach the other
/// registrar, so no more is told than its association takes.
const DISPUTES_MAX: usize = 256;
/// Elements given up at once, and how soon the next are.
const GIVEN_UP_AT_ONCE: usize = 64;
const GIVEN_UP_PAUSE: Duration = Duration::from_millis(1);
/// Elements' transports dialed at once.
const DIALS_MAX: usize = 256;

impl Adopting {
    pub(super) fn new(rate_max: NonZeroU32) -> Self {
        Self {
            elements: BTreeMap::new(),
            awaiting: BTreeMap::new(),
            to_dial: VecDeque::new(),
            dialing: 0,
            to_ask: VecDeque::new(),
            pace: TokenBucket::new(rate_max),
            disputed: BTreeMap::new(),
            disputes: 0,
            crossed: BTreeMap::new(),
            claimed_until: None,
            won_until: Time::ZERO,
        }
    }

    /// At most `rate_max` a second from now on.
    pub(super) fn set_rate(&mut self, rate_max: NonZeroU32) {
        self.pace.set_rate(rate_max);
    }

    /// True where a registration over this association is what this registrar itself has asked the
    /// element for; once.
    pub(super) fn has_crossed(&mut self, index: ElementIndex, over: Peer) -> bool {
        self.crossed.get(&index) == Some(&over) && self.crossed.remove(&index).is_some()
    }

    /// The element is not this registrar's any more.
    pub(super) fn forget_crossed(&mut self, index: ElementIndex) {
        self.crossed.remove(&index);
    }

    /// This registrar's element is to decide between it and another one.
    pub(super) fn dispute(&mut self, index: ElementIndex, with: RegistrarId) {
        if !self.contains(index) {
            self.disputed.insert(index, with);
        }
    }

    /// True where this registrar may ask its own elements back: once in each grace.
    pub(super) fn begin_claims(&mut self, now: Time, grace: Duration) -> bool {
        if self.claimed_until.is_some_and(|until| now < until) {
            return false;
        }
        self.claimed_until = Some(now + grace);
        true
    }

    /// True where elements that this registrar has taken over are still being asked.
    pub(super) fn has_won_lately(&self, now: Time) -> bool {
        now < self.won_until
    }

    /// Elements to adopt, those in the queue to be asked, transports to dial, and elements that are
    /// to decide.
    pub(super) fn lens(&self) -> [usize; 4] {
        [self.elements.len(), self.to_ask.len(), self.awaiting.len(), self.disputed.len()]
    }

    pub(super) fn contains(&self, index: ElementIndex) -> bool {
        self.elements.contains_key(&index)
    }

    /// True where this element was this registrar's own and may be on its way to another one.
    pub(super) fn was_own(&self, index: ElementIndex) -> bool {
        self.elements.get(&index).is_some_and(|adoption| adoption.was_own)
    }

    /// True where this element was asked over this association.
    pub(super) fn is_asked(&self, index: ElementIndex, over: Peer) -> bool {
        self.elements.get(&index).is_some_and(|adoption| adoption.asked == Some(over))
    }
}

impl Registrar {
    /// Another registrar suggests to become the home of an element
    /// (draft-dreibholz-rserpool-enrp-takeover).
    pub(super) fn on_suggestion(&mut self, now: Time, index: ElementIndex, by: RegistrarId) {
        self.stats.suggestions_received += 1;
        if self.config.follow_suggestions && self.is_serving() {
            let reach = self.reach_of_elements_from(by);
            self.adopt(now, [index], reach);
        }
    }

    /// How elements may be reached that a registrar has told of: strangers can tell of any number, at
    /// anybody's address.
    pub(super) fn reach_of_elements_from(&self, sender: RegistrarId) -> Reach {
        if self.is_vouched_for(sender) { Reach::Dial } else { Reach::Connected }
    }

    /// Asks elements to accept this registrar as their home, over the associations that they have
    /// with it, or over new ones to where they registered from.
    pub(super) fn adopt(
        &mut self,
        now: Time,
        elements: impl IntoIterator<Item = ElementIndex>,
        reach: Reach,
    ) {
        let mut connected: Option<BTreeMap<(IpAddr, u16), Peer>> = None;
        let is_foreign = |index: &ElementIndex| {
            !self.supervised.contains(*index) && !self.adopting.contains(*index)
        };
        let elements: Vec<ElementIndex> = elements.into_iter().filter(is_foreign).collect();
        let grace = self.grace_among(elements.len());
        for index in elements {
            let Some(view) = self.handlespace.element(index) else { continue };
            let transport = view.element.asap_transport.clone();
            self.adopting.elements.insert(index, Adoption::default());
            self.deadlines.arm(Deadline::Supervision(index), now + grace);
            let Some(transport) = transport else { continue };
            let connected = connected.get_or_insert_with(|| self.connected_elements());
            let known = |ip: &IpAddr| connected.get(&(*ip, transport.port)).copied();
            match transport.addresses.iter().find_map(known) {
                Some(peer) => self.adopting.to_ask.push_back((index, peer)),
                None if reach == Reach::Dial => self.await_transport(index, transport),
                None => self.stats.elements_not_dialed += 1,
            }
        }
        self.dial_elements();
        self.ask_elements(now);
    }

    /// Gives up what a registrar told that is not believed, and that is gone: nobody else says that
    /// these elements exist, so nobody is told of them as this registrar's own. One that lives
    /// registers. Some at a time, so that others have their answers in between.
    pub(super) fn give_up(&mut self, now: Time, elements: Vec<ElementIndex>) {
        let is_foreign = |index: &ElementIndex| {
            !self.supervised.contains(*index) && !self.adopting.contains(*index)
        };
        let elements: Vec<ElementIndex> = elements.into_iter().filter(is_foreign).collect();
        let mut at = now;
        for some in elements.chunks(GIVEN_UP_AT_ONCE) {
            for &index in some {
                // It waits for nothing.
                let adoption = Adoption { extensions: EXTENSIONS_MAX, ..Adoption::default() };
                self.adopting.elements.insert(index, adoption);
                self.deadlines.arm(Deadline::Supervision(index), at);
            }
            at = at + GIVEN_UP_PAUSE;
        }
    }

    /// So many elements have been taken over, and are going to be asked.
    pub(super) fn note_takeover(&mut self, now: Time, count: usize) {
        self.adopting.won_until = now + self.grace_among(count);
    }

    /// How long each of so many elements of one home has to come by itself, where it cannot be
    /// asked. A home that had many asked each of them rarely, and as late they find out that it is
    /// silent: after one and a half of their rhythm and a question.
    pub(super) fn grace_among(&self, count: usize) -> Duration {
        self.config.adoption_grace.max(self.keep_alive_rate.tokens.interval_of_each(count) * 2)
    }

    /// Asks elements that have registered here whether they still want this registrar.
    pub(super) fn claim(&mut self, now: Time, connected: Vec<(ElementIndex, Peer)>) {
        for (index, peer) in connected {
            self.adopting.elements.entry(index).or_default();
            self.deadlines.arm(Deadline::Supervision(index), now + self.config.adoption_grace);
            self.adopting.to_ask.push_back((index, peer));
        }
        self.ask_elements(now);
    }

    /// Asks elements that two registrars look after, as many as may be asked at once, and only while
    /// the other registrar takes what is sent.
    pub(super) fn ask_disputed(&mut self, now: Time) {
        while self.adopting.disputes < DISPUTES_MAX
            && let Some((&index, &with)) = self.adopting.disputed.first_key_value()
        {
            let link = self.link_to(with);
            if link.is_some_and(|link| self.is_congested(link)) {
                // The end of the congestion goes on.
                return;
            }
            self.adopting.disputed.pop_first();
            if link.is_none() {
                // Whoever is gone looks after nothing; the next audit shows it if it does.
                continue;
            }
            let association = self.supervised.get(index).and_then(|it| it.association);
            let Some(peer) = association.filter(|_| !self.adopting.contains(index)) else {
                continue;
            };
            self.stats.disputes += 1;
            self.adopting.disputes += 1;
            let adoption = Adoption { is_disputed: true, ..Adoption::default() };
            self.adopting.elements.insert(index, adoption);
            self.claim(now, vec![(index, peer)]);
        }
    }

    /// The association of an element ended that another registrar was told to take: that one has
    /// a moment to say that it has it. Nobody is told before.
    pub(super) fn await_other_home(&mut self, now: Time, index: ElementIndex) {
        self.supervised.remove(index);
        self.reports.remove(index);
        let adoption = Adoption { was_own: true, ..Adoption::default() };
        self.adopting.elements.insert(index, adoption);
        let wait = self.config.timing.response_timeout;
        self.deadlines.arm(Deadline::Supervision(index), now + wait);
    }

    /// The associations of elements and users, by the addresses at their other ends.
    fn connected_elements(&self) -> BTreeMap<(IpAddr, u16), Peer> {
        let asap = self.associations.iter().filter(|(_, a)| a.link.protocol == Protocol::Asap);
        let ends = asap.flat_map(|(&peer, association)| {
            let link = &association.link;
            link.remote.iter().map(move |&ip| ((ip, link.remote_port), peer))
        });
        ends.collect()
    }

    fn await_transport(&mut self, index: ElementIndex, transport: SctpTransport) {
        let adopting = &mut self.adopting;
        if !adopting.awaiting.contains_key(&transport) {
            adopting.to_dial.push_back(transport.clone());
        }
        adopting.awaiting.entry(transport).or_default().push(index);
    }

    fn dial_elements(&mut self) {
        while self.adopting.dialing < DIALS_MAX
            && let Some(transport) = self.adopting.to_dial.pop_front()
        {
            self.adopting.dialing += 1;
            let target = Target::Learned(Transport::Sctp(transport.clone()));
            self.dial(target, Protocol::Asap, Dial::Elements(transport));
        }
    }

    pub(super) fn elements_reached(&mut self, now: Time, peer: Peer, transport: &SctpTransport) {
        self.adopting.dialing -= 1;
        let waiting = self.adopting.awaiting.remove(transport).unwrap_or_default();
        self.adopting.to_ask.extend(waiting.into_iter().map(|index| (index, peer)));
        self.leave_if_useless(peer);
        self.dial_elements();
        self.ask_elements(now);
    }

    /// Elements that cannot be reached may still register, here or elsewhere: those over TCP cannot
    /// be dialed at all.
    pub(super) fn elements_unreachable(&mut self, now: Time, transport: &SctpTransport) {
        self.adopting.dialing -= 1;
        self.adopting.awaiting.remove(transport);
        self.dial_elements();
        self.ask_elements(now);
    }

    /// Asks as many as the pace allows, in order.
    pub(super) fn ask_elements(&mut self, now: Time) {
        while let Some(&(index, peer)) = self.adopting.to_ask.front() {
            if let Err(at) = self.adopting.pace.take(now) {
                self.deadlines.arm(Deadline::Adoption, at);
                return;
            }
            self.adopting.to_ask.pop_front();
            self.ask_element(now, index, peer);
            self.leave_if_useless(peer);
        }
    }

    fn ask_element(&mut self, now: Time, index: ElementIndex, peer: Peer) {
        let Some(view) = self.handlespace.element(index) else { return };
        let (handle, id) = (view.handle.clone(), view.element.id);
        let Some(association) = self.associations.get_mut(&peer) else { return };
        let Some(adoption) = self.adopting.elements.get_mut(&index) else { return };
        if adoption.asked.replace(peer).is_none() {
            association.claims += 1;
        }
        // From here on the grace is the element's, not that of the queues.
        self.deadlines.arm(Deadline::Supervision(index), now + self.config.adoption_grace);
        self.stats.keep_alives += 1;
        let message = KeepAlive {
            claim_home: true,
            sender: Some(self.id),
            handle,
            id: (!self.config.strict_rfc_keepalive).then_some(id),
        };
        self.send(peer, Asap::KeepAlive(message));
    }

    /// An element agreed: it is this registrar's own, and everyone is told.
    pub(super) fn adopted(&mut self, now: Time, peer: Peer, index: ElementIndex) {
        let is_new = !self.supervised.contains(index);
        self.defend(index);
        self.handlespace.set_home(index, self.id);
        let Some(view) = self.handlespace.element(index) else { return };
        let (handle, id, life) = (view.handle.clone(), view.element.id, view.element.life);
        self.supervise_over(now, index, peer, life);
        self.forget_adoption(index);
        self.stats.keep_alive_acks += 1;
        if is_new {
            self.stats.adopted += 1;
            self.outputs.push_back(Output::Event(Event::Joined { handle, id }));
        }
        self.tell_added(index);
    }

    /// An element need not be asked any more. Its timer is the caller's to arm or to disarm, but
    /// where it is not supervised it has none.
    pub(super) fn forget_adoption(&mut self, index: ElementIndex) {
        let Some(adoption) = self.adopting.elements.remove(&index) else { return };
        self.adopting.disputes -= usize::from(adoption.is_disputed);
        if !self.supervised.contains(index) {
            self.deadlines.disarm(Deadline::Supervision(index));
        }
        let Some(peer) = adoption.asked else { return };
        let Some(association) = self.associations.get_mut(&peer) else { return };
        let over = self.supervised.get(index).and_then(|it| it.association);
        if over.is_some_and(|over| over != peer) {
            self.adopting.crossed.insert(index, peer);
        }
        association.claims = association.claims.saturating_sub(1);
        self.leave_if_useless(peer);
    }

    /// Ends an association that was dialed for the sake of elements, once there are none to ask
    /// over it, and none that came. Left alone it would keep them from dialing this registrar:
    /// between two SCTP ports there is one association at most.
    fn leave_if_useless(&mut self, peer: Peer) {
        let Some(association) = self.associations.get(&peer) else { return };
        let is_for_elements = matches!(association.dial, Some(Dial::Elements(_)));
        if is_for_elements
            && association.claims == 0
            && association.elements.is_empty()
            && !self.adopting.to_ask.iter().any(|(_, over)| *over == peer)
        {
            if let Some(association) = self.associations.remove(&peer) {
                self.discount_association(peer, &association);
            }
            self.outputs.push_back(Output::Close(peer));
        }
    }

    /// The grace of an element is over.
    pub(super) fn on_grace_over(&mut self, now: Time, due: Time, index: ElementIndex) {
        let lateness = now - due;
        let Some(adoption) = self.adopting.elements.get_mut(&index) else { return };
        let is_queued = adoption.asked.is_none()
            && !(self.adopting.to_dial.is_empty() && self.adopting.to_ask.is_empty());
        if (lateness > LATENESS_TOLERATED || is_queued) && adoption.extensions < EXTENSIONS_MAX {
            adoption.extensions += 1;
            self.deadlines.arm(Deadline::Supervision(index), now + self.config.adoption_grace);
            return;
        }
        let asked = adoption.asked;
        let reason = match adoption.was_own {
            true => LeaveReason::AssociationLost,
            false => LeaveReason::Orphaned,
        };
        let view = self.handlespace.element(index);
        let key = view.map(|view| (view.handle.clone(), view.element.id));
        if view.and_then(|view| view.element.home) == Some(self.id) {
            self.remove(now, index, reason);
            if let (Some(peer), Some((handle, id))) = (asked, key)
                && self.associations.contains_key(&peer)
            {
                self.tell_removed(peer, handle, id);
            }
        } else {
            self.forget_adoption(index);
        }
    }
}
