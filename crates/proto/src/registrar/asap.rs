//! What elements and users ask of a registrar (RFC 5352 §3.1 to §3.5).

use rserpool_wire::Protocol;
use rserpool_wire::asap::{
    Asap, Deregistration, DeregistrationResponse, HandleResolution, HandleResolutionResponse,
    Registration, RegistrationResponse,
};
use rserpool_wire::param::{Cause, PeId, Policy, PolicyField, PoolElement, PoolHandle};
use rserpool_wire::registry::CauseCode;

use super::access::{Denial, Verb};
use super::admission::admit;
use super::{Event, LeaveReason, Registrar};
use crate::handlespace::{ElementIndex, Reach, Refused};
use crate::machine::{Carrier, Output, Peer};
use crate::time::Time;

impl Registrar {
    /// RFC 5352 §3.1, the registrar's side.
    pub(super) fn register(&mut self, now: Time, peer: Peer, message: Registration) {
        let Registration { handle, element } = message;
        let id = element.id;
        let Some(association) = self.associations.get(&peer) else {
            return;
        };
        let refused_carrier =
            association.link.carrier == Carrier::Tcp && !self.config.tcp_registration;
        let known = self.handlespace.find(&handle, id);
        let admitted = admit(&self.config, &association.link, element);
        let admitted = admitted.and_then(|element| match known {
            Some(index) if self.is_here_over(index, peer) => Ok(Some(element)),
            Some(index) if self.is_anothers(index, peer) => {
                let what = (Verb::Register, Some(handle.clone()));
                self.refuse(now, peer, what, Denial::Owner);
                Err(Cause::new(CauseCode::SECURITY))
            }
            Some(index) => self.contest(now, peer, index, element),
            None => Ok(Some(element)),
        });
        match admitted {
            // It is answered when the element that is there has answered, or not.
            Ok(None) => {}
            Ok(Some(element)) => self.enter_known(now, peer, (handle, known), element),
            Err(cause) => self.reject(peer, handle, id, cause),
        }
        if refused_carrier {
            self.on_down(now, peer);
            self.outputs.push_back(Output::Close(peer));
        }
    }

    pub(super) fn enter_and_answer(
        &mut self,
        now: Time,
        peer: Peer,
        handle: PoolHandle,
        element: PoolElement,
    ) {
        let known = self.handlespace.find(&handle, element.id);
        self.enter_known(now, peer, (handle, known), element);
    }

    /// True where an element is this registrar's own, and registered over this association.
    fn is_here_over(&self, index: ElementIndex, peer: Peer) -> bool {
        self.supervised.get(index).is_some_and(|it| it.association == Some(peer))
            && self.handlespace.home(index) == Some(self.id)
    }

    /// The same where the element was looked for already.
    fn enter_known(
        &mut self,
        now: Time,
        peer: Peer,
        (handle, known): (PoolHandle, Option<ElementIndex>),
        element: PoolElement,
    ) {
        let id = element.id;
        match self.enter(now, peer, (&handle, known), element) {
            Ok(()) => {
                self.stats.registrations += 1;
                let (rejected, causes) = (false, Vec::new());
                let answer = RegistrationResponse { rejected, handle, id, causes };
                self.send(peer, Asap::RegistrationResponse(answer));
            }
            Err(cause) => self.reject(peer, handle, id, cause),
        }
    }

    pub(super) fn reject(&mut self, peer: Peer, handle: PoolHandle, id: PeId, cause: Cause) {
        self.stats.rejections += 1;
        let from = self.remote_addr(peer);
        let event = Event::Rejected { handle: handle.clone(), id, cause: cause.clone(), from };
        self.outputs.push_back(Output::Event(event));
        let answer = RegistrationResponse { rejected: true, handle, id, causes: vec![cause] };
        self.send(peer, Asap::RegistrationResponse(answer));
    }

    /// Enters an admitted element into its pool, new or again.
    fn enter(
        &mut self,
        now: Time,
        peer: Peer,
        (handle, known): (&PoolHandle, Option<ElementIndex>),
        mut element: PoolElement,
    ) -> Result<(), Cause> {
        if let Some(index) = known {
            element.policy = self.with_distance(index, element.policy);
        }
        self.check_ban(handle, element.id)?;
        self.check_quotas(now, peer, handle, known)?;
        let is_new_pool = known.is_none() && !self.handlespace.contains(handle);
        // RFC 5352 §3.1 rule 4: also where it was another registrar's.
        element.home = Some(self.id);
        let PoolElement { id, life, .. } = element;
        let registered = match known {
            Some(index) => self.handlespace.register_again(index, handle, element),
            None => self.handlespace.register(handle, element),
        };
        let registered = match registered {
            Ok(registered) => registered,
            Err(refused) => {
                if let Refused::Limit(limit) = refused {
                    self.limit_reached(now, limit, peer);
                }
                return Err(refused.cause());
            }
        };
        if is_new_pool {
            self.pool_founded(peer, handle);
        }
        if !self.supervised.contains(registered.index) {
            let event = Event::Joined { handle: handle.clone(), id };
            self.outputs.push_back(Output::Event(event));
        }
        self.supervise_over(now, registered.index, peer, life);
        // Not before: an association that was dialed to ask for it carries the element now.
        self.forget_adoption(registered.index);
        if self.foreign_claims.close(registered.index) {
            self.stats.foreign_claims_refused += 1;
        }
        self.subscriptions.mark(handle, registered.outcome);
        // RFC 5353 §3.3.1: each time, for that heals what was lost.
        self.tell_added(registered.index);
        Ok(())
    }

