//! Fetching a handle table: all of it from a mentor (RFC 5353 §3.2.3), or what one registrar is the
//! home of, to agree with it again (§3.6.3).

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use rserpool_wire::enrp::{Body, TableRequest, TableResponse};
use rserpool_wire::param::{PeId, PoolElement, PoolHandle, RegistrarId};

use super::supervision::{EXTENSIONS_MAX, LATENESS_TOLERATED};
use super::{Deadline, Event, Misbehaviour, Registrar};
use crate::handlespace::{ElementIndex, Outcome};
use crate::machine::{Output, Peer};
use crate::time::Time;

/// A download under way.
#[derive(Debug)]
pub(super) struct Sync {
    /// Only what the other one is the home of: a resynchronisation.
    own_only: bool,
    /// Where the requests go.
    pub(super) link: Peer,
    /// Elements that came so far.
    elements: usize,
    /// Parts that brought nothing new.
    stale_parts: u32,
    /// What updates said meanwhile: it is newer than what the table says.
    touched: BTreeSet<(PoolHandle, PeId)>,
    extensions: u8,
    /// It has elements that are supervised here.
    claims: bool,
}

/// Why a handle table did not come to an end.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SyncFailure {
    /// The other registrar cannot tell it now.
    Rejected,
    /// The next part did not come in time.
    Silent,
    /// The association ended.
    Lost,
    /// It goes on and on without telling anything new, or beyond every limit.
    Endless,
}

impl fmt::Display for SyncFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rejected => "rejected",
            Self::Silent => "no answer in time",
            Self::Lost => "association lost",
            Self::Endless => "a table without end",
        })
    }
}

/// So many updates during a download are remembered; what comes beyond, the next audit sets right.
const TOUCHED_MAX: usize = 100_000;
/// So many tables in a row may have elements that are supervised here before the registrar with the
/// lesser identifier asks these, too, and the application is told.
const CLAIMS_BORNE: u8 = 3;
/// So many parts may tell nothing new: a download that is repeated begins with what is known.
const STALE_PARTS_MAX: u32 = 20_000;

impl Registrar {
    /// Asks for a table, or for what its sender is the home of.
    pub(super) fn start_sync(&mut self, now: Time, id: RegistrarId, own_only: bool) {
        let Some(link) = self.link_to(id) else { return };
        let sync = Sync {
            own_only,
            link,
            elements: 0,
            stale_parts: 0,
            touched: BTreeSet::new(),
            extensions: 0,
            claims: false,
        };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.sync = Some(sync);
        self.stats.syncs += 1;
        if own_only {
            self.handlespace.mark_all(id);
        }
        self.ask_for_part(now, id, link, own_only);
    }

    fn ask_for_part(&mut self, now: Time, id: RegistrarId, link: Peer, own_only: bool) {
        let wait = self.config.timing.response_timeout.max(Duration::from_millis(1));
        self.deadlines.arm(Deadline::Sync(id), now + wait);
        self.send_enrp(link, Body::TableRequest(TableRequest { own_only }));
    }

    pub(super) fn on_table_response(
        &mut self,
        now: Time,
        id: RegistrarId,
        response: TableResponse,
    ) {
        let Some(sync) = self.peers.get(&id).and_then(|peer| peer.sync.as_ref()) else {
            self.stats.unexpected += 1;
            return;
        };
        let (own_only, link) = (sync.own_only, sync.link);
        if response.rejected {
            self.sync_failed(now, id, SyncFailure::Rejected);
            return;
        }
        let told: usize = response.pools.iter().map(|pool| pool.elements.len()).sum();
        let mut news = 0;
        for pool in response.pools {
            for element in pool.elements {
                news += usize::from(self.merge(id, own_only, &pool.handle, element));
            }
        }
        let limit = self.config.handlespace.limits.elements_max as usize;
        let Some(sync) = self.peers.get_mut(&id).and_then(|peer| peer.sync.as_mut()) else {
            return;
        };
        sync.elements += told;
        sync.extensions = 0;
        if !response.more {
            self.sync_complete(now, id);
            return;
        }
        sync.stale_parts += u32::from(news == 0);
        if told == 0 || sync.elements > limit || sync.stale_parts > STALE_PARTS_MAX {
            self.sync_failed(now, id, SyncFailure::Endless);
        } else {
            self.ask_for_part(now, id, link, own_only);
        }
    }

