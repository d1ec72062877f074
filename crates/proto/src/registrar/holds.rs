//! What operators say of single elements: not listed for a while, or out and not let in again.
//!
//! Both are this registrar's own: nothing of it is told to others, whoever is the home of the
//! element. They name a pool and an identifier, not an association, and end by themselves.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use rserpool_wire::param::{Cause, PeId, PoolHandle, RegistrarId};
use rserpool_wire::registry::CauseCode;

use super::view::Page;
use super::{Deadline, Event, LeaveReason, Registrar};
use crate::handlespace::Outcome;
use crate::machine::Output;
use crate::time::Time;

/// What an operator says of one element, for a while.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hold {
    /// How long; 24 h at most, and at least a millisecond.
    pub lasting: Duration,
    /// Who says so.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A hold that is in force, or a ban.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HoldRow {
    /// The pool.
    pub handle: PoolHandle,
    /// The element.
    pub id: PeId,
    /// It may not register. Otherwise it is registered, and not listed.
    pub is_ban: bool,
    /// How long yet.
    pub ends_in: Duration,
    /// Who said so.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Why nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NotHeld {
    /// There is no such element.
    Unknown,
    /// No other element of its pool would be listed.
    LastListed,
    /// There are [`HOLDS_MAX`] of them already.
    TooMany,
}

/// What an eviction comes to at this registrar, where the element is let in no more in any case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Evicted {
    /// It is out, and the other registrars are told.
    Removed,
    /// Another registrar is its home, and has to evict it.
    NotHome(Option<RegistrarId>),
    /// It is not there.
    NotThere,
}

/// Holds at once, and as many bans.
pub const HOLDS_MAX: usize = 4096;
/// The longest that a hold or a ban lasts.
pub const HOLD_MOST: Duration = Duration::from_secs(24 * 3600);
const HOLD_LEAST: Duration = Duration::from_millis(1);

type Kept = BTreeMap<(PoolHandle, PeId), (Time, Hold)>;

/// All holds and bans.
#[derive(Debug, Default)]
pub(super) struct Holds {
    held: Kept,
    banned: Kept,
}

impl Holds {
    /// How many there are of both.
    pub(super) fn lens(&self) -> (usize, usize) {
        (self.held.len(), self.banned.len())
    }

    fn next(&self) -> Option<Time> {
        self.held.values().chain(self.banned.values()).map(|(until, _)| *until).min()
    }
}

/// Takes out what has ended by now.
fn ended(kept: &mut Kept, now: Time) -> Vec<(PoolHandle, PeId)> {
    let ended: Vec<_> = kept.extract_if(.., |_, (until, _)| *until <= now).collect();
    ended.into_iter().map(|(element, _)| element).collect()
}