    /// The policy with the distance that this registrar measured: half a round trip, where the
    /// policy looks at distances (draft-dreibholz-rserpool-delay).
    fn with_distance(&self, index: ElementIndex, policy: Policy) -> Policy {
        let round_trip = self.supervised.get(index).and_then(|s| s.round_trip.smoothed());
        match round_trip {
            Some(round_trip) => {
                let millis = u32::try_from(round_trip.as_millis() / 2).unwrap_or(u32::MAX);
                policy.with(PolicyField::Distance, millis)
            }
            None => policy,
        }
    }

    /// RFC 5352 §3.2, the registrar's side: only of one's own.
    pub(super) fn deregister(&mut self, now: Time, peer: Peer, message: Deregistration) {
        let Deregistration { handle, id } = message;
        // An unknown element is as good as deregistered.
        let index = self.handlespace.find(&handle, id);
        let owned = index.filter(|index| self.owns(peer, *index));
        let mut causes = Vec::new();
        if index != owned {
            self.stats.foreign_deregistrations += 1;
            causes.push(Cause::new(CauseCode::SECURITY));
        }
        // First, for an association that was dialed for the element's sake ends with it.
        let answer = DeregistrationResponse { handle, id, causes };
        self.send(peer, Asap::DeregistrationResponse(answer));
        if let Some(index) = owned {
            self.stats.deregistrations += 1;
            self.remove(now, index, LeaveReason::Deregistered);
        }
    }

    /// True where the peer of this association is the element: it registered over it, or this
    /// registrar has taken it over and it comes from where it registered. At a registrar that is not
    /// its home nobody is: the home decides, and an address is no identity.
    fn owns(&self, peer: Peer, index: ElementIndex) -> bool {
        if let Some(over) = self.supervised.get(index).and_then(|s| s.association) {
            return over == peer;
        }
        let (Some(association), Some(view)) =
            (self.associations.get(&peer), self.handlespace.element(index))
        else {
            return false;
        };
        let link = &association.link;
        let comes_from_there = view.element.asap_transport.as_ref().is_some_and(|registered| {
            registered.port == link.remote_port
                && link.remote.iter().any(|ip| registered.addresses.contains(ip))
        });
        let is_here = view.element.home == Some(self.id);
        is_here && (comes_from_there || self.adopting.is_asked(index, peer))
    }

    /// RFC 5352 §3.3, the registrar's side.
    pub(super) fn resolve(&mut self, peer: Peer, message: HandleResolution) {
        let HandleResolution { want_updates, handle, items } = message;
        self.answer_resolution(peer, handle, items, want_updates);
    }

    /// Tells what a handle stands for, and enters a subscription where one is wanted. Returns how
    /// many octets that took; `None` where it stands for nothing: then there is no subscription.
    pub(super) fn answer_resolution(
        &mut self,
        peer: Peer,
        handle: PoolHandle,
        items: Option<u32>,
        want_updates: bool,
    ) -> Option<usize> {
        let updates_accepted = want_updates && self.may_subscribe(peer, &handle);
        let there = self.arrival.filter(|(from, _)| *from == peer).map(|(_, reach)| reach);
        let associations = &self.associations;
        let far = || associations.get(&peer).map_or(Reach::Everywhere, |it| it.reach);
        let reach = || there.unwrap_or_else(far);
        let found = self.handlespace.resolve_within(&handle, items, reach);
        // A pool whose elements all have weight 0 has none to offer.
        let Some(found) = found.filter(|found| !found.is_empty()) else {
            self.stats.unknown_pools += 1;
            let answer = HandleResolutionResponse {
                updates_accepted: false,
                handle,
                policy: None,
                elements: Vec::new(),
                causes: vec![Cause::new(CauseCode::UNKNOWN_POOL_HANDLE)],
            };
            self.send(peer, Asap::HandleResolutionResponse(answer));
            return None;
        };
        self.stats.resolutions += 1;
        if updates_accepted && self.subscriptions.enter(peer, handle.clone(), items) {
            let source = self.associations.get(&peer).and_then(|it| it.source);
            self.usage.change(source, |used| used.subscriptions += 1);
        }
        let (policy, elements) = (&found.policy, found.elements());
        let octets =
            HandleResolutionResponse::octets_of(updates_accepted, &handle, policy, elements);
        let sent = octets.len();
        self.outputs.push_back(Output::SendEncoded(peer, Protocol::Asap, octets));
        Some(sent)
    }

    /// Tells an element that it is out of the pool (RFC 5352 §2.2.4).
    pub(super) fn tell_removed(&mut self, peer: Peer, handle: PoolHandle, id: PeId) {
        self.tell_out(peer, handle, id, Vec::new());
    }

    /// The same with the reasons; where the association has ended it is told nothing.
    pub(super) fn tell_out(
        &mut self,
        peer: Peer,
        handle: PoolHandle,
        id: PeId,
        causes: Vec<Cause>,
    ) {
        if self.associations.contains_key(&peer) {
            let message = DeregistrationResponse { handle, id, causes };
            self.send(peer, Asap::DeregistrationResponse(message));
        }
    }
}
