//! What changes is told to all registrars at once (RFC 5353 §3.3).

use rserpool_wire::enrp::{Body, Update, UpdateAction};
use rserpool_wire::param::{PeId, PoolElement, PoolHandle, RegistrarId};

use super::{Deadline, Event, Misbehaviour, Registrar};
use crate::handlespace::Outcome;
use crate::handlespace::{ElementIndex, Refused};
use crate::machine::{Output, Peer};
use crate::time::Time;

impl Registrar {
    /// RFC 5353 §3.3.1: an element of this registrar registered, or agreed to be adopted.
    pub(super) fn tell_added(&mut self, index: ElementIndex) {
        let Some(view) = self.handlespace.element(index).filter(|_| !self.peers.is_empty()) else {
            return;
        };
        let (handle, element) = (view.handle.clone(), view.element.clone());
        self.tell_update(UpdateAction::AddElement, handle, element);
    }

    /// RFC 5353 §3.3.2: an element of this registrar is gone.
    pub(super) fn tell_deleted(&mut self, handle: PoolHandle, element: PoolElement) {
        self.tell_update(UpdateAction::DeleteElement, handle, element);
    }

    fn tell_update(&mut self, action: UpdateAction, handle: PoolHandle, element: PoolElement) {
        let mut links = Vec::new();
        for peer in self.peers.values_mut() {
            let Some(&link) = peer.links.first() else { continue };
            if self.associations.get(&link).is_some_and(|association| association.is_congested) {
                peer.is_behind = true;
                self.stats.updates_withheld += 1;
            } else {
                links.push(link);
            }
        }
        if !links.is_empty() {
            self.stats.updates_sent += 1;
            for (links, element) in self.tellings(links, element) {
                let handle = handle.clone();
                let update = Update { takeover_suggested: false, action, handle, element };
                self.group_cast_over(links, Body::Update(update));
            }
        }
    }

    /// More waits for the other end of an association than it takes: until that is gone, updates are
    /// not made for it.
    pub(super) fn on_congested(&mut self, link: Peer) {
        if let Some(association) = self.associations.get_mut(&link) {
            association.is_congested = true;
            self.stats.congestions += 1;
        }
    }

    /// What waited is gone. A registrar that missed updates meanwhile is told this registrar's
    /// checksum, and fetches what it lacks (RFC 5353 §3.6): so fast as it can take it.
    pub(super) fn on_drained(&mut self, link: Peer) {
        let Some(association) = self.associations.get_mut(&link) else { return };
        association.is_congested = false;
        let id = association.registrar.filter(|_| !association.is_doubted);
        let peer = id.and_then(|id| self.peers.get_mut(&id));
        if peer.is_some_and(|peer| std::mem::take(&mut peer.is_behind)) {
            self.send_presence(link, id, false);
        }
    }

    /// True where more waits for the other end of an association than it takes.
    pub(super) fn is_congested(&self, link: Peer) -> bool {
        self.associations.get(&link).is_some_and(|association| association.is_congested)
    }

    pub(super) fn on_update(&mut self, now: Time, sender: RegistrarId, update: Update) {
        let Update { takeover_suggested, action, handle, element } = update;
        match action {
            UpdateAction::AddElement => {
                let id = element.id;
                let added = self.on_added(now, sender, &handle, element);
                if added.is_some() {
                    self.touch(&handle, id);
                }
                if let Some(index) = added.filter(|_| takeover_suggested) {
                    self.on_suggestion(now, index, sender);
                }
            }
            UpdateAction::DeleteElement => self.on_deleted(sender, &handle, element.id),
        }
    }

    /// An element registered at another registrar, which is its home from now on.
    fn on_added(
        &mut self,
        now: Time,
        sender: RegistrarId,
        handle: &PoolHandle,
        mut element: PoolElement,
    ) -> Option<ElementIndex> {
        // Only the home tells of an element; where it leaves that open, it means itself.
        if *element.home.get_or_insert(sender) != sender {
            self.stats.updates_foreign += 1;
            self.complain_of_peer(sender, Misbehaviour::ForeignElements);
            return None;
        }
        let id = element.id;
        let element = self.as_heard(sender, element);
        if self.is_claimed(now, sender, handle, &element) {
            return None;
        }
        match self.handlespace.register(handle, element) {
            Ok(registered) => {
                self.stats.updates_received += 1;
                if registered.previous_home == Some(self.id) {
                    self.release(registered.index, sender);
                }
                self.hide_if_out_of_reach(sender, registered.index);
                self.subscriptions.mark(handle, registered.outcome);
                Some(registered.index)
            }
            Err(refused) => {
                self.refused_update(sender, handle, id, &refused);
                None
            }
        }
    }

    /// The home of an element says that it is gone. Nobody else can: what was the home before may
    /// learn of the move later than of the end of its association.
    fn on_deleted(&mut self, sender: RegistrarId, handle: &PoolHandle, id: PeId) {
        let index = self.handlespace.find(handle, id);
        let home = index.and_then(|index| self.handlespace.element(index)?.element.home);
        match index {
            Some(_) if home != Some(sender) => self.stats.updates_foreign += 1,
            Some(index) => {
                self.stats.updates_received += 1;
                self.touch(handle, id);
                self.forget_foreign(index);
            }
            None => self.touch(handle, id),
        }
    }

    /// Another registrar's element does not go with its pool here, or is one too many.
    pub(super) fn refused_update(
        &mut self,
        from: RegistrarId,
        handle: &PoolHandle,
        id: PeId,
        refused: &Refused,
    ) {
        self.stats.updates_refused += 1;
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if !std::mem::replace(&mut peer.conflict_told, true) {
            let (handle, cause) = (handle.clone(), refused.cause());
            let link = peer.links.first().copied();
            let at = link.and_then(|link| self.remote_addr(link));
            let event = Event::Conflict { peer: from, handle, id, cause, from: at };
            self.outputs.push_back(Output::Event(event));
        }
    }

    /// An element of this registrar has another home now: it is no longer looked after here.
    fn release(&mut self, index: ElementIndex, to: RegistrarId) {
        let was_own = self.adopting.was_own(index);
        // Its identifier is the other registrar's to give.
        self.defend(index);
        self.forget_adoption(index);
        self.adopting.forget_crossed(index);
        let supervised = self.supervised.remove(index);
        if supervised.is_none() && !was_own {
            return;
        }
        self.deadlines.disarm(Deadline::Supervision(index));
        self.reports.remove(index);
        let association: Option<Peer> = supervised.and_then(|supervised| supervised.association);
        self.stats.moved_away += 1;
        if let Some(view) = self.handlespace.element(index) {
            let (handle, id) = (view.handle.clone(), view.element.id);
            let event = Event::Moved { handle: handle.clone(), id, to };
            self.outputs.push_back(Output::Event(event));
            if let Some(peer) = association.filter(|peer| self.associations.contains_key(peer)) {
                self.detach(peer, index);
                // An update may be older than the element's registration here. Who knows its home
                // to be elsewhere does not mind; who still believes in this one registers again.
                self.tell_removed(peer, handle, id);
            }
        }
        self.handed_over(index);
    }

    /// Takes an element of another registrar out; nobody is told.
    pub(super) fn forget_foreign(&mut self, index: ElementIndex) {
        if self.yield_claimed(index) {
            return;
        }
        self.forget_adoption(index);
        if let Some((handle, _)) = self.handlespace.deregister(index) {
            self.pool_may_have_ended(&handle);
            self.subscriptions.mark(&handle, Outcome::Changed);
        }
    }
}