impl Registrar {
    /// Whether [`Command::Hold`](super::Command::Hold) would do anything; the last element of a pool
    /// that is listed is only held by force.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn may_hold(&self, handle: &PoolHandle, id: PeId, by_force: bool) -> Result<(), NotHeld> {
        let index = self.handlespace.find(handle, id).ok_or(NotHeld::Unknown)?;
        if self.holds.held.contains_key(&(handle.clone(), id)) {
            return Ok(());
        }
        if self.holds.held.len() >= HOLDS_MAX {
            return Err(NotHeld::TooMany);
        }
        let listed = self.handlespace.pool(handle).map_or(0, |pool| pool.listed());
        match listed <= 1 && self.handlespace.is_listed(index) && !by_force {
            true => Err(NotHeld::LastListed),
            false => Ok(()),
        }
    }

    /// What [`Command::Evict`](super::Command::Evict) would do.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn may_evict(&self, handle: &PoolHandle, id: PeId) -> Result<Evicted, NotHeld> {
        let is_new = !self.holds.banned.contains_key(&(handle.clone(), id));
        if is_new && self.holds.banned.len() >= HOLDS_MAX {
            return Err(NotHeld::TooMany);
        }
        let Some(index) = self.handlespace.find(handle, id) else { return Ok(Evicted::NotThere) };
        let home = self.handlespace.home(index);
        Ok(if home == Some(self.id) { Evicted::Removed } else { Evicted::NotHome(home) })
    }

    /// Holds and bans, by pool and identifier, behind this one; bans come behind all holds.
    pub fn hold_page(
        &self,
        now: Time,
        after: Option<&(bool, PoolHandle, PeId)>,
        limit: usize,
    ) -> Page<HoldRow, (bool, PoolHandle, PeId)> {
        let limit = limit.clamp(1, super::PAGE_MAX);
        let of = |kept: &Kept, is_ban: bool| {
            let start = match after {
                Some((was_ban, ..)) if *was_ban && !is_ban => return Vec::new(),
                Some((was_ban, handle, id)) if *was_ban == is_ban => {
                    Bound::Excluded((handle.clone(), *id))
                }
                _ => Bound::Unbounded,
            };
            let rest = kept.range((start, Bound::Unbounded)).take(limit + 1);
            let row = |((handle, id), (until, hold)): (&(PoolHandle, PeId), &(Time, Hold))| {
                let Hold { by, reason, .. } = hold.clone();
                let (handle, ends_in) = (handle.clone(), *until - now);
                HoldRow { handle, id: *id, is_ban, ends_in, by, reason }
            };
            rest.map(row).collect()
        };
        let mut items = of(&self.holds.held, false);
        items.extend(of(&self.holds.banned, true));
        let more = items.len() > limit;
        items.truncate(limit);
        let cursor = |row: &HoldRow| (row.is_ban, row.handle.clone(), row.id);
        let next = items.last().filter(|_| more).map(cursor);
        Page { items, next }
    }

    pub(super) fn hold_element(&mut self, now: Time, handle: PoolHandle, id: PeId, hold: Hold) {
        let is_new = !self.holds.held.contains_key(&(handle.clone(), id));
        if is_new && self.holds.held.len() >= HOLDS_MAX {
            return;
        }
        let lasting = hold.lasting.clamp(HOLD_LEAST, HOLD_MOST);
        self.holds.held.insert((handle.clone(), id), (now + lasting, hold));
        if self.handlespace.withhold(&handle, id) {
            self.subscriptions.mark(&handle, Outcome::Changed);
        }
        self.arm_holds();
        self.outputs.push_back(Output::Event(Event::Held { handle, id, lasting }));
    }

    pub(super) fn release_element(&mut self, handle: PoolHandle, id: PeId) {
        if self.holds.held.remove(&(handle.clone(), id)).is_some() {
            self.list_again(handle, id, false);
            self.arm_holds();
        }
    }

    fn list_again(&mut self, handle: PoolHandle, id: PeId, has_run_out: bool) {
        if self.handlespace.list_again(&handle, id) {
            self.subscriptions.mark(&handle, Outcome::Changed);
        }
        self.outputs.push_back(Output::Event(Event::Released { handle, id, has_run_out }));
    }

    pub(super) fn evict_element(&mut self, now: Time, handle: PoolHandle, id: PeId, ban: Hold) {
        let is_new = !self.holds.banned.contains_key(&(handle.clone(), id));
        if is_new && self.holds.banned.len() >= HOLDS_MAX {
            return;
        }
        let lasting = ban.lasting.clamp(HOLD_LEAST, HOLD_MOST);
        // Before it is out: who waits for its identifier is not let in either.
        self.holds.banned.insert((handle.clone(), id), (now + lasting, ban));
        self.arm_holds();
        let event = Event::Banned { handle: handle.clone(), id, lasting };
        self.outputs.push_back(Output::Event(event));
        if let Some(index) = self.handlespace.find(&handle, id)
            && self.handlespace.home(index) == Some(self.id)
        {
            self.remove(now, index, LeaveReason::Evicted);
        }
    }

    /// Refuses whom an operator does not let in.
    pub(super) fn check_ban(&self, handle: &PoolHandle, id: PeId) -> Result<(), Cause> {
        if self.holds.banned.is_empty() || !self.holds.banned.contains_key(&(handle.clone(), id)) {
            return Ok(());
        }
        Err(Cause::new(CauseCode::SECURITY))
    }

    fn arm_holds(&mut self) {
        match self.holds.next() {
            Some(at) => self.deadlines.arm(Deadline::Hold, at),
            None => {
                self.deadlines.disarm(Deadline::Hold);
            }
        }
    }

    /// Some of them may have ended.
    pub(super) fn on_hold_timeout(&mut self, now: Time) {
        for (handle, id) in ended(&mut self.holds.held, now) {
            self.list_again(handle, id, true);
        }
        ended(&mut self.holds.banned, now);
        self.arm_holds();
    }
}
