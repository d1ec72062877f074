//! What rules say of each request, before it changes anything.
//!
//! Rules about somebody are looked up when an association comes up, so that for each request only
//! few are asked, each for the beginning of a handle. Without rules all of that is one comparison.

use std::sync::Arc;
use std::time::Duration;

use rserpool_wire::Protocol;
use rserpool_wire::asap::{
    Asap, DeregistrationResponse, HandleResolutionResponse, RegistrationResponse,
};
use rserpool_wire::param::{Cause, PoolHandle, RegistrarId};
use rserpool_wire::registry::CauseCode;

use super::access::{Denial, Request, Rules, Verb, may_be_registrar};
use super::holders::{Held, Holder, Holders};
use super::token_bucket::TokenBucket;
use super::{Event, Registrar};
use crate::handlespace::ElementIndex;
use crate::machine::{Link, Output, Peer};
use crate::time::Time;

/// What is refused to the same one again and again is told once in this time.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

impl Registrar {
    /// How often each one was refused something by rules, since it is remembered.
    pub fn refusals(&self) -> impl Iterator<Item = (Holder, u64)> + '_ {
        self.holders.all().map(|(holder, held)| (*holder, held.refused))
    }

    /// An association is up: whether there may be one with its other end. Nothing is taken for it.
    pub(super) fn admits(&mut self, now: Time, peer: Peer, link: &Link) -> bool {
        self.is_keyed |= link.identity.is_some();
        let Some(rules) = &self.config.access else { return true };
        if link.protocol != Protocol::Asap || peer.is_dialed() {
            return true;
        }
        let about = rules.about(link.identity());
        let max = about.iter().find_map(|&number| rules.allow.get(number)?.associations_max);
        let Some(max) = max else { return true };
        let held = self.holders.get(Holder::of(link));
        let is_full = held.map_or(0, |held| held.accepted().count()) >= max as usize;
        if is_full {
            self.tell_refusal(now, link, (Verb::Resolve, None), Denial::Associations);
        }
        !is_full
    }

    /// An association with an element or a user is there, and counts for its other end.
    pub(super) fn seat(&mut self, peer: Peer, link: &Link) {
        if self.config.access.is_some() && link.protocol == Protocol::Asap {
            self.holders.join(Holder::of(link), peer);
        }
    }

    /// An association has ended.
    pub(super) fn dismiss(&mut self, peer: Peer, link: &Link) {
        if self.holders.len() > 0 {
            self.holders.leave(Holder::of(link), peer);
        }
    }

    /// Whether the rules allow what comes from an element or a user; where not, it is answered. A
    /// request that `is_new` was not looked at before it had to wait.
    pub(super) fn permits(&mut self, now: Time, peer: Peer, asap: &Asap, is_new: bool) -> bool {
        let Some(rules) = self.config.access.clone() else { return true };
        let Some((request, handle)) = request_of(asap) else { return true };
        let Some(association) = self.associations.get(&peer) else { return false };
        let verdict = rules.decide_among(&association.rules, &request);
        let mut allowed = verdict.allowed;
        if request.verb == Verb::Report && allowed.is_ok() {
            let resolve = Request::new(Verb::Resolve, request.pool);
            allowed = rules.decide_among(&association.rules, &resolve).allowed;
        }
        let holder = Holder::of(&association.link);
        if let (Ok(()), Some(number)) = (allowed, verdict.rule) {
            allowed = self.within(now, (holder, peer), (&rules, number), asap, is_new);
        }
        let Err(denial) = allowed else { return true };
        self.refuse(now, peer, (request.verb, Some(handle.clone())), denial);
        self.answer_refused(peer, asap, denial);
        false
    }

    /// Whether the bounds of a rule leave room.
    fn within(
        &mut self,
        now: Time,
        (holder, peer): (Holder, Peer),
        (rules, number): (&Rules, usize),
        asap: &Asap,
        is_new: bool,
    ) -> Result<(), Denial> {
        let Some(rule) = rules.allow.get(number) else { return Ok(()) };
        if let (Asap::Registration(message), Some(max)) = (asap, rule.elements_max) {
            let index = self.handlespace.find(&message.handle, message.element.id);
            let carrier = index.and_then(|index| self.supervised.get(index)?.association);
            let held = self.holders.get(holder);
            let peers = || held.into_iter().flat_map(Held::accepted);
            let is_there = carrier == Some(peer) || peers().any(|it| carrier == Some(it));
            let of = |peer| self.associations.get(&peer).map_or(0, |it| it.elements.len());
            if !is_there && peers().map(of).sum::<usize>() >= max as usize {
                return Err(Denial::Elements);
            }
        }
        if let (Some(rate), true) = (rule.rate, is_new) {
            // Who has an association is held, as long as there are rules.
            let Some(held) = self.holders.get_mut(holder) else { return Err(Denial::Rate) };
            let bucket = held.rates.entry(number).or_insert_with(|| TokenBucket::new(rate));
            return bucket.take(now).map_err(|_| Denial::Rate);
        }
        Ok(())
    }

    fn answer_refused(&mut self, peer: Peer, asap: &Asap, denial: Denial) {
        let code = match denial {
            Denial::Rate | Denial::Elements => CauseCode::LACK_OF_RESOURCES,
            _ => CauseCode::SECURITY,
        };
        let causes = vec![Cause::new(code)];
        let answer = match asap {
            Asap::Registration(message) => {
                self.stats.rejections += 1;
                let (handle, id) = (message.handle.clone(), message.element.id);
                Asap::RegistrationResponse(RegistrationResponse {
                    rejected: true,
                    handle,
                    id,
                    causes,
                })
            }
            Asap::Deregistration(message) => {
                self.stats.foreign_deregistrations += 1;
                let (handle, id) = (message.handle.clone(), message.id);
                Asap::DeregistrationResponse(DeregistrationResponse { handle, id, causes })
            }
            // Whoever may not know of a pool is not to know either that it is there.
            Asap::HandleResolution(message) => {
                self.stats.unknown_pools += 1;
                let unknown = vec![Cause::new(CauseCode::UNKNOWN_POOL_HANDLE)];
                Asap::HandleResolutionResponse(HandleResolutionResponse {
                    updates_accepted: false,
                    handle: message.handle.clone(),
                    policy: None,
                    elements: Vec::new(),
                    causes: if denial == Denial::Rate { causes } else { unknown },
                })
            }
            Asap::Unreachable(_) => {
                self.stats.reports += 1;
                self.stats.reports_ignored += 1;
                return;
            }
            _ => return,
        };
        self.send(peer, answer);
    }

    /// Something is refused, and counted for whoever wanted it.
    pub(super) fn refuse(
        &mut self,
        now: Time,
        peer: Peer,
        what: (Verb, Option<PoolHandle>),
        denial: Denial,
    ) {
        if let Some(association) = self.associations.get(&peer) {
            let link = association.link.clone();
            self.tell_refusal(now, &link, what, denial);
        }
    }

    fn tell_refusal(
        &mut self,
        now: Time,
        link: &Link,
        (verb, handle): (Verb, Option<PoolHandle>),
        denial: Denial,
    ) {
        *match verb {
            Verb::Register => &mut self.stats.refused_register,
            Verb::Resolve => &mut self.stats.refused_resolve,
            Verb::Report => &mut self.stats.refused_report,
            Verb::Administer => &mut self.stats.refused_administer,
            Verb::Peer => &mut self.stats.refused_peer,
        } += 1;
        let Some(held) = self.holders.remember(Holder::of(link)) else { return };
        held.refused += 1;
        if held.told.get(&verb).is_some_and(|at| now - *at < TOLD_AGAIN) {
            return;
        }
        held.told.insert(verb, now);
        let (who, from) = (link.identity.clone(), link.remote_addr());
        let event = Event::Refused { who, from, verb, handle, denial };
        self.outputs.push_back(Output::Event(event));
    }

    /// Whether an element is another identity's: the one of the association that it registered over.
    pub(super) fn is_anothers(&self, index: ElementIndex, peer: Peer) -> bool {
        let identity = |peer| self.associations.get(&peer).and_then(|it| it.link.identity());
        let over = self.supervised.get(index).and_then(|it| it.association);
        let Some(owner) = over.filter(|over| *over != peer).and_then(identity) else {
            return false;
        };
        !identity(peer).is_some_and(|newcomer| owner.is_same_owner(newcomer))
    }

    /// Whether the other end of an association may be the registrar that it says it is; else the
    /// association ends.
    pub(super) fn may_be(&mut self, now: Time, link: Peer, id: RegistrarId) -> bool {
        if !self.is_keyed && self.config.access.is_none() {
            return true;
        }
        let Some(association) = self.associations.get(&link) else { return false };
        if association.registrar == Some(id) {
            return true;
        }
        let who = association.link.identity();
        let allowed = match &self.config.access {
            Some(rules) => rules.decide_peer(who, id),
            None => may_be_registrar(who),
        };
        let Err(denial) = allowed else { return true };
        self.refuse_peer(now, link, Verb::Peer, denial);
        false
    }

    /// Whether an association may look on at the ENRP port; else it ends.
    pub(super) fn may_look_on(&mut self, now: Time, link: Peer) -> bool {
        let Some(rules) = self.config.access.as_ref() else { return true };
        let Some(association) = self.associations.get(&link) else { return false };
        let request = Request::new(Verb::Administer, None);
        let Err(denial) = rules.decide_among(&association.rules, &request).allowed else {
            return true;
        };
        self.refuse_peer(now, link, Verb::Administer, denial);
        false
    }

    /// Whether the other end of an association has any business at the ENRP port; else it ends.
    pub(super) fn may_speak_enrp(&mut self, now: Time, link: Peer) -> bool {
        let Some(rules) = self.config.access.as_ref() else { return true };
        let identity = self.associations.get(&link).and_then(|it| it.link.identity());
        if rules.may_speak_enrp(identity) {
            return true;
        }
        self.refuse_peer(now, link, Verb::Peer, Denial::NoRule);
        false
    }

    fn refuse_peer(&mut self, now: Time, link: Peer, verb: Verb, denial: Denial) {
        self.refuse(now, link, (verb, None), denial);
        self.refuse_link(now, link);
    }

    /// Whether a key or a name is bound to a registrar's identifier, and this is it.
    pub(super) fn is_bound(&self, link: Peer, id: RegistrarId) -> bool {
        let Some(rules) = &self.config.access else { return false };
        let identity = self.associations.get(&link).and_then(|it| it.link.identity());
        identity.is_some() && rules.binds(identity, id)
    }

    /// Whether whoever answers over an association may have this element in its pool.
    pub(super) fn may_keep(&self, peer: Peer, index: ElementIndex) -> bool {
        let Some(rules) = &self.config.access else { return true };
        let (Some(association), Some(view)) =
            (self.associations.get(&peer), self.handlespace.element(index))
        else {
            return false;
        };
        let (handle, element) = (view.handle.as_bytes(), view.element);
        let request = Request::register(handle, element.id, &element.policy);
        rules.decide_among(&association.rules, &request).allowed.is_ok()
    }

    /// Other rules hold from now on. Who has something that they do not allow goes.
    pub(super) fn change_rules(&mut self, now: Time, rules: Option<Arc<Rules>>) {
        self.config.access = rules;
        self.holders.forget_rates();
        let peers: Vec<Peer> = self.associations.keys().copied().collect();
        for peer in peers {
            let Some(association) = self.associations.get_mut(&peer) else { continue };
            let link = &association.link;
            let rules = self.config.access.as_ref();
            association.rules = rules.map_or_else(Vec::new, |it| it.about(link.identity())).into();
            if rules.is_some() && link.protocol == Protocol::Asap {
                self.holders.join(Holder::of(link), peer);
            }
            let (is_enrp, registrar) = (link.protocol == Protocol::Enrp, association.registrar);
            if is_enrp {
                self.check_link(now, peer, registrar);
            } else if let Some(verb) = self.is_not_allowed_any_more(peer) {
                self.refuse(now, peer, (verb, None), Denial::NoRule);
                self.outputs.push_back(Output::Close(peer));
                self.on_down(now, peer);
            }
        }
        if self.config.access.is_none() {
            self.holders = Holders::default();
        }
    }

    fn check_link(&mut self, now: Time, link: Peer, registrar: Option<RegistrarId>) {
        let who = self.associations.get(&link).and_then(|it| it.link.identity());
        let Some(rules) = &self.config.access else { return };
        match registrar.map(|id| rules.decide_peer(who, id)) {
            Some(Err(denial)) => self.refuse_peer(now, link, Verb::Peer, denial),
            Some(Ok(())) => {}
            None => {
                let _ = self.may_speak_enrp(now, link);
            }
        }
    }

    /// What an association has that no rule allows.
    fn is_not_allowed_any_more(&self, peer: Peer) -> Option<Verb> {
        let rules = self.config.access.as_ref()?;
        let association = self.associations.get(&peer)?;
        let resolves = |handle: &PoolHandle| {
            let request = Request::new(Verb::Resolve, Some(handle.as_bytes()));
            rules.decide_among(&association.rules, &request).allowed.is_ok()
        };
        if !association.elements.iter().all(|&index| self.may_keep(peer, index)) {
            return Some(Verb::Register);
        }
        let has_all = self.subscriptions.of(peer).all(resolves);
        let has_none = association.rules.is_empty() && !peer.is_dialed();
        (!has_all || has_none).then_some(Verb::Resolve)
    }
}

/// What a message wants, and of which pool; `None` where rules say nothing of it.
fn request_of(asap: &Asap) -> Option<(Request<'_>, &PoolHandle)> {
    let (verb, handle) = match asap {
        Asap::Registration(message) => {
            let (handle, element) = (&message.handle, &message.element);
            let request = Request::register(handle.as_bytes(), element.id, &element.policy);
            return Some((request, handle));
        }
        Asap::Deregistration(message) => (Verb::Register, &message.handle),
        Asap::HandleResolution(message) => (Verb::Resolve, &message.handle),
        Asap::Unreachable(message) => (Verb::Report, &message.handle),
        _ => return None,
    };
    Some((Request::new(verb, Some(handle.as_bytes())), handle))
}
