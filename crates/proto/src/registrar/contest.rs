//! Who may have an identifier that an element has already (RFC 5352 §3.1 rule 3).
//!
//! The same identifier from another association may be the same element, which comes back before its
//! old association is known to be dead; or somebody else behind the same address. So the old
//! association is asked, by a keep-alive, and the registration waits for what it says: an answer
//! rejects it, with cause 4; silence, or the end of that association, lets it in.

use std::collections::BTreeMap;
use std::time::Duration;

use rserpool_wire::param::{Cause, PoolElement, PoolHandle};
use rserpool_wire::registry::CauseCode;

use super::admission::same_server;
use super::supervision::{EXTENSIONS_MAX, LATENESS_TOLERATED};
use super::{Deadline, Registrar};
use crate::handlespace::ElementIndex;
use crate::machine::Peer;
use crate::time::Time;

/// Registrations that wait until the element with their identifier has answered.
#[derive(Debug, Default)]
pub(super) struct Contests(BTreeMap<ElementIndex, Contest>);

#[derive(Debug)]
struct Contest {
    /// Who wants the identifier.
    newcomer: Peer,
    element: PoolElement,
    since: Time,
    extensions: u8,
}

impl Contests {
    /// Registrations that wait at once.
    pub(super) const MAX: usize = 4096;
    /// Those of one association.
    const OF_ONE_MAX: usize = 1024;

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn has_room_for(&self, newcomer: Peer) -> bool {
        let of_one = || self.0.values().filter(|contest| contest.newcomer == newcomer).count();
        self.len() < Self::MAX && (self.len() < Self::OF_ONE_MAX || of_one() < Self::OF_ONE_MAX)
    }
}

fn taken() -> Cause {
    Cause::new(CauseCode::NON_UNIQUE_PE_IDENTIFIER)
}

impl Registrar {
    /// The element of a registration, where nobody else has its identifier; `None` where whoever has
    /// it is asked first.
    ///
    /// # Errors
    ///
    /// Cause 4: another element has this identifier. RFC 5352 §3.1 rule 3 takes the same identifier
    /// for a re-registration; it is another element only where the old one lives elsewhere.
    pub(super) fn contest(
        &mut self,
        now: Time,
        newcomer: Peer,
        index: ElementIndex,
        element: PoolElement,
    ) -> Result<Option<PoolElement>, Cause> {
        let association = self.supervised.get(index).and_then(|it| it.association);
        let lives_elsewhere = association
            .filter(|association| *association != newcomer)
            .is_some_and(|association| self.associations.contains_key(&association));
        // One rule in the whole scope: as long as its home lives, an element is where it is.
        let old = self.handlespace.element(index).map(|view| view.element);
        let is_same =
            old.is_some_and(|old| same_server(&old.user_transport, &element.user_transport));
        let home = old.and_then(|old| old.home).filter(|home| *home != self.id);
        if !is_same && home.is_some_and(|home| self.is_heard(home)) {
            return Err(taken());
        }
        if !lives_elsewhere || self.adopting.has_crossed(index, newcomer) {
            return Ok(Some(element));
        }
        if !is_same {
            return Err(taken());
        }
        if let Some(contest) = self.contests.0.get_mut(&index) {
            // One at a time; the newest of what it says counts.
            if contest.newcomer != newcomer {
                return Err(taken());
            }
            contest.element = element;
            return Ok(None);
        }
        if !self.contests.has_room_for(newcomer) {
            self.stats.contests_refused += 1;
            return Err(Cause::new(CauseCode::LACK_OF_RESOURCES));
        }
        self.stats.contests += 1;
        let contest = Contest { newcomer, element, since: now, extensions: 0 };
        self.contests.0.insert(index, contest);
        self.deadlines.arm(Deadline::Contest(index), now + self.contest_timeout());
        self.ask_at_once(now, index, true);
        Ok(None)
    }

    /// As long as a keep-alive may take; but the newcomer is answered before it has no more patience.
    fn contest_timeout(&self) -> Duration {
        let timing = &self.config.timing;
        timing.keep_alive_timeout_cap.min(timing.registration_timeout / 2)
    }

    /// The element that has an identifier has answered: it keeps it.
    pub(super) fn defend(&mut self, index: ElementIndex) {
        let Some(contest) = self.end_contest(index) else { return };
        let Some(view) = self.handlespace.element(index) else { return };
        let (handle, id) = (view.handle.clone(), view.element.id);
        if self.associations.contains_key(&contest.newcomer) {
            self.stats.contests_lost += 1;
            self.reject(contest.newcomer, handle, id, taken());
        }
    }

    /// The association of the element has ended: who waits for its identifier gets it. False where
    /// nobody does.
    pub(super) fn succeed(&mut self, now: Time, index: ElementIndex) -> bool {
        let Some(contest) = self.end_contest(index) else { return false };
        let Some(view) = self.handlespace.element(index) else { return false };
        let handle = view.handle.clone();
        if !self.associations.contains_key(&contest.newcomer) {
            return false;
        }
        self.enter_and_answer(now, contest.newcomer, handle, contest.element);
        self.supervised.get(index).is_some_and(|it| it.association == Some(contest.newcomer))
    }

    /// The element that has an identifier has not answered in time.
    pub(super) fn on_contest_timeout(&mut self, now: Time, due: Time, index: ElementIndex) {
        let wait = self.contest_timeout();
        let pause = self.config.timing.keep_alive_timeout_floor;
        let association = self.supervised.get(index).and_then(|it| it.association);
        let Some(contest) = self.contests.0.get_mut(&index) else { return };
        // The answer may wait in a queue here, or behind earlier ones there.
        let answers =
            association.and_then(|peer| self.associations.get(&peer)).map(|it| &it.answers);
        let is_behind = self.adopting.contains(index)
            || answers.is_some_and(|it| it.are_behind(now, contest.since, pause));
        if (now - due > LATENESS_TOLERATED || is_behind) && contest.extensions < EXTENSIONS_MAX {
            contest.extensions += 1;
            self.deadlines.arm(Deadline::Contest(index), now + wait);
            return;
        }
        let view = self.handlespace.element(index);
        let key = view.map(|view| (view.handle.clone(), view.element.id));
        if self.succeed(now, index)
            && let (Some(old), Some((handle, id))) = (association, key)
            && self.associations.contains_key(&old)
        {
            // Should it live after all, it learns that it is out.
            self.tell_removed(old, handle, id);
        }
    }

    /// The element is out: what its identifier was wanted for is a new registration now.
    pub(super) fn inherit(&mut self, now: Time, index: ElementIndex, handle: PoolHandle) {
        if let Some(contest) = self.end_contest(index)
            && self.associations.contains_key(&contest.newcomer)
        {
            self.enter_and_answer(now, contest.newcomer, handle, contest.element);
        }
    }

    /// An association has ended: what it wanted is of no more interest.
    pub(super) fn forget_contests(&mut self, newcomer: Peer) {
        let of_it = |(&index, contest): (&ElementIndex, &Contest)| {
            (contest.newcomer == newcomer).then_some(index)
        };
        let indexes: Vec<ElementIndex> = self.contests.0.iter().filter_map(of_it).collect();
        for index in indexes {
            self.end_contest(index);
        }
    }

    fn end_contest(&mut self, index: ElementIndex) -> Option<Contest> {
        let contest = self.contests.0.remove(&index)?;
        self.deadlines.disarm(Deadline::Contest(index));
        Some(contest)
    }
}