    /// Enters one element of a table (RFC 5353 §3.2.3 step 4, §3.6.3). True where it was news.
    fn merge(
        &mut self,
        sender: RegistrarId,
        own_only: bool,
        handle: &PoolHandle,
        element: PoolElement,
    ) -> bool {
        let key = (handle.clone(), element.id);
        let sync = self.peers.get(&sender).and_then(|peer| peer.sync.as_ref());
        if sync.is_none_or(|sync| sync.touched.contains(&key)) {
            return false;
        }
        let (Some(home), id) = (element.home, element.id) else {
            self.stats.claims_ignored += 1;
            return false;
        };
        let index = self.handlespace.find(handle, id);
        // What is supervised here is at home here, whatever a table says: only the element knows
        // better, and is asked.
        let is_own = index.is_some_and(|index| self.supervised.contains(index));
        let old_home = index.and_then(|index| self.handlespace.element(index)?.element.home);
        // What lives elsewhere is that one's: who is no more known than others cannot have it.
        let is_anothers = own_only
            && old_home.is_some_and(|old| old != sender && self.is_heard(old))
            && !self.is_vouched_for(sender);
        if is_own || is_anothers || (own_only && home != sender) {
            self.stats.claims_ignored += 1;
            if let Some(index) = index.filter(|_| is_own && home == sender) {
                self.dispute(sender, index);
            }
            return false;
        }
        let was_marked =
            index.and_then(|index| self.handlespace.element(index)).is_some_and(|view| view.marked);
        let element = self.as_heard(sender, element);
        match self.handlespace.register(handle, element) {
            Ok(registered) => {
                self.hide_if_out_of_reach(sender, registered.index);
                if home != self.id {
                    self.forget_adoption(registered.index);
                }
                self.subscriptions.mark(handle, registered.outcome);
                was_marked || registered.outcome != Outcome::Unchanged
            }
            Err(refused) => {
                self.refused_update(sender, handle, id, &refused);
                // It is there, if not as it should be.
                index.into_iter().for_each(|index| self.handlespace.clear_mark(index));
                false
            }
        }
    }

    /// A registrar lists as its own what is supervised here, so both look after it: the update of
    /// whoever came later was lost with the link. Audits would find that for ever, and nobody
    /// would give way. The element decides, by agreeing to the one that asks: that is the one with
    /// the greater identifier, and the other one where that has not helped after some audits.
    fn dispute(&mut self, sender: RegistrarId, index: ElementIndex) {
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        if let Some(sync) = peer.sync.as_mut() {
            sync.claims = true;
        }
        if self.id > sender || peer.claims_in_row >= CLAIMS_BORNE {
            self.adopting.dispute(index, sender);
        }
    }

    /// An update came during a download: what the table says of this element is older.
    pub(super) fn touch(&mut self, handle: &PoolHandle, id: PeId) {
        for peer in self.peers.values_mut() {
            if let Some(sync) = peer.sync.as_mut().filter(|s| s.touched.len() < TOUCHED_MAX) {
                sync.touched.insert((handle.clone(), id));
            }
        }
    }

    fn sync_complete(&mut self, now: Time, id: RegistrarId) {
        let Some(sync) = self.end_sync(id) else { return };
        let leftovers = match sync.own_only {
            true => self.handlespace.drain_marked(id),
            false => Vec::new(),
        };
        let removed = leftovers.len();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.failure_told = None;
            peer.claims_in_row = if sync.claims { peer.claims_in_row.saturating_add(1) } else { 0 };
            // It takes some audits after registrars have met again.
            if peer.claims_in_row > CLAIMS_BORNE {
                self.complain_of_peer(id, Misbehaviour::ClaimsElements);
            }
        }
        for index in leftovers {
            self.purge(index);
        }
        let event = Event::Synchronised { peer: id, elements: sync.elements, removed };
        self.outputs.push_back(Output::Event(event));
        if !sync.own_only {
            self.mentor_told_all(now, id);
        }
    }

    /// A download came to nothing: what it was to replace stays.
    pub(super) fn sync_failed(&mut self, now: Time, id: RegistrarId, reason: SyncFailure) {
        let Some(sync) = self.end_sync(id) else { return };
        self.stats.syncs_failed += 1;
        if sync.own_only {
            self.handlespace.drain_marked(id);
            if reason == SyncFailure::Endless {
                self.complain_of_peer(id, Misbehaviour::EndlessTable);
            } else {
                self.audit_soon(now, id);
            }
        }
        let told = self.peers.get_mut(&id).filter(|_| sync.own_only);
        let told = told.and_then(|peer| peer.failure_told.replace(reason));
        if told != Some(reason) {
            self.outputs.push_back(Output::Event(Event::SyncFailed { peer: id, reason }));
        }
        if !sync.own_only {
            self.mentor_failed(now, id, reason == SyncFailure::Rejected);
        }
    }

    fn end_sync(&mut self, id: RegistrarId) -> Option<Sync> {
        self.deadlines.disarm(Deadline::Sync(id));
        self.peers.get_mut(&id)?.sync.take()
    }

    pub(super) fn on_sync_timeout(&mut self, now: Time, due: Time, id: RegistrarId) {
        let sync = self.peers.get_mut(&id).and_then(|peer| peer.sync.as_mut());
        let Some(sync) = sync else { return };
        if now - due > LATENESS_TOLERATED && sync.extensions < EXTENSIONS_MAX {
            sync.extensions += 1;
            let wait = self.config.timing.response_timeout.max(Duration::from_millis(1));
            self.deadlines.arm(Deadline::Sync(id), now + wait);
            return;
        }
        self.sync_failed(now, id, SyncFailure::Silent);
    }

    /// Takes an element of another registrar out without a word (RFC 5353 §3.6.3).
    fn purge(&mut self, index: ElementIndex) {
        self.stats.purged += 1;
        self.forget_foreign(index);
    }
}
